"""What differs between an object that lives and the same object as it would be? Fields, and a text for people.

What the server writes by itself is left out, and so is what says whose an object is and which attempt wrote it. A
Secret's values are never shown: where one differs, its place is.

Source: Kubernetes API conventions (metadata); server-side dry run.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator, Mapping
from typing import Any

from ruamel.yaml import YAML

from interlock.agents.kubernetes_manifests import NOTE

FIELDS_MAX = 20
MASK = "••••"

_WRITTEN_BY_SERVER = ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink")


def bare(live: Mapping[str, Any]) -> dict[str, Any]:
    """An object as its author would have written it."""
    made = copy.deepcopy(dict(live))
    made.pop("status", None)
    metadata = made.get("metadata") or {}
    for key in _WRITTEN_BY_SERVER:
        metadata.pop(key, None)
    annotations = metadata.get("annotations") or {}
    annotations.pop(NOTE, None)
    annotations.pop("deployment.kubernetes.io/revision", None)
    if not annotations:
        metadata.pop("annotations", None)
    return made


def differences(live: Mapping[str, Any], would_be: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields in which two objects differ, as `.spec.replicas`; at most 20."""
    found = []
    for field in _differences(bare(live), bare(would_be), ""):
        found.append(field)
        if len(found) >= FIELDS_MAX:
            break
    return tuple(found)


def _differences(one: Any, other: Any, at: str) -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}, key=str):
            if key not in one or key not in other:
                yield f"{at}.{key}"
            else:
                yield from _differences(one[key], other[key], f"{at}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, (here, there) in enumerate(zip(one, other, strict=True)):
            yield from _differences(here, there, f"{at}[{place}]")
    elif one != other:
        yield at or "."


def shown(objects: list[tuple[dict[str, Any] | None, dict[str, Any] | None]]) -> tuple[str, str]:
    """Pairs of objects, as they are and as they would be, as two YAML texts; None where there is none."""
    now, then = io.StringIO(), io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width = False, 1000
    for live, would_be in objects:
        for text, one, other, word in ((now, live, would_be, ""), (then, would_be, live, " (changed)")):
            if one is None:
                continue
            if text.tell():
                text.write("---\n")
            yaml.dump(_without_values(bare(one), bare(other) if other else None, word), text)
    return now.getvalue(), then.getvalue()


def _without_values(one: dict[str, Any], other: dict[str, Any] | None, word: str) -> dict[str, Any]:
    if one.get("kind") != "Secret":
        return one
    for key in ("data", "stringData"):
        values = one.get(key)
        if isinstance(values, Mapping):
            before = ((other or {}).get(key) or {}) if other else {}
            one[key] = {
                name: MASK + (word if other is not None and before.get(name) != value else "")
                for name, value in values.items()
            }
    return one
