"""Which keys need a look, and who has them? One table, level-triggered: "this key needs a look, no later than T".

- Asking (`request_work`) is part of the transaction that writes the fact. Asking twice is asking once; asking earlier
  brings it forward, but not over a back-off; asking during a run has it looked at again afterwards.
- Taking (`claim_work`) leases up to as many keys as there are free slots. A killed worker's keys are taken by others
  when the lease ends. Two workers never have one key, and every claim has an epoch, so a slow worker's commit finds
  that it lost.
- After too many failures an item is *buried*: shown, and tried again only when asked for, at most once a minute.

Every statement that waits for several of these rows takes them in (kind, key) order, after every other lock of its
transaction.

What the kinds mean is said where they are worked on (`workers/`). This file decides nothing.

Source: core.md section 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from interlock.model.errors import Bug, NotFound, Stale
from interlock.store.queries import Conn, queries

Q = queries("work")

PEOPLE = 10
OWN_FACTS = 30
FAN_OUT = 50
SWEEP = 90
PRIORITIES = (PEOPLE, OWN_FACTS, FAN_OUT, SWEEP)
"""Lower goes first: what a person waits for, a deployment's own facts, facts of others, self-checks."""

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 60.0

_EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class WorkRequest:
    """Ask for a look at `kind`'s `key`, no later than `ready_at` (None: now)."""

    kind: str
    key: str
    workspace_id: str | None = None
    ready_at: datetime | None = None
    priority: int = FAN_OUT

    def __post_init__(self) -> None:
        if self.priority not in PRIORITIES:
            raise Bug(f"A priority is one of {PRIORITIES}, not {self.priority}.")


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that a worker has until its lease ends.

    Takes: `attempts` are the failures in a row before this run. `recovered`: the worker before did not come back,
           which counts as one. `stales` are the lost races in a row during this claim: the third try may want to lock
           first. `lane`: whose look it is; of one lane only so many go at once.
    """

    kind: str
    key: str
    workspace_id: str | None
    owner: str
    epoch: int
    attempts: int
    ready_at: datetime
    recovered: bool = False
    stales: int = 0
    lane: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """A claim whose run is over; `again_at` asks for another look."""

    claim: Claim
    again_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One row as a person sees it. `state` is due, waiting, running or buried."""

    kind: str
    key: str
    workspace_id: str | None
    priority: int
    ready_at: datetime
    again_at: datetime | None
    backoff_until: datetime | None
    owner: str | None
    leased_until: datetime | None
    attempts: int
    last_error: str | None
    buried_at: datetime | None
    dug_up_at: datetime | None
    state: str


@dataclass(frozen=True, slots=True)
class WorkDepth:
    """How much of one kind there is; `oldest_s` is how long the longest-due item has waited."""

    kind: str
    due: int
    waiting: int
    running: int
    buried: int
    oldest_s: float


def joined_requests(requests: Iterable[WorkRequest]) -> tuple[WorkRequest, ...]:
    """One request per key: the earliest instant, the most urgent priority; sorted by (kind, key)."""
    joined: dict[tuple[str, str], WorkRequest] = {}
    for request in requests:
        other = joined.get((request.kind, request.key))
        if other is not None:
            at = None if None in {request.ready_at, other.ready_at} else min(_at(request), _at(other))
            request = replace(request, ready_at=at, priority=min(request.priority, other.priority))
        joined[request.kind, request.key] = request
    return tuple(joined[key] for key in sorted(joined))


def _at(request: WorkRequest) -> datetime:
    return request.ready_at or _EARLIEST


async def request_work(conn: Conn, requests: Iterable[WorkRequest]) -> None:
    """Ask for a look at each key, in the caller's transaction and at its end. `Tx.record` calls this."""
    rows = joined_requests(requests)
    if rows:
        await conn.execute(
            Q.request_work,
            [row.kind for row in rows],
            [row.key for row in rows],
            [row.workspace_id for row in rows],
            [row.priority for row in rows],
            [row.ready_at for row in rows],
        )


async def claim_work(
    conn: Conn, kinds: Sequence[str], *, items_max: int, owner: str, lease_s: float, but_lanes: Sequence[str] = ()
) -> tuple[Claim, ...]:
    """Take up to `items_max` due keys of these kinds, most urgent first; also those whose worker's lease has ended.

    Takes: `but_lanes` are passed over.
    """
    rows = await conn.fetch(Q.claim_work, list(kinds), items_max, owner, lease_s, list(but_lanes))
    return tuple(Claim(**dict(row)) for row in rows)


async def find_next_ready_s(conn: Conn, kinds: Sequence[str]) -> float | None:
    """Seconds until the next waiting item of these kinds becomes due; None when none will by itself."""
    seconds: float | None = await conn.fetchval(Q.find_next_ready, list(kinds))
    return seconds


async def renew_work(conn: Conn, claims: Sequence[Claim], *, owner: str, lease_s: float) -> int:
    """Extend the leases of what is really in flight. Gives how many were; a row that is locked just now is not."""
    if not claims:
        return 0
    return len(await conn.fetch(Q.renew_work, owner, *_columns(claims), lease_s))


async def finish_work(
    conn: Conn, finished: Sequence[Finished], *, owner: str
) -> dict[tuple[str, str], datetime | None]:
    """Take finished keys off the table, or hand them on when they were asked for again.

    Gives: the keys that were still ours, with the instant at which each is looked at again (None: done).
    """
    if not finished:
        return {}
    rows = await conn.fetch(
        Q.finish_work,
        owner,
        *_columns([each.claim for each in finished]),
        [each.again_at for each in finished],
    )
    return {(row["kind"], row["key"]): row["again_at"] for row in rows}


async def fail_work(
    conn: Conn,
    claim: Claim,
    *,
    error: str,
    attempts_max: int | None = None,
    bury: bool = False,
    retry_after_s: float | None = None,
    backoff_first_s: float = BACKOFF_FIRST_S,
    backoff_max_s: float = BACKOFF_MAX_S,
) -> bool:
    """Count a failure and let the key wait, or bury it.

    Takes: `attempts_max` None means never bury for the number of failures; `retry_after_s` (an hour at most) replaces
           the back-off.
    Gives: whether it lies buried now. A claim that was lost changes nothing.
    """
    row = await conn.fetchrow(
        Q.fail_work,
        claim.owner,
        claim.kind,
        claim.key,
        claim.epoch,
        error,
        attempts_max,
        bury,
        retry_after_s,
        backoff_first_s,
        backoff_max_s,
    )
    return row is not None and bool(row["buried"])


async def release_work(conn: Conn, claims: Sequence[Claim], *, owner: str, delay_s: float = 0.0) -> int:
    """Give claims back undone, due again after `delay_s`. No failure is counted. Gives how many were still ours."""
    if not claims:
        return 0
    return len(await conn.fetch(Q.release_work, owner, *_columns(claims), delay_s))


async def dig_up_work(conn: Conn, kinds: Sequence[str]) -> None:
    """Dig up what was asked for while it lay buried and whose minute has passed."""
    await conn.execute(Q.dig_up_work, list(kinds))


async def assert_claim(conn: Conn, claim: Claim) -> None:
    """Look whether the claim is still ours, without a lock: to stop early, not to be sure.

    Why:    to be sure a transaction must lock the row, and work rows are locked last of all; `store.tx(claim=…)` does
            that.
    Fails:  `Stale` when it is not.
    """
    if not await conn.fetchval(Q.find_claim, claim.kind, claim.key, claim.owner, claim.epoch):
        raise lost_claim(claim)


async def lock_claims(conn: Conn, claims: Sequence[Claim], requests: Sequence[WorkRequest]) -> None:
    """Lock the claims' rows, and those of the requests that follow, in order: they are ours until the transaction ends.

    Fails: `Stale` when one is not ours any more.
    """
    keys = sorted({*((each.kind, each.key) for each in claims), *((each.kind, each.key) for each in requests)})
    rows = await conn.fetch(Q.lock_work, [kind for kind, _ in keys], [key for _, key in keys])
    held = {(row["kind"], row["key"], row["owner"], row["epoch"]) for row in rows}
    for claim in claims:
        if (claim.kind, claim.key, claim.owner, claim.epoch) not in held:
            raise lost_claim(claim)


def lost_claim(claim: Claim) -> Stale:
    """What a worker hears that was too slow."""
    return Stale(f"{claim.kind} {claim.key} is not this worker's any more (epoch {claim.epoch}).")


async def list_work(
    conn: Conn, *, kind: str | None = None, state: str | None = None, rows_max: int = 200
) -> tuple[WorkItem, ...]:
    """Items for a person: buried ones first, then most urgent."""
    rows = await conn.fetch(Q.list_work, kind, state, rows_max)
    return tuple(WorkItem(**dict(row)) for row in rows)


async def retry_work(conn: Conn, kind: str, key: str) -> None:
    """Have a key looked at now: dug up, its failures and back-off forgotten.

    Fails: `NotFound`.
    """
    if await conn.fetchval(Q.retry_work, kind, key) is None:
        raise NotFound(f"There is no work {kind} {key}.")


async def bury_work(conn: Conn, kind: str, key: str, *, reason: str) -> None:
    """Put a key aside until it is retried or asked for. A worker that has it cannot commit any more.

    Fails: `NotFound`.
    """
    if await conn.fetchval(Q.bury_work, kind, key, reason) is None:
        raise NotFound(f"There is no work {kind} {key}.")


async def measure_work(conn: Conn) -> tuple[WorkDepth, ...]:
    """Depth and age per kind, for /metrics and health."""
    return tuple(WorkDepth(**dict(row)) for row in await conn.fetch(Q.measure_work))


def _columns(claims: Sequence[Claim]) -> tuple[list[str], list[str], list[int]]:
    return [claim.kind for claim in claims], [claim.key for claim in claims], [claim.epoch for claim in claims]
