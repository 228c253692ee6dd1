"""What must be true of every job agent, whatever it starts? One suite; each agent brings a `Rehearsal`.

The suite calls only the four verbs, as a worker does after crashes and repeats. A rehearsal knows the rest: a job that
works, a job whose run goes on for long, a config that is wrong, and how a crash looks in the agent's outside.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from interlock.agents import AGENTS, Agent
from interlock.model.errors import Invalid
from interlock.model.ids import new_id
from interlock.model.job import TRANSITIONS, AgentClass, AgentJob, Authorization, JobStatus, Observation

AUTHORIZATION = Authorization(decision_id=new_id(), target_id=new_id(), release_digest="sha256:0", expires_at=None)

CONTEXT: Mapping[str, Any] = {
    "resource": {"name": "prod-eu-1", "config": {"port": 8080}, "metadata": {"team.example/owner": "shop"}},
    "version": {"tag": "1.0.0"},
    "variables": {"replicas": 3, "canary": True},
}


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One agent, ready for the suite.

    `quick` ends by itself within seconds; `slow` does not. `wrong` maps a config to the field that its refusal must
    name. `runs` counts how often the outside was really made to work for a job; None where nothing is countable.
    """

    agent: Agent
    quick: Mapping[str, object]
    slow: Mapping[str, object]
    wrong: tuple[tuple[Mapping[str, object], str], ...]
    runs: Any = None


def job_of(rehearsal: Rehearsal, config: Mapping[str, object]) -> AgentJob:
    """A fresh job for the agent, as it stands when it is handed over."""
    return AgentJob(
        id=new_id(), attempt=1, agent_id=new_id(), agent_kind=rehearsal.agent.kind, config=config, context=CONTEXT
    )


async def started(agent: Agent, job: AgentJob) -> tuple[AgentJob, Observation]:
    """Hand over, and give the job as Interlock has recorded it then."""
    seen = await agent.start(job, AUTHORIZATION)
    return dataclasses.replace(job, started_at=datetime.now(UTC), external_id=seen.external_id), seen


async def ended(agent: Agent, job: AgentJob, *, within_s: float = 10.0) -> Observation:
    """Look until the run has ended."""
    give_up = time.monotonic() + within_s
    while True:
        seen = await agent.observe(job)
        assert seen is not None
        if seen.status is not None and seen.status.terminal:
            return seen
        assert time.monotonic() < give_up, f"still {seen}"
        await asyncio.sleep(0.02)


def _legal(seen: Observation | None, *, after: JobStatus = JobStatus.PENDING) -> None:
    if seen is not None and seen.status is not None and seen.status is not after:
        assert seen.status in TRANSITIONS[after]


class AgentConformance:
    """Subclass it with a fixture `rehearsal`."""

    async def test_is_listed_and_declares_itself(self, rehearsal: Rehearsal) -> None:
        agent = rehearsal.agent
        assert type(agent) in AGENTS
        assert [listed.kind for listed in AGENTS].count(agent.kind) == 1
        assert isinstance(agent.klass, AgentClass)
        assert isinstance(agent.capabilities, frozenset)
        assert agent.observe_every_s is None or agent.observe_every_s > 0

    async def test_accepts_its_own_good_configs(self, rehearsal: Rehearsal) -> None:
        rehearsal.agent.check_config(rehearsal.quick)
        rehearsal.agent.check_config(rehearsal.slow)

    async def test_refuses_a_bad_config_naming_the_field(self, rehearsal: Rehearsal) -> None:
        for config, field in rehearsal.wrong:
            with pytest.raises(Invalid) as refused:
                rehearsal.agent.check_config(config)
            assert field in [error.path for error in refused.value.fields], config

    async def test_starts_with_a_legal_status(self, rehearsal: Rehearsal) -> None:
        job, seen = await started(rehearsal.agent, job_of(rehearsal, rehearsal.slow))
        _legal(seen)
        assert seen.status is not None
        await rehearsal.agent.cancel(job)

    async def test_a_second_start_runs_nothing_again(self, rehearsal: Rehearsal) -> None:
        if rehearsal.agent.klass is AgentClass.FINDABLE:
            pytest.skip("A findable agent is asked `find` first.")
        before = rehearsal.runs() if rehearsal.runs else 0
        fresh = job_of(rehearsal, rehearsal.quick)
        await asyncio.gather(*(rehearsal.agent.start(fresh, AUTHORIZATION) for _ in range(4)))
        job, _ = await started(rehearsal.agent, fresh)
        if rehearsal.agent.klass is AgentClass.ASKED:
            return
        await ended(rehearsal.agent, job)
        again = await rehearsal.agent.start(job, AUTHORIZATION)
        _legal(again)
        if rehearsal.runs:
            assert rehearsal.runs() == before + 1

    async def test_finds_nothing_before_a_start(self, rehearsal: Rehearsal) -> None:
        assert await rehearsal.agent.find(job_of(rehearsal, rehearsal.quick)) is None

    async def test_finds_the_run_after_a_crash(self, rehearsal: Rehearsal) -> None:
        if rehearsal.agent.klass is AgentClass.ASKED:
            pytest.skip("Nothing runs outside before a claim.")
        job, _ = await started(rehearsal.agent, job_of(rehearsal, rehearsal.slow))
        found = await rehearsal.agent.find(job)
        assert found is not None
        _legal(found, after=JobStatus.IN_PROGRESS)
        await rehearsal.agent.cancel(job)

    async def test_observing_an_unknown_run_says_so_and_starts_nothing(self, rehearsal: Rehearsal) -> None:
        before = rehearsal.runs() if rehearsal.runs else 0
        seen = await rehearsal.agent.observe(job_of(rehearsal, rehearsal.quick))
        assert seen is None or seen.status is None
        assert (rehearsal.runs() if rehearsal.runs else 0) == before

    async def test_a_run_ends_with_an_instant(self, rehearsal: Rehearsal) -> None:
        if rehearsal.agent.klass is AgentClass.ASKED:
            pytest.skip("The outside reports by itself.")
        job, _ = await started(rehearsal.agent, job_of(rehearsal, rehearsal.quick))
        seen = await ended(rehearsal.agent, job)
        assert seen.status is JobStatus.SUCCESSFUL
        assert seen.finished_at is not None
        assert seen.finished_at.tzinfo is not None
        assert await rehearsal.agent.observe(job) == seen

    async def test_a_cancelled_run_ends(self, rehearsal: Rehearsal) -> None:
        if rehearsal.agent.klass is AgentClass.ASKED:
            pytest.skip("The claim and its end are the API's.")
        job, _ = await started(rehearsal.agent, job_of(rehearsal, rehearsal.slow))
        seen = await rehearsal.agent.cancel(job)
        _legal(seen, after=JobStatus.IN_PROGRESS)
        if seen is None or seen.status is None or not seen.status.terminal:
            seen = await ended(rehearsal.agent, job)
        assert seen.status is JobStatus.CANCELLED
        again = await rehearsal.agent.cancel(job)
        assert again is not None
        assert again.status is JobStatus.CANCELLED

    async def test_cancelling_what_never_started_is_no_error(self, rehearsal: Rehearsal) -> None:
        seen = await rehearsal.agent.cancel(job_of(rehearsal, rehearsal.slow))
        assert seen is None or seen.status in {None, JobStatus.CANCELLED}

    async def test_links_are_texts(self, rehearsal: Rehearsal) -> None:
        job, seen = await started(rehearsal.agent, job_of(rehearsal, rehearsal.quick))
        for label, url in rehearsal.agent.links(job, seen).items():
            assert label
            assert url.startswith(("http://", "https://"))
