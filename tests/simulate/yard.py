"""What may go wrong while several deployments move at once? A seeded yard on the real database.

A `Yard` is a small fleet with rules of all kinds, an outside that runs jobs (`Outside`) and measures (`Probe`), people
who do things, and workers that take steps. One random number generator decides what happens next, so a seed is a
story, the same each time. Time is the yard's.

Where a step lets go of the database (between its transactions, during a call of an agent) anything may happen:
`meanwhile` does other things there, other workers' steps among them. A step may be killed before or after any of its
commits; another worker then takes the key, as after a lost lease. News comes twice and out of order.

What must hold is looked at after every step (`check`), and by triggers at every hand-over (`GUARDS`).

Source: core.md section 9, laws 7, 9 and 10; TigerBeetle for the idea.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from interlock.decide import decide
from interlock.decide.codec import in_order
from interlock.decide.elsewhere import narrowed, needed
from interlock.decide.facts import Facts
from interlock.decide.plan import applied, counted_leaving, labels_of
from interlock.decide.rules.gradual_rollout import keys_read
from interlock.flow import Flow
from interlock.metrics.filling import Metric
from interlock.metrics.reading import Reading
from interlock.model.errors import AgentUnavailable, Conflict, NotFound, Refused, Rejected, Stale, Unavailable
from interlock.model.ids import new_id
from interlock.model.job import AgentClass, JobStatus, Observation
from interlock.outside.go_templates import GoTemplates
from interlock.store import pins
from interlock.store.agents import save_agent
from interlock.store.facts import Loaded
from interlock.store.health import Counts
from interlock.store.jobs import apply_observation, find_flow_job
from interlock.store.orders import Where, list_orders, place_orders, withdraw_order
from interlock.store.tx import Store
from interlock.store.versions import find_version
from interlock.store.wake import list_all_deployments
from interlock.store.work import Claim, Finished, claim_work, fail_work, finish_work, release_work
from interlock.workers import steps_by_kinds
from interlock.workers.sweep import sweep_deployment
from tests.store.fleet import Fleet, a_fleet, a_member, commit, load
from worlds import METRIC, RULE_MAKERS, Pick

STALES_MAX = 3
DEPTH_MAX = 2

GUARDS = """
CREATE FUNCTION guard_hand_over() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE moved move; was version;
BEGIN
    SELECT * INTO moved FROM move WHERE id = NEW.move_id;
    SELECT * INTO was FROM version WHERE id = moved.version_id;
    IF EXISTS (SELECT FROM steering_order WHERE id = moved.order_id AND NEW.retry_of IS NULL AND NEW.attempt <= 1
               AND (state NOT IN ('open', 'answered') OR state = 'open' AND expires_at <= interlock_now())) THEN
        RAISE EXCEPTION 'guard: % was handed over although its order had ended', NEW.id;
    END IF;
    IF moved.kind IN ('rollback', 'force') THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM "freeze" WHERE workspace_id = NEW.workspace_id AND thawed_at IS NULL
               AND (expires_at IS NULL OR expires_at > interlock_now())) THEN
        RAISE EXCEPTION 'guard: % was handed over in a freeze', NEW.id;
    END IF;
    IF was.status <> 'ready' AND moved.kind = 'forward' THEN
        RAISE EXCEPTION 'guard: % was handed over although its version is %', NEW.id, was.status;
    END IF;
    IF NOT EXISTS (SELECT FROM target WHERE id = NEW.target_id AND state = 'attached') THEN
        RAISE EXCEPTION 'guard: % was handed over although its target left', NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER guard_hand_over AFTER UPDATE OF handover ON job
    FOR EACH ROW WHEN (OLD.handover = 'waiting' AND NEW.handover <> 'waiting') EXECUTE FUNCTION guard_hand_over();
CREATE TRIGGER guard_confirm AFTER UPDATE OF confirm ON job
    FOR EACH ROW WHEN (OLD.confirm = 'granted' AND NEW.confirm = 'giving') EXECUTE FUNCTION guard_hand_over();
"""

AT_REST = """
SELECT kind, key, ready_at FROM work
WHERE buried_at IS NULL AND NOT (kind = 'observe' AND EXISTS (
    SELECT FROM job
    WHERE id::text = work.key AND confirm = 'asked' AND completed_at IS NULL AND cancel_asked_at IS NULL))
ORDER BY ready_at LIMIT 1
"""
"""A planned run that a rule holds is looked at for as long as it takes: that is rest."""

MUST_NOT_BE = """
SELECT 'two open moves on one target' AS what, target_id::text AS which
FROM move WHERE closed_at IS NULL GROUP BY target_id HAVING count(*) > 1
UNION ALL
SELECT 'more in flight than the limit', m.deployment_id::text
FROM move m JOIN target t ON t.id = m.target_id AND t.state = 'attached'
WHERE m.closed_at IS NULL AND m.kind = 'forward' AND m.from_release_id IS NOT NULL AND m.environment_id = $1
GROUP BY m.deployment_id HAVING count(*) > 1
UNION ALL
SELECT 'a target on a release that no job brought', t.id::text
FROM target t
WHERE t.current_release_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM job j
                  WHERE j.target_id = t.id AND j.release_id = t.current_release_id AND j.status = 'successful')
UNION ALL
SELECT 'a buried key', key FROM work WHERE buried_at IS NOT NULL
UNION ALL
SELECT 'more of a slot group in flight than its limit', s.key
FROM slot s JOIN move m ON m.id = s.move_id WHERE m.kind NOT IN ('rollback', 'force')
GROUP BY s.key HAVING sum(s.weight) > CASE WHEN s.key LIKE '%/host-%' THEN 1 ELSE 2 END
UNION ALL
SELECT 'a slot of a move that ended', s.key FROM slot s JOIN move m ON m.id = s.move_id WHERE m.closed_at IS NOT NULL
UNION ALL
SELECT 'in flight without a slot', m.id::text
FROM move m JOIN target_slot o ON o.target_id = m.target_id
WHERE m.closed_at IS NULL AND NOT EXISTS (SELECT FROM slot s WHERE s.move_id = m.id AND s.key = o.key)
"""

LEFT_BEHIND = """
SELECT r.name, d.name AS deployment, v.tag, w.outcome, w.verdicts::text
FROM target t JOIN resource r ON r.id = t.resource_id JOIN deployment d ON d.id = t.deployment_id
LEFT JOIN release x ON x.id = t.current_release_id LEFT JOIN version v ON v.id = x.version_id
LEFT JOIN target_decision w ON w.target_id = t.id
WHERE t.state = 'attached' AND coalesce(v.tag, '') NOT LIKE '%.last'
"""


class Killed(Exception):
    """The worker was killed here."""


class Broken(AssertionError):
    """Something that must hold does not."""


class Clock:
    """The yard's time. Every look at it is a microsecond later, so that no two facts are of one instant."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.at += timedelta(microseconds=1)
        return self.at


class ShakyStore(Store):
    """A store around whose transactions other things happen, and whose process may die there."""

    yard: Yard | None = None

    @asynccontextmanager
    async def tx(self, **kwargs: Any) -> Any:
        """As the store's, with what the yard makes of it."""
        yard = self.yard
        if yard is None or not yard.shaky:
            async with super().tx(**kwargs) as tx:
                yield tx
            return
        await yard.meanwhile()
        worker = kwargs.get("claim") is not None
        async with super().tx(**kwargs) as tx:
            yield tx
            if worker:
                yard.maybe_die("before a commit")
        if worker:
            yard.maybe_die("after a commit")


@dataclass
class Run:
    """One run outside, of one attempt."""

    job_id: str
    attempt: int
    began_at: datetime
    ends_at: datetime
    status: JobStatus
    cancelled: bool = False
    waits: bool = False
    confirms: int = 0


@dataclass
class Outside:
    """An agent whose runs are real to it. Answers get lost, starts get lost, its list lags behind."""

    yard: Yard
    klass: AgentClass
    kind: str = "outside"
    observe_every_s: float = 2.0
    capabilities: frozenset[str] = frozenset({"confirm"})
    runs: dict[tuple[str, int], Run] = field(default_factory=dict)

    async def start(self, job: Any, authorization: Any) -> Observation:
        """Begin a run, if the start arrives; answer, if the answer arrives."""
        yard = self.yard
        await yard.meanwhile()
        if yard.shaky and yard.chance.random() < 0.1:
            raise AgentUnavailable("the start got lost")
        key = (job.id, job.attempt)
        if key not in self.runs or self.klass is not AgentClass.KEYED:
            if any(run.job_id == job.id for run in self.runs.values()):
                raise Broken(f"{job.id} runs a second time (attempt {job.attempt})")
            bad = "bad" in job.context["version"]["tag"] and yard.chance.random() < 0.5
            run_s = yard.chance.choice((0, 1, 20))
            status = JobStatus.FAILURE if bad else JobStatus.SUCCESSFUL
            waits = int(job.id[-1], 16) < 5  # about one run in three plans first
            ends_at = yard.clock.at + timedelta(seconds=run_s)
            self.runs[key] = Run(job.id, job.attempt, yard.clock.at, ends_at, status, waits=waits)
        if yard.shaky and yard.chance.random() < 0.1:
            raise AgentUnavailable("the answer got lost")
        await yard.meanwhile()
        return Observation(JobStatus.IN_PROGRESS, external_id=job.id)

    def seen(self, job: Any, *, lag_s: float) -> Observation | None:
        """What can be known of a run now."""
        run = self.runs.get((job.id, job.attempt))
        if run is None or self.yard.clock.at < run.began_at + timedelta(seconds=lag_s):
            return None
        return self.how(run)

    def how(self, run: Run) -> Observation:
        """How a run goes."""
        now = self.yard.clock.at
        if run.cancelled:
            return Observation(JobStatus.CANCELLED, finished_at=now)
        if run.waits:
            return Observation(JobStatus.ACTION_REQUIRED, external_id=run.job_id, confirmable=True)
        return Observation(run.status if now >= run.ends_at else JobStatus.IN_PROGRESS, external_id=run.job_id)

    async def find(self, job: Any) -> Observation | None:
        """The list of a findable agent lags behind."""
        await self.yard.meanwhile()
        return self.seen(job, lag_s=20.0 if self.klass is AgentClass.FINDABLE else 0.0)

    async def observe(self, job: Any) -> Observation | None:
        """How it goes."""
        await self.yard.meanwhile()
        return self.seen(job, lag_s=0.0)

    async def confirm(self, job: Any, authorization: Any) -> Observation | None:
        """A planned run goes on, once; the call may get lost, and so may the answer."""
        yard, run = self.yard, self.runs[(job.id, job.attempt)]
        await yard.meanwhile()
        if yard.shaky and yard.chance.random() < 0.1:
            raise AgentUnavailable("the confirm got lost")
        if run.waits and not run.cancelled:
            run.waits, run.confirms = False, run.confirms + 1
            run.ends_at = yard.clock.at + timedelta(seconds=yard.chance.choice((0, 1, 20)))
        if yard.shaky and yard.chance.random() < 0.1:
            raise AgentUnavailable("the answer got lost")
        return self.how(run)

    async def cancel(self, job: Any) -> Observation | None:
        """It ends, unless it ended before."""
        run = self.runs.get((job.id, job.attempt))
        if run is not None and run.waits:
            run.cancelled = True
        if run is not None and self.yard.clock.at < run.ends_at:
            run.cancelled = True
        return self.seen(job, lag_s=0.0)

    def links(self, job: Any, seen: Observation) -> Mapping[str, str]:
        """None."""
        return {}


@dataclass
class Probe:
    """A metric that is bad for bad versions."""

    yard: Yard
    kind: str = "sleep"
    result_fields: Mapping[str, str] = field(default_factory=lambda: {"ok": "bool"})

    async def measure(self, config: Any, context: Any, **_: Any) -> Reading:
        """Look."""
        await self.yard.meanwhile()
        return Reading({"ok": "bad" not in context["version"]["tag"] or self.yard.chance.random() < 0.3})


PROD_RULES = (
    {"anyApproval": {"minApprovals": 1}},
    {
        "environmentProgression": {
            "dependsOnEnvironmentSelector": 'environment.name == "staging"',
            "minimumSoakTimeSeconds": 5,
        }
    },
    {"verification": {"metrics": [METRIC]}},
    {"rollback": {"onJobStatuses": ["failure"], "onVerificationFailure": True}},
    {"retry": {"maxRetries": 1, "backoffSeconds": 5}},
    {"rollbackHistory": {"reactions": [{"atLeast": 1, "then": "pass"}]}},
)
PACES = (
    {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 5, "maxInFlight": 1}},
    {
        "gradualRollout": {
            "rolloutType": "exponential",
            "failureDomains": ["zone"],
            "bakeSeconds": 5,
            "minimumSamples": 1,
            "maxInFlight": 1,
        }
    },
)
"""One of them a seed; the limit of one in flight is in both."""

LIMITS = (
    {"concurrency": {"maxInFlight": 2}},
    {"concurrency": {"maxInFlight": 1, "groupBy": "resource.name"}},
)
"""Across the deployments: two targets of production, and one of each host."""


@dataclass
class Yard:
    """A fleet with several deployments, and everything that may happen to it."""

    seed: int
    store: ShakyStore
    clock: Clock
    fleet: Fleet
    deployments: list[str]
    people: list[str]
    chance: Random
    flow: Flow = None  # type: ignore[assignment]
    outside: Outside = None  # type: ignore[assignment]
    steps: dict[str, Callable[[Claim], Awaitable[datetime | None]]] = field(default_factory=dict)
    story: list[str] = field(default_factory=list)
    shaky: bool = False
    depth: int = 0
    tags: dict[str, list[str]] = field(default_factory=dict)
    freezes: list[str] = field(default_factory=list)
    pins: list[str] = field(default_factory=list)

    # Happening --------------------------------------------------------------------------------------------------------

    async def meanwhile(self) -> None:
        """Something else happens while a step waits for the database or the outside."""
        if not self.shaky or self.depth >= DEPTH_MAX or self.chance.random() > 0.15:
            return
        self.depth += 1
        try:
            self.note("while it waits:")
            await self.happen()
        finally:
            self.depth -= 1

    def maybe_die(self, where: str) -> None:
        """A worker's process is killed."""
        if self.shaky and self.chance.random() < 0.05:
            self.note(f"killed {where}")
            raise Killed

    def note(self, words: str) -> None:
        """Write the story down, for a failing seed."""
        self.story.append(f"{self.clock.at:%H:%M:%S.%f} {'  ' * self.depth}{words}")

    async def happen(self) -> None:
        """One thing happens: mostly a worker's step."""
        action = self.chance.choices(
            (
                self.step,
                self.pass_time,
                self.version,
                self.answer,
                self.freeze_or_thaw,
                self.move_resource,
                self.news,
                self.change_agent,
                self.change_policy,
                self.change_status,
                self.pin_or_unpin,
                self.order_or_withdraw,
                self.fully_decided,
            ),
            (60, 14, 4, 8, 3, 3, 5, 1, 1, 2, 1, 3, 4),
        )[0]
        try:
            await action()
        except Stale:
            self.note("  stale: a person tries again another time")

    async def pass_time(self) -> None:
        """Time goes by."""
        seconds = self.chance.choice((0.1, 1, 1, 5, 30, 90))
        self.clock.at += timedelta(seconds=seconds)
        self.note(f"{seconds} s pass")

    async def version(self) -> None:
        """CI makes a version."""
        deployment_id = self.chance.choice(self.deployments)
        tags = self.tags.setdefault(deployment_id, [])
        if len(tags) >= 8:
            return
        tag = f"{self.deployments.index(deployment_id)}.{len(tags)}" + self.chance.choice(("", "", "-bad"))
        self.clock.at += timedelta(microseconds=1)
        tags.append(tag)
        self.note(f"version {tag}")
        needs = None
        if self.chance.random() < 0.25:
            other = self.chance.choice([one for one in self.deployments if one != deployment_id])
            needs = {other: self.chance.choice(("true", '!version.tag.contains("bad")', 'version.tag == "none"'))}
            self.note(f"  it needs {needs}")
        try:
            await self.fleet.version(tag, deployment_id=deployment_id, needs=needs)
        except Conflict as refused:
            self.note(f"  {refused.message}")

    def some_tag(self) -> str | None:
        """A recent version."""
        tags = self.tags.get(self.chance.choice(self.deployments), [])
        known = [tag for tag in tags[-2:] if tag in self.fleet.versions]
        return self.chance.choice(known) if known else None

    async def answer(self) -> None:
        """A person says something."""
        tag, person = self.some_tag(), self.chance.choice(self.people)
        verdict = self.chance.choice(("approved", "approved", "approved", "rejected", "withdrawn"))
        if tag is None:
            return
        self.clock.at += timedelta(microseconds=1)
        self.note(f"{verdict} {tag}")
        try:
            await self.fleet.answer(tag, "production", verdict, by=person)
        except Conflict:
            self.note("  nothing to withdraw")

    async def change_status(self) -> None:
        """A version is rejected, or ready again."""
        tag = self.some_tag()
        if tag is not None:
            status = self.chance.choice(("rejected", "ready", "paused", "ready"))
            self.note(f"{tag} is {status}")
            await self.fleet.status(tag, status)

    async def freeze_or_thaw(self) -> None:
        """Somebody says stop, or go on."""
        if self.freezes or self.chance.random() < 0.5:
            if not self.freezes:
                return
            self.note("thaw")
            try:
                await self.fleet.thaw(self.freezes.pop())
            except Conflict:
                self.note("  somebody was faster")
        else:
            self.note("freeze")
            self.freezes.append(await self.fleet.freeze())

    async def move_resource(self) -> None:
        """A host joins, leaves or changes place."""
        name = f"host-{self.chance.randrange(6)}"
        env = self.chance.choice(("staging", "production", "production", "nowhere"))
        self.note(f"{name} goes to {env}")
        await self.fleet.resource(name, env=env, zone="ab"[int(name[-1]) % 2])

    async def change_agent(self) -> None:
        """Another config for every target."""
        config = {"size": self.chance.randrange(3), "repeatUncertain": True}
        self.note(f"agent config {config}")
        async with self.fleet.tx() as tx:
            named = {"agent_id": self.fleet.agent_id, "name": "outside", "kind": "outside"}
            await save_agent(tx, self.fleet.workspace_id, **named, config=config, metadata={})

    async def change_policy(self) -> None:
        """Another rule somewhere; the limits of `PROD_RULES` stay."""
        kinds = ("deploymentWindow", "versionCooldown", "versionSelector", "environmentProgression")
        kind = self.chance.choice((*kinds, "deploymentDependency"))
        rules = [{kind: RULE_MAKERS[kind](Pick(self.chance.randrange(2**20)))}] if self.chance.random() < 0.5 else []
        if rules and kind == "deploymentDependency":
            rules[0][kind]["dependsOn"] = 'deployment.name == "billing" && !version.tag.contains("bad")'
        self.note(f"policy {rules}")
        await self.fleet.policy(
            "changing", rules or [{"retry": {"maxRetries": 2}}], selector='environment.name == "staging"'
        )

    async def pin_or_unpin(self) -> None:
        """Somebody wants an older version here, or no longer."""
        deployment_id = self.chance.choice(self.deployments)
        who = {"reason": "hold", "author_id": self.fleet.admin_id}
        async with self.fleet.tx() as tx:
            if self.pins:
                self.note("unpin")
                try:
                    await pins.remove_pin(tx, self.fleet.workspace_id, pin_id=self.pins.pop(), **who)
                except Conflict:
                    self.note("  somebody was faster")
                return
            row = await tx.conn.fetchrow(
                "SELECT id FROM version WHERE deployment_id = $1 AND status = 'ready' ORDER BY created_at LIMIT 1",
                deployment_id,
            )
            if row is None:
                return
            self.note("pin")
            place = {"environment_id": None, "target_id": None, "expires_at": None}
            version = {"deployment_id": deployment_id, "version_id": row["id"]}
            pin, _ = await pins.set_pin(tx, self.fleet.workspace_id, **version, **place, **who)
            self.pins.append(pin.id)

    async def order_or_withdraw(self) -> None:
        """Somebody asks for a redeploy, a force or a rollback, or takes one back."""
        async with self.store.read() as conn:
            standing, _ = await list_orders(conn, self.fleet.workspace_id, state="open")
        try:
            if standing and self.chance.random() < 0.3:
                order = self.chance.choice(standing)
                self.note(f"withdraw the {order.kind} of {order.resource}")
                async with self.fleet.tx() as tx:
                    named = {"order_id": order.id, "reason": "no", "principal_id": self.fleet.admin_id}
                    await withdraw_order(tx, self.fleet.workspace_id, **named)
            else:
                await self.order()
        except (Conflict, NotFound) as no:
            self.note(f"  {no}")

    async def order(self) -> None:
        """On one environment of a deployment, or on one host in it."""
        deployment_id, kind = (
            self.chance.choice(self.deployments),
            self.chance.choice(("redeploy", "force", "rollback")),
        )
        hosts = list(self.fleet.resources.values())
        where = Where(
            deployment_id,
            "some deployment",
            self.chance.choice((None, *self.fleet.environments.values())),
            self.chance.choice(hosts) if self.chance.random() < 0.7 else None,
        )
        tags = [tag for tag in self.tags.get(deployment_id, []) if tag in self.fleet.versions]
        async with self.fleet.tx() as tx:
            version = None
            if kind == "force" and tags:
                version_id = self.fleet.versions[self.chance.choice(tags)]
                version = await find_version(tx.conn, self.fleet.workspace_id, version_id=version_id)
            if kind == "force" and version is None:
                return
            self.clock.at += timedelta(microseconds=1)
            self.note(f"{kind} {where.scope}")
            await place_orders(
                tx,
                self.fleet.workspace_id,
                where,
                kind=kind,
                version=version,
                when=self.chance.choice(("now", "idle")),
                reason="by hand",
                expires_at=self.clock.at + timedelta(seconds=self.chance.choice((5, 60, 600))),
                principal_id=self.fleet.admin_id,
            )

    async def news(self) -> None:
        """The outside says something about a job by itself: again, or late, or out of order."""
        if not self.outside.runs:
            return
        run = self.chance.choice(list(self.outside.runs.values()))
        seen = self.outside.how(run)
        if self.chance.random() < 0.3:  # something it said before
            seen = Observation(JobStatus.IN_PROGRESS)
        self.note(f"news {run.job_id[:8]} {seen.status}")
        async with self.fleet.tx() as tx:
            job = await find_flow_job(tx.conn, run.job_id)
            if job is not None and (job.status is not JobStatus.PENDING or seen.status is not JobStatus.IN_PROGRESS):
                await apply_observation(tx, job, seen, source="webhook")

    # Steps ------------------------------------------------------------------------------------------------------------

    async def step(self) -> bool:
        """A worker takes a key that is due, and what then happens to it."""
        kinds = list(self.steps)
        self.chance.shuffle(kinds)
        async with self.store.read() as conn:
            claims: tuple[Claim, ...] = ()
            for kind in kinds:
                claims = claims or await claim_work(conn, [kind], items_max=1, owner=new_id(), lease_s=30.0)
        if not claims:
            return False
        await self.work_on(claims[0])
        return True

    async def work_on(self, claim: Claim) -> None:
        """What the loop does with a key, without its waiting."""
        self.note(f"{claim.kind} {claim.key[:8]}")
        while True:
            try:
                again_at = await self.steps[claim.kind](claim)
            except Stale as error:
                self.note(f"  stale: {error}")
                claim = replace(claim, stales=claim.stales + 1)
                if claim.stales >= STALES_MAX:
                    async with self.store.read() as conn:
                        await release_work(conn, [claim], owner=claim.owner)
                    return
            except Killed:
                async with self.store.read() as conn:  # its lease ends
                    await conn.execute(
                        "UPDATE work SET leased_until = clock_timestamp() WHERE kind = $1 AND key = $2 AND epoch = $3",
                        claim.kind,
                        claim.key,
                        claim.epoch,
                    )
                return
            except Unavailable as error:
                self.note(f"  unavailable: {error}")
                async with self.store.read() as conn:
                    await fail_work(conn, claim, error=str(error), backoff_first_s=0.5, backoff_max_s=5)
                return
            except (Refused, Rejected) as error:
                raise Broken(f"{claim.kind} {claim.key} would be buried: {error}") from error
            else:
                async with self.store.read() as conn:
                    await finish_work(conn, [Finished(claim, again_at)], owner=claim.owner)
                return

    async def fully_decided(self) -> None:
        """A round between which and its facts nothing comes, held against the pure world (law 9)."""
        if self.depth:
            return  # perhaps within a round of the same deployment, whose key only one has
        deployment_id = self.chance.choice(self.deployments)
        loaded = await load(self.store, deployment_id)
        moves_max = self.chance.choice((2000, 1))
        plan = decide(loaded.facts, loaded.now, moves_max=moves_max)
        shaky, self.shaky = self.shaky, False
        try:
            committed = await commit(self.store, loaded, plan)
            after = await load(self.store, deployment_id)
        finally:
            self.shaky = shaky
        self.note(f"law 9: {len(plan.moves)} moves, {len(plan.ends)} ends")
        assert_agrees(loaded, applied(loaded.facts, committed.plan, loaded.now), after)

    # Holding ----------------------------------------------------------------------------------------------------------

    async def check(self) -> None:
        """What must hold after every step."""
        async with self.store.read() as conn:
            row = await conn.fetchrow(MUST_NOT_BE, self.fleet.environments["production"])
        if row is not None:
            raise Broken(f"{row['what']}: {row['which']}")
        if self.chance.random() < 0.2:
            await self.sweep()

    async def sweep(self) -> None:
        """No wake-up is lost."""
        async with self.store.read() as conn:
            deployments = await list_all_deployments(conn)
        for deployment in deployments:
            lost = await sweep_deployment(self.store, deployment, counts=Counts())
            if lost is not None:
                raise Broken(f"a wake-up of {deployment.id} was lost: {lost}")

    async def come_to_rest(self, *, steps_max: int = 3000) -> None:
        """Everything that happens by itself happens, until only people could do something.

        Fails: `Broken` when it never ends.
        """
        self.shaky = False
        for _ in range(steps_max):
            if await self.step():
                continue
            async with self.store.read() as conn:
                row = await conn.fetchrow(AT_REST)
            if row is None or row["ready_at"] > self.clock.at + timedelta(minutes=25):  # a window that opens tomorrow
                return
            self.clock.at = max(self.clock.at, row["ready_at"]) + timedelta(microseconds=1)
        raise Broken("The yard never comes to rest.")

    async def make_peace(self) -> None:
        """Nothing is in the way any more: then a good version, approved by somebody, must get everywhere."""
        self.shaky = False
        while self.freezes or self.pins:
            await (self.freeze_or_thaw() if self.freezes else self.pin_or_unpin())
        await self.fleet.policy("changing", [{"retry": {"maxRetries": 2}}], selector="false")
        for number, deployment_id in enumerate(self.deployments):
            self.clock.at += timedelta(microseconds=1)
            await self.fleet.version(f"{number}.last", deployment_id=deployment_id)
            await self.fleet.answer(f"{number}.last", "production", "approved", by=self.people[0])
        await self.come_to_rest()
        async with self.store.read() as conn:
            rows = await conn.fetch(LEFT_BEHIND)
        if rows:
            raise Broken(f"left behind: {[dict(row) for row in rows]}")


def assert_agrees(before: Loaded, expected: Facts, after: Loaded) -> None:
    """Law 9: the facts that the store loads after a commit are those that the pure world expects.

    What a snapshot no longer looks at may be missing: history of versions that no target may take any more, and the
    policies of targets that no longer count. Generation, fences and the instants of unchanged rows are not content.
    """
    found = after.facts
    landed = {key: one for key, one in expected.landed_by_target_version.items() if key[1] in after.concerned}
    ended = {key: one for key, one in expected.ended_by_target_version.items() if key[1] in after.concerned}
    leaving = counted_leaving(expected.leaving, expected.moves, expected.rollouts, (*landed, *ended))
    sets = {target.policy_set for target in (*expected.targets.values(), *leaving.values())}
    named = {policy_id for set_id, ids in expected.policy_sets.items() if set_id in sets for policy_id in ids}
    answers = {
        key: words for key, words in expected.approvals_by_version_environment.items() if key[0] in after.concerned
    }
    if not found.requests <= expected.requests:
        raise Broken(f"requests {found.requests - expected.requests}")
    keys = keys_read(one for key, one in expected.policies.items() if key in named)
    labels = {
        target_id: {key: value for key, value in mine.items() if key in keys}
        for target_id, mine in labels_of(expected.labels_by_target, (*expected.targets, *leaving)).items()
    }
    need = needed(found.versions, found.policies.values())
    same = replace(
        expected,
        elsewhere=narrowed(expected.elsewhere, need, found.targets),
        labels_by_target={target_id: mine for target_id, mine in labels.items() if mine},
        landed_by_target_version=landed,
        ended_by_target_version=ended,
        leaving=leaving,
        policy_sets={key: ids for key, ids in expected.policy_sets.items() if key in sets},
        policies={key: one for key, one in expected.policies.items() if key in named},
        approvals_by_version_environment=answers,
        requests=found.requests,
        generation=found.generation,
        fence=found.fence,
        decided_by_target={
            key: replace(one, since=found.decided_by_target[key].since) if key in found.decided_by_target else one
            for key, one in expected.decided_by_target.items()
        },
    )
    left, right = in_order(same), in_order(found)
    if left == right:
        return
    for name in Facts.__dataclass_fields__:
        one, other = getattr(left, name), getattr(right, name)
        if one != other:
            if isinstance(one, Mapping) and isinstance(other, Mapping):
                one, other = _unlike(one, other), _unlike(other, one)
            raise Broken(f"{name}: expected {one!r}, found {other!r}")


def _unlike(one: Mapping[Any, object], other: Mapping[Any, object]) -> dict[Any, object]:
    return {key: value for key, value in one.items() if key not in other or other[key] != value}


async def a_yard(seed: int, database_url: str) -> Yard:
    """A yard, and what has happened before it is looked at: one good version runs nowhere yet."""
    clock, chance = Clock(), Random(seed)
    store = await ShakyStore.open(database_url, clock=clock)
    assert isinstance(store, ShakyStore)
    hosts = {f"host-{n}": "staging" if n < 2 else "production" for n in range(5)}
    fleet = await a_fleet(store, hosts, agent_type="outside", agent_config={"size": 0, "repeatUncertain": True})
    async with store.read() as conn:
        await conn.execute(GUARDS)
    deployments = [fleet.deployment_id, await fleet.deployment("billing"), await fleet.deployment("search")]
    people = [await a_member(fleet, name) for name in ("ann", "bob")]
    yard = Yard(seed, store, clock, fleet, deployments, people, chance)
    yard.outside = Outside(yard, chance.choice((AgentClass.KEYED, AgentClass.FINDABLE)))
    yard.flow = Flow(store, {"outside": yard.outside}, {"sleep": Metric(Probe(yard), GoTemplates())}, round_gap_s=0.0)
    yard.steps = {kind: step for kinds, step in steps_by_kinds(yard.flow).items() for kind in kinds}
    await fleet.policy("limits", LIMITS, selector='environment.name == "production"')
    rules = [*PROD_RULES, PACES[seed % len(PACES)]]
    await fleet.policy("production", rules, selector='environment.name == "production"')
    for number, (name, env) in enumerate(hosts.items()):
        await fleet.resource(name, env=env, zone="ab"[number % 2])
    store.yard = yard
    return yard
