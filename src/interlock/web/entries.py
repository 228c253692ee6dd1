"""How does an event look to a reader? With the names that who acted and what it is about have today.

For a stream, a page of the ledger and a delivery alike. It knows no request: a worker that tells of events does not
load what serves them.

Source: core.md section 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired

from typing_extensions import TypedDict

from interlock.model.event import Ref
from interlock.store.ledger import FeedEntry
from interlock.store.pages import load_names
from interlock.store.queries import Conn
from interlock.web.answers import instant, present
from interlock.web.shapes import AnyObject, Instant

Wire = dict[str, object]


class WhoActed(TypedDict):
    """Who did it, with the name of today."""

    kind: str
    id: str
    name: NotRequired[str]


class Thing(TypedDict):
    """What it is about, with the name that it has today."""

    kind: str
    id: str
    name: NotRequired[str]


class LedgerEntry(TypedDict):
    """One event at its place in the feed."""

    seq: int
    id: str
    kind: str
    schemaVersion: int
    at: Instant
    actor: WhoActed
    cause: str
    subject: Thing
    refs: list[Thing]
    decisionId: NotRequired[str]
    chain: NotRequired[str]
    traceId: NotRequired[str]
    body: AnyObject
    digest: str


async def render_entries(conn: Conn, entries: Sequence[FeedEntry]) -> list[Wire]:
    """Entries on the wire, with the names that the people who acted and the things they are about have today."""
    ids = {ref.id for entry in entries for ref in entry.refs} | {entry.actor.id for entry in entries}
    names = await load_names(conn, sorted(ids))
    return [_rendered(entry, names=names) for entry in entries]


def _rendered(entry: FeedEntry, *, names: Mapping[str, str]) -> Wire:
    return present(
        seq=entry.seq,
        id=entry.event_id,
        kind=entry.kind,
        schemaVersion=entry.schema_version,
        at=instant(entry.at),
        actor=present(kind=entry.actor.kind, id=entry.actor.id, name=names.get(entry.actor.id) or entry.actor.name),
        cause=entry.cause,
        subject=_named(entry.subject, names),
        refs=[_named(ref, names) for ref in entry.refs[1:]],
        decisionId=entry.decision_id,
        chain=entry.chain,
        traceId=entry.trace_id,
        body=entry.body,
        digest=entry.digest,
    )


def _named(ref: Ref, names: Mapping[str, str]) -> Wire:
    return present(kind=ref.kind, id=ref.id, name=names.get(ref.id))
