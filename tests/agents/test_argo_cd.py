"""Does an Application get written, synced once and followed to its health? Against an API server on loopback."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from interlock.agents.argo_cd import GOES_FOR, NOTE, ArgoCdAgent, fit_label, fit_name, server_url
from interlock.model.errors import AgentUnavailable, Invalid, Rejected
from interlock.model.job import Drift, JobStatus
from interlock.outside.go_templates import GoTemplates
from interlock.outside.http import Http

from .argo_cd_server import ArgoCdServer
from .conformance import AUTHORIZATION, CONTEXT, AgentConformance, InspectFaults, PlanFaults, Rehearsal, job_of, started
from .stub_server import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEMPLATE = """
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: Shop_{{ .resource.name }}
  labels: {version: "{{ .version.tag }}+x"}
spec:
  project: default
  source: {repoURL: "https://git.example/shop.git", path: PATH, targetRevision: "{{ .version.tag }}"}
  destination: {server: "https://k.example", namespace: shop}
"""


def config(server: ArgoCdServer, path: str = "quick", **more: object) -> dict[str, object]:
    return {"serverUrl": server.url, "apiKey": server.token, "template": TEMPLATE.replace("PATH", path), **more}


@pytest_asyncio.fixture(loop_scope="module")
async def server():
    async with serving(ArgoCdServer()) as stub:
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
        yield ArgoCdAgent(http, templates)


@pytest.fixture
def rehearsal(server, agent) -> Rehearsal:
    return Rehearsal(
        agent=agent,
        quick=config(server),
        slow=config(server, "slow"),
        wrong=(
            ({"serverUrl": 5}, "config.serverUrl"),
            ({"serverUrl": "ftp://argo.example"}, "config.serverUrl"),
            ({"serverUrl": "https://user:pass@argo.example"}, "config.serverUrl"),
            ({"serverUrl": {"secretRef": {}}}, "config.serverUrl"),
            ({"apiKey": 5}, "config.apiKey"),
            ({"template": "{{ .a"}, "config.template"),
            ({"template": ""}, "config.template"),
            ({"template": ["a"]}, "config.template"),
            ({"prune": "yes"}, "config.prune"),
            ({"degradedSeconds": -1}, "config.degradedSeconds"),
            ({"degradedSeconds": True}, "config.degradedSeconds"),
            ({"url": "https://argo.example"}, "config.url"),
        ),
        runs=lambda: server.syncs,
        server=server,
    )


class TestConformance(AgentConformance):
    """The suite that every agent passes."""


class TestFaults(PlanFaults, InspectFaults):
    """Every call meets every fault."""


async def test_the_application_is_what_the_template_says_and_fit_for_kubernetes(server, agent, rehearsal):
    job, seen = await started(agent, job_of(rehearsal, config(server, prune=True)))
    app = server.apps["shop-prod-eu-1"]
    assert app["spec"]["source"]["targetRevision"] == "1.0.0"
    assert app["metadata"]["labels"] == {"version": "1.0.0-x"}
    assert app["metadata"]["annotations"] == {NOTE: f"{job.id}/1", GOES_FOR: "1.0.0"}
    operation = app["status"]["operationState"]["operation"]
    assert operation == {"info": [{"name": NOTE, "value": f"{job.id}/1"}], "sync": {"prune": True}}
    assert seen.status is JobStatus.SUCCESSFUL
    assert seen.external_id == f"shop-prod-eu-1/{job.id}/1"
    assert seen.metadata == {"argocd/sync": "Synced", "argocd/health": "Healthy", "argocd/revision": "1.0.0"}
    assert seen.applied == ("Deployment/shop/web",)
    assert seen.artifacts == ("registry.example/web@sha256:" + "0" * 64,)
    assert agent.links(job, seen) == {"Argo CD": f"{server.url}/applications/shop-prod-eu-1"}


# how the operation and the Application end -> the job's status, and what its message says
ENDS = [
    ({}, JobStatus.SUCCESSFUL, "Sync Synced, health Healthy"),
    ({"health": "Progressing", "health_message": "1 of 3"}, JobStatus.IN_PROGRESS, "health Progressing: 1 of 3"),
    ({"health": "Missing"}, JobStatus.IN_PROGRESS, "health Missing"),
    ({"health": "Unknown"}, JobStatus.IN_PROGRESS, "health Unknown"),
    ({"health": "Suspended"}, JobStatus.ACTION_REQUIRED, "A person resumes it in Argo CD"),
    ({"health": "Degraded"}, JobStatus.IN_PROGRESS, "health Degraded"),
    ({"sync": "OutOfSync"}, JobStatus.IN_PROGRESS, "Sync OutOfSync"),
    ({"phase": "Failed", "message": "one or more objects failed to apply"}, JobStatus.FAILURE, "failed to apply"),
    ({"phase": "Error", "message": ""}, JobStatus.FAILURE, "The operation ended as Error"),
    ({"phase": "Failed", "message": "Operation terminated"}, JobStatus.CANCELLED, "Operation terminated"),
]


@pytest.mark.parametrize(("end", "status", "said"), ENDS)
async def test_operation_sync_and_health_together_say_how_the_job_goes(server, agent, rehearsal, end, status, said):
    server.outcomes["odd"] = end
    job, _ = await started(agent, job_of(rehearsal, config(server, "odd")))
    seen = await agent.observe(job)
    assert seen.status is status
    assert said in seen.message
    assert (seen.finished_at is not None) == status.terminal


async def test_degraded_for_too_long_fails(server, agent, rehearsal):
    server.outcomes["odd"] = {"health": "Degraded", "health_message": "crash loop"}
    job, _ = await started(agent, job_of(rehearsal, config(server, "odd", degradedSeconds=30)))
    agent._now = lambda: datetime.now(UTC) + timedelta(seconds=29)
    assert (await agent.observe(job)).status is JobStatus.IN_PROGRESS
    agent._now = lambda: datetime.now(UTC) + timedelta(seconds=31)
    seen = await agent.observe(job)
    assert (seen.status, seen.message) == (JobStatus.FAILURE, "Sync Synced, health Degraded: crash loop")


async def test_another_revision_than_the_one_synced_is_no_success(server, agent, rehearsal):
    job, _ = await started(agent, job_of(rehearsal, config(server)))
    server.apps["shop-prod-eu-1"]["status"]["sync"]["revision"] = "0.9.0"
    assert (await agent.observe(job)).status is JobStatus.IN_PROGRESS


async def test_what_was_compared_before_the_sync_ended_says_nothing_of_it(server, agent, rehearsal):
    """Another image under the same commit: Synced and Healthy may still be those of the image before."""
    job, _ = await started(agent, job_of(rehearsal, config(server)))
    status = server.apps["shop-prod-eu-1"]["status"]
    status["reconciledAt"] = "2026-01-01T00:00:00Z"
    seen = await agent.observe(job)
    assert (seen.status, seen.message) == (
        JobStatus.IN_PROGRESS,
        "The sync is done; Argo CD has not compared and checked since.",
    )


async def test_a_revision_that_somebody_put_there_instead_is_no_success(server, agent, rehearsal):
    job, _ = await started(agent, job_of(rehearsal, config(server, "slow")))
    app = server.apps["shop-prod-eu-1"]
    app["spec"]["source"]["targetRevision"] = "0.9.0"
    server.end("shop-prod-eu-1")
    seen = await agent.observe(job)
    assert seen.status is JobStatus.FAILURE
    assert seen.message.startswith("Somebody changed the Application: it goes for 0.9.0, and the job asked for 1.0.0.")


async def test_all_sources_must_be_at_what_was_synced(server, agent, rehearsal):
    job, _ = await started(agent, job_of(rehearsal, config(server)))
    status = server.apps["shop-prod-eu-1"]["status"]
    status["operationState"]["syncResult"]["revisions"] = ["a", "b"]
    status["sync"]["revisions"] = ["a", "c"]
    assert (await agent.observe(job)).status is JobStatus.IN_PROGRESS
    status["sync"]["revisions"] = ["a", "b"]
    seen = await agent.observe(job)
    assert (seen.status, seen.metadata["argocd/revision"]) == (JobStatus.SUCCESSFUL, "a, b")


async def test_what_is_wrong_with_the_application_itself_is_told(server, agent, rehearsal):
    server.outcomes["odd"] = {"sync": "Unknown"}
    job, _ = await started(agent, job_of(rehearsal, config(server, "odd")))
    told = {"type": "ComparisonError", "message": "helm template failed:\n no chart"}
    server.apps["shop-prod-eu-1"]["status"]["conditions"] = [told, {"type": "SharedResourceWarning"}]
    seen = await agent.observe(job)
    assert seen.message.endswith("health Healthy. ComparisonError: helm template failed: no chart")


async def test_what_drifted_is_seen_when_it_is_inspected(server, agent, rehearsal):
    job, _ = await started(agent, job_of(rehearsal, config(server)))
    seen = await agent.inspect(job)
    assert (seen.applied, seen.drift) == (("Deployment/shop/web",), ())
    assert seen.artifacts == ("registry.example/web@sha256:" + "0" * 64,)
    assert seen.external_id == f"shop-prod-eu-1/{job.id}/1"
    app = server.apps["shop-prod-eu-1"]
    app["spec"]["source"]["targetRevision"] = "main"
    app["status"]["resources"] = [
        {"kind": "Deployment", "namespace": "shop", "name": "web", "status": "OutOfSync"},
        {"kind": "Service", "name": "web", "status": "OutOfSync", "health": {"status": "Missing"}},
        {"kind": "Secret", "name": "db", "status": "Synced"},
    ]
    assert (await agent.inspect(job)).drift == (
        Drift("Application//shop-prod-eu-1", ("spec.source.targetRevision",)),
        Drift("Deployment/shop/web"),
        Drift("Service//web", missing=True),
    )
    server.apps.clear()
    assert (await agent.inspect(job)).drift == (Drift("Application//shop-prod-eu-1", missing=True),)


async def test_a_foreign_operation_is_waited_for_and_never_taken_for_ours(server, agent, rehearsal):
    first, _ = await started(agent, job_of(rehearsal, config(server, "slow")))
    second = job_of(rehearsal, config(server, "slow"))
    with pytest.raises(AgentUnavailable, match="another operation of shop-prod-eu-1") as busy:
        await agent.start(second, AUTHORIZATION)
    assert busy.value.retry_after_s == 10
    assert await agent.find(second) is None
    assert server.syncs == 1
    server.end("shop-prod-eu-1")
    assert (await agent.observe(first)).status is JobStatus.SUCCESSFUL
    await agent.start(second, AUTHORIZATION)
    assert server.syncs == 2
    assert await agent.observe(first) is None, "its operation and its note are overwritten"


async def test_a_sync_that_somebody_else_started_after_ours_is_followed(server, agent, rehearsal):
    job, _ = await started(agent, job_of(rehearsal, config(server, "slow")))
    status = server.apps["shop-prod-eu-1"]["status"]
    status["operationState"] = {"phase": "Running", "operation": {"initiatedBy": {"automated": True}}}
    seen = await agent.observe(job)
    assert (seen.status, seen.message) == (JobStatus.IN_PROGRESS, "Another operation took over; it is followed.")
    server.end("shop-prod-eu-1")
    assert (await agent.observe(job)).status is JobStatus.SUCCESSFUL


async def test_an_attempt_after_another_syncs_again(server, agent, rehearsal):
    job, _ = await started(agent, job_of(rehearsal, config(server)))
    await agent.start(dataclasses.replace(job, attempt=2), AUTHORIZATION)
    assert server.syncs == 2


async def test_a_start_whose_answer_was_lost_is_not_done_twice(server, agent, rehearsal):
    job = job_of(rehearsal, config(server, "slow"))
    await agent.start(job_of(rehearsal, config(server)), AUTHORIZATION)
    server.next_is(method="POST")  # the Application is written, and answered
    server.next_is(method="POST", cut_after=True)  # the sync begins, and nobody says so
    with pytest.raises(AgentUnavailable, match="could not be reached"):
        await agent.start(job, AUTHORIZATION)
    found = await agent.find(job)
    assert found.status is JobStatus.IN_PROGRESS
    await agent.start(job, AUTHORIZATION)
    assert server.syncs == 2


# what the template says, what the failed job says
UNUSABLE = [
    ("{{ .nope }}", "no Application"),
    ("a: [", "no YAML"),
    ("kind: Deployment", "no Application"),
    ("kind: Application", "no Application"),
    ("{kind: Application, spec: {}}", "no metadata.name"),
    ("{kind: Application, spec: {}, metadata: {name: ___}}", "no metadata.name"),
    ('{{ fail "why" }}', "why"),
]


@pytest.mark.parametrize(("template", "said"), UNUSABLE)
async def test_what_is_no_application_fails_the_job_before_anything_is_called(server, agent, rehearsal, template, said):
    with pytest.raises(Rejected, match=said):
        await agent.start(job_of(rehearsal, {**config(server), "template": template}), AUTHORIZATION)
    assert server.calls == []


async def test_a_config_that_lacks_something_says_what(server, agent, rehearsal):
    with pytest.raises(Rejected, match="lacks serverUrl, apiKey"):
        await agent.start(job_of(rehearsal, {"template": TEMPLATE}), AUTHORIZATION)


async def test_a_plan_shows_the_application_and_its_manifests_and_writes_nothing(server, agent, rehearsal):
    job = job_of(rehearsal, config(server))
    fresh = await agent.plan(job, None)
    assert (fresh.current, fresh.has_changes) == ("", True)
    assert "targetRevision: 1.0.0" in fresh.proposed
    await started(agent, job_of(rehearsal, config(server)))
    server.manifests = {"1.0.0": ['{"kind": "Deployment", "replicas": 2}'], "0.9.0": ['{"kind": "Deployment"}']}
    before = server.count("POST")
    planned = await agent.plan(job, {**CONTEXT, "version": {"tag": "0.9.0"}})
    assert planned.has_changes
    assert "targetRevision: 0.9.0" in planned.current
    assert "replicas" not in planned.current
    assert "replicas: 2" in planned.proposed
    assert not (await agent.plan(job, CONTEXT)).has_changes
    assert server.count("POST") == before


async def test_a_private_address_is_refused_when_it_is_written_unless_allowed():
    strict = ArgoCdAgent(Http(), GoTemplates())
    with pytest.raises(Invalid, match="a link-local address"):
        strict.check_config({"serverUrl": "http://169.254.169.254"})


@pytest.mark.parametrize(
    ("text", "fit"), [("Shop_API.v1", "shop-api-v1"), ("-a-", "a"), ("x" * 80, "x" * 63), ("ü", ""), (None, "")]
)
async def test_names_are_made_fit(text, fit):
    assert fit_name(text) == fit


@pytest.mark.parametrize(("value", "fit"), [("v1.2_3+b", "v1.2_3-b"), (5, "5"), (None, ""), (".a.", "a")])
async def test_labels_are_made_fit(value, fit):
    assert fit_label(value) == fit


async def test_many_starts_of_one_attempt_are_one_sync(server, agent, rehearsal):
    job = job_of(rehearsal, config(server, "slow"))
    seen = await asyncio.gather(*(agent.start(job, AUTHORIZATION) for _ in range(6)))
    assert {one.status for one in seen} == {JobStatus.IN_PROGRESS}
    assert server.syncs == 1


async def test_an_address_without_a_scheme_is_https():
    assert server_url({"serverUrl": "argo.example/"}) == "https://argo.example"
    assert server_url({"serverUrl": "http://argo.example/cd/"}) == "http://argo.example/cd"
