"""What must be true of every job agent, whatever it starts? A suite for pytest; each agent brings a `Rehearsal`.

It runs against every agent that comes with Interlock, and against yours. Nothing of the running product loads it.

    from interlock.agents.conformance import AgentConformance, Faults, Rehearsal

    @pytest.fixture
    def rehearsal() -> Rehearsal: ...        # your agent, a job that works, one that goes on, configs that are wrong

    class TestMyAgent(AgentConformance):     # the sections below; one whose capability is not declared is skipped
        pass

    class TestMyAgentsFaults(Faults):        # where the tool is called over HTTP: every call meets every fault
        pass

One section is one class:

    CoreVerbs   start, find, observe, cancel, as a worker calls them after crashes and repeats; config and links
    Confirms    capability `confirm`: a run plans first, waits, and is applied once or discarded
    Templates   where a key is a Go template: what is wrong with it is said with its line, when it is written or filled
    Plans       capability `plan`: tells what a job would change, and does nothing
    Inspects    capability `inspect`: tells what is on the target, and changes nothing
    Asks        capability `ask`: says what people are to do, the same each time
    Faults      401, 403, 404, 409, 422, 429, 5xx, slow, cut, garbage: at each call of each verb, over a loopback server
                (with `PlanFaults`, `ConfirmFaults`, `InspectFaults` for the capabilities that have them)

The suite calls only what an agent offers. A rehearsal knows the rest: what makes a run work, and how to count runs.

Source: core.md section 5; docs/guides/writing-an-agent.md.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from interlock.agents import Agent, Asker, Confirmer, Inspector, Planner
from interlock.agents.keys import Template
from interlock.agents.loopback import FAULTS, Fault, LoopbackServer
from interlock.model.errors import AgentUnavailable, Invalid, Rejected
from interlock.model.ids import new_id
from interlock.model.job import TRANSITIONS, AgentClass, AgentJob, Authorization, Callback, JobStatus, Observation
from interlock.model.secret import Where, is_secret

AUTHORIZATION = Authorization(decision_id=new_id(), target_id=new_id(), release_digest="sha256:0", expires_at=None)

CONTEXT: Mapping[str, Any] = {
    "resource": {"name": "prod-eu-1", "config": {"port": 8080}, "metadata": {"team.example/owner": "shop"}},
    "version": {"tag": "1.0.0"},
    "variables": {"replicas": 3, "canary": True},
}
"""The dispatch context that every job of the suite has."""

CALLBACK = Callback("https://interlock.example/api/jobs/x/callback", "ilcb_1_token")
"""Where the jobs of an agent with the capability `callback` are called back to."""

PATIENCE_S = 0.05
"""How long a slow tool is waited for; the product waits longer, and then does the same."""

CALLS_MAX = 12
"""More calls than that one verb may not make against the loopback server."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One agent, ready for the suite.

    `quick` ends by itself within seconds; `slow` does not. `wrong` maps a config to the field that its refusal must
    name. `runs` counts how often the outside was really made to work; None where nothing is countable. `server` is what
    stands in for the tool, for the section `Faults`. `context` replaces the suite's own. `waits` is a config whose run
    is planned and waits to be confirmed, for the capability `confirm`.
    """

    agent: Agent
    quick: Mapping[str, object]
    slow: Mapping[str, object]
    wrong: tuple[tuple[Mapping[str, object], str], ...]
    runs: Callable[[], int] | None = None
    server: LoopbackServer | None = None
    context: Mapping[str, Any] = field(default_factory=lambda: CONTEXT)
    waits: Mapping[str, object] | None = None

    def ran(self) -> int:
        """How often the outside was made to work so far; 0 where nobody counts."""
        return self.runs() if self.runs else 0


def job_of(rehearsal: Rehearsal, config: Mapping[str, object]) -> AgentJob:
    """A fresh job for the agent, as it stands when it is handed over."""
    context, called = {**rehearsal.context, "jobAgentConfig": config}, "callback" in rehearsal.agent.capabilities
    return AgentJob(
        id=new_id(),
        attempt=1,
        agent_id=new_id(),
        agent_kind=rehearsal.agent.kind,
        config=config,
        context=context,
        shown=rehearsal.context if called else {},
        callback=CALLBACK if called else None,
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


class CoreVerbs:
    """The four verbs, the config and the links."""

    async def test_declares_itself(self, rehearsal: Rehearsal) -> None:
        agent = rehearsal.agent
        assert isinstance(agent.kind, str)
        assert agent.kind
        assert isinstance(agent.klass, AgentClass)
        assert isinstance(agent.capabilities, frozenset)
        assert agent.observe_every_s is None or agent.observe_every_s > 0

    async def test_accepts_its_own_good_configs(self, rehearsal: Rehearsal) -> None:
        rehearsal.agent.check_config(rehearsal.quick)
        rehearsal.agent.check_config(rehearsal.slow)

    async def test_refuses_a_bad_config_naming_the_field(self, rehearsal: Rehearsal) -> None:
        assert rehearsal.wrong, "there is no config that is wrong"
        for config, named in rehearsal.wrong:
            with pytest.raises(Invalid) as refused:
                rehearsal.agent.check_config(config)
            assert named in [error.path for error in refused.value.fields], config

    async def test_starts_with_a_legal_status(self, rehearsal: Rehearsal) -> None:
        job, seen = await started(rehearsal.agent, job_of(rehearsal, rehearsal.slow))
        _legal(seen)
        assert seen.status is not None
        await rehearsal.agent.cancel(job)

    async def test_a_second_start_runs_nothing_again(self, rehearsal: Rehearsal) -> None:
        if rehearsal.agent.klass is AgentClass.FINDABLE:
            pytest.skip("A findable agent is asked `find` first.")
        before = rehearsal.ran()
        fresh = job_of(rehearsal, rehearsal.quick)
        await asyncio.gather(*(rehearsal.agent.start(fresh, AUTHORIZATION) for _ in range(4)))
        job, _ = await started(rehearsal.agent, fresh)
        if rehearsal.agent.klass is AgentClass.ASKED:
            return
        await ended(rehearsal.agent, job)
        again = await rehearsal.agent.start(job, AUTHORIZATION)
        _legal(again)
        if rehearsal.runs:
            assert rehearsal.ran() == before + 1

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

    async def test_finds_the_run_of_this_attempt_and_no_other(self, rehearsal: Rehearsal) -> None:
        if rehearsal.agent.klass is AgentClass.ASKED:
            pytest.skip("Nothing runs outside before a claim.")
        job, _ = await started(rehearsal.agent, job_of(rehearsal, rehearsal.slow))
        other = job_of(rehearsal, rehearsal.slow)
        assert await rehearsal.agent.find(other) is None
        await rehearsal.agent.cancel(job)

    async def test_observing_an_unknown_run_says_so_and_starts_nothing(self, rehearsal: Rehearsal) -> None:
        before = rehearsal.ran()
        seen = await rehearsal.agent.observe(job_of(rehearsal, rehearsal.quick))
        assert seen is None or seen.status is None
        assert rehearsal.ran() == before

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
        for label, url in {**rehearsal.agent.links(job, seen), **seen.links}.items():
            assert label
            assert url.startswith(("http://", "https://"))

    async def test_a_job_says_none_of_its_secrets_where_it_is_shown(self, rehearsal: Rehearsal) -> None:
        job = job_of(rehearsal, rehearsal.quick)
        assert not [each for each in secrets_in(job.config) if each in repr(job)]


class Templates:
    """Keys whose shape is `Template`."""

    async def test_a_template_that_cannot_be_read_is_refused_when_it_is_written(self, rehearsal: Rehearsal) -> None:
        for key in _templates(rehearsal):
            with pytest.raises(Invalid) as refused:
                rehearsal.agent.check_config({**rehearsal.quick, key: "a: b\n\nc: {{ if }}\n"})
            (wrong,) = refused.value.fields
            assert wrong.path == f"config.{key}"
            assert "line 3" in wrong.message

    async def test_a_template_that_cannot_be_filled_is_a_no_with_field_line_and_reason(
        self, rehearsal: Rehearsal
    ) -> None:
        for key in _templates(rehearsal):
            before = rehearsal.ran()
            job = job_of(rehearsal, {**rehearsal.quick, key: 'a: b\n\nc: {{ fail "there is no zone" }}\n'})
            asks = "ask" in rehearsal.agent.capabilities
            filling = cast("Asker", rehearsal.agent).ask(job) if asks else rehearsal.agent.start(job, AUTHORIZATION)
            with pytest.raises(Rejected) as refused:
                await filling
            said = refused.value.message
            assert f"config.{key}" in said
            assert "line 3" in said
            assert "there is no zone" in said
            assert rehearsal.ran() == before


def _templates(rehearsal: Rehearsal) -> list[str]:
    names = [key.name for key in rehearsal.agent.keys if isinstance(key.shape, Template)]
    if not names:
        pytest.skip("It has no template.")
    return names


class Plans:
    """The capability `plan`."""

    async def test_a_plan_tells_and_does_nothing(self, rehearsal: Rehearsal) -> None:
        planner, before = _planner(rehearsal), rehearsal.ran()
        planned = await planner.plan(job_of(rehearsal, rehearsal.quick), None)
        assert planned.proposed
        assert planned.current == ""
        assert planned.has_changes
        assert rehearsal.ran() == before

    async def test_what_runs_already_changes_nothing(self, rehearsal: Rehearsal) -> None:
        planner, job = _planner(rehearsal), job_of(rehearsal, rehearsal.quick)
        planned = await planner.plan(job, job.context)
        assert planned.current == planned.proposed
        assert not planned.has_changes

    async def test_another_version_changes_something(self, rehearsal: Rehearsal) -> None:
        planner, job = _planner(rehearsal), job_of(rehearsal, rehearsal.quick)
        planned = await planner.plan(job, {**job.context, "version": {"tag": "0.9.0"}})
        assert planned.current != planned.proposed
        assert planned.has_changes

    async def test_a_plan_that_is_asked_for_twice_is_the_same(self, rehearsal: Rehearsal) -> None:
        planner, job = _planner(rehearsal), job_of(rehearsal, rehearsal.quick)
        assert await planner.plan(job, None) == await planner.plan(job, None)


def _planner(rehearsal: Rehearsal) -> Planner:
    if "plan" not in rehearsal.agent.capabilities:
        pytest.skip("It plans nothing.")
    return cast("Planner", rehearsal.agent)


class Inspects:
    """The capability `inspect`."""

    async def test_it_tells_of_a_target_that_runs_nothing_yet(self, rehearsal: Rehearsal) -> None:
        seen = await _inspector(rehearsal).inspect(job_of(rehearsal, rehearsal.quick))
        assert seen.external_id is None
        assert seen.at.tzinfo is not None

    async def test_it_names_who_wrote_last_and_changes_nothing(self, rehearsal: Rehearsal) -> None:
        inspector = _inspector(rehearsal)
        job, _ = await started(rehearsal.agent, job_of(rehearsal, rehearsal.quick))
        await ended(rehearsal.agent, job)
        before = rehearsal.ran()
        seen, again = await inspector.inspect(job), await inspector.inspect(job)
        assert seen.external_id == job.external_id
        assert seen.drift == (), "nobody has touched it"
        assert dataclasses.replace(seen, at=again.at) == again
        assert rehearsal.ran() == before
        assert await rehearsal.agent.observe(job) is not None


def _inspector(rehearsal: Rehearsal) -> Inspector:
    if "inspect" not in rehearsal.agent.capabilities:
        pytest.skip("It inspects nothing.")
    return cast("Inspector", rehearsal.agent)


class Confirms:
    """The capability `confirm`."""

    async def test_a_run_that_changes_something_waits_before_it_does(self, rehearsal: Rehearsal) -> None:
        job, seen = await planned(rehearsal)
        assert seen.status is JobStatus.ACTION_REQUIRED
        assert await rehearsal.agent.observe(job) == seen, "it waits for as long as it takes"
        await rehearsal.agent.cancel(job)

    async def test_a_confirmed_run_goes_on_to_its_end(self, rehearsal: Rehearsal) -> None:
        job, _ = await planned(rehearsal)
        seen = await _confirmer(rehearsal).confirm(job, AUTHORIZATION)
        assert seen is not None
        assert (await ended(rehearsal.agent, job)).status is JobStatus.SUCCESSFUL

    async def test_it_is_taken_once_however_often_it_is_confirmed(self, rehearsal: Rehearsal) -> None:
        job, _ = await planned(rehearsal)
        agent, before = _confirmer(rehearsal), rehearsal.ran()
        told = await asyncio.gather(*(agent.confirm(job, AUTHORIZATION) for _ in range(4)), return_exceptions=True)
        assert all(isinstance(one, Observation | AgentUnavailable) for one in told), told
        assert (await ended(rehearsal.agent, job)).status is JobStatus.SUCCESSFUL
        again = await agent.confirm(job, AUTHORIZATION)
        assert again is not None
        assert again.status is JobStatus.SUCCESSFUL, "what is over stays as it ended"
        assert rehearsal.ran() == before

    async def test_a_planned_run_that_is_cancelled_is_never_applied(self, rehearsal: Rehearsal) -> None:
        job, _ = await planned(rehearsal)
        seen = await rehearsal.agent.cancel(job)
        assert seen is not None
        if seen.status is not JobStatus.CANCELLED:
            seen = await ended(rehearsal.agent, job)
        assert seen.status is JobStatus.CANCELLED
        after = await _confirmer(rehearsal).confirm(job, AUTHORIZATION)
        assert after is not None
        assert after.status is JobStatus.CANCELLED
        assert not after.confirmable


async def planned(rehearsal: Rehearsal) -> tuple[AgentJob, Observation]:
    """A run that was planned, and waits to be confirmed."""
    _confirmer(rehearsal)
    assert rehearsal.waits is not None, "the rehearsal has no config whose run waits"
    job, seen = await started(rehearsal.agent, job_of(rehearsal, rehearsal.waits))
    give_up = time.monotonic() + 10.0
    while not seen.confirmable:
        assert time.monotonic() < give_up, f"still {seen}"
        assert seen.status is None or not seen.status.terminal, seen
        await asyncio.sleep(0.01)
        found = await rehearsal.agent.observe(job)
        assert found is not None
        seen = found
    return job, seen


def _confirmer(rehearsal: Rehearsal) -> Confirmer:
    if "confirm" not in rehearsal.agent.capabilities:
        pytest.skip("Its runs wait for nobody.")
    return cast("Confirmer", rehearsal.agent)


class Asks:
    """The capability `ask`."""

    async def test_what_people_are_asked_is_the_same_each_time(self, rehearsal: Rehearsal) -> None:
        if "ask" not in rehearsal.agent.capabilities:
            pytest.skip("It asks nobody.")
        asker, job = cast("Asker", rehearsal.agent), job_of(rehearsal, rehearsal.quick)
        asked = await asker.ask(job)
        assert asked.instructions
        assert await asker.ask(job) == asked


class AgentConformance(CoreVerbs, Templates, Plans, Confirms, Inspects, Asks):
    """All sections but `Faults`. Subclass it with a fixture `rehearsal`."""


class Faults:
    """Each call that a verb makes meets each fault, and then the tool is well again.

    What a no is, what is tried again and what is unknown: a no (400, 401, 403, 422, a redirect) raises `Rejected`;
    404 and 409 do, or they are an answer to what the agent asked; 429, 5xx, silence and garbage raise
    `AgentUnavailable`, with the wait that the tool asked for. And whatever it was, the class keeps its promise.
    """

    @pytest.fixture(params=FAULTS, ids=lambda fault: fault.name)
    def fault(self, request: pytest.FixtureRequest) -> Fault:
        """One way in which the tool misbehaves."""
        return cast("Fault", request.param)

    async def test_a_start_is_refused_or_unanswered_and_runs_what_the_class_promises(
        self, rehearsal: Rehearsal, fault: Fault
    ) -> None:
        agent = rehearsal.agent
        for turn in turns(rehearsal, fault):
            job, before = job_of(rehearsal, rehearsal.quick), rehearsal.ran()
            told = await turn.meets(agent.start(job, AUTHORIZATION))
            if isinstance(told, Rejected) and rehearsal.runs:
                assert rehearsal.ran() == before, "it said no, and worked all the same"
            elif isinstance(told, AgentUnavailable | TimeoutError):
                found = await agent.find(job)
                if agent.klass is AgentClass.FINDABLE:
                    assert not rehearsal.runs or rehearsal.ran() == before + (found is not None)
                    continue
                await agent.start(job, AUTHORIZATION)
                assert not rehearsal.runs or rehearsal.ran() == before + 1, "not exactly one run"

    async def test_a_look_for_a_run_never_says_that_there_is_none_because_it_was_not_answered(
        self, rehearsal: Rehearsal, fault: Fault
    ) -> None:
        job, before = await self._under_way(rehearsal)
        for turn in turns(rehearsal, fault):
            told = await turn.meets(rehearsal.agent.find(job))
            assert told is not None or fault.missing, "a run is there, and it says that there is none"
        assert rehearsal.ran() == before
        await self._goes_on(rehearsal, job)

    async def test_a_run_that_cannot_be_observed_is_not_over(self, rehearsal: Rehearsal, fault: Fault) -> None:
        job, before = await self._under_way(rehearsal)
        for turn in turns(rehearsal, fault):
            told = await turn.meets(rehearsal.agent.observe(job))
            assert told is not None or fault.missing
            if isinstance(told, Observation):
                assert told.status is None or not told.status.terminal, "nobody knows whether it is over"
        assert rehearsal.ran() == before
        await self._goes_on(rehearsal, job)

    async def test_a_cancel_that_was_not_taken_is_asked_for_again(self, rehearsal: Rehearsal, fault: Fault) -> None:
        agent = rehearsal.agent
        for turn in turns(rehearsal, fault):
            job, before = await self._under_way(rehearsal)
            told = await turn.meets(agent.cancel(job))
            assert told is not None or fault.missing
            seen = await agent.cancel(job)
            if seen is None or seen.status is None or not seen.status.terminal:
                seen = await ended(agent, job)
            assert seen.status is JobStatus.CANCELLED
            assert rehearsal.ran() == before

    async def _under_way(self, rehearsal: Rehearsal) -> tuple[AgentJob, int]:
        """A run that goes on, and how many there are with it."""
        job, _ = await started(rehearsal.agent, job_of(rehearsal, rehearsal.slow))
        return job, rehearsal.ran()

    async def _goes_on(self, rehearsal: Rehearsal, job: AgentJob) -> None:
        """The run is as it was; it is ended."""
        seen = await rehearsal.agent.observe(job)
        assert seen is not None
        assert seen.status is None or not seen.status.terminal
        await rehearsal.agent.cancel(job)


class PlanFaults(Faults):
    """The capability `plan` meets each fault too."""

    async def test_a_plan_is_told_or_is_not(self, rehearsal: Rehearsal, fault: Fault) -> None:
        planner, before = _planner(rehearsal), rehearsal.ran()
        for turn in turns(rehearsal, fault):
            await turn.meets(planner.plan(job_of(rehearsal, rehearsal.quick), None))
        assert rehearsal.ran() == before


class ConfirmFaults(Faults):
    """The capability `confirm` meets each fault too."""

    async def test_a_confirm_is_taken_once_or_is_known_to_be_refused(self, rehearsal: Rehearsal, fault: Fault) -> None:
        agent = _confirmer(rehearsal)
        for turn in turns(rehearsal, fault):
            job, _ = await planned(rehearsal)
            await turn.meets(agent.confirm(job, AUTHORIZATION))
            seen = await rehearsal.agent.observe(job)
            assert seen is not None
            if seen.confirmable:
                seen = await agent.confirm(job, AUTHORIZATION)
            assert seen is not None
            assert (await ended(rehearsal.agent, job)).status is JobStatus.SUCCESSFUL


class InspectFaults(Faults):
    """The capability `inspect` meets each fault too."""

    async def test_an_inspection_is_told_or_is_not(self, rehearsal: Rehearsal, fault: Fault) -> None:
        inspector = _inspector(rehearsal)
        job, before = await self._under_way(rehearsal)
        for turn in turns(rehearsal, fault):
            await turn.meets(inspector.inspect(job))
        assert rehearsal.ran() == before
        await self._goes_on(rehearsal, job)


FAULTS_OF: Mapping[str, type[Faults]] = {
    "plan": PlanFaults,
    "confirm": ConfirmFaults,
    "inspect": InspectFaults,
}
"""Whoever calls a tool and has one of these takes its section, or several."""


@dataclass(slots=True)
class Turn:
    """One call of a verb's, the `place`-th, is to meet a fault."""

    rehearsal: Rehearsal
    fault: Fault
    place: int
    happened: bool = False

    async def meets(self, verb: Awaitable[Any]) -> Any:
        """What a verb gives where it met the fault: an answer, or the error that it raised.

        The error must be the right one, and its message hold no secret.
        """
        fault, server = self.fault, self.rehearsal.server
        assert server is not None, "the rehearsal has no server"
        server.coming.clear()
        server.next_is(**fault.how, after=self.place)
        calling = asyncio.ensure_future(verb)
        while not calling.done() and server.coming:  # noqa: ASYNC110 - what is waited for is a list's end
            await asyncio.sleep(0.002)
        await asyncio.wait([calling], timeout=PATIENCE_S if fault.slow else None)
        if not calling.done():
            calling.cancel()  # as the product does when the time for a call is over
        try:
            answer = await calling
        except asyncio.CancelledError:
            answer = TimeoutError()
        except (Rejected, AgentUnavailable) as raised:
            answer = raised
        self.happened = not server.coming
        server.coming.clear()
        if self.happened:
            self._check(answer)
        else:
            assert not isinstance(answer, Exception), f"nothing was wrong, and it raised {answer!r}"
        return answer

    def _check(self, answer: object) -> None:
        fault = self.fault
        if isinstance(answer, TimeoutError):
            assert fault.slow, "it gave up by itself without saying who must act"
            return
        if not isinstance(answer, Rejected | AgentUnavailable):
            assert fault.missing or fault.clashes, f"it took a fault for an answer: {answer}"
            return
        if not (fault.missing or fault.clashes):
            assert isinstance(answer, Rejected) is fault.refuses, f"{type(answer).__name__}: {answer}"
            assert fault.said in answer.message
        if fault.retry_after_s is not None and isinstance(answer, AgentUnavailable):
            assert answer.retry_after_s == fault.retry_after_s
        for secret in secrets_in(self.rehearsal.quick):
            assert secret not in answer.message


def turns(rehearsal: Rehearsal, fault: Fault) -> Iterator[Turn]:
    """A turn for the first call that a verb makes, the second, and so on. Ends when there is none to meet the fault."""
    for place in range(CALLS_MAX):
        turn = Turn(rehearsal, fault, place)
        yield turn
        if not turn.happened:
            assert place, "it makes no call at all"
            return
    raise AssertionError(f"one verb makes more than {CALLS_MAX} calls")


def secrets_in(config: object, path: tuple[str, ...] = ()) -> list[str]:
    """The secret texts of a config."""
    if isinstance(config, Mapping):
        return [each for key, value in config.items() for each in secrets_in(value, (*path, str(key)))]
    if isinstance(config, list | tuple):
        return [each for value in config for each in secrets_in(value, path)]
    return [config] if isinstance(config, str) and is_secret(Where.AGENT_CONFIG, path) else []
