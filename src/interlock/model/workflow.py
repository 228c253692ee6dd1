"""What is a workflow? Jobs that somebody asks for by name, with inputs: they bring no version anywhere.

A workflow lists inputs and entries of job agents; a run of it makes one job for each entry whose selector is true, for
each resource that the run names. Inputs and entries come back as they were written.

Source: contract.md section e, "Workflow"; contract.json, `Workflow`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.model.errors import FieldError, Invalid

RESOURCE_SELECTOR = "resourceSelector"
"""The input that says on which resources a run does its work: one job each."""

SLUG_MAX = 100
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\Z")

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}
_ENTITIES = frozenset({"resource", "environment", "deployment"})


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow. `job_agents` is `[{name, ref, config, selector}]`; `inputs` are as the client wrote them."""

    id: str
    name: str
    slug: str
    inputs: Sequence[Mapping[str, Any]]
    job_agents: Sequence[Mapping[str, Any]]


def slug_of(name: str) -> str:
    """The slug that a name gives: lower case, everything but letters and digits one hyphen.

    Fails: `Invalid` when nothing is left of it.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:SLUG_MAX].rstrip("-")
    if not slug:
        raise Invalid("The name gives no slug: it has no letter and no digit.", field="name", code="INVALID_SLUG")
    return slug


def checked_slug(slug: str) -> str:
    """The slug as it stands.

    Fails: `Invalid`.
    """
    if not _SLUG.match(slug) or len(slug) > SLUG_MAX:
        wanted = f"must be 1 to {SLUG_MAX} lower-case letters, digits and single hyphens between them"
        raise Invalid(f"slug {wanted}.", fields=[FieldError("slug", wanted)], code="INVALID_SLUG")
    return slug


def check_inputs(inputs: Sequence[Mapping[str, Any]]) -> None:
    """Refuse inputs that no run could fill.

    Fails: `Invalid`, with the path of each fault.
    """
    faults: list[FieldError] = []
    seen: set[str] = set()
    for number, declared in enumerate(inputs):
        at, key, kind = f"inputs[{number}]", declared.get("key"), declared.get("type")
        if not isinstance(key, str) or not key:
            faults.append(FieldError(f"{at}.key", "is required"))
        elif key in seen:
            faults.append(FieldError(f"{at}.key", f"{key} stands in this workflow already"))
        else:
            seen.add(key)
        if kind not in _TYPES:
            faults.append(FieldError(f"{at}.type", f"must be one of {', '.join(_TYPES)}"))
        elif not _fits(declared.get("default"), str(kind)):
            faults.append(FieldError(f"{at}.default", f"must be of type {kind}"))
        selector = declared.get("selector")
        if selector is not None and (not isinstance(selector, Mapping) or selector.get("entityType") not in _ENTITIES):
            faults.append(FieldError(f"{at}.selector.entityType", f"must be one of {', '.join(sorted(_ENTITIES))}"))
    if faults:
        sentence = "; ".join(f"{fault.path} {fault.message}" for fault in faults[:5])
        raise Invalid(f"{sentence}.", fields=faults)


def filled_inputs(declared: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """What a run gets: what was given, and the defaults of what was not.

    Fails: `Invalid` for a declared input of another type. What is not declared is taken as it is.
    """
    filled = dict(given)
    for one in declared:
        key = str(one["key"])
        if key not in filled:
            selector = one.get("selector")
            default = selector.get("default") if isinstance(selector, Mapping) else one.get("default")
            if default is not None:
                filled[key] = default
        elif "selector" not in one and not _fits(filled[key], str(one["type"])):
            raise Invalid(f"inputs.{key} must be of type {one['type']}.", field=f"inputs.{key}")
    return filled


def _fits(value: object, kind: str) -> bool:
    """Whether a value is of an input's type; null is no value. A boolean is no number."""
    if value is None:
        return True
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
