"""What do documents say of variables, and how does the server say the same?

A deployment declares a list of keys, each with values by priority and selector. A set and a resource have an object,
key to value. A value is literal, `{reference: ..., path: [...]}`, `{sensitive: ...}` or `{secretRef: …}`; the wire
wraps an object as `{"object": …}` and says `sensitive` beside the value.

Source: contract.md section e.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from interlock.client import Wire
from interlock.documents.kinds.keys import SELECTOR
from interlock.documents.shapes import ANY, NAME, TEXT, TRUTH, Fault, Key, List, Object, Whole
from interlock.inventory.scope import Scope
from interlock.inventory.selector import parse_selector
from interlock.model.errors import Invalid
from interlock.model.variable import wire_value

VALUE = Object(
    {
        "value": Key(ANY, "The value; null is one.", required=True, nullable=True),
        "priority": Key(Whole(), "The higher one is tried first.", default=0),
        "resourceSelector": Key(SELECTOR, "CEL over `resource`: for which it is; without one, for every."),
        "sensitive": Key(TRUTH, "The same as `value: {sensitive: …}`.", default=False),
    }
)
DECLARED = List(
    Object(
        {
            "key": Key(NAME, "Its name.", required=True),
            "description": Key(TEXT, "For people."),
            "sensitive": Key(TRUTH, "Whether every value of it is a secret.", default=False),
            "values": Key(List(VALUE, items_max=1000), "Tried by priority; none: it comes from elsewhere.", default=[]),
        }
    ),
    items_max=1000,
)


SAID = ("key", "description", "sensitive")


def check_declared(listed: Sequence[Wire]) -> Iterator[Fault]:
    """What is wrong with a deployment's variables beyond their shape."""
    seen: set[str] = set()
    for number, one in enumerate(listed):
        if one["key"] in seen:
            yield Fault(("variables", number), f"variables[{number}]: {one['key']} stands in this list already", True)
        seen.add(one["key"])
        for place, each in enumerate(one.get("values") or ()):
            at = ("variables", number, "values", place)
            try:
                wire_value(each["value"], field="value")
            except Invalid as error:
                yield Fault((*at, "value"), error.message.rstrip("."))
            try:
                parse_selector(each.get("resourceSelector") or "true", Scope.RESOURCE)
            except Invalid as error:
                yield Fault((*at, "resourceSelector"), f"is no valid CEL: {error.message.rstrip('.')}")


def check_offered(values: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with an object of variables."""
    for key, value in values.items():
        try:
            wire_value(value, field=f"variables.{key}")
        except Invalid as error:
            yield Fault(("variables", key), error.message.rstrip("."), True)


def declared_body(listed: Sequence[Wire]) -> list[Wire]:
    """A deployment's variables as the server takes them."""
    return [dict(one) for one in listed]


def told(listed: Sequence[Wire]) -> list[Wire]:
    """A deployment's variables as the server lists them, as a document says them."""
    return [
        {
            **{key: one["variable"][key] for key in SAID if one["variable"].get(key)},
            "values": [
                {
                    **{key: each[key] for key in ("priority", "resourceSelector") if key in each},
                    "value": told_value(each),
                }
                for each in one["values"]
            ],
        }
        for one in listed
    ]


def in_order(listed: Sequence[Wire]) -> list[Wire]:
    """Variables by key, their values as they are tried; what has its default is left out."""
    return [
        {
            **{key: one[key] for key in SAID if one.get(key)},
            "values": sorted((_value(each, one) for each in one.get("values") or ()), key=_rank),
        }
        for one in sorted(listed, key=lambda one: str(one["key"]))
    ]


def _value(each: Wire, variable: Wire) -> Wire:
    more = {key: each[key] for key in ("priority", "resourceSelector") if each.get(key)}
    value = each["value"]
    secret = each.get("sensitive") or variable.get("sensitive")
    points = isinstance(value, Mapping) and set(value) in ({"sensitive"}, {"secretRef"}, {"reference", "path"})
    return {"value": {"sensitive": value} if secret and not points else value, **more}


def _rank(each: Wire) -> tuple[int, str, str]:
    return -each.get("priority", 0), each.get("resourceSelector") or "", str(each["value"])


def offered_body(values: Mapping[str, Any]) -> list[Wire]:
    """A set's variables as the server takes them."""
    return [{"key": key, "value": value} for key, value in values.items()]


def told_value(each: Mapping[str, Any]) -> Any:
    """A value as the server lists it, as a document says it: a sensitive one in full, or as its mark."""
    value = each["value"]
    if isinstance(value, dict) and set(value) == {"valueHash"}:
        return {"sensitive": value["valueHash"]}
    return {"sensitive": unwrapped(value)} if each.get("sensitive") else unwrapped(value)


def unwrapped(value: Any) -> Any:
    """A variable's value as it was written: the wire keeps an object as `{"object": …}`."""
    return value["object"] if isinstance(value, dict) and set(value) == {"object"} else value
