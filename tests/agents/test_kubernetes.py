"""Are manifests applied once, followed until they run, and pruned without touching what is foreign? Against an API
server on loopback.
"""

from __future__ import annotations

import contextlib
import dataclasses
from datetime import UTC, datetime, timedelta

import orjson
import pytest
import pytest_asyncio

from interlock.agents.kubernetes import KubernetesAgent
from interlock.agents.kubernetes_manifests import NOTE, TARGET
from interlock.model.errors import AgentUnavailable, Invalid, Rejected
from interlock.model.job import Drift, JobStatus, Observation
from interlock.outside.go_templates import GoTemplates
from interlock.outside.http import Http

from .conformance import (
    AUTHORIZATION,
    CONTEXT,
    AgentConformance,
    InspectFaults,
    PlanFaults,
    Rehearsal,
    ended,
    job_of,
    started,
)
from .kubernetes_server import KubernetesServer, now
from .stub_server import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

TARGETED = {
    **CONTEXT,
    "deployment": {"id": "d1", "name": "shop"},
    "environment": {"id": "e1", "name": "prod"},
    "resource": {**CONTEXT["resource"], "id": "r1"},
}

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {interlock-test/outcome: OUTCOME}}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: "registry.example/migrate:{{ .version.tag }}"}]
"""

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {interlock-test/outcome: OUTCOME}}
spec:
  replicas: {{ .variables.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.example/web:{{ .version.tag }}"}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {version: "{{ .version.tag }}"}
"""


@pytest_asyncio.fixture(loop_scope="module")
async def server():
    async with serving(KubernetesServer()) as stub:
        yield stub


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def templates():
    """One process that renders, for the whole file."""
    made = GoTemplates()
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def agent(templates):
    async with Http(allow_private_addresses=True) as http:
        yield KubernetesAgent(http, templates)


def config(server: KubernetesServer, template: str = WEB, outcome: str = "quick", **more: object) -> dict[str, object]:
    return {
        "kubeconfig": server.kubeconfig(),
        "insecureSkipTlsVerify": True,
        "template": template.replace("OUTCOME", outcome),
        **more,
    }


@pytest.fixture
def rehearsal(server, agent) -> Rehearsal:
    return Rehearsal(
        agent=agent,
        quick=config(server, JOB),
        slow=config(server, JOB, "slow"),
        wrong=(
            ({"template": "{{ .a"}, "config.template"),
            ({"template": ""}, "config.template"),
            ({"kubeconfig": 5}, "config.kubeconfig"),
            ({"kubeconfig": "{}"}, "config.kubeconfig"),
            ({"kubeconfig": "a: ["}, "config.kubeconfig"),
            ({"kubeconfig": "{{ .a"}, "config.kubeconfig"),
            ({"kubeconfig": server.kubeconfig()}, "config.kubeconfig"),
            ({"inCluster": True}, "config.inCluster"),
            ({"inCluster": "yes"}, "config.inCluster"),
            ({"namespace": "Shop"}, "config.namespace"),
            ({"namespace": "{{ .a"}, "config.namespace"),
            ({"prune": "yes"}, "config.prune"),
            ({"conditionSeconds": -1}, "config.conditionSeconds"),
            ({"dashboardUrl": "{{ x"}, "config.dashboardUrl"),
            ({"manifests": "a"}, "config.manifests"),
        ),
        runs=lambda: server.worked,
        server=server,
    )


@pytest.fixture
def web(rehearsal) -> Rehearsal:
    """Jobs of one target."""
    return dataclasses.replace(rehearsal, context=TARGETED)


def job_with(rehearsal: Rehearsal, config: dict[str, object], *, tag: str = "1.0.0"):
    """A job of the one target, for a version."""
    return job_of(dataclasses.replace(rehearsal, context={**TARGETED, "version": {"tag": tag}}), config)


class TestConformance(AgentConformance):
    """The suite that every agent passes."""


class TestFaults(PlanFaults, InspectFaults):
    """Every call meets every fault."""


async def test_objects_are_applied_with_their_marks_and_followed_until_they_run(server, agent, web):
    job, seen = await started(agent, job_with(web, config(server)))
    assert (seen.status, seen.message) == (JobStatus.IN_PROGRESS, "2 objects applied.")
    deployment = server.get("Deployment", "web")
    assert deployment["metadata"]["annotations"][NOTE] == f"{job.id}/1"
    owner = deployment["metadata"]["labels"][TARGET]
    assert deployment["metadata"]["managedFields"][0]["manager"] == "interlock"
    seen = await agent.observe(job)
    assert seen.status is JobStatus.IN_PROGRESS
    assert "Deployment shop/web: 0 of 3 replicas are updated" in seen.message
    seen = await ended(agent, job)
    assert (seen.status, seen.message) == (JobStatus.SUCCESSFUL, "2 objects applied and ready.")
    assert seen.applied == ("ConfigMap/shop/settings", "Deployment/shop/web")
    assert [one.partition("@")[0] for one in seen.artifacts] == ["registry.example/web"]
    assert seen.external_id == f"shop/interlock-{owner}/{job.id}/1"
    assert seen.metadata == {"kubernetes/namespace": "shop", "kubernetes/objects": "2"}


async def test_the_same_release_again_is_no_second_rollout(server, agent, web):
    job, _ = await started(agent, job_with(web, config(server)))
    await ended(agent, job)
    assert server.worked == 1
    again, _ = await started(agent, job_with(web, config(server)))
    assert (await ended(agent, again)).status is JobStatus.SUCCESSFUL
    assert server.worked == 1
    assert await agent.observe(job) is None, "the target's newest attempt is another"


async def test_a_rollout_past_its_deadline_fails_and_says_what_its_pods_say(server, agent, web):
    job, _ = await started(agent, job_with(web, config(server, outcome="stuck")))
    seen = await ended(agent, job)
    assert seen.status is JobStatus.FAILURE
    assert "Deployment shop/web: ProgressDeadlineExceeded" in seen.message
    assert "ImagePullBackOff: Back-off pulling image registry.example/web:1.0.0" in seen.message
    assert seen.finished_at is not None


async def test_what_is_not_ready_in_time_is_a_failure_that_names_it(server, agent, web):
    job, _ = await started(agent, job_with(web, config(server, outcome="slow")))
    job = dataclasses.replace(job, timeout_s=30.0)
    assert (await agent.observe(job)).status is JobStatus.IN_PROGRESS
    agent._now = lambda: datetime.now(UTC) + timedelta(seconds=31)
    seen = await agent.observe(job)
    assert seen.status is JobStatus.FAILURE
    assert seen.message.startswith("Not ready within 30 s: Deployment shop/web: 0 of 3 replicas are updated.")


async def test_a_job_that_fails_says_why_and_what_it_wrote(server, agent, web):
    job, _ = await started(agent, job_with(web, config(server, JOB, "fail")))
    [name] = server.names("Job")
    server.logs[f"{name}-0"] = "applying 0042\nno such table: orders\n"
    seen = await ended(agent, job)
    assert seen.status is JobStatus.FAILURE
    assert f"Job shop/{name}: BackoffLimitExceeded: Job has reached the specified backoff limit." in seen.message
    assert f"Pod {name}-0, container main: exit status 3: no such table." in seen.message
    assert seen.output == "applying 0042\nno such table: orders\n"


async def test_a_job_has_the_attempt_in_its_name_and_the_clusters_own_deadline(server, agent, web):
    job, _ = await started(agent, job_with(web, {**config(server, JOB), "timeoutSeconds": 90}))
    await started(agent, dataclasses.replace(job, attempt=2, external_id=None))
    first, second = server.names("Job")
    assert first.startswith("migrate-")
    assert (first[:-1], first[-1], second[-1]) == (second[:-1], "1", "2")
    assert server.get("Job", first)["spec"]["activeDeadlineSeconds"] == 600


async def test_a_conflict_names_field_and_owner_before_anything_is_applied(server, agent, web):
    await ended(agent, (await started(agent, job_with(web, config(server))))[0])
    server.touch("Deployment", "web", "spec.replicas", 9, manager="kubectl-scale")
    server.applied.clear()
    job = job_with(web, config(server), tag="2.0.0")
    with pytest.raises(Rejected) as refused:
        await agent.start(job, AUTHORIZATION)
    assert refused.value.message == (
        "Deployment shop/web: .spec.replicas is owned by kubectl-scale using apps/v1. "
        "Leave the field out of the template, or set forceConflicts: true to take it over."
    )
    assert server.applied == []
    await agent.start(dataclasses.replace(job, config=config(server, forceConflicts=True)), AUTHORIZATION)
    assert server.get("Deployment", "web")["spec"]["replicas"] == 3


async def test_an_object_of_another_target_is_not_taken(server, agent, web):
    await started(agent, job_with(web, config(server)))
    other = {**TARGETED, "environment": {"id": "e2", "name": "staging"}}
    job = job_of(dataclasses.replace(web, context=other), config(server))
    with pytest.raises(Rejected, match="belongs to another target"):
        await agent.start(job, AUTHORIZATION)


async def test_a_start_that_died_between_the_apply_and_the_record_is_one_run(server, agent, web):
    job = job_with(web, config(server, WEB + "---\n" + JOB))
    for after in range(8, 14):  # the answer of each of the later calls is lost
        server.next_is(cut_after=True, after=after)
        with contextlib.suppress(AgentUnavailable):
            await agent.start(job, AUTHORIZATION)
        server.coming.clear()
    job, _ = await started(agent, job)
    assert (await ended(agent, job)).status is JobStatus.SUCCESSFUL
    assert (server.worked, len(server.names("Job"))) == (2, 1)


async def test_cancel_ends_the_jobs_and_says_what_stays(server, agent, web):
    job, _ = await started(agent, job_with(web, config(server, WEB + "---\n" + JOB, "slow")))
    await agent.observe(job)
    [name] = server.names("Job")
    seen = await agent.cancel(job)
    while seen.status is JobStatus.IN_PROGRESS:
        assert seen.message == f"Job shop/{name} is being ended."
        seen = await agent.cancel(job)
    assert seen.status is JobStatus.CANCELLED
    assert seen.message == (
        f"Ended: Job shop/{name}. What was applied stays, and nobody waits for it: "
        "ConfigMap shop/settings; Deployment shop/web: 0 of 3 replicas are updated."
    )
    assert server.deleted == [f"Job/{name}"]
    assert server.find("Deployment", "web") is not None
    again = await agent.start(job, AUTHORIZATION)
    assert (again.status, server.names("Job")) == (JobStatus.CANCELLED, [])


# Prune ----------------------------------------------------------------------------------------------------------------

SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: NAME, namespace: WHERE, annotations: {interlock/prune: "PRUNE"}}
data: {a: "1"}
"""


def settings(*places: str, prune: str = "true") -> str:
    """ConfigMaps at `namespace/name`."""
    made = [
        SETTINGS.replace("WHERE", place.partition("/")[0]).replace("NAME", place.partition("/")[2]) for place in places
    ]
    return "---\n".join(made).replace("PRUNE", prune)


async def applied(server: KubernetesServer, agent: KubernetesAgent, web: Rehearsal, template: str, **more: object):
    """A release that went out."""
    job, seen = await started(agent, job_with(web, config(server, template, **more)))
    assert (await ended(agent, job)).status is JobStatus.SUCCESSFUL
    return seen


async def test_prune_deletes_what_an_earlier_release_made_and_this_one_does_not_want(server, agent, web):
    await applied(server, agent, web, settings("shop/a", "shop/b", "shop/c"), prune=True)
    seen = await applied(server, agent, web, settings("shop/a"), prune=True)
    assert seen.message == (
        "1 object applied, 2 objects of earlier releases deleted: ConfigMap shop/b; ConfigMap shop/c."
    )
    assert sorted(server.deleted) == ["ConfigMap/b", "ConfigMap/c"]
    await applied(server, agent, web, settings("shop/a"), prune=True)
    assert len(server.deleted) == 2


async def test_nothing_is_deleted_where_nobody_asks_and_a_later_prune_finds_it(server, agent, web):
    await applied(server, agent, web, settings("shop/a", "shop/b"))
    await applied(server, agent, web, settings("shop/a"))
    assert server.deleted == []
    await applied(server, agent, web, settings("shop/a"), prune=True)
    assert server.deleted == ["ConfigMap/b"]


async def test_prune_leaves_what_is_foreign(server, agent, web):
    server.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "foreign"}})
    await applied(server, agent, web, settings("shop/a", "shop/theirs", "shop/adopted"), prune=True)
    server.remove("ConfigMap", "theirs")  # somebody makes another of that name
    server.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs"}})
    server.get("ConfigMap", "adopted")["metadata"]["labels"][TARGET] = "another"
    await applied(server, agent, web, settings("shop/a"), prune=True)
    assert server.deleted == []
    assert {"foreign", "theirs", "adopted"} <= set(server.names("ConfigMap"))


async def test_a_list_that_somebody_changed_deletes_nothing_of_others(server, agent, web):
    await applied(server, agent, web, settings("shop/a"), prune=True)
    server.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "root", "namespace": "kube-system"}})
    [name] = [name for name in server.names("ConfigMap") if name.startswith("interlock-")]
    listed = server.get("ConfigMap", name)
    value = orjson.loads(listed["data"]["inventory.json"])
    forged = {"api_version": "v1", "kind": "Secret", "namespace": "kube-system", "name": "root", "plural": "secrets"}
    value["objects"].append({**forged, "current": False})
    listed["data"]["inventory.json"] = orjson.dumps(value).decode()
    await applied(server, agent, web, settings("shop/a"), prune=True)
    assert server.deleted == []
    assert server.names("Secret") == ["root"]


async def test_prune_stays_in_the_namespaces_that_the_release_writes_to(server, agent, web):
    await applied(server, agent, web, settings("shop/a", "default/b"), prune=True)
    await applied(server, agent, web, settings("shop/a"), prune=True)
    assert server.deleted == []
    await applied(server, agent, web, settings("shop/a", "default/c"), prune=True)
    assert server.deleted == ["ConfigMap/b"]


async def test_prune_keeps_volumes_namespaces_and_what_is_annotated(server, agent, web):
    claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {}\n---\n"
    space = "apiVersion: v1\nkind: Namespace\nmetadata: {name: own}\n---\n"
    kept = settings("shop/kept", prune="false")
    await applied(server, agent, web, claim + space + kept + "---\n" + settings("shop/a", "own/b"), prune=True)
    await applied(server, agent, web, settings("shop/a"), prune=True)
    assert server.deleted == []


async def test_an_object_that_was_swapped_between_look_and_deletion_is_not_deleted(server, agent, web):
    await applied(server, agent, web, settings("shop/a", "shop/b"), prune=True)
    old = server.get("ConfigMap", "b")["metadata"]["uid"]
    before = server._delete

    def swap(call, kind, key):
        assert call.body["preconditions"] == {"uid": old}
        server.objects[key]["metadata"]["uid"] = "another"
        return before(call, kind, key)

    server._delete = swap
    await applied(server, agent, web, settings("shop/a"), prune=True)
    assert "b" in server.names("ConfigMap")


# Kinds, places, conditions --------------------------------------------------------------------------------------------

DEFINITION = """
apiVersion: database.example.org/v1
kind: Postgres
metadata: {name: orders}
spec: {size: small}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: fresh}
---
apiVersion: v1
kind: Namespace
metadata: {name: fresh}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: postgreses.database.example.org}
spec:
  group: database.example.org
  scope: Namespaced
  names: {plural: postgreses, singular: postgres, kind: Postgres}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"""


async def test_namespaces_and_definitions_come_before_what_needs_them(server, agent, web):
    job, _ = await started(agent, job_with(web, config(server, DEFINITION, conditionSeconds=0)))
    assert server.applied == [
        "Namespace/fresh",
        "CustomResourceDefinition/postgreses.database.example.org",
        "ConfigMap/settings",
        "Postgres/orders",
    ]
    assert (await ended(agent, job)).status is JobStatus.SUCCESSFUL


async def test_a_claim_is_healthy_when_it_is_ready_and_synced(server, agent, web):
    """R004-26: Crossplane."""
    await applied(server, agent, web, DEFINITION, conditionSeconds=0)
    claim = DEFINITION.partition("---")[0].replace("small", "large")
    job, _ = await started(agent, job_with(web, config(server, claim)))
    seen = await agent.observe(job)
    assert "Postgres shop/orders: its controller is given a moment to see it" in seen.message
    creating = {"type": "Ready", "status": "False", "reason": "Creating"}
    synced = {"type": "Synced", "status": "True", "reason": "ReconcileSuccess", "lastTransitionTime": now()}
    server.say("Postgres", "orders", conditions=[creating, synced])
    assert "Postgres shop/orders: Ready: Creating" in (await agent.observe(job)).message
    refused = {"type": "Synced", "status": "False", "reason": "ReconcileError", "message": "no quota"}
    server.say("Postgres", "orders", conditions=[refused])
    assert "Synced: ReconcileError: no quota" in (await agent.observe(job)).message
    ready = {"type": "Ready", "status": "True", "reason": "Available", "lastTransitionTime": now()}
    server.say("Postgres", "orders", conditions=[ready, synced])
    agent._now = lambda: datetime.now(UTC) + timedelta(seconds=11)
    assert (await agent.observe(job)).status is JobStatus.SUCCESSFUL


async def test_a_paused_deployment_waits_for_a_person(server, agent, web):
    job, _ = await started(agent, job_with(web, config(server, WEB.replace("spec:", "spec:\n  paused: true", 1))))
    await agent.observe(job)
    seen = await agent.observe(job)
    assert (seen.status, seen.message) == (
        JobStatus.ACTION_REQUIRED,
        "Deployment shop/web: is paused. A person resumes it.",
    )


async def test_a_failure_waits_for_the_jobs_that_still_run(server, agent, web):
    both = WEB.replace("OUTCOME", "stuck") + "---\n" + JOB.replace("OUTCOME", "slow")
    job, _ = await started(agent, job_with(web, config(server, both)))
    await agent.observe(job)
    seen = await agent.observe(job)
    assert seen.status is JobStatus.IN_PROGRESS
    assert "ProgressDeadlineExceeded" in seen.message
    assert "Still runs: Job shop/migrate-" in seen.message
    [name] = server.names("Job")
    server.get("Job", name)["metadata"]["annotations"]["interlock-test/outcome"] = "quick"
    assert (await ended(agent, job)).status is JobStatus.FAILURE


async def test_a_job_that_somebody_deleted_is_not_known_to_have_ended(server, agent, web):
    job, _ = await started(agent, job_with(web, config(server, JOB, "slow")))
    server.remove("Job", server.names("Job")[0])
    assert await agent.observe(job) is None


async def test_an_object_that_somebody_deleted_is_missed_until_the_time_is_over(server, agent, web):
    job, _ = await started(agent, job_with(web, config(server, settings("shop/a"))))
    server.remove("ConfigMap", "a")
    assert (await agent.observe(job)).message == "0 of 1 object ready. ConfigMap shop/a: is not there."
    agent._now = lambda: datetime.now(UTC) + timedelta(seconds=601)
    assert (await agent.observe(job)).status is JobStatus.FAILURE


async def test_what_is_being_deleted_is_waited_for(server, agent, web):
    server.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "deletionTimestamp": now()}})
    server._step = lambda key, live: None  # somebody's finalizer holds it
    with pytest.raises(AgentUnavailable, match="ConfigMap shop/a is being deleted") as busy:
        await agent.start(job_with(web, config(server, settings("shop/a"))), AUTHORIZATION)
    assert busy.value.retry_after_s == 5


# what the cluster refuses -> what the failed job says
REFUSED = [
    (settings("nowhere/a"), 'ConfigMap nowhere/a: Kubernetes said no (404): namespaces "nowhere" not found.'),
    ("{apiVersion: v9, kind: Odd, metadata: {name: a}}", "config.template: the server has no kind Odd of v9."),
    (
        "{apiVersion: apps/v1, kind: Odd, metadata: {name: a}}",
        "config.template: the server has no kind Odd of apps/v1.",
    ),
    (settings("shop/a", "shop/a"), "config.template: ConfigMap shop/a is there twice."),
    (WEB.replace("labels: {app: web}", "labels: {app: other}"), "`selector` does not match template `labels`."),
    (settings("shop/a").replace('"1"', "5"), "ConfigMap shop/a: Kubernetes said no (422)"),
    ('{{ fail "why" }}', "why"),
]


@pytest.mark.parametrize(("template", "said"), REFUSED, ids=range(len(REFUSED)))
async def test_what_the_cluster_refuses_fails_before_anything_is_applied(server, agent, web, template, said):
    with pytest.raises(Rejected) as refused:
        await agent.start(job_with(web, config(server, template)), AUTHORIZATION)
    assert said in refused.value.message
    assert server.applied == []


async def test_a_right_that_is_missing_is_named(server, agent, web):
    server.forbidden.add(("patch", "deployments"))
    with pytest.raises(Rejected, match=r"Deployment shop/web: .* cannot patch"):
        await agent.start(job_with(web, config(server)), AUTHORIZATION)


async def test_without_the_right_to_list_pods_digests_are_those_of_the_manifest(server, agent, web):
    server.forbidden |= {("list", "pods"), ("get", "pods/log")}
    digest = "sha256:" + "a" * 64
    pinned = WEB.replace('web:{{ .version.tag }}"', f'web@{digest}"')
    job, _ = await started(agent, job_with(web, config(server, pinned)))
    assert (await ended(agent, job)).artifacts == (f"registry.example/web@{digest}",)
    failing, _ = await started(agent, job_with(web, config(server, JOB, "fail")))
    seen = await ended(agent, failing)
    assert (seen.status, seen.output) == (JobStatus.FAILURE, None)


async def test_namespace_and_kubeconfig_may_be_templates(server, agent, web):
    made = config(server, settings("shop/a").replace("namespace: shop,", ""), namespace="{{ .deployment.name }}")
    made["kubeconfig"] = server.kubeconfig().replace(server.token, "{{ .variables.token }}")
    agent.check_config(made)
    job = job_with(web, made)
    context = {**job.context, "variables": {"token": server.token}}
    await agent.start(dataclasses.replace(job, context=context), AUTHORIZATION)
    assert server.get("ConfigMap", "a")["metadata"]["namespace"] == "shop"


# Plan and inspect -----------------------------------------------------------------------------------------------------


async def test_a_plan_is_what_the_server_would_make_of_both_versions(server, agent, web):
    job = job_with(web, config(server), tag="2.0.0")
    before = {**job.context, "version": {"tag": "1.0.0"}}
    planned = await agent.plan(job, before)
    assert planned.has_changes
    assert "registry.example/web:1.0.0" in planned.current
    assert "registry.example/web:2.0.0" in planned.proposed
    assert "managedFields" not in planned.proposed
    assert server.applied == []
    assert server.names("ConfigMap") == []


async def test_inspect_tells_what_runs_and_where_it_drifted(server, agent, web):
    job, _ = await started(agent, job_with(web, config(server)))
    await ended(agent, job)
    seen = await agent.inspect(job)
    assert seen.applied == ("ConfigMap/shop/settings", "Deployment/shop/web")
    assert [one.partition("@")[0] for one in seen.artifacts] == ["registry.example/web"]
    assert seen.external_id == job.external_id
    assert seen.drift == ()
    server.touch("Deployment", "web", "spec.replicas", 9)
    server.remove("ConfigMap", "settings")
    server.applied.clear()
    seen = await agent.inspect(job)
    assert seen.drift == (
        Drift("ConfigMap/shop/settings", missing=True),
        Drift("Deployment/shop/web", fields=(".spec.replicas",)),
    )
    assert (server.applied, server.get("Deployment", "web")["spec"]["replicas"]) == ([], 9)


# Secrets --------------------------------------------------------------------------------------------------------------


async def test_nothing_of_a_secret_is_told(server, agent, web):
    secret = 'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: "{{ .variables.password }}"}\n'
    job = job_with(web, config(server, secret))
    job = dataclasses.replace(job, context={**job.context, "variables": {"password": "swordfish"}})
    planned = await agent.plan(job, None)
    assert "swordfish" not in planned.proposed
    assert "c3dvcmRmaXNo" not in planned.proposed
    numeric = dataclasses.replace(job, config=config(server, secret.replace('"{{', "{{").replace('}}"', "}}")))
    numeric = dataclasses.replace(numeric, context={**job.context, "variables": {"password": 123456789}})
    with pytest.raises(Rejected) as refused:
        await agent.start(numeric, AUTHORIZATION)
    assert refused.value.message == "Secret shop/s: Kubernetes said no (422, Invalid) to data.password."
    server.next_is(status=500, body=b'{"message": "the value swordfish is odd"}', method="PATCH")
    with pytest.raises(AgentUnavailable) as away:
        await agent.start(job, AUTHORIZATION)
    assert "swordfish" not in away.value.message


async def test_a_server_that_repeats_the_token_is_not_repeated(server, agent, web):
    server.next_is(status=400, body=f"I got Bearer {server.token}".encode())
    with pytest.raises(Rejected, match="I got Bearer ••••"):
        await agent.start(job_with(web, config(server)), AUTHORIZATION)


# Places ---------------------------------------------------------------------------------------------------------------


async def test_the_guard_holds_for_clusters_too(server, templates, web):
    async with Http() as strict:
        agent = KubernetesAgent(strict, templates)
        with pytest.raises(Invalid, match="not an address of the public internet"):
            agent.check_config(config(server))
        with pytest.raises(Rejected, match="not an address of the public internet"):
            await agent.start(job_with(web, config(server)), AUTHORIZATION)
        named = {**config(server), "kubeconfig": server.kubeconfig().replace("127.0.0.1", "localtest.me")}
        agent._http = Http(resolve=_loopback)
        with pytest.raises(Rejected, match=r"localtest.me is 127.0.0.1"):
            await agent.start(job_with(web, named), AUTHORIZATION)
    assert server.calls == []


async def _loopback(host: str, port: int) -> tuple[str, ...]:
    return ("127.0.0.1",)


async def test_interlocks_own_account_is_the_operators_to_give(server, agent, web):
    lone = {"inCluster": True, "template": WEB}
    with pytest.raises(Invalid, match="INTERLOCK_KUBERNETES_IN_CLUSTER=1"):
        agent.check_config(lone)
    with pytest.raises(Rejected, match="INTERLOCK_KUBERNETES_IN_CLUSTER=1"):
        await agent.start(job_with(web, lone), AUTHORIZATION)
    with pytest.raises(Rejected, match="lacks kubeconfig"):
        await agent.start(job_with(web, {"template": WEB}), AUTHORIZATION)
    with pytest.raises(Rejected, match="lacks template"):
        await agent.start(job_with(web, {"kubeconfig": server.kubeconfig()}), AUTHORIZATION)


async def test_links_name_the_dashboard(server, agent, web):
    job = job_with(web, config(server, dashboardUrl="https://k.example/{{ resource.name }}"))
    assert agent.links(job, Observation(None)) == {"Dashboard": "https://k.example/prod-eu-1"}
    odd = job_with(web, config(server, dashboardUrl="javascript:{{ resource.name }}"))
    assert agent.links(odd, Observation(None)) == {}
