"""Who and what takes part in a scenario: environments, targets and policies as they stand in its file.

Policies are written as in the files for `interlock apply`, so that one can be tried here before it is applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interlock.decide.rules import parse_rules
from interlock.inventory.selector import Scope, Selector, parse_selector
from interlock.model.errors import FieldError, Invalid
from interlock.model.ids import derived_id
from interlock.model.wire import Fields


@dataclass(frozen=True, slots=True)
class Place:
    """An environment that the file names."""

    name: str
    systems: tuple[str, ...]
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PlacedTarget:
    """A target that the file names. `view` is its resource as selectors see it; `runs` the version there before."""

    name: str
    environment: str
    view: Mapping[str, Any]
    runs: str | None


@dataclass(frozen=True, slots=True)
class WrittenPolicy:
    """A policy as it stands in the file. `rules` are the wire's, checked."""

    name: str
    selector: Selector
    rules: tuple[Mapping[str, Any], ...]
    enabled: bool
    observe: bool


def placed(
    name: str,
    environment: str,
    *,
    kind: str = "Host",
    metadata: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
    runs: str | None = None,
) -> PlacedTarget:
    """A target on a resource of its own."""
    view = {
        "id": derived_id("resource", name),
        "identifier": name,
        "name": name,
        "kind": kind,
        "version": "v1",
        "workspaceId": derived_id("workspace"),
        "providerId": "",
        "config": dict(config or {}),
        "metadata": dict(metadata or {}),
    }
    return PlacedTarget(name, environment, view, runs)


def read_policy(body: object, path: str) -> WrittenPolicy:
    """A policy as it stands in a file for `apply`.

    Fails: `Invalid`, naming every fault with its path.
    """
    fields = Fields(body, path)
    for ignored in ("type", "description", "priority", "metadata"):
        fields.anything(ignored)
    name = fields.text("name", required=True)
    selector = fields.parsed("selector", lambda text: parse_selector(text, Scope.POLICY), required=False)
    enabled = fields.boolean("enabled", default=True)
    mode = fields.choice("mode", allowed=("enforce", "observe"), default="enforce")
    rules = fields.items("rules")
    try:
        parse_rules(rules, path=f"{path}.rules")
    except Invalid as error:
        fields.errors.extend(error.fields or [FieldError(f"{path}.rules", error.message)])
    fields.done()
    written = tuple(one for one in rules if isinstance(one, Mapping))
    return WrittenPolicy(name, selector or parse_selector("true", Scope.POLICY), written, enabled, mode == "observe")


def texts(fields: Fields, name: str) -> dict[str, str]:
    """An object whose values are text; numbers are taken as they are written."""
    found = fields.mapping(name)
    for key, value in found.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            fields.wrong(f"{name}.{key}", "must be text")
    return {key: str(value) for key, value in found.items()}
