"""How does an entry of the ledger read? A title, the place in names, what changed, and who did it.

The catalogue in `model/event.py` explains each kind; here it is said of one thing. What no line below knows is shown
by its kind and body, so that a new kind of event never makes a page fail.

Source: core.md section 7; model/event.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from interlock.console.rendering import segment
from interlock.model.event import KINDS
from interlock.model.ids import is_id
from interlock.model.policy_senders import told_dropped
from interlock.store import pages
from interlock.store.ledger import FeedEntry
from interlock.store.queries import Conn

At = Callable[..., str]

HEARD: Mapping[str, str] = {
    "rollout.halted": "The rollout of {version} in {environment} halted.",
    "rollout.completed": "The rollout of {version} in {environment} is complete.",
    "rollback.started": "{target} goes back to {version}.",
    "rollback.escalated": "A rollback did not help: a person must act.",
    "approval.requested": "Approval of {version} in {environment} is asked for.",
    "approval.given": "An approval was given.",
    "approval.rejected": "An approval was refused.",
    "job.asked": "Somebody is asked to do a job on {target}.",
    "job.overdue": "A task on {target} is overdue.",
    "verification.failed": "What was measured of {version} on {target} is not good enough.",
    "verification.inconclusive": "Nothing could tell how {version} does on {target}.",
    "incident.opened": "An incident is open.",
    "freeze.set": "A freeze was set.",
    "freeze.thawed": "A freeze was ended.",
    "freeze.expired": "A freeze reached its end.",
    "pin.set": "A pin to {version} was set.",
    "skip.set": "{version} passes a rule by hand.",
    "version.created": "Version {tag} was created.",
    "subscription.failing": "The subscription {name} fails.",
    "subscription.disabled": "The subscription {name} is disabled.",
}
"""Kinds that are read out where they happen, and how."""

ROUTINE = frozenset(
    {
        "change.created",
        "move.admitted",
        "move.started",
        "move.applied",
        "move.verified",
        "job.created",
        "job.status_changed",
        "verification.started",
    }
)
"""Steps that every healthy move takes: told quietly, so that the rest stands out."""

_MARKS: Mapping[str, str] = {
    "halted": "halted", "failed": "failed", "rejected": "failed", "escalated": "failed", "uncertain": "failed",
    "failing": "failed", "disabled": "halted", "recovered": "pass",
    "difference": "failed", "deleted": "failed", "revoked": "failed", "voided": "failed",
    "completed": "pass", "succeeded": "pass", "passed": "pass", "verified": "pass", "given": "pass", "landed": "pass",
    "requested": "person", "paused": "paused", "withdrawn": "idle", "cancelled": "idle", "inconclusive": "unknown",
    "asked": "person", "answered": "person", "commented": "person", "overdue": "failed", "lease_ended": "unknown",
    "handed_over": "moving", "opened": "moving", "started": "moving", "resumed": "moving", "claimed": "moving",
}  # fmt: skip
"""What happened -> mark; anything else is merely noted."""

_PLACE = ("deployment", "environment", "target")
_HIDDEN = {
    *_PLACE,
    "version",
    "from",
    "to",
    "message",
    "kind",
    "tag",
    "name",
    "source",
    "scopeId",
    "sender",
    "evidenceDigest",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as a page shows it.

    Takes: `place` are (name, path or None); `says` are short facts; `body` is all of it, exact.
    """

    seq: int
    at: datetime
    kind: str
    meaning: str
    mark: str
    routine: bool
    title: str
    path: str | None
    place: Sequence[tuple[str, str | None]]
    says: Sequence[str]
    who: str
    by_person: bool
    cause: str
    subject: str
    body: str


async def entries_of(conn: Conn, entries: Sequence[FeedEntry], *, at: At) -> list[Entry]:
    """Entries with the names of everything that they are about: one question for all of them."""
    ids = {ref.id for entry in entries for ref in entry.refs} | {entry.actor.id for entry in entries}
    names = await pages.load_names(conn, sorted(ids))
    return [_entry(entry, names=names, at=at) for entry in entries]


def heard(entry: FeedEntry) -> str | None:
    """What is read out of this entry; None for one that nobody needs to hear."""
    pattern = HEARD.get(entry.kind)
    if pattern is None:
        return None
    where = entry.body.get("deployment")
    return f"{where}: {pattern.format_map(_Words(entry.body))}" if where else pattern.format_map(_Words(entry.body))


class _Words(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return f"the {key}"


def _entry(entry: FeedEntry, *, names: Mapping[str, str], at: At) -> Entry:
    subject, _, what = entry.kind.partition(".")
    mark = "frozen" if subject == "freeze" else _MARKS.get(what, "idle")
    if entry.kind == "job.status_changed":
        mark = {"successful": "pass", "failure": "failed", "inProgress": "moving"}.get(
            str(entry.body.get("to")), "idle"
        )
    if entry.body.get("dropped"):
        mark = "halted"
    by_person = entry.actor.kind in {"user", "service"}
    return Entry(
        seq=entry.seq,
        at=entry.at,
        kind=entry.kind,
        meaning=KINDS.get(entry.kind, "A kind of event that this version does not know."),
        mark=mark,
        routine=entry.kind in ROUTINE and mark != "failed",
        title=_title(entry),
        path=_path(entry, names=names, at=at),
        place=_place(entry, names=names, at=at),
        says=_says(entry, names=names),
        who=names.get(entry.actor.id, entry.actor.id) if by_person else _worker(entry),
        by_person=by_person,
        cause=entry.cause,
        subject=f"{entry.subject.kind}:{entry.subject.id}",
        body=orjson.dumps(entry.body, option=orjson.OPT_INDENT_2).decode(),
    )


def _title(entry: FeedEntry) -> str:
    subject, _, what = entry.kind.partition(".")
    if entry.kind == "job.status_changed":
        return f"Job {_spaced(str(entry.body.get('to')))}"
    return f"{subject.capitalize()} {what.replace('_', ' ')}"


def _worker(entry: FeedEntry) -> str:
    return "Interlock" if entry.actor.kind == "system" else f"{entry.actor.kind} {entry.actor.id}"


def _path(entry: FeedEntry, *, names: Mapping[str, str], at: At) -> str | None:
    """Where the thing has a page of its own."""
    refs = {ref.kind: ref.id for ref in reversed(entry.refs)}
    match entry.subject.kind:
        case "job" | "verification" | "move" if "job" in refs:
            return at("jobs", refs["job"])
        case "approval" | "request" if "request" in refs:
            return at("approvals", refs["request"])
        case "freeze":
            return at("freezes")
        case "subscription":
            return at("subscriptions", entry.subject.id)
        case _ if "deployment" in refs:
            return _deployment_path(refs["deployment"], names=names, at=at)
        case _:
            return None


def _deployment_path(deployment_id: str, *, names: Mapping[str, str], at: At) -> str:
    return at("deployments", segment(names.get(deployment_id, ""), deployment_id))


def _place(entry: FeedEntry, *, names: Mapping[str, str], at: At) -> list[tuple[str, str | None]]:
    """Deployment, environment, target, version: in names, from what it refers to, else from what it says."""
    refs = {ref.kind: ref.id for ref in reversed(entry.refs)}
    found: list[tuple[str, str | None]] = []
    for kind in _PLACE:
        name = names.get(refs.get(kind, "")) or entry.body.get(kind)
        if isinstance(name, str) and name:
            linked = kind == "deployment" and "deployment" in refs
            found.append((name, _deployment_path(refs[kind], names=names, at=at) if linked else None))
    if not found:
        name = names.get(entry.subject.id) or entry.body.get("name")
        if isinstance(name, str) and name and entry.subject.kind != "version":
            found.append((name, None))
    return found


def _says(entry: FeedEntry, *, names: Mapping[str, str]) -> list[str]:
    """What changed, in few words."""
    body: Mapping[str, Any] = entry.body
    refs = {ref.kind: ref.id for ref in reversed(entry.refs)}
    version = body.get("version") or body.get("tag") or names.get(refs.get("version", ""))
    said = [str(version)] if version else []
    if entry.kind in {"version.status_changed", "freeze.extended"}:
        said.append(f"{body.get('from') or 'nothing'} → {body.get('to') or 'nothing'}")
    elif body.get("from") and version and entry.kind != "job.status_changed":
        said = [f"{body['from']} → {version}"]
    if body.get("message"):
        said.append(str(body["message"]))
    lost = told_dropped(body)
    if lost is not None:
        said.append(lost)
    for key, value in body.items():
        if isinstance(value, bool):
            said.append(_spaced(key) if value else f"not {_spaced(key)}")
        elif key not in _HIDDEN and isinstance(value, str | int | float) and not is_id(str(value)):
            said.append(f"{_spaced(key)} {value}")
    return said[:4]


def _spaced(key: str) -> str:
    """`max_failures` and `maxFailures` -> `max failures`."""
    return "".join(f" {each.lower()}" if each.isupper() else each for each in key).replace("_", " ").strip()
