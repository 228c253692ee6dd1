"""Is a workflow dispatched once, its run found, followed and cancelled? Against an API server on loopback."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from interlock.agents.github_app import App, GitHubAgent
from interlock.model.errors import AgentUnavailable, Rejected
from interlock.model.job import JobStatus, Observation
from interlock.outside.http import Http

from .conformance import AUTHORIZATION, AgentConformance, Faults, Rehearsal, job_of, started
from .github_server import GitHubServer
from .stub_server import serving


@pytest.fixture
async def server():
    async with serving(GitHubServer()) as stub:
        yield stub


@pytest.fixture
async def agent(server):
    async with Http(allow_private_addresses=True) as http:
        yield GitHubAgent(http, app=App("12", server.key.as_pem(private=True).decode()))


def config(server: GitHubServer, workflow: str = "quick.yml", **more: object) -> dict[str, object]:
    where = {"apiUrl": server.url, "owner": "example", "repo": "shop", "workflowId": workflow}
    return {**where, "installationId": 4711, **more}


@pytest.fixture
def rehearsal(server, agent) -> Rehearsal:
    return Rehearsal(
        agent=agent,
        quick=config(server),
        slow=config(server, "slow.yml", ref="release", inputs={"to": "{{ resource.name }}"}),
        wrong=(
            ({"owner": 5}, "config.owner"),
            ({"repo": None}, "config.repo"),
            ({"installationId": True}, "config.installationId"),
            ({"installationId": ""}, "config.installationId"),
            ({"workflowId": 1.5}, "config.workflowId"),
            ({"ref": ["main"]}, "config.ref"),
            ({"token": 5}, "config.token"),
            ({"apiUrl": "github.example"}, "config.apiUrl"),
            ({"inputs": ["a"]}, "config.inputs"),
            ({"inputs": {str(n): "" for n in range(25)}}, "config.inputs"),
            ({"inputs": {"a": 5}}, "config.inputs.a"),
            ({"inputs": {"a": "{{ x | y }}"}}, "config.inputs.a"),
            ({"inputs": {"job_id": "mine"}}, "config.inputs.job_id"),
            ({"repeatUncertain": "yes"}, "config.repeatUncertain"),
            ({"workflow": 5}, "config.workflow"),
        ),
        runs=lambda: len(server.runs),
        server=server,
    )


class TestConformance(AgentConformance):
    """The suite that every agent passes."""


class TestFaults(Faults):
    """Every call meets every fault."""


async def test_the_workflow_gets_the_jobs_id_and_the_inputs_that_are_asked_for(server, agent, rehearsal):
    job, seen = await started(agent, job_of(rehearsal, rehearsal.slow))
    (run,) = server.runs
    assert (run["ref"], run["inputs"]) == ("release", {"job_id": job.id, "to": "prod-eu-1"})
    assert (seen.status, seen.external_id) == (JobStatus.IN_PROGRESS, "1")
    assert seen.links == {"Run": "https://github.com/example/shop/actions/runs/1"}
    assert (await agent.observe(job)).metadata == {"github/run-attempt": "1", "github/head-sha": "a" * 40}


@pytest.mark.parametrize("knows", [True, False])
async def test_a_server_that_does_not_tell_the_run_is_asked_for_it_by_name(server, agent, rehearsal, knows):
    server.details, server.knows_details = False, knows
    job, seen = await started(agent, job_of(rehearsal, rehearsal.quick))
    assert seen.external_id is None
    found = await agent.observe(job)
    assert (found.status, found.external_id) == (JobStatus.SUCCESSFUL, "1")
    assert len(server.runs) == 1


async def test_a_run_is_found_among_many(server, agent, rehearsal):
    job = job_of(rehearsal, rehearsal.slow)
    await agent.start(job, AUTHORIZATION)
    for _ in range(150):
        await agent.start(job_of(rehearsal, rehearsal.quick), AUTHORIZATION)
    assert (await agent.find(job)).external_id == "1"


async def test_a_list_that_lags_is_waited_for_and_then_given_up(server, agent, rehearsal):
    server.details, server.lag = False, 1
    job, _ = await started(agent, job_of(rehearsal, rehearsal.quick))
    assert await agent.find(job) is None
    seen = await agent.observe(job)
    assert (seen.status, seen.message) == (None, "The run has not shown up yet.")
    agent._now = lambda: datetime.now(UTC) + timedelta(seconds=301)
    lost = await agent.observe(job)
    assert lost.status is JobStatus.EXTERNAL_RUN_NOT_FOUND
    assert "run-name" in lost.message
    server.lag = 0
    assert (await agent.observe(job)).status is JobStatus.SUCCESSFUL


async def test_a_run_without_the_jobs_id_in_its_name_is_not_taken_for_it(server, agent, rehearsal):
    server.details, server.named = False, False
    job, _ = await started(agent, job_of(rehearsal, rehearsal.quick))
    assert await agent.find(job) is None


# what GitHub says of a run -> the job's status
SAID = [
    ({"status": "queued"}, JobStatus.IN_PROGRESS),
    ({"status": "requested"}, JobStatus.IN_PROGRESS),
    ({"status": "pending"}, JobStatus.IN_PROGRESS),
    ({"status": "in_progress"}, JobStatus.IN_PROGRESS),
    ({"status": "waiting"}, JobStatus.ACTION_REQUIRED),
    ({"status": "completed", "conclusion": "success"}, JobStatus.SUCCESSFUL),
    ({"status": "completed", "conclusion": "failure"}, JobStatus.FAILURE),
    ({"status": "completed", "conclusion": "timed_out"}, JobStatus.FAILURE),
    ({"status": "completed", "conclusion": "startup_failure"}, JobStatus.FAILURE),
    ({"status": "completed", "conclusion": "stale"}, JobStatus.FAILURE),
    ({"status": "completed", "conclusion": "cancelled"}, JobStatus.CANCELLED),
    ({"status": "completed", "conclusion": "neutral"}, JobStatus.SKIPPED),
    ({"status": "completed", "conclusion": "skipped"}, JobStatus.SKIPPED),
    ({"status": "completed", "conclusion": "action_required"}, JobStatus.ACTION_REQUIRED),
]


@pytest.mark.parametrize(("said", "status"), SAID)
async def test_status_and_conclusion_say_how_the_job_goes(server, agent, rehearsal, said, status):
    server.outcomes["odd.yml"] = said
    job, _ = await started(agent, job_of(rehearsal, config(server, "odd.yml")))
    seen = await agent.observe(job)
    assert seen.status is status
    assert (seen.finished_at is not None) == status.terminal


async def test_a_run_that_failed_says_which_jobs_and_steps_did_where_github_tells(server, agent, rehearsal):
    server.outcomes["odd.yml"] = {"status": "completed", "conclusion": "failure"}
    job, _ = await started(agent, job_of(rehearsal, config(server, "odd.yml")))
    assert (await agent.observe(job)).message == "The run ended: failure. Failed: deploy (apply)."
    server.next_is(status=500, after=1)
    seen = await agent.observe(job)
    assert (seen.status, seen.message) == (JobStatus.FAILURE, "The run ended: failure.")


async def test_a_run_that_is_gone_is_not_found(server, agent, rehearsal):
    job, _ = await started(agent, job_of(rehearsal, rehearsal.slow))
    server.runs.clear()
    assert await agent.observe(job) is None


async def test_a_token_is_used_until_shortly_before_its_end(server, agent, rehearsal):
    for _ in range(3):
        await agent.start(job_of(rehearsal, rehearsal.quick), AUTHORIZATION)
    assert server.tokens == 1
    agent._now = lambda: datetime.now(UTC) + timedelta(minutes=56)
    await agent.start(job_of(rehearsal, rehearsal.quick), AUTHORIZATION)
    assert server.tokens == 2


async def test_a_plain_token_or_an_app_of_the_agent_signs_in_too(server, rehearsal):
    async with Http(allow_private_addresses=True) as http:
        nobody = GitHubAgent(http)
        await nobody.start(job_of(rehearsal, config(server, token=server.token)), AUTHORIZATION)
        mine = {"appId": 12, "privateKey": server.key.as_pem(private=True).decode()}
        await nobody.start(job_of(rehearsal, config(server, **mine)), AUTHORIZATION)
        with pytest.raises(Rejected, match="nobody to sign in as"):
            await nobody.start(job_of(rehearsal, config(server)), AUTHORIZATION)
        with pytest.raises(Rejected, match="no RSA key in PEM"):
            await nobody.start(job_of(rehearsal, config(server, appId=12, privateKey="x")), AUTHORIZATION)
    assert len(server.runs) == 2


async def test_what_is_missing_is_said_before_anything_is_called(server, agent, rehearsal):
    with pytest.raises(Rejected, match="lacks repo, workflowId"):
        await agent.start(job_of(rehearsal, {"apiUrl": server.url, "owner": "example"}), AUTHORIZATION)
    assert server.calls == []


async def test_a_dispatch_whose_answer_was_lost_is_found(server, agent, rehearsal):
    job = job_of(rehearsal, config(server, "slow.yml", token=server.token))
    server.next_is(method="POST", cut_after=True)
    with pytest.raises(AgentUnavailable):
        await agent.start(job, AUTHORIZATION)
    found = await agent.find(job)
    assert (found.status, found.external_id) == (JobStatus.IN_PROGRESS, "1")


async def test_a_cancel_that_comes_too_late_leaves_the_run_as_it_ended(server, agent, rehearsal):
    job, _ = await started(agent, job_of(rehearsal, rehearsal.quick))
    assert (await agent.cancel(job)).status is JobStatus.SUCCESSFUL


async def test_links_lead_to_the_actions_page(agent, rehearsal):
    job = job_of(rehearsal, {"owner": "example", "repo": "shop"})
    assert agent.links(job, Observation(None)) == {"Actions": "https://github.com/example/shop/actions"}
