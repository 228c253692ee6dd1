"""What do documents say of variables, and how does the server say the same?

A deployment declares a list of keys, each with values by priority and selector. A set and a resource have an object,
key to value. A value is literal, or `{reference: ..., path: [...]}`; the wire wraps an object as `{"object": …}`.

Source: contract.md section e.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from interlock.client import Wire
from interlock.documents.kinds.keys import SELECTOR
from interlock.documents.shapes import ANY, NAME, TEXT, Fault, Key, List, Object, Whole
from interlock.inventory.scope import Scope
from interlock.inventory.selector import parse_selector
from interlock.model.errors import Invalid
from interlock.model.variable import wire_value

VALUE = Object(
    {
        "value": Key(ANY, "The value; null is one.", required=True, nullable=True),
        "priority": Key(Whole(), "The higher one is tried first.", default=0),
        "resourceSelector": Key(SELECTOR, "CEL over `resource`: for which it is; without one, for every."),
    }
)
DECLARED = List(
    Object(
        {
            "key": Key(NAME, "Its name.", required=True),
            "description": Key(TEXT, "For people."),
            "values": Key(List(VALUE, items_max=1000), "Tried by priority; none: it comes from elsewhere.", default=[]),
        }
    ),
    items_max=1000,
)


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
    return [
        {**one, "values": [{**each, "value": wire_value(each["value"], field="value")} for each in one["values"]]}
        for one in listed
    ]


def told(listed: Sequence[Wire]) -> list[Wire]:
    """A deployment's variables as the server lists them, as a document says them."""
    return [
        {
            **{key: one["variable"][key] for key in ("key", "description") if one["variable"].get(key)},
            "values": [
                {**{key: each[key] for key in VALUE.keys if key in each}, "value": unwrapped(each["value"])}
                for each in one["values"]
            ],
        }
        for one in listed
    ]


def in_order(listed: Sequence[Wire]) -> list[Wire]:
    """Variables by key, their values as they are tried; what has its default is left out."""
    return [
        {
            **{key: one[key] for key in ("key", "description") if one.get(key)},
            "values": sorted(map(_value, one.get("values") or ()), key=_rank),
        }
        for one in sorted(listed, key=lambda one: str(one["key"]))
    ]


def _value(each: Wire) -> Wire:
    more = {key: each[key] for key in ("priority", "resourceSelector") if each.get(key)}
    return {"value": each["value"], **more}


def _rank(each: Wire) -> tuple[int, str, str]:
    return -each.get("priority", 0), each.get("resourceSelector") or "", str(each["value"])


def offered_body(values: Mapping[str, Any]) -> list[Wire]:
    """A set's variables as the server takes them."""
    return [{"key": key, "value": wire_value(value, field=key)} for key, value in values.items()]


def offered_value(each: Wire) -> Any:
    """The value of one of a set's variables."""
    return unwrapped(each["value"])


def unwrapped(value: Any) -> Any:
    """A variable's value as it was written: the wire keeps an object as `{"object": …}`."""
    return value["object"] if isinstance(value, dict) and set(value) == {"object"} else value
