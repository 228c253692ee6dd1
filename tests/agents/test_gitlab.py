"""Is a pipeline made once, found, followed and cancelled? Against an API server on loopback."""

from __future__ import annotations

import pytest

from interlock.agents.gitlab import GitLabAgent
from interlock.model.errors import AgentUnavailable, Rejected
from interlock.model.job import JobStatus
from interlock.outside.http import Http

from .conformance import AUTHORIZATION, AgentConformance, Faults, Rehearsal, job_of, started
from .gitlab_server import GitLabServer
from .stub_server import serving


@pytest.fixture
async def server():
    async with serving(GitLabServer()) as stub:
        yield stub


@pytest.fixture
async def agent():
    async with Http(allow_private_addresses=True) as http:
        yield GitLabAgent(http)


def config(server: GitLabServer, ref: str = "quick", **more: object) -> dict[str, object]:
    return {"url": server.url, "token": server.token, "project": "shop/deploy", "ref": ref, **more}


@pytest.fixture
def rehearsal(server, agent) -> Rehearsal:
    return Rehearsal(
        agent=agent,
        quick=config(server),
        slow=config(server, "slow", variables={"TARGET": "{{ resource.name }}"}),
        wrong=(
            ({"project": True}, "config.project"),
            ({"project": ""}, "config.project"),
            ({"token": 5}, "config.token"),
            ({"url": "gitlab.example"}, "config.url"),
            ({"ref": 5}, "config.ref"),
            ({"variables": ["a"]}, "config.variables"),
            ({"variables": {str(n): "" for n in range(51)}}, "config.variables"),
            ({"variables": {"A": 5}}, "config.variables.A"),
            ({"variables": {"A": "{{ x"}}, "config.variables.A"),
            ({"repeatUncertain": 1}, "config.repeatUncertain"),
            ({"projectId": 5}, "config.projectId"),
        ),
        runs=lambda: len(server.pipelines),
        server=server,
    )


class TestConformance(AgentConformance):
    """The suite that every agent passes."""


class TestFaults(Faults):
    """Every call meets every fault."""


async def test_the_pipeline_gets_the_job_and_the_variables_that_are_asked_for(server, agent, rehearsal):
    job, seen = await started(agent, job_of(rehearsal, rehearsal.slow))
    assert server.variables[1] == [
        {"key": "INTERLOCK_JOB", "value": job.id},
        {"key": "INTERLOCK_ATTEMPT", "value": "1"},
        {"key": "TARGET", "value": "prod-eu-1"},
    ]
    assert (seen.status, seen.external_id) == (JobStatus.IN_PROGRESS, "1")
    assert seen.links == {"Pipeline": "https://gitlab.com/shop/deploy/-/pipelines/1"}
    assert seen.metadata == {"gitlab/sha": "b" * 40}


# what GitLab says of a pipeline -> the job's status
SAID = [
    *((word, JobStatus.IN_PROGRESS) for word in ("created", "waiting_for_resource", "preparing", "pending", "running")),
    ("scheduled", JobStatus.IN_PROGRESS),
    ("canceling", JobStatus.IN_PROGRESS),
    ("manual", JobStatus.ACTION_REQUIRED),
    ("success", JobStatus.SUCCESSFUL),
    ("failed", JobStatus.FAILURE),
    ("canceled", JobStatus.CANCELLED),
    ("skipped", JobStatus.SKIPPED),
]


@pytest.mark.parametrize(("said", "status"), SAID)
async def test_a_pipelines_status_says_how_the_job_goes(server, agent, rehearsal, said, status):
    server.outcomes["odd"] = said
    job, _ = await started(agent, job_of(rehearsal, config(server, "odd")))
    seen = await agent.observe(job)
    assert seen.status is status
    assert (seen.finished_at is not None) == status.terminal


async def test_a_pipeline_that_failed_says_which_jobs_did_where_gitlab_tells(server, agent, rehearsal):
    server.outcomes["odd"] = "failed"
    job, _ = await started(agent, job_of(rehearsal, config(server, "odd")))
    assert (await agent.observe(job)).message == "The pipeline is failed. Failed: apply (script_failure)."
    server.next_is(status=403, after=1)
    assert (await agent.observe(job)).message == "The pipeline is failed."


async def test_a_start_whose_answer_was_lost_is_found_once_the_list_has_it(server, agent, rehearsal):
    job = job_of(rehearsal, rehearsal.slow)
    server.next_is(method="POST", cut_after=True)
    with pytest.raises(AgentUnavailable):
        await agent.start(job, AUTHORIZATION)
    server.lag = 1
    assert await agent.find(job) is None
    server.lag = 0
    await agent.start(job_of(rehearsal, rehearsal.slow), AUTHORIZATION)
    assert (await agent.find(job)).external_id == "1"


async def test_what_is_missing_is_said_before_anything_is_called(server, agent, rehearsal):
    with pytest.raises(Rejected, match="lacks project, token"):
        await agent.start(job_of(rehearsal, {"url": server.url}), AUTHORIZATION)
    assert server.calls == []
