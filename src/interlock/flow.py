"""The loop, on one page. Everything that happens to a deployment happens in one of these six steps.

    match_inventory    an object changed   -> targets, their policies, agent and config
    decide_round       a fact arrived      -> load facts, decide, commit the plan
    dispatch_job       a job waits         -> hand it to its agent, if the decision behind it still holds
    observe_job        a job runs          -> ask its agent how it goes, make that a fact
    take_measurement   a metric is due     -> ask its provider, make that a fact
    read_slo           an objective is due -> ask its provider, make that a fact

No step calls another: each writes facts and asks for looks, in one transaction (`work`), and `workers/` drives them.
Each gives the instant at which it wants to look at the same key again, or None.

Source: DESIGN.md section 2; core.md sections 2, 3 and 5.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import cast

from interlock.agents import Agent, Asker, Confirmer
from interlock.clock import monotonic_s
from interlock.decide import decide
from interlock.judge.slo import parse_slo
from interlock.metrics import Metric, NotBefore, provider_parts, with_parts
from interlock.metrics import take_measurement as ask_provider
from interlock.metrics.filling import kept_verbatim
from interlock.metrics.objectives import Answer, Asked, ask_objective
from interlock.model.conduct import share_of
from interlock.model.errors import AgentUnavailable, Invalid, NotStarted, Rejected, Unavailable
from interlock.model.event import Actor
from interlock.model.job import AgentClass, AgentJob, Callback, Confirm, Handover, JobStatus, Observation
from interlock.model.secret import MASK, masked
from interlock.model.verification import POSTED, Measurement, MeasurementStatus
from interlock.outside.references import References
from interlock.store.confirms import begin_confirm, settle_confirm
from interlock.store.expiries import note_expiry
from interlock.store.facts import load_facts
from interlock.store.jobs import (
    FlowJob,
    apply_observation,
    apply_start,
    ask_cancel,
    begin_handover,
    find_flow_job,
    judge_again,
    offer_job,
    reconsider,
    settle_handover,
    take_back,
    wait_again,
)
from interlock.store.leases import end_lease
from interlock.store.lines import (
    give_try_back,
    move_line,
    note_answer,
    note_silence,
    stand_in_line,
    take_try,
    take_turn,
)
from interlock.store.measuring import Measurements
from interlock.store.opening import Opened, Opener
from interlock.store.plan import commit_plan, lock_deployment
from interlock.store.posted import Posted, find_posted
from interlock.store.slos import DueSlo, Read, find_due_slo, known_before, match_slos, record_reading, spec_of
from interlock.store.syncs import list_touched
from interlock.store.targets import (
    Touched,
    find_policies_fence,
    find_unmatched,
    list_concerned,
    match_targets,
    note_policies_matched,
)
from interlock.store.tasks import ask_people, note_overdue
from interlock.store.tx import Store, Tx
from interlock.store.verifications import DueMetric, settle_hold
from interlock.store.wake import list_by_domain, request_rounds
from interlock.store.work import OWN_FACTS, Claim, WorkRequest

WORKER = Actor("system", "worker")

AGENT_CALL_S = 30.0
"""How long one call of an agent may take, but for `start`, whose limit its conduct names."""

FIND_EVERY_S = 5.0
"""How often a run is looked for that may stay unlisted for a while."""

STALE_TRIES = 2
"""After so many lost races in a row a round locks first and loads then, so that it ends."""

WAITING_FOR_YES = frozenset({Confirm.GRANTED, Confirm.GIVING})

SECRETS_AGAIN_S = 10.0
"""When a job that waits for one of its secrets is looked at again."""

BARRED_SPREAD_S = 5.0
"""Over how long the looks at the runs of an agent that is down are spread, after its next try."""

NO_SUCH_RUN = Observation(JobStatus.EXTERNAL_RUN_NOT_FOUND, "The outside knows no such run.")

ROUND_GAP_MAX_S = 2.0
ROUNDS_KEPT_MAX = 10_000

RESOURCES_A_LOOK = 5_000
DEPLOYMENTS_A_LOOK = 1_000
DEPLOYMENTS_A_TRANSACTION = 100
TARGETS_A_TRANSACTION = 50_000
"""At the most, when every resource of a look matches in every deployment."""


class NoTurnError(Exception):
    """Another job took the turn of an agent's rate: what was written for this one is rolled back."""


@dataclass(slots=True)
class Flow:
    """What the steps work with. `round_at_s` remembers when this process last began a deployment's round, and how
    long it took. `public_url` is where tools that call back find the API.
    """

    store: Store
    agents: Mapping[str, Agent]
    metrics: Mapping[str, Metric]
    metric_timeout_s: float = 30.0
    round_gap_s: float = 0.05
    cancel_timeout_s: float = 300.0
    public_url: str = "http://127.0.0.1:8080"
    round_at_s: dict[str, tuple[float, float]] = field(default_factory=dict)
    references: References | None = None
    note_handover: Callable[[float], None] = lambda _: None
    opener: Opener = field(init=False)
    measurements: Measurements = field(init=False)

    def __post_init__(self) -> None:
        self.opener = Opener(self.store, self.references)
        self.measurements = Measurements(self.store)

    # decide_round -----------------------------------------------------------------------------------------------------

    async def decide_round(self, claim: Claim) -> datetime | None:
        """One round of one deployment: load, decide, commit."""
        await self._keep_distance(claim.key)
        began_s = monotonic_s()
        if claim.stales >= STALE_TRIES:
            await self._locked_round(claim)
        else:
            await self._round(claim, began_s)
        self.round_at_s[claim.key] = (began_s, monotonic_s() - began_s)
        return None

    async def _keep_distance(self, deployment_id: str) -> None:
        """Rounds of one deployment begin at least the gap, and at least one duration, apart: facts that come in a
        burst share one.
        """
        if len(self.round_at_s) > ROUNDS_KEPT_MAX:
            self.round_at_s.clear()
        began_s, took_s = self.round_at_s.get(deployment_id, (0.0, 0.0))
        wait_s = began_s + min(max(self.round_gap_s, took_s), ROUND_GAP_MAX_S) - monotonic_s()
        if began_s and wait_s > 0:
            await asyncio.sleep(wait_s)

    async def _round(self, claim: Claim, began_s: float) -> None:
        async with self.store.snapshot() as conn:
            loaded = await load_facts(conn, claim.key)
        if loaded is None:
            return
        plan = decide(loaded.facts, loaded.now)
        workspace_id = loaded.facts.workspace_id
        async with self.store.tx(actor=WORKER, cause="round", workspace_id=workspace_id, claim=claim) as tx:
            await commit_plan(tx, loaded, plan, round_ms=round((monotonic_s() - began_s) * 1000))

    async def _locked_round(self, claim: Claim) -> None:
        """The third try: lock what the plan rests on, then load and decide inside the committing transaction."""
        async with self.store.tx(actor=WORKER, cause="round", workspace_id=claim.workspace_id, claim=claim) as tx:
            if not await lock_deployment(tx.conn, claim.key):
                return
            loaded = await load_facts(tx.conn, claim.key)
            if loaded is not None:
                await commit_plan(tx, loaded, decide(loaded.facts, loaded.now))

    # dispatch_job -----------------------------------------------------------------------------------------------------

    async def dispatch_job(self, claim: Claim) -> datetime | None:
        """Hand a job over. What an unanswered start allows is the agent's class (core.md section 5)."""
        async with self.store.read() as conn:
            job = await find_flow_job(conn, claim.key)
        if job is not None and job.run_id is not None and job.status is JobStatus.QUEUED:
            async with self._tx(job, "dispatch", claim) as tx:
                await reconsider(tx, job)  # a freeze was set while it waits to be claimed
        if job is not None and job.confirm in WAITING_FOR_YES:
            return await self._confirm_run(claim, job)
        if job is None or job.status is not JobStatus.PENDING:
            return None
        agent = self.agents.get(job.agent_type)
        if agent is None:
            seen = Observation(JobStatus.INVALID_JOB_AGENT, f"No agent of type {job.agent_type} runs here.")
            await self._record(claim, job, seen, source="dispatch")
            return None
        if agent.klass is AgentClass.ASKED:
            if "ask" in agent.capabilities:
                await self._ask_people(claim, job, cast("Asker", agent))
                return None
            async with self._tx(job, "dispatch", claim) as tx:
                await offer_job(tx, job)
            return None
        now = self.store.now()
        if job.handover is not Handover.WAITING:
            tried_at = await self._barred(job)
            if tried_at is not None:
                return tried_at
        elif job.line.holds(job.turn_at, now, rated=job.rated):
            await self._stand_in_line(claim, job)
            return None
        try:
            opened = await self.opener.open_snapshot(job.workspace_id, job.snapshot)
        except Rejected as nowhere:
            seen = Observation(JobStatus.INVALID_INTEGRATION, nowhere.message)
            await self._record(claim, job, seen, source="dispatch")
            return None
        except Unavailable as silent:
            await self._record(claim, job, Observation(None, f"Waits: {silent.message}"), source="dispatch")
            return self.store.now() + timedelta(seconds=SECRETS_AGAIN_S)
        if job.handover is Handover.WAITING:
            if not await self._begin(claim, job, now):
                return None
            job = replace(job, handover=Handover.STARTING, attempt=job.attempt + 1)
            return await self._start_run(claim, job, agent, opened, fresh=True)
        if agent.klass is AgentClass.FINDABLE or job.cancel_asked_at is not None:
            return await self._find_run(claim, job, agent, opened)
        return await self._start_run(claim, job, agent, opened, fresh=False)

    async def _begin(self, claim: Claim, job: FlowJob, now: datetime) -> bool:
        """Take the job for one attempt, and a turn of its agent's rate. Says whether it may be started now."""
        has_turn = job.turn_at is not None and not replace(job.line, stands=True).holds(job.turn_at, now, rated=True)
        try:
            async with self._tx(job, "dispatch", claim) as tx:
                if not await begin_handover(tx, job):
                    await judge_again(tx, job)  # undecided facts have asked for their round already
                    if job.line.down:
                        await give_try_back(tx, job.agent_id, workspace_id=job.workspace_id)
                    return False
                if job.rated and not has_turn and not await take_turn(tx, job.agent_id):
                    raise NoTurnError
        except NoTurnError:
            await self._stand_in_line(claim, job)
            return False
        return True

    async def _ask_people(self, claim: Claim, job: FlowJob, agent: Asker) -> None:
        """Put a job before people, who read it without its secrets."""
        try:
            asked = await agent.ask(job.for_agent(masked(job.snapshot)))
            async with self._tx(job, "dispatch", claim) as tx:
                await ask_people(tx, job, asked)
        except Rejected as no:
            await self._record(claim, job, Observation(JobStatus.FAILURE, no.message), source="dispatch")
        except Invalid as no:
            await self._record(claim, job, Observation(JobStatus.INVALID_JOB_AGENT, no.message), source="dispatch")

    async def _stand_in_line(self, claim: Claim, job: FlowJob) -> None:
        async with self._tx(job, "dispatch", claim) as tx:
            await stand_in_line(tx, job.agent_id, workspace_id=job.workspace_id, line=job.line)

    async def _start_run(
        self, claim: Claim, job: FlowJob, agent: Agent, opened: Opened, *, fresh: bool
    ) -> datetime | None:
        """Takes: `fresh`: nobody can have called `start` for this attempt before."""
        given, opened = await self._given(job, agent, opened)
        try:
            async with self._calling(job, opened, limit_s=job.conduct.start_timeout_s, may_refuse=True):
                seen = await agent.start(given, job.authorization())
        except Rejected as no:
            seen = Observation(JobStatus.FAILURE, no.message)
            if not fresh:  # a start before this one went unanswered and may run: this refusal says nothing of it
                with contextlib.suppress(Rejected):
                    async with self._calling(job, opened, may_refuse=True):
                        seen = await agent.find(given) or seen
        except Invalid as no:
            seen = Observation(JobStatus.INVALID_JOB_AGENT, no.message)
        except AgentUnavailable as silent:
            if fresh and isinstance(silent, NotStarted):
                async with self._tx(job, "dispatch", claim) as tx:
                    await take_back(tx, job, reason=f"Nothing was started: {silent.message}")
                return None
            if agent.klass is AgentClass.FINDABLE:
                return await self._find_run(claim, job, agent, opened)
            # keyed and told: the same start again, under the same key, is not a second run
            said = f"{job.agent_name} did not answer a start: {silent.message}"
            raise AgentUnavailable(said, retry_after_s=silent.retry_after_s) from None
        return await self._started(claim, job, agent, opened, opened.observation(seen))

    async def _started(
        self, claim: Claim, job: FlowJob, agent: Agent, opened: Opened, seen: Observation
    ) -> datetime | None:
        async with self._tx(job, "dispatch", claim) as tx:
            told = job.event("job.handed_over", agent=job.agent_name, attempt=job.attempt)
            await settle_handover(tx, job, Handover.STARTED, events=[told])
            links = {**agent.links(job.for_agent(masked(job.snapshot)), seen), **seen.links}
            status = await apply_start(tx, job, replace(seen, links=links), source=agent.kind)
            at = self._next_look(replace(job, handed_over_at=job.handed_over_at or self.store.now()), agent)
            if not status.terminal and at is not None:
                await tx.record(wakes=[WorkRequest("observe", job.id, job.workspace_id, at, OWN_FACTS)])
        self.note_handover((self.store.now() - job.created_at).total_seconds())
        if status.terminal and not (seen.status is not None and seen.status.terminal):
            # The job ended while its start was under way (a cancel ran out of time): nobody will look at this run.
            with contextlib.suppress(AgentUnavailable):
                async with self._calling(job, opened):
                    await agent.cancel(job.for_agent(opened.document, external_id=seen.external_id))
        return None

    def _next_look(self, job: FlowJob, agent: Agent) -> datetime | None:
        """When a run is looked at again: after its agent's interval, or when its time is up; None: nobody looks."""
        every_s = job.conduct.poll_s(agent.observe_every_s, job_id=job.id)
        looks = [] if every_s is None else [self.store.now() + timedelta(seconds=every_s)]
        if job.over_at is not None and job.cancel_asked_at is None:
            looks.append(job.over_at)
        return min(looks, default=None)

    async def _find_run(self, claim: Claim, job: FlowJob, agent: Agent, opened: Opened) -> datetime | None:
        """A start went unanswered: look for the run until it may be said that there is none."""
        given, opened = await self._given(job, agent, opened)
        async with self._calling(job, opened):
            seen = await agent.find(given)
        if seen is not None:
            return await self._started(claim, job, agent, opened, opened.observation(seen))
        now = self.store.now()
        since = job.uncertain_since or now
        if now < since + timedelta(seconds=job.conduct.settle_s):
            if job.handover is not Handover.UNCERTAIN:
                async with self._tx(job, "dispatch", claim) as tx:
                    await settle_handover(tx, job, Handover.UNCERTAIN, events=[job.event("job.uncertain")])
            return now + timedelta(seconds=min(FIND_EVERY_S, job.conduct.settle_s / 4))
        if job.cancel_asked_at is not None:
            seen = Observation(JobStatus.CANCELLED, "The start was not answered and no run was found.")
            await self._record(claim, job, seen, source=agent.kind)
            return None
        if job.conduct.repeat_uncertain:
            async with self._tx(job, "dispatch", claim) as tx:
                await wait_again(tx, job)
            return None
        seen = Observation(JobStatus.EXTERNAL_RUN_NOT_FOUND, "The start was not answered and no run was found.")
        await self._record(claim, job, seen, source=agent.kind)
        return None

    async def _confirm_run(self, claim: Claim, job: FlowJob) -> datetime | None:
        """Confirm a planned run that a round let pass. What goes unanswered is looked for before it is asked again."""
        agent = self.agents.get(job.agent_type)
        if agent is None or "confirm" not in agent.capabilities or job.cancel_asked_at is not None:
            return None
        tried_at = await self._barred(job)
        if tried_at is not None:
            return tried_at
        opened = await self._opened(job)
        if job.confirm is Confirm.GIVING:
            return await self._find_confirm(claim, job, agent, opened)
        async with self._tx(job, "confirm", claim) as tx:
            if not await begin_confirm(tx, job):
                await judge_again(tx, job)  # undecided facts have asked for their round already
                return None
        try:
            async with self._calling(job, opened, may_refuse=True):
                seen = await cast("Confirmer", agent).confirm(job.for_agent(opened.document), job.authorization())
        except Rejected as no:
            async with self._tx(job, "confirm", claim) as tx:
                await settle_confirm(tx, job, Confirm.REFUSED, message=opened.hide(no.message))
            return None
        except NotStarted:
            async with self._tx(job, "confirm", claim) as tx:
                await settle_confirm(tx, job, Confirm.ASKED)
            return None
        except AgentUnavailable:
            return self.store.now() + timedelta(seconds=FIND_EVERY_S)
        await self._confirmed(claim, job, agent, opened.observation(seen or NO_SUCH_RUN))
        return None

    async def _find_confirm(self, claim: Claim, job: FlowJob, agent: Agent, opened: Opened) -> datetime | None:
        """Nobody knows whether the outside took a confirm: its run says whether it still waits."""
        async with self._calling(job, opened):
            seen = await agent.observe(job.for_agent(opened.document)) or NO_SUCH_RUN
        if not seen.confirmable:
            await self._confirmed(claim, job, agent, opened.observation(seen))
            return None
        now = self.store.now()
        if now < (job.confirm_at or now) + timedelta(seconds=job.conduct.settle_s):
            return now + timedelta(seconds=min(FIND_EVERY_S, job.conduct.settle_s / 4))
        async with self._tx(job, "confirm", claim) as tx:
            await settle_confirm(tx, job, Confirm.ASKED)
        return None

    async def _confirmed(self, claim: Claim, job: FlowJob, agent: Agent, seen: Observation) -> None:
        async with self._tx(job, "confirm", claim) as tx:
            await settle_confirm(tx, job, Confirm.GIVEN)
            await apply_observation(tx, job, seen, source=agent.kind)

    # observe_job ------------------------------------------------------------------------------------------------------

    async def observe_job(self, claim: Claim) -> datetime | None:
        """Ask the agent how a run goes, or for its end where a cancel was asked."""
        async with self.store.read() as conn:
            job = await find_flow_job(conn, claim.key)
        if job is None or job.status.terminal:
            return None
        agent = self.agents.get(job.agent_type)
        if agent is None:
            return None
        if job.cancel_asked_at is not None:
            return await self._follow_cancel(claim, job, agent)
        if agent.klass is AgentClass.ASKED and job.handover is Handover.WAITING:
            return None  # nobody has it; whoever claims it asks for the next look
        if job.handover is not Handover.STARTED:
            return self.store.now() + timedelta(seconds=1)
        if job.over_at is not None and self.store.now() >= job.over_at:
            async with self._tx(job, "observe", claim) as tx:
                await ask_cancel(tx, job, reason=f"It ran longer than {job.conduct.timeout_s:g} s.", overran=True)
            return self.store.now()
        if agent.klass is AgentClass.ASKED:
            looks = (await self._follow_lease(claim, job), self._next_look(job, agent))
            return min((at for at in looks if at is not None), default=None)
        if agent.observe_every_s is None:
            return self._next_look(job, agent)
        tried_at = await self._barred(job)
        if tried_at is not None:
            return tried_at if job.over_at is None else min(tried_at, job.over_at)
        given, opened = await self._given(job, agent, await self._opened(job))
        async with self._calling(job, opened):
            seen = await agent.observe(given)
        return await self._seen(claim, job, agent, opened.observation(seen or self._missing(job)))

    async def _follow_lease(self, claim: Claim, job: FlowJob) -> datetime | None:
        """Nobody is asked how a claimed job goes: its agent says so, and that it lives, or its lease ends."""
        async with self._tx(job, "observe", claim) as tx:
            return await end_lease(tx, job.id)

    async def _follow_cancel(self, claim: Claim, job: FlowJob, agent: Agent) -> datetime | None:
        """A cancel is asked for, not assumed: the target stays occupied until the outside confirms, or time is up."""
        if job.handover is Handover.WAITING:
            await self._record(claim, job, Observation(JobStatus.CANCELLED, job.cancel_reason), source="cancel")
            return None
        timeout_s = job.conduct.cancel_timeout_s or self.cancel_timeout_s
        over_at = (job.cancel_asked_at or job.created_at) + timedelta(seconds=timeout_s)
        if self.store.now() >= over_at:
            silent = f"The outside did not confirm the cancel within {timeout_s:g} s."
            await self._record(claim, job, Observation(JobStatus.CANCELLED, silent), source="cancel")
            return None
        if agent.klass is AgentClass.ASKED:
            # whoever claimed it hears of the cancel with its next heartbeat, or reads it in the job
            ends_at = await self._follow_lease(claim, job)
            return over_at if ends_at is None else min(over_at, ends_at)
        if job.handover is not Handover.STARTED:
            return self.store.now() + timedelta(seconds=1)
        tried_at = await self._barred(job)
        if tried_at is not None:
            return min(tried_at, over_at)
        given, opened = await self._given(job, agent, await self._opened(job))
        async with self._calling(job, opened):
            seen = await agent.cancel(given)
        return await self._seen(claim, job, agent, opened.observation(seen or self._missing(job)))

    def _missing(self, job: FlowJob) -> Observation:
        """The outside knows no such run. Right after its hand-over that may be a list that lags."""
        began_at = job.handed_over_at or job.created_at
        if self.store.now() < began_at + timedelta(seconds=job.conduct.settle_s):
            return Observation(None, "The outside does not list the run yet.")
        return NO_SUCH_RUN

    async def _seen(self, claim: Claim, job: FlowJob, agent: Agent, seen: Observation) -> datetime | None:
        status = await self._record(claim, job, seen, source=agent.kind)
        return None if status.terminal else self._next_look(job, agent)

    # take_measurement -------------------------------------------------------------------------------------------------

    async def take_measurement(self, claim: Claim) -> datetime | None:
        """Ask a metric's provider once. Only a change of state wakes the deployment.

        A verification that could not tell holds: the look at its metric is when that goes on by itself.
        """
        metric = await self.measurements.find(claim.key)
        if metric is None or not (metric.running or metric.held):
            return None
        if metric.held:
            async with self.store.tx(
                actor=WORKER, cause="hold", workspace_id=metric.workspace_id, claim=claim, chain=metric.change_id
            ) as tx:
                return await settle_hold(tx, metric)
        posted = None
        if metric.spec.provider_kind == POSTED:
            async with self.store.read() as conn:
                posted = await find_posted(conn, claim.key)
        now = self.store.now()
        due_at = metric.due_at or now
        if now < due_at:
            return due_at
        measured = await self._measure(metric, posted, due_at=due_at, now=now)
        if isinstance(measured, NotBefore):
            return measured.at
        return await self.measurements.record(claim, metric, measured, posted=posted)

    async def _measure(
        self, metric: DueMetric, posted: Posted | None, *, due_at: datetime, now: datetime
    ) -> Measurement | NotBefore:
        """Ask the provider with the secrets of its config and of the job; what it says is kept without them."""
        try:
            told = await self.opener.open(metric.workspace_id, provider_parts(metric.spec))
            around = await self.opener.open_snapshot(metric.workspace_id, metric.context)
        except (Rejected, Unavailable) as missing:
            return Measurement(MeasurementStatus.ERRORED, now, missing.message)
        spec = with_parts(metric.spec, told.document)
        context = around.document if posted is None else {**around.document, "posted": posted.context()}
        measured = await ask_provider(
            spec, context, metrics=self.metrics, due_at=due_at, now=now, timeout_s=self.metric_timeout_s
        )
        return measured if isinstance(measured, NotBefore) else around.measurement(told.measurement(measured))

    # read_slo ---------------------------------------------------------------------------------------------------------

    async def read_slo(self, claim: Claim) -> datetime | None:
        """Ask an objective's provider once. Only another class of its error budget wakes the deployments covered."""
        async with self.store.read() as conn:
            due = await find_due_slo(conn, claim.key)
        if due is None:
            return None
        now = self.store.now()
        if now < due.next_at:
            return due.next_at
        read = await self._read_slo(due, now=now)
        async with self.store.tx(actor=WORKER, cause="slo", workspace_id=due.workspace_id, claim=claim) as tx:
            return await record_reading(tx, due, spec=spec_of(due.spec), read=read, now=now)

    async def _read_slo(self, due: DueSlo, *, now: datetime) -> Read:
        """Ask with the secrets of its provider; what is said of an error is kept without them."""
        before = {window: Asked(events, at) for window, (events, at) in known_before(due).items()}
        try:
            told = await self.opener.open(due.workspace_id, dict(due.spec))
            spec = parse_slo(kept_verbatim(told.document, due.spec))
        except (Rejected, Unavailable, Invalid) as missing:
            return Read(Answer(newest_at=due.newest_at, error=missing.message).reading, {})
        answer = await ask_objective(
            spec,
            Answer(before, due.newest_at),
            name=due.name,
            metrics=self.metrics,
            now=now,
            timeout_s=self.metric_timeout_s,
        )
        answer = replace(answer, error=told.hide(answer.error))
        return Read(answer.reading, {window: (one.events, one.at) for window, one in answer.asked.items()})

    # match_inventory --------------------------------------------------------------------------------------------------

    async def match_inventory(self, claim: Claim) -> datetime | None:
        """Match what an object touches once more, after its commit: how two concurrent changes meet."""
        kind, _, object_id = claim.key.partition(":")
        workspace_id = claim.workspace_id
        if workspace_id is None:
            return None
        async with self.store.read() as conn:
            fence = await find_policies_fence(conn, workspace_id)
            concerned = await list_concerned(conn, workspace_id, kind=kind, object_id=object_id)
        async for touched in self._touched_by(kind, object_id):
            for looked_at in batched(concerned, DEPLOYMENTS_A_LOOK):
                async with self.store.snapshot() as conn:
                    unmatched = await find_unmatched(conn, workspace_id, touched, only=looked_at)
                at_once = max(1, TARGETS_A_TRANSACTION // max(1, len(touched.resources)))
                for page in batched(unmatched, min(at_once, DEPLOYMENTS_A_TRANSACTION)):
                    async with self.store.tx(actor=WORKER, cause="match", workspace_id=workspace_id, claim=claim) as tx:
                        await match_targets(tx, workspace_id, touched, only=page)
            if touched.resources:
                async with self.store.read() as conn:
                    moved = await list_by_domain(conn, workspace_id, resource_ids=touched.resources)
                if moved:
                    async with self.store.tx(actor=WORKER, cause="match", workspace_id=workspace_id, claim=claim) as tx:
                        await tx.record(wakes=[WorkRequest("round", each, workspace_id) for each in moved])
        if kind == "deployment":
            async with self.store.tx(actor=WORKER, cause="match", workspace_id=workspace_id, claim=claim) as tx:
                for deployment_id in object_id.split(","):
                    await match_slos(tx, workspace_id, deployment_id=deployment_id)
        if kind == "policy":
            async with self.store.tx(actor=WORKER, cause="match", workspace_id=workspace_id, claim=claim) as tx:
                await note_policies_matched(tx, workspace_id, fence=fence)
                await request_rounds(tx, f"policies:{workspace_id}", workspace_id=workspace_id)
        return None

    async def _touched_by(self, kind: str, object_id: str) -> AsyncIterator[Touched]:
        """What a match item's key names; what a provider's set touched in parts, so that no transaction is long."""
        if kind != "provider":
            yield touched_by(kind, object_id)
            return
        provider_id, _, since = object_id.partition(",")
        async with self.store.read() as conn:
            touched = await list_touched(conn, provider_id, since_at=datetime.fromisoformat(since))
        for page in batched(touched, RESOURCES_A_LOOK):
            yield Touched(resources=tuple(page))

    async def wake_deployments(self, claim: Claim) -> datetime | None:
        """A fact of many (a policy, a freeze, a slot set free) asks for the rounds it concerns: found by query, after
        its commit.
        """
        async with self.store.tx(actor=WORKER, cause="wake", workspace_id=claim.workspace_id, claim=claim) as tx:
            await request_rounds(tx, claim.key, workspace_id=claim.workspace_id)
        return None

    async def note_expiry(self, claim: Claim) -> datetime | None:
        """A pin, a skip, a freeze or the time for a task reached its end: the ledger hears of it."""
        kind, _, subject_id = claim.key.partition(":")
        if claim.workspace_id is None:
            return None
        async with self.store.tx(actor=WORKER, cause="expire", workspace_id=claim.workspace_id, claim=claim) as tx:
            if kind == "task":
                return await note_overdue(tx, subject_id)
            return await note_expiry(tx, claim.workspace_id, kind=kind, subject_id=subject_id)

    # ------------------------------------------------------------------------------------------------------------------

    async def move_line(self, claim: Claim) -> datetime | None:
        """Give the first jobs that stand in an agent's line their turns."""
        async with self.store.tx(actor=WORKER, cause="line", workspace_id=claim.workspace_id, claim=claim) as tx:
            return await move_line(tx, claim.key)

    async def _barred(self, job: FlowJob) -> datetime | None:
        """When an agent that is down may be called about a job that it may have; None: now, the agent answers or
        this call is the one that tries.
        """
        if not job.line.down:
            return None
        now = self.store.now()
        tried_at = job.line.tries_at(now)
        if tried_at is None:
            async with self.store.tx(actor=WORKER, cause="try", workspace_id=job.workspace_id) as tx:
                if await take_try(tx, job.agent_id, call_s=AGENT_CALL_S):
                    return None
        return (tried_at or now) + timedelta(seconds=BARRED_SPREAD_S * (0.1 + share_of(job.id)))

    @asynccontextmanager
    async def _calling(
        self, job: FlowJob, opened: Opened, *, limit_s: float = AGENT_CALL_S, may_refuse: bool = False
    ) -> AsyncIterator[None]:
        """One call of a job's agent. One that hangs is as one that is away; its breaker counts both.

        Takes: `may_refuse`: a no is an answer. Else it is as one that is away: the run goes on without us.
        Fails: `AgentUnavailable`, without the values that the agent was given.
        """
        try:
            async with asyncio.timeout(limit_s):
                yield
        except TimeoutError as late:
            said = f"{job.agent_name} did not answer within {limit_s:g} s."
            await self._silent(job, said, wait_s=None)
            raise AgentUnavailable(said) from late
        except AgentUnavailable as away:
            said = opened.hide(away.message) or ""
            if isinstance(away, NotStarted) or away.retry_after_s is None:
                await self._silent(job, said, wait_s=away.retry_after_s)
            else:
                await self._says_nothing(job)  # it answered: this job must wait, for something of its own
            raise type(away)(said, retry_after_s=away.retry_after_s) from None
        except (Rejected, Invalid) as no:
            await self._says_nothing(job)  # perhaps nobody was called
            if may_refuse or isinstance(no, Invalid):
                raise
            raise AgentUnavailable(opened.hide(no.message) or "") from None
        if job.line.troubled:
            async with self.store.tx(actor=WORKER, cause="answer", workspace_id=job.workspace_id) as tx:
                await note_answer(tx, job.agent_id)

    async def _says_nothing(self, job: FlowJob) -> None:
        """A call that says nothing of the agent: where it was the try of one that is down, the next may try."""
        if job.line.down:
            async with self.store.tx(actor=WORKER, cause="try", workspace_id=job.workspace_id) as tx:
                await give_try_back(tx, job.agent_id, workspace_id=job.workspace_id)

    async def _silent(self, job: FlowJob, said: str, *, wait_s: float | None) -> None:
        async with self.store.tx(actor=WORKER, cause="silence", workspace_id=job.workspace_id) as tx:
            await note_silence(tx, job.agent_id, reason=said, wait_s=wait_s)

    def _tx(self, job: FlowJob, cause: str, claim: Claim) -> AbstractAsyncContextManager[Tx]:
        """A transaction about one job, which commits only while the claim is ours."""
        return self.store.tx(actor=WORKER, cause=cause, workspace_id=job.workspace_id, claim=claim, chain=job.chain)

    async def _opened(self, job: FlowJob) -> Opened:
        """A running job's snapshot with its values: its agent may need them to sign in again.

        Fails: `Unavailable`, also where a reference leads nowhere by now: the run goes on without us.
        """
        try:
            return await self.opener.open_snapshot(job.workspace_id, job.snapshot)
        except Rejected as nowhere:
            raise AgentUnavailable(nowhere.message) from None

    async def _given(self, job: FlowJob, agent: Agent, opened: Opened) -> tuple[AgentJob, Opened]:
        """The job as its agent sees it: one that is called back gets the address for that, with the attempt's token,
        which is hidden like the job's secrets.
        """
        given = job.for_agent(opened.document)
        if "callback" not in agent.capabilities:
            return given, opened
        async with self.store.read() as conn:
            token = await self.store.secrets.callback_token(conn, job_id=job.id, attempt=given.attempt)
        callback = Callback(f"{self.public_url}/api/jobs/{job.id}/callback", token)
        opened = replace(opened, values_by_mark={**opened.values_by_mark, MASK: token})
        return replace(given, shown=masked(job.snapshot), callback=callback), opened

    async def _record(self, claim: Claim, job: FlowJob, seen: Observation, *, source: str) -> JobStatus:
        async with self._tx(job, "observe", claim) as tx:
            return await apply_observation(tx, job, seen, source=source)


def batched(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The ids in pages of at most so many."""
    for begin in range(0, len(ids), size):
        yield ids[begin : begin + size]


def touched_by(kind: str, object_id: str) -> Touched:
    """What a match item's key names: `environment:<id>`, `resource:<id>,<id>` and so on."""
    ids = tuple(object_id.split(","))
    return {
        "resource": Touched(resources=ids),
        "environment": Touched(environments=ids),
        "deployment": Touched(deployments=ids),
        "agent": Touched(agents=ids),
        "policy": Touched(policies=True),
        "variables": Touched(variables=True),
        "references": Touched(references=True),
    }[kind]
