"""What may a variable's value say, and where can it stand? The stored nouns, and the two forms of a value.

A value is *literal* (any JSON) or a *reference*: `{"reference": name, "path": [...]}`, what stands at the path of the
thing that a relationship rule of that name relates to the target's resource. On the wire, and in the database, a
literal object is wrapped as `{"object": {...}}`, so that it cannot be taken for a reference.

A deployment declares its variables by key; only declared keys are ever resolved. Values come from the resource, from
the deployment variable, and from variable sets (`inventory/variables.py` has the order).

A *sensitive* value is a secret as a whole. It is sent as `{"sensitive": value}`, or as a value with `sensitive: true`
beside it where the body has a place for that; where it is stored, a marker stands for it (`model/secret.py`). Clients
of the contract that keep the value to themselves send `{"valueHash": ""}`, which declares a secret without a value, or
keeps the one that is there. Who may not write it reads `{"valueHash": mark}`. A sensitive value stays one when a plain
value is written over it. A `secretRef` says where a value is to be had, and is no secret itself.

Source: contract.md section c (ctrlplane_deployment_variable_value) and contract.json, `Value`; reference-behaviour.md
1.15 and 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from interlock.model.canonical import INTEGER_MAX
from interlock.model.errors import FieldError, Invalid
from interlock.model.secret import (
    MARKER,
    MASK,
    REFERENCE,
    check_reference,
    digits_of,
    ids_in,
    is_marker,
    is_reference,
    mark,
    marker,
    refuse_markers,
    spoken,
)

VALUE_BYTES_MAX = 64 * 1024
"""As much JSON as one value may be."""

NESTING_MAX = 64
REFERENCE_MAX = 255
PATH_MAX = 32
"""Steps of a reference's path."""

UNSET = marker("")
"""What stands for a secret that was declared and has no value yet."""


@dataclass(frozen=True, slots=True)
class Sensitive:
    """A value that is to be sealed before it is stored.

    Takes: `value` as the wire has it. With `keeps` there is none: that mark, or "", keeps what is stored.
    """

    value: Any = field(default=None, repr=False)
    keeps: str | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A value that stands somewhere else: at `path` of what the rules called `name` relate to the resource."""

    name: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeploymentVariable:
    """A key that a deployment's releases carry. Unique in its deployment. `sensitive`: all its values are secrets."""

    id: str
    deployment_id: str
    key: str
    description: str | None
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class VariableValue:
    """One value of a deployment variable, for the resources that its selector matches; None: for all of them.

    Takes: `value` as it stands on the wire. Of several that match, the highest priority wins, then the smallest id.
    """

    id: str
    variable_id: str
    priority: int
    resource_selector: str | None
    value: Any


@dataclass(frozen=True, slots=True)
class VariableSet:
    """Values for the variables of many deployments, where its selector matches; an empty selector matches nothing.

    Takes: `variables` is `[{key, value}]` in the order in which it was written.
    """

    id: str
    workspace_id: str
    name: str
    description: str
    selector: str
    priority: int
    variables: Sequence[Mapping[str, Any]]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class RelationshipRule:
    """What relates two things: CEL over `from` and `to`. References name it by `reference`."""

    id: str
    workspace_id: str
    name: str
    description: str | None
    reference: str
    cel: str
    metadata: Mapping[str, str]


def wire_value(value: Any, *, field: str, sensitive: bool = False) -> Any:
    """A value as a client sent it, in the form in which it is stored and comes back; or `Sensitive`.

    Fails: `Invalid` on the field: a malformed reference, a number that JSON's readers would round, a marker.
    """
    if isinstance(value, Mapping) and set(value) == {"valueHash"}:
        if not isinstance(value["valueHash"], str):
            raise _refused(f"{field}.valueHash", "must be text")
        return Sensitive(keeps=value["valueHash"])
    if isinstance(value, Mapping) and set(value) == {"sensitive"}:
        return wire_value(value["sensitive"], field=f"{field}.sensitive", sensitive=True)
    if is_reference(value):
        check_reference(value, field=field)
        return {"secretRef": dict(value["secretRef"])}
    refuse_markers(value, field=field)
    wire = _plain_wire(value, field=field)
    if not sensitive or isinstance(plain_value(wire), Reference):
        return wire
    return Sensitive(keeps=value) if digits_of(value) is not None else Sensitive(wire)


def _plain_wire(value: Any, *, field: str) -> Any:
    _check_plain(value, field=field, depth=0)
    if len(orjson.dumps(value)) > VALUE_BYTES_MAX:
        raise _refused(field, f"must be at most {VALUE_BYTES_MAX:,} bytes of JSON")
    if not isinstance(value, Mapping):
        return value
    if set(value) == {"reference", "path"}:
        _check_reference(value, field=field)
        return dict(value)
    if set(value) == {"object"} and isinstance(value["object"], Mapping):
        return dict(value)
    return {"object": dict(value)}


def plain_value(wire: Any) -> Any:
    """What a stored value says: a `Reference`, or the literal itself."""
    if isinstance(wire, Mapping):
        if set(wire) == {"reference", "path"}:
            return Reference(str(wire["reference"]), tuple(str(step) for step in wire["path"]))
        if set(wire) == {"object"}:
            return wire["object"]
    return wire


def literal_wire(value: Any) -> Any:
    """A resolved value in the wire's form: objects are wrapped, a secret is its mark, so is what stands elsewhere."""
    if is_marker(value):
        return mark(value[MARKER])
    if is_reference(value):
        return f"{MASK} ({spoken(value[REFERENCE])})"
    return {"object": value} if isinstance(value, Mapping) else value


def encrypted_in(values: Mapping[str, Any]) -> list[str]:
    """The keys of resolved variables that are secrets or lead to one, in order."""
    return sorted(key for key, value in values.items() if is_reference(value) or next(ids_in(value), None) is not None)


def is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, as JSON tells them apart: 1 is not true."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


def is_keepable(value: Any) -> bool:
    """Whether a JSON value can be digested: no number that readers of JSON would round, no bottomless nesting."""
    try:
        _check_plain(value, field="value", depth=0)
    except Invalid:
        return False
    return True


def _check_plain(value: Any, *, field: str, depth: int) -> None:
    if depth > NESTING_MAX:
        raise _refused(field, f"must be at most {NESTING_MAX} levels deep")
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if isinstance(value, int):
        if not -INTEGER_MAX <= value <= INTEGER_MAX:
            raise _refused(
                field, f"holds a whole number beyond {INTEGER_MAX}, which JSON cannot keep exactly: quote it"
            )
        return
    if isinstance(value, Mapping):
        for inner in value.values():
            _check_plain(inner, field=field, depth=depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_plain(inner, field=field, depth=depth + 1)


def _check_reference(value: Mapping[str, Any], *, field: str) -> None:
    name, path = value["reference"], value["path"]
    if not isinstance(name, str) or not name.strip() or len(name) > REFERENCE_MAX:
        raise _refused(
            f"{field}.reference", f"must be the reference of a relationship rule, up to {REFERENCE_MAX} long"
        )
    if not isinstance(path, list) or not all(isinstance(step, str) for step in path):
        raise _refused(f"{field}.path", "must be a list of texts")
    if not 1 <= len(path) <= PATH_MAX:
        raise _refused(f"{field}.path", f"must have 1 to {PATH_MAX} steps")


def _refused(field: str, message: str) -> Invalid:
    return Invalid(f"{field} {message}.", fields=[FieldError(field, message)])
