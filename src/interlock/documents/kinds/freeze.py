"""Freeze: no hand-over in its scope, from the commit on.

```yaml
type: Freeze
reason: end of the quarter
scope: {kind: environment, name: production}
expiresAt: 2026-04-02T06:00:00Z
```

A freeze is known by its reason. Its end may be moved; another scope or selector ends it and sets a new one. One that is
over stays over, also where a person thawed it: a file does not undo what somebody decided. To freeze again, give
another reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from interlock.clock import utc_now
from interlock.documents.kind import Body, Kind, Named, Standing, Write
from interlock.documents.kinds.keys import SELECTOR, picked
from interlock.documents.server import Server, path
from interlock.documents.shapes import NAME, TEXT, Choice, Key, Object

KINDS_BY_SCOPE = {"system": "System", "environment": "Environment", "deployment": "Deployment"}
SCOPE = Object(
    {
        "kind": Key(Choice(("workspace", *KINDS_BY_SCOPE)), "What is frozen.", required=True),
        "name": Key(NAME, "Its name; the workspace needs none."),
    }
)


def load(server: Server, names: frozenset[str] | None) -> Iterable[Standing]:
    """The freezes in force; of those that are described, the ones that are over as well."""
    seen: set[str] = set()
    for row in server.client.list_freezes(over=True if names else None):
        if row["reason"] in seen or (names is not None and row["reason"] not in names):
            continue
        seen.add(row["reason"])
        scope = {"kind": row["scope"]["kind"]}
        if row["scope"].get("id"):
            kind = KINDS_BY_SCOPE[scope["kind"]]
            scope["name"] = server.name_of(kind, row["scope"]["id"]) or row["scope"]["id"]
        body = {**picked(row, "reason", "selector", "incidentUrl", "expiresAt"), "scope": scope}
        yield Standing(row["id"], row["reason"], body, row)


def write(server: Server, body: Body, standing: Standing | None, identity: str) -> Sequence[Write]:
    """Set it, or move its end, or end it and set another."""
    _ = identity
    if standing is not None and not standing.row["inForce"]:
        return []
    scope = dict(body.get("scope") or {"kind": "workspace"})
    if "name" in scope:
        scope["id"] = server.id_of(KINDS_BY_SCOPE[scope["kind"]], scope.pop("name"))
    sent = {**picked(body, "reason", "selector", "incidentUrl", "expiresAt"), "scope": scope}
    if standing is None:
        return [Write("POST", "freezes", sent)]
    stands = KIND.whole(standing.body)
    if {**stands, "expiresAt": None} == {**body, "expiresAt": None}:
        return [Write("POST", path("freezes", standing.id, "extend"), {"expiresAt": body.get("expiresAt")})]
    thaw = Write("POST", path("freezes", standing.id, "thaw"), {"reason": "set anew by what files say"})
    return [Write("POST", "freezes", sent), thaw]


def remove(server: Server, standing: Standing) -> Sequence[Write]:
    """Thaw it."""
    _ = server
    return [Write("POST", path("freezes", standing.id, "thaw"), {"reason": "no longer in the files"})]


def over(body: Body, standing: Standing | None) -> str:
    """Why nothing is to be done about a freeze that is over; "" for one that is not."""
    if standing is not None:
        row = standing.row
        if row["inForce"]:
            return ""
        return f"thawed by {row['thawedBy']}" if row.get("thawedBy") else "it is over"
    try:
        at = datetime.fromisoformat(str(body.get("expiresAt")))
    except ValueError:
        return ""
    return "it is over" if at.tzinfo is not None and at <= utc_now() else ""


def named(body: Body) -> Iterable[Named]:
    """What it freezes."""
    scope: Mapping[str, Any] = body.get("scope") or {}
    if scope.get("name") and scope.get("kind") in KINDS_BY_SCOPE:
        yield Named(("scope", "name"), KINDS_BY_SCOPE[scope["kind"]], scope["name"])


def in_utc(body: Body) -> Body:
    """Its end as the server says it; an instant that cannot be read is the server's to refuse."""
    try:
        at = datetime.fromisoformat(str(body["expiresAt"]).replace(" ", "T"))
    except (KeyError, ValueError):
        return body
    if at.tzinfo is None:
        return body
    return {**body, "expiresAt": at.astimezone(UTC).isoformat().replace("+00:00", "Z")}


KIND = Kind(
    name="Freeze",
    about="No hand-over in its scope, from the commit on.",
    keys={
        "reason": Key(NAME, "Why; it is known by it.", required=True),
        "scope": Key(SCOPE, "What is frozen.", default={"kind": "workspace"}),
        "selector": Key(SELECTOR, "CEL over `resource`, `environment`, `deployment`: only what it matches."),
        "incidentUrl": Key(TEXT, "Where to read more."),
        "expiresAt": Key(TEXT, "When it ends by itself, with a zone; without it, when somebody thaws it."),
    },
    known_by="reason",
    load=load,
    write=write,
    remove=remove,
    names=named,
    settle=in_utc,
)
