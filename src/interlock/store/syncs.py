"""How does a provider's set become resources? By comparing digests, and writing only what differs.

A provider sends everything that it offers. Each resource is held as the bytes of its content and their digest; the
database compares digests and answers with the differences, so that an unchanged sync of 100,000 writes nothing and one
with a hundred changes writes a hundred rows and a hundred events.

What another provider offers stays the other's: the answer names it, and the ledger hears once when that begins or ends.
What nobody offers is adopted. What this one offered and does not any more is deleted, but not by accident: a set that
would remove more than `remove_max` resources *and* more than half of what the provider offers is refused, unless the
client says that it means it.

All or nothing: the whole set is checked before anything is written, and what is refused wrote nothing. Up to
`PIECE_MAX` differences are one transaction. A larger set is written in pieces of as many, each with its ledger rows,
because one transaction of 100,000 rows would keep the ledger from moving on and others from their rows. New and changed
resources come first and removals last, so a set that is cut off between two pieces (the process died) has removed
nothing that it did not replace, and the next set, which again holds everything, finishes it. `provider.synced` comes
with the last piece. Two sets of one provider take turns.

The order of the last set is kept apart, in one row: one client compares lists, and a source that lists in another order
each time must not rewrite 100,000 resources.

Source: contract.md section e, "Provider set"; DESIGN.md section 9 (100,000 resources synced again in 5 s).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import asyncpg
import orjson

from interlock.clock import monotonic_s
from interlock.model.errors import Conflict, Stale
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.store import targets
from interlock.store.endings import end_what_concerns
from interlock.store.matching import match_after
from interlock.store.providers import count_resources, lock_provider
from interlock.store.queries import Conn, queries
from interlock.store.resources import created
from interlock.store.tx import Change, Store, Tx
from interlock.store.work import WorkRequest

Q = queries("sync")

MATCHED_AT_ONCE_MAX = 1_000
"""A set that changes more than this is matched by the worker alone (core.md 2)."""

PIECE_MAX = 5_000
"""Differences that one transaction writes: about a third of a second."""

SLICE = 1_000
"""Resources that are looked at in one go before the process serves others: a few milliseconds."""

TURN_WAIT_S = 30.0
TURN_LOOK_S = 0.1

LOOK_AFTER_S = 30.0
"""When the worker looks at the pieces that have come, should the last one, which asks for it at once, never come."""

NAMED_MAX = 100
"""As many contested resources as an event or an answer names."""

OpenTx = Callable[[], AbstractAsyncContextManager[Tx]]


@dataclass(frozen=True, slots=True)
class Offered:
    """One resource of a set: its content as canonical bytes `[name, kind, version, config, metadata]`."""

    identifier: str
    kind: str
    said: bytes

    @property
    def digest(self) -> str:
        """Tells whether two contents are the same; as `ResourceContent.digest`."""
        return hashlib.sha256(self.said).hexdigest()


@dataclass(frozen=True, slots=True)
class Contested:
    """A resource of a set that another provider owns."""

    identifier: str
    provider_id: str
    provider: str


@dataclass(frozen=True, slots=True)
class SetOutcome:
    """What a set did, in counts, and what it left to others."""

    created: int = 0
    changed: int = 0
    adopted: int = 0
    deleted: int = 0
    contested: tuple[Contested, ...] = ()


@dataclass(frozen=True, slots=True)
class _Row:
    """One difference: what is offered (None: not any more), the row that it concerns, and what had the name before."""

    id: str
    identifier: str
    offered: Offered | None = None
    formerly: str | None = None


@dataclass(frozen=True, slots=True)
class _Difference:
    created: Sequence[_Row]
    changed: Sequence[_Row]
    adopted: Sequence[_Row]
    unwanted: Sequence[_Row]
    contested: tuple[Contested, ...]
    offered_before: int

    @property
    def rows(self) -> int:
        """How many rows differ."""
        return len(self.created) + len(self.changed) + len(self.adopted) + len(self.unwanted)

    def pieces(self) -> Iterator[_Difference]:
        """The same in parts of at most `PIECE_MAX` rows; removals last."""
        kinds = ("created", "changed", "adopted", "unwanted")
        rows = [(kind, row) for kind in kinds for row in getattr(self, kind)]
        for begin in range(0, len(rows), PIECE_MAX):
            part: dict[str, list[_Row]] = {kind: [] for kind in kinds}
            for kind, row in rows[begin : begin + PIECE_MAX]:
                part[kind].append(row)
            yield _Difference(**part, contested=self.contested, offered_before=self.offered_before)


async def set_resources(
    store: Store,
    open_tx: OpenTx,
    workspace_id: str,
    *,
    provider_id: str,
    offered: Iterable[Offered],
    remove_max: int,
    removal_allowed: bool = False,
) -> SetOutcome:
    """Make what a provider offers exactly these, in this order. An identifier that comes twice counts as it came last.

    Takes: `open_tx` opens one transaction in the caller's name. `removal_allowed`: the client means a mass removal.
    Fails: `NotFound` for an unknown provider; `Conflict` MASS_REMOVAL, and SYNC_RUNNING when another set of the
           provider does not end in time; `Stale` when another provider took a new identifier at the same moment.
    Costs: one comparison in the database, and a transaction for each 5,000 differences.
    """
    wanted = {one.identifier: one for one in offered}
    async with _turn(store, provider_id):
        async with open_tx() as tx:
            provider = await lock_provider(tx, workspace_id, provider_id=provider_id)
            difference = await _compare(tx.conn, workspace_id, provider_id=provider_id, wanted=wanted)
            mass = _is_mass_removal(difference, remove_max=remove_max)
            if mass and not removal_allowed:
                raise _refused(difference, provider.name, remove_max=remove_max)
            look = _look(workspace_id, provider_id, await tx.conn.fetchval(Q.now))
            if difference.rows <= PIECE_MAX:
                outcome = await _write(tx, workspace_id, provider_id, difference, look)
                await _finish(tx, workspace_id, provider_id, wanted, outcome, look, mass=mass)
                return outcome
        outcome = SetOutcome(contested=difference.contested)
        for piece in difference.pieces():
            async with open_tx() as tx:
                outcome = _sum(outcome, await _write(tx, workspace_id, provider_id, piece, look))
        async with open_tx() as tx:
            await lock_provider(tx, workspace_id, provider_id=provider_id)
            await _finish(tx, workspace_id, provider_id, wanted, outcome, look, mass=mass)
        return outcome


def _look(workspace_id: str, provider_id: str, since_at: datetime) -> WorkRequest:
    """The look at everything of a provider that was touched since an instant, should the end of its set never come."""
    key = f"provider:{provider_id},{since_at.isoformat()}"
    return WorkRequest("match", key, workspace_id, since_at + timedelta(seconds=LOOK_AFTER_S))


@asynccontextmanager
async def _turn(store: Store, provider_id: str) -> AsyncIterator[None]:
    """Sets of one provider come one after the other, whatever number of transactions each needs.

    Why:    a lock of the session, not of a row: it lasts longer than a transaction and ends with its connection.
    Fails:  `Conflict` when the one before does not end in time.
    """
    began_s = monotonic_s()
    while True:
        async with store.read() as conn:
            if await conn.fetchval(Q.take_turn, provider_id):
                try:
                    yield
                finally:
                    await conn.execute(Q.end_turn, provider_id)
                return
        if monotonic_s() - began_s > TURN_WAIT_S:
            raise Conflict(
                f"Another set of this provider has been running for {TURN_WAIT_S:g} s. Try again when it is done.",
                code="SYNC_RUNNING",
            )
        await asyncio.sleep(TURN_LOOK_S)


async def _compare(conn: Conn, workspace_id: str, *, provider_id: str, wanted: Mapping[str, Offered]) -> _Difference:
    """Where the set and the rows differ. The database compares; what is the same does not leave it."""
    identifiers, inventory, digests = list(wanted), list(wanted.values()), []
    for number, each in enumerate(inventory):
        digests.append(each.digest)
        if number % SLICE == 0:
            await asyncio.sleep(0)  # others are served meanwhile
    created, changed, adopted, contested = [], [], [], []
    large = len(identifiers) > SLICE
    if large:  # a table that has just grown looks small to the planner, which then loops over both
        await conn.execute("SET LOCAL enable_nestloop = off")
    rows = await conn.fetch(Q.compare_set, workspace_id, provider_id, identifiers, digests)
    if large:
        await conn.execute("SET LOCAL enable_nestloop = on")
    for number, row in enumerate(rows):
        if number % SLICE == 0:
            await asyncio.sleep(0)
        one = inventory[row["place"] - 1]
        owner = row["provider_id"]
        if row["id"] is None:
            created.append(_Row(new_id(), one.identifier, one, row["formerly"]))
        elif owner not in (None, provider_id):
            contested.append(Contested(one.identifier, owner, row["provider"]))
        elif row["differs"]:
            changed.append(_Row(row["id"], one.identifier, one))
        else:
            adopted.append(_Row(row["id"], one.identifier, one))
    unwanted = [
        _Row(row["id"], row["identifier"]) for row in await conn.fetch(Q.list_unwanted, provider_id, identifiers)
    ]
    before = await count_resources(conn, provider_id)
    return _Difference(created, changed, adopted, unwanted, tuple(contested), before)


def _is_mass_removal(difference: _Difference, *, remove_max: int) -> bool:
    removed = len(difference.unwanted)
    return removed > remove_max and removed * 2 > difference.offered_before


def _refused(difference: _Difference, provider: str, *, remove_max: int) -> Conflict:
    removed = len(difference.unwanted)
    return Conflict(
        f"This set would remove {removed} of the {difference.offered_before} resources of provider {provider}: more "
        f"than {remove_max}, and more than half. Nothing was changed. If that is meant, send the header "
        "X-Interlock-Allow-Removal: true.",
        code="MASS_REMOVAL",
        details={
            "removed": removed,
            "offered": difference.offered_before,
            "removeMax": remove_max,
            "examples": [row.identifier for row in difference.unwanted[:10]],
        },
    )


async def _write(tx: Tx, workspace_id: str, provider_id: str, piece: _Difference, look: WorkRequest) -> SetOutcome:
    """One piece: rows, their events, and the looks at their targets."""
    events: list[Event] = []
    if piece.created:
        with _somebody_was_first():
            await tx.record([Change(Q.insert_offered, (workspace_id, provider_id, *_columns(piece.created)))])
        events += [_created(row) for row in piece.created]
    changed = await _touched(tx, Q.update_offered, provider_id, piece.changed)
    events += [_told("resource.changed", row) for row in changed]
    adopted = await _touched(tx, Q.adopt_offered, provider_id, piece.adopted)
    events += [_told("resource.adopted", row, provider_id) for row in adopted]
    unwanted = [row.id for row in piece.unwanted]
    await end_what_concerns(tx, workspace_id, kind="resource", ids=unwanted)
    deleted = await _touched(tx, Q.delete_offered, provider_id, piece.unwanted)
    events += [_told("resource.deleted", row) for row in deleted]
    changes = [Change(Q.delete_variables, (unwanted,))] if unwanted else []
    await tx.record(changes, events=events)
    touched = sorted(row.id for row in (*piece.created, *changed, *adopted, *deleted))
    if 0 < len(touched) <= MATCHED_AT_ONCE_MAX and piece.rows < PIECE_MAX:
        await match_after(tx, workspace_id, touched=targets.Touched(resources=tuple(touched)))
    elif touched:
        await tx.record(wakes=[look])
    return SetOutcome(len(piece.created), len(changed), len(adopted), len(deleted), piece.contested)


async def _touched(tx: Tx, query: str, provider_id: str, rows: Sequence[_Row]) -> list[_Row]:
    """Write some rows; gives those that were still there to be written."""
    if not rows:
        return []
    ids, said, _, digests = _columns(rows)
    args = (ids, said, digests) if query == Q.update_offered else (ids,)
    found = {row["id"] for row in await tx.conn.fetch(query, provider_id, *args)}
    return [row for row in rows if row.id in found]


def _columns(rows: Sequence[_Row]) -> tuple[list[str], list[object], list[str], list[str]]:
    offered = [row.offered for row in rows if row.offered is not None]
    return (
        [row.id for row in rows],
        [orjson.Fragment(one.said) for one in offered],
        [one.identifier for one in offered],
        [one.digest for one in offered],
    )


@contextmanager
def _somebody_was_first() -> Iterator[None]:
    """Two providers that bring the same new identifier at once: the second compares again, and finds it the other's."""
    try:
        yield
    except asyncpg.UniqueViolationError as cause:
        raise Stale(f"Somebody else made a resource of this set at the same moment: {cause}") from cause


def _created(row: _Row) -> Event:
    assert row.offered is not None, "what is created is offered"
    return created(row.id, row.identifier, kind=row.offered.kind, formerly=row.formerly)


def _told(kind: str, row: _Row, provider_id: str | None = None) -> Event:
    refs = () if provider_id is None else (Ref("provider", provider_id),)
    return Event(kind, Ref("resource", row.id), {"identifier": row.identifier}, refs)


async def _finish(
    tx: Tx,
    workspace_id: str,
    provider_id: str,
    wanted: Mapping[str, Offered],
    outcome: SetOutcome,
    look: WorkRequest,
    *,
    mass: bool,
) -> None:
    """What belongs to the set as a whole: its order, what others own of it, and that it was synced."""
    stored = await tx.conn.fetchrow(Q.find_synced, provider_id)
    assert stored is not None, "the provider's row is locked"
    order_digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
    contested = {one.identifier: one.provider for one in outcome.contested[:NAMED_MAX]}
    wrote = outcome.created + outcome.changed + outcome.adopted + outcome.deleted
    changes: list[Change] = []
    events: list[Event] = []
    if wrote or stored["order_digest"] != order_digest:
        changes.append(Change(Q.save_order, (workspace_id, provider_id, list(wanted))))
    if contested != stored["contested"]:
        body = {"resources": len(outcome.contested), "owners": contested}
        events.append(Event("provider.contested", Ref("provider", provider_id), body))
    if stored["order_digest"] != order_digest or contested != stored["contested"]:
        changes.append(Change(Q.set_synced, (provider_id, order_digest, contested)))
    if wrote:
        counts = {
            "created": outcome.created,
            "changed": outcome.changed,
            "adopted": outcome.adopted,
            "deleted": outcome.deleted,
        }
        more: dict[str, object] = {"removalAllowed": True} if mass else {}
        events.append(Event("provider.synced", Ref("provider", provider_id), {**counts, **more}))
    wakes = []
    if wrote > MATCHED_AT_ONCE_MAX:
        wakes = [replace(look, ready_at=None), WorkRequest("match", f"references:{workspace_id}", workspace_id)]
    await tx.record(changes, events=events, wakes=wakes)


def _sum(so_far: SetOutcome, piece: SetOutcome) -> SetOutcome:
    return SetOutcome(
        so_far.created + piece.created,
        so_far.changed + piece.changed,
        so_far.adopted + piece.adopted,
        so_far.deleted + piece.deleted,
        so_far.contested,
    )


async def list_touched(conn: Conn, provider_id: str, *, since_at: datetime) -> tuple[str, ...]:
    """The ids of what a provider offers or offered that was touched since an instant, in id order."""
    return tuple(row["id"] for row in await conn.fetch(Q.list_touched, provider_id, since_at))
