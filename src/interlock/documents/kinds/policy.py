"""Policy: the rules for what its selector matches.

```yaml
type: Policy
name: careful-production
selector: environment.name == "production"
rules:
  - anyApproval: {minApprovals: 1}
```

A rule needs no id here: it keeps the id of the rule of its kind that stood at its place, and what is remembered by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from interlock.decide.rule_schema import rule_schema
from interlock.decide.rules import ENVELOPE, RULES_MAX
from interlock.documents.kind import Body, Kind, Standing, Write
from interlock.documents.kinds.keys import DESCRIPTION, METADATA, PRIORITY_ABOUT, SELECTOR, name_key, picked
from interlock.documents.server import Server, path
from interlock.documents.shapes import TRUTH, Choice, Key, List, Map, Said, Whole
from interlock.model.ids import derived_id

WIRE = ("name", "description", "selector", "priority", "enabled", "mode", "metadata")


def load(server: Server, names: frozenset[str] | None) -> Iterable[Standing]:
    """Every policy, its rules bare."""
    _ = names
    for row in server.client.list_policies():
        body = {**picked(row, *WIRE), "rules": [in_order(bare(rule)) for rule in row["rules"]]}
        yield Standing(row["id"], row["name"], body, row)


def write(server: Server, body: Body, standing: Standing | None, identity: str) -> Sequence[Write]:
    """Put it by id."""
    _ = server
    return [Write("PUT", path("policies", identity), wire_body(body, standing, identity))]


def remove(server: Server, standing: Standing) -> Sequence[Write]:
    """Delete it."""
    _ = server
    return [Write("DELETE", path("policies", standing.id))]


def wire_body(body: Body, standing: Standing | None, identity: str) -> dict[str, Any]:
    """What is sent of a policy; every rule has an id."""
    rules = with_ids(body.get("rules") or (), standing.row["rules"] if standing else (), policy_id=identity)
    return {"selector": "true", "priority": 0, "enabled": True, "metadata": {}, **body, "rules": rules}


def bare(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule without what the server or a client adds to it."""
    return {key: value for key, value in rule.items() if key not in ENVELOPE and value is not None}


def in_order(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule with its fields in the order in which its reader asks for them: the server keeps none."""
    properties = rule_schema()["properties"]
    return {kind: _ordered(body, properties.get(kind, {})) for kind, body in rule.items()}


def _ordered(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_ordered(each, schema.get("items") or {}) for each in value]
    if not isinstance(value, Mapping):
        return value
    known: Mapping[str, Any] = schema.get("properties") or {}
    keys = [*(key for key in known if key in value), *(key for key in value if key not in known)]
    return {key: _ordered(value[key], known.get(key) or {}) for key in keys}


def with_ids(
    rules: Sequence[Mapping[str, Any]], standing: Sequence[Mapping[str, Any]], *, policy_id: str
) -> list[dict[str, Any]]:
    """Give each rule without an id the id of the standing rule of its kind at the same place, else one of its own."""
    standing_by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for rule in standing:
        standing_by_kind.setdefault(_kind(rule), []).append(rule)
    given: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    for rule in rules:
        kind = _kind(rule)
        place = counts[kind] = counts.get(kind, -1) + 1
        old = standing_by_kind.get(kind, [])[place : place + 1]
        kept = {key: old[0][key] for key in ("id", "createdAt") if key in old[0]} if old else {}
        given.append({"id": derived_id(policy_id, kind, str(place)), **kept, **rule})
    return given


def bare_rules(body: Body) -> Body:
    """The body with its rules as they are compared."""
    return {**body, "rules": [bare(rule) for rule in body.get("rules") or ()]}


def _kind(rule: Mapping[str, Any]) -> str:
    return ",".join(sorted(bare(rule)))


KIND = Kind(
    name="Policy",
    about="What must be true before a version moves, and what happens when it does not work.",
    keys={
        "name": name_key("Its name."),
        "description": DESCRIPTION,
        "selector": Key(SELECTOR, "CEL over `resource`, `environment`, `deployment`: what it governs.", default="true"),
        "priority": Key(Whole(), PRIORITY_ABOUT, default=0),
        "enabled": Key(TRUTH, "Whether it counts.", default=True),
        "mode": Key(
            Choice(("enforce", "observe")), "`observe` records verdicts that start and stop nothing.", default="enforce"
        ),
        "metadata": METADATA,
        "rules": Key(
            List(Said(rule_schema, Map()), items_max=RULES_MAX), "One kind of rule an entry; see rules/.", default=[]
        ),
    },
    load=load,
    write=write,
    remove=remove,
    settle=bare_rules,
)
