"""Subscription: who is told what happens, and by which channel.

```yaml
type: Subscription
name: releases
channel: slack
url: https://hooks.slack.example/services/T0/B0/x
kinds: [rollout.*, approval.requested]
scope: {kind: system, name: shop}
```

Without a `secret` a webhook keeps the one that was made for it. Whether it is paused is no part of a document.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from interlock.documents.kind import Body, Kind, Named, Standing, Write
from interlock.documents.kinds.freeze import KINDS_BY_SCOPE, SCOPE
from interlock.documents.kinds.keys import SELECTOR, name_key, picked
from interlock.documents.server import Server, path
from interlock.documents.shapes import NAME, TEXT, TEXTS, Choice, Key, List, Number

WIRE = ("name", "channel", "url", "secret", "to", "kinds", "filter", "group", "templates", "remindAfterHours")


def load(server: Server, names: frozenset[str] | None) -> Iterable[Standing]:
    """The subscriptions of these names, or all, with the secrets that the key may read."""
    for row in server.client.list_subscriptions():
        if names is None or row["name"] in names:
            full = server.client.get_subscription(row["id"])
            scope: dict[str, Any] = {"kind": full["scope"]["kind"]}
            if full["scope"].get("id"):
                kind = KINDS_BY_SCOPE[scope["kind"]]
                scope["name"] = server.name_of(kind, full["scope"]["id"]) or full["scope"]["id"]
            yield Standing(row["id"], row["name"], {**picked(full, *WIRE), "scope": scope}, full)


def write(server: Server, body: Body, standing: Standing | None, identity: str) -> Sequence[Write]:
    """Put it, or create it: the server chooses its id."""
    _ = identity
    scope = dict(body.get("scope") or {"kind": "workspace"})
    if "name" in scope:
        scope["id"] = server.id_of(KINDS_BY_SCOPE[scope["kind"]], scope.pop("name"))
    sent = {**picked(body, *WIRE), "scope": scope}
    if standing is None:
        return [Write("POST", "subscriptions", sent)]
    return [Write("PUT", path("subscriptions", standing.id), sent)]


def remove(server: Server, standing: Standing) -> Sequence[Write]:
    """Delete it; what waits is not told any more."""
    _ = server
    return [Write("DELETE", path("subscriptions", standing.id))]


def named(body: Body) -> Iterable[Named]:
    """Where what is told happens."""
    scope: Mapping[str, Any] = body.get("scope") or {}
    if scope.get("name") and scope.get("kind") in KINDS_BY_SCOPE:
        yield Named(("scope", "name"), KINDS_BY_SCOPE[scope["kind"]], scope["name"])


def in_order(body: Body) -> Body:
    """Kinds in an order of their own."""
    return {**body, "kinds": sorted(set(body.get("kinds") or ()))}


KIND = Kind(
    name="Subscription",
    about="Who is told what happens, and by which channel.",
    keys={
        "name": name_key("Its name."),
        "channel": Key(Choice(("webhook", "slack", "email")), "How it is told.", required=True),
        "url": Key(TEXT, "Where to: of a webhook and a chat."),
        "secret": Key(TEXT, "What a webhook is signed with; made where none is given.", kept=True),
        "to": Key(List(NAME), "Whom to write to: addresses, `group:<name>`, `approvers`.", default=[]),
        "kinds": Key(List(NAME, items_min=1), "Kinds of ledger events, or their beginnings with `*`.", required=True),
        "filter": Key(SELECTOR, "CEL over `event`: only what it matches.", default=""),
        "scope": Key(SCOPE, "Where what is told happens.", default={"kind": "workspace"}),
        "group": Key(NAME, "Whose requests for approval are told."),
        "templates": Key(TEXTS, "Kind of event to the text that is sent of it.", default={}),
        "remindAfterHours": Key(Number(), "When a request for approval is told again."),
    },
    load=load,
    write=write,
    remove=remove,
    names=named,
    settle=in_order,
)
