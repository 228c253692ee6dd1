"""How does a reading of how full something is become a fact? Post, list, forget.

A reading is stored with each post, and asks for nothing; another level, or a signal that was not known before, is an
own fact of the deployment: it bumps its fence and asks for its round. When a reading gets too old nothing is written:
that instant stands in the fact, and a round that rested on it wakes by itself.

Source: core.md section 2 (own facts, facts from outside).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from interlock.model.errors import Conflict, NotFound
from interlock.model.event import Event, Ref
from interlock.model.saturation import SIGNALS_MAX, UNKNOWN, level_of
from interlock.store.deployments import lock_deployment, touch
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one
from interlock.store.tx import Change, Tx
from interlock.store.work import PEOPLE, WorkRequest

Q = queries("saturation")


@dataclass(frozen=True, slots=True)
class StoredSaturation:
    """A signal as it was last read. `fresh`: the reading counts still."""

    name: str
    environment_id: str | None
    environment: str | None
    value: float
    high_above: float
    saturated_above: float
    level: str
    since: datetime
    observed_at: datetime
    fresh_until: datetime
    source: str
    fresh: bool


@dataclass(frozen=True, slots=True)
class Posted:
    """A reading as somebody posts it. `environment_id` None: it counts everywhere."""

    name: str
    value: float
    high_above: float
    saturated_above: float
    observed_at: datetime
    fresh_until: datetime
    source: str
    environment_id: str | None = None


async def list_saturations(conn: Conn, deployment_id: str) -> tuple[StoredSaturation, ...]:
    """What is read of a deployment, by name."""
    return many(StoredSaturation, await conn.fetch(Q.list_saturations, deployment_id))


async def post_saturation(
    tx: Tx, workspace_id: str, *, deployment_id: str, posted: Posted, author_id: str
) -> tuple[StoredSaturation, bool]:
    """Keep a reading. One that was made before the one that is known changes nothing.

    Gives: the signal as it stands, and whether that is another level than before.
    Fails: `Conflict` when the deployment has too many signals.
    """
    await lock_deployment(tx, deployment_id)
    key = (deployment_id, posted.name, posted.environment_id)
    known = one(StoredSaturation, await tx.conn.fetchrow(Q.find_saturation, *key))
    if known is None and await tx.conn.fetchval(Q.count_saturations, deployment_id) >= SIGNALS_MAX:
        raise Conflict(f"A deployment has at most {SIGNALS_MAX} signals.", code="TOO_MANY")
    if known is not None and posted.observed_at < known.observed_at:
        return known, False
    level = level_of(posted.value, high_above=posted.high_above, saturated_above=posted.saturated_above)
    before = known.level if known is not None and known.fresh else UNKNOWN
    changed = level != before
    since = known.since if known is not None and not changed else await tx.conn.fetchval(Q.now)
    row = (
        *(workspace_id, deployment_id, posted.environment_id, posted.name, posted.value),
        *(posted.high_above, posted.saturated_above, level, since, posted.observed_at, posted.fresh_until),
        *(posted.source, author_id),
    )
    changes = [Change(Q.save_saturation, row)]
    if changed:
        changes.append(touch(deployment_id, takes_away=True))
    events = [_event(deployment_id, posted.name, posted.environment_id, before, level)] if changed else []
    wakes = [WorkRequest("round", deployment_id, workspace_id, None, PEOPLE)] if changed else []
    await tx.record(changes, events=events, wakes=wakes)
    stored = one(StoredSaturation, await tx.conn.fetchrow(Q.find_saturation, *key))
    assert stored is not None, "just written in this transaction"
    return stored, changed


async def forget_saturation(
    tx: Tx, workspace_id: str, *, deployment_id: str, name: str, environment_id: str | None
) -> StoredSaturation:
    """Nobody reads a signal any more.

    Fails: `NotFound`.
    """
    await lock_deployment(tx, deployment_id)
    key = (deployment_id, name, environment_id)
    known = one(StoredSaturation, await tx.conn.fetchrow(Q.find_saturation, *key))
    if known is None:
        raise NotFound("Nothing of that name is read of this deployment there.")
    await tx.record(
        [Change(Q.delete_saturation, key), touch(deployment_id, takes_away=True)],
        events=[_event(deployment_id, name, environment_id, known.level, None)],
        wakes=[WorkRequest("round", deployment_id, workspace_id, None, PEOPLE)],
    )
    return known


def _event(deployment_id: str, name: str, environment_id: str | None, before: str, after: str | None) -> Event:
    refs = (Ref("environment", environment_id),) if environment_id else ()
    body: dict[str, object] = {"signal": name, "from": before, "to": after}
    return Event("saturation.changed", Ref("deployment", deployment_id), body, refs=refs)
