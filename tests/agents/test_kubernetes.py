"""Are manifests applied once, followed until they run, and pruned without touching what is foreign? Against an API
server on loopback.
"""

from __future__ import annotations

import contextlib
import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from interlock.agents.kubernetes import KubernetesAgent
from interlock.agents.kubernetes_manifests import NOTE, TARGET
from interlock.model.errors import AgentUnavailable, Rejected
from interlock.model.job import JobStatus
from interlock.outside.go_templates import GoTemplates
from interlock.outside.http import Http

from .conformance import AUTHORIZATION, CONTEXT, AgentConformance, Faults, Rehearsal, ended, job_of, started
from .kubernetes_server import KubernetesServer
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


class TestFaults(Faults):
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
        "ConfigMap shop/settings; Deployment shop/web."
    )
    assert server.deleted == [f"Job/{name}"]
    assert server.find("Deployment", "web") is not None
    again = await agent.start(job, AUTHORIZATION)
    assert (again.status, server.names("Job")) == (JobStatus.CANCELLED, [])
