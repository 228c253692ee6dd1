"""What do files say of variables, and does the server have that already?

A deployment's `variables` is the whole list: what it leaves out is removed, as in a provider's list of resources. One
that has no `variables` leaves them alone.

    variables:
    - key: replicas
      values:
      - value: 2
      - {value: 5, priority: 10, resourceSelector: 'resource.metadata["tier"] == "gold"'}
    - key: region

A variable set's are an object, key to value. A value is literal, or `{reference: ..., path: [...]}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from interlock.client import Wire
from interlock.model.errors import Invalid
from interlock.model.variable import is_same, wire_value

VARIABLE_KEYS = frozenset({"key", "description", "values"})
VALUE_KEYS = frozenset({"value", "priority", "resourceSelector"})


def check_declared(listed: Sequence[Wire]) -> Iterator[str]:
    """What is wrong with a deployment's variables, one sentence a fault."""
    from interlock.inventory.scope import Scope
    from interlock.inventory.selector import parse_selector

    seen: set[str] = set()
    for number, one in enumerate(listed):
        at, key = f"variables[{number}]", one.get("key")
        yield from (
            f"{at} has no {word}; it has {', '.join(sorted(VARIABLE_KEYS))}" for word in set(one) - VARIABLE_KEYS
        )
        if not isinstance(key, str) or not key.strip():
            yield f"{at} needs a key"
            continue
        if key in seen:
            yield f"{at}: {key} stands in this list already"
        seen.add(key)
        values = one.get("values") or []
        if not isinstance(values, list) or not all(isinstance(each, Mapping) for each in values):
            yield f"{at}.values must be a list of objects"
            continue
        for place, each in enumerate(values):
            where = f"{at}.values[{place}]"
            yield from (
                f"{where} has no {word}; it has {', '.join(sorted(VALUE_KEYS))}" for word in set(each) - VALUE_KEYS
            )
            if "value" not in each:
                yield f"{where} needs a value (null is one)"
                continue
            try:
                wire_value(each["value"], field=f"{where}.value")
                parse_selector(each.get("resourceSelector") or "true", Scope.RESOURCE)
            except Invalid as error:
                yield f"{where}: {error.message}"


def check_offered(values: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a variable set's variables."""
    for key, value in values.items():
        try:
            wire_value(value, field=f"variables.{key}")
        except Invalid as error:
            yield error.message


def declared_body(listed: Sequence[Wire]) -> list[Wire]:
    """A deployment's variables as the server takes them, in order of keys."""
    return [
        {
            "key": one["key"],
            **({"description": one["description"]} if one.get("description") else {}),
            "values": [
                {
                    "value": wire_value(each["value"], field="value"),
                    "priority": each.get("priority") or 0,
                    **({"resourceSelector": each["resourceSelector"]} if each.get("resourceSelector") else {}),
                }
                for each in one.get("values") or ()
            ],
        }
        for one in sorted(listed, key=lambda one: str(one["key"]))
    ]


def offered_body(values: Mapping[str, Any]) -> list[Wire]:
    """A set's variables as the server takes them."""
    return [{"key": key, "value": wire_value(value, field=key)} for key, value in values.items()]


def is_declared(wanted: Sequence[Wire], standing: Sequence[Wire]) -> bool:
    """Whether the server's variables of a deployment are these: values by priority, whatever their ids."""
    there = [
        {
            **{key: one["variable"][key] for key in ("key", "description") if one["variable"].get(key)},
            "values": [{key: each[key] for key in VALUE_KEYS if key in each} for each in one["values"]],
        }
        for one in standing
    ]
    return is_same(_in_order(wanted), _in_order(there))


def _in_order(variables: Sequence[Wire]) -> list[Wire]:
    """Variables and values in an order of their own."""
    return [
        {
            **one,
            "values": sorted(
                one["values"],
                key=lambda each: (-each["priority"], each.get("resourceSelector") or "", str(each["value"])),
            ),
        }
        for one in sorted(variables, key=lambda one: str(one["key"]))
    ]
