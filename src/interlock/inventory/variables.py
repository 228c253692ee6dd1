"""Which value does each variable of a target have, where did it come from, and what was passed over?

Only keys that the deployment declares are resolved. For each, the first candidate that can be resolved wins:

    1  the resource's own variable of that key
    2  the deployment variable's values whose selector is absent or matches the resource: priority descending, then id
    3  the variable sets whose selector matches resource, environment and deployment: priority descending, then name,
       then id; an empty selector matches nothing
    4  none: the key is left out

A candidate that refers to something (`relations.py`) and finds nothing there is passed over, and says why. Two values
of the same priority that both match are told apart by their ids, always the same way, and reported: the writer hardly
meant it.

A selector that fails on a resource (a missing key) does not match it.

Source: reference-behaviour.md section 6 and its [RB] (ties without an order, candidates skipped in silence).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, TypeAlias

import orjson

from interlock.inventory.relations import NO_RELATIONS, Found, Nothing, Relations
from interlock.inventory.selector import Scope, parse_selector
from interlock.inventory.to_python import predicate, sieve
from interlock.model.secret import ids_in, is_masked, references_in
from interlock.model.variable import UNSET, Reference, VariableSet, VariableValue, plain_value

View: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Declared:
    """A key that a deployment declares, with its values in any order."""

    key: str
    values: tuple[VariableValue, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolution:
    """The variables of a target.

    Takes: `values` are plain JSON by key. `origin` says for people where each came from and what was passed over, as
           JSON: `{"variables": {key: {...}}, "passedOver": [{...}]}`.
    """

    values: Mapping[str, Any]
    origin: Mapping[str, Any]
    key: bytes = field(init=False, repr=False, compare=False)
    """Tells the values of one resolution from another's, for whoever remembers what follows from them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", orjson.dumps(self.values, option=orjson.OPT_SORT_KEYS))


UNDECLARED = Resolution({}, {})
"""What a target of a deployment without variables has."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One value that may be taken.

    Takes: `ids` are the resources it is for; None: all. `rank`: candidates of one rank are told apart by id alone.
    """

    value: Any
    origin: Mapping[str, Any]
    ids: frozenset[str] | None
    rank: tuple[Any, ...]

    def concerns(self, resource_id: str) -> bool:
        """Whether it is for this resource."""
        return self.ids is None or resource_id in self.ids


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two values of one variable with the same priority that match the same resources; the first of them wins there.

    Takes: `example` is the name of one such resource; "" when both are for every resource.
    """

    value_ids: tuple[str, str]
    priority: int
    resources: int
    example: str = ""


class Variables:
    """Everything that variables are resolved from. Made once a match; asked once for each deployment and environment.

    Takes: `own_by_resource`: resource id -> key -> value on the wire. `sets` in any order.
    """

    def __init__(
        self,
        declared_by_deployment: Mapping[str, Sequence[Declared]],
        *,
        sets: Iterable[VariableSet] = (),
        own_by_resource: Mapping[str, Mapping[str, Any]] | None = None,
        relations: Relations = NO_RELATIONS,
    ) -> None:
        self._declared = declared_by_deployment
        self._sets = sorted(sets, key=lambda one: (-one.priority, one.name, one.id))
        self._own = own_by_resource or {}
        self._relations = relations

    def resolve(self, deployment: View, environment: View, resources: Sequence[View]) -> list[Resolution]:
        """The variables of the targets of one deployment and environment, in the order of the resources.

        Costs: one pass over the resources per distinct selector; then a membership test a key and resource. Targets
               that take the same literal candidates share one `Resolution`.
        """
        declared = sorted(self._declared.get(deployment["id"], ()), key=lambda one: one.key)
        if not declared:
            return [UNDECLARED] * len(resources)
        subjects = {"deployment": deployment, "environment": environment}
        keys = [one.key for one in declared]
        of_sets = self._candidates_of_sets(frozenset(keys), subjects, resources)
        candidates = [(*_candidates_of_values(one, resources), *of_sets.get(one.key, ())) for one in declared]
        shared: dict[tuple[object, ...], Resolution] = {}
        return [self._resolve_one(view, keys, candidates, shared) for view in resources]

    def _candidates_of_sets(
        self, keys: frozenset[str], subjects: Mapping[str, View], resources: Sequence[View]
    ) -> dict[str, list[Candidate]]:
        """Key -> what the sets have for it, in order."""
        found: dict[str, list[Candidate]] = {}
        for one in self._sets:
            wanted = [each for each in one.variables if each["key"] in keys]
            ids = _matched_by_set(one.selector, subjects, resources) if wanted else frozenset()
            if ids is not None and not ids:
                continue
            origin = {"from": "variableSet", "setId": one.id, "setName": one.name, "priority": one.priority}
            for each in wanted:
                candidate = Candidate(plain_value(each["value"]), origin, ids, ("set", one.priority, one.name))
                found.setdefault(each["key"], []).append(candidate)
        return found

    def _resolve_one(
        self,
        resource: View,
        keys: Sequence[str],
        candidates: Sequence[Sequence[Candidate]],
        shared: dict[tuple[object, ...], Resolution],
    ) -> Resolution:
        """One target's variables; the same object for targets that take the same candidates to the same end."""
        resource_id = resource["id"]
        own = self._own.get(resource_id)
        taken: list[tuple[str, Candidate, Found | None, tuple[str, ...]]] = []
        passed: list[tuple[str, Candidate, str]] = []
        for key, ladder in zip(keys, candidates, strict=True):
            if own is not None and key in own:
                ladder = (Candidate(plain_value(own[key]), {"from": "resource"}, None, ("resource",)), *ladder)
            for place, candidate in enumerate(ladder):
                if candidate.ids is not None and resource_id not in candidate.ids:
                    continue
                found = None
                if candidate.value == UNSET:
                    passed.append((key, candidate, "it has no value yet"))
                    continue
                if isinstance(candidate.value, Reference):
                    led = self._relations.follow(candidate.value, resource)
                    if isinstance(led, Nothing):
                        passed.append((key, candidate, led.why))
                        continue
                    if _is_secret(led.value):
                        passed.append((key, candidate, "that is a secret, to which no reference leads"))
                        continue
                    found = led
                taken.append((key, candidate, found, _tied(candidate, ladder, place + 1, resource_id)))
                break
        if own is not None:
            return _resolution(taken, passed)
        signature = (
            *(
                (id(candidate), found and (found.rule_id, found.id, found.others), tied)
                for _, candidate, found, tied in taken
            ),
            *((id(candidate), why) for _, candidate, why in passed),
        )
        if signature not in shared:
            shared[signature] = _resolution(taken, passed)
        return shared[signature]


def _resolution(
    taken: Sequence[tuple[str, Candidate, Found | None, tuple[str, ...]]], passed: Sequence[tuple[str, Candidate, str]]
) -> Resolution:
    """What was taken and what was passed over, as values and words."""
    values: dict[str, Any] = {}
    origins: dict[str, Any] = {}
    for key, candidate, found, tied in taken:
        origin = candidate.origin
        values[key] = candidate.value
        if found is not None:
            values[key] = found.value
            origin = {**origin, **_reference(candidate.value, found)}
        origins[key] = {**origin, "tiedWith": list(tied)} if tied else origin
    if not passed:
        return Resolution(values, {"variables": origins})
    over = [
        {
            "key": key,
            **candidate.origin,
            **(_reference(candidate.value) if isinstance(candidate.value, Reference) else {}),
            "why": why,
        }
        for key, candidate, why in passed
    ]
    return Resolution(values, {"variables": origins, "passedOver": over})


def overlaps(values: Iterable[VariableValue], resources: Sequence[View]) -> tuple[Overlap, ...]:
    """The pairs of values of one variable that have the same priority and match the same resource.

    Gives: in each pair the one that wins first. Two values without a selector overlap even where there is no resource.
    """
    found = []
    ordered = sorted(values, key=lambda one: (-one.priority, one.id))
    ids = {one.id: _matched_by_value(one.resource_selector, resources) for one in ordered}
    for one, other in combinations(ordered, 2):
        if one.priority != other.priority:
            continue
        mine, theirs = ids[one.id], ids[other.id]
        if mine is None and theirs is None:
            found.append(Overlap((one.id, other.id), one.priority, len(resources)))
            continue
        both = [
            view
            for view in resources
            if (mine is None or view["id"] in mine) and (theirs is None or view["id"] in theirs)
        ]
        if both:
            example = min(str(view["name"]) for view in both)
            found.append(Overlap((one.id, other.id), one.priority, len(both), example))
    return tuple(found)


def remarks(origin: Mapping[str, Any]) -> list[str]:
    """What a person should know of how a target's variables came about: what was passed over, and what is a tie."""
    taken = origin.get("variables", {})
    said = []
    for one in origin.get("passedOver", ()):
        key, reference = one["key"], one.get("reference")
        instead = f"it takes {_source(taken[key])} instead" if key in taken else "it is left out"
        if reference is None:
            said.append(f"Variable {key}: {_source(one)} is a secret, and {one['why']}; {instead}.")
            continue
        said.append(
            f"Variable {key}: {_source(one)} refers to {reference['name']} at {'.'.join(reference['path'])}, but "
            f"{one['why']}; {instead}."
        )
    for key, one in taken.items():
        if "tiedWith" in one:
            others = ", ".join(one["tiedWith"])
            said.append(
                f"Variable {key}: {_source(one)} has the same priority as {others}; it wins because its id is smaller."
            )
        if one.get("reference", {}).get("others"):
            entity = one["reference"]["entity"]
            said.append(
                f"Variable {key}: more than one thing is related to this resource by {one['reference']['name']}; "
                f"{entity['type']} {entity['name']} comes first."
            )
    return said


def _source(origin: Mapping[str, Any]) -> str:
    match origin["from"]:
        case "resource":
            return "the resource's own value"
        case "variableSet":
            return f"variable set {origin['setName']}"
        case _:
            return f"value {origin['valueId']}"


def _candidates_of_values(declared: Declared, resources: Sequence[View]) -> list[Candidate]:
    return [
        Candidate(
            plain_value(one.value),
            {"from": "deploymentValue", "valueId": one.id, "priority": one.priority},
            _matched_by_value(one.resource_selector, resources),
            ("value", one.priority),
        )
        for one in sorted(declared.values, key=lambda one: (-one.priority, one.id))
    ]


def _matched_by_value(selector: str | None, resources: Sequence[View]) -> frozenset[str] | None:
    """The resources that a value is for; None: all."""
    if not (selector or "").strip():
        return None
    return frozenset([view["id"] for view in sieve(parse_selector(selector or "", Scope.RESOURCE))(resources)])


def _matched_by_set(text: str, subjects: Mapping[str, View], resources: Sequence[View]) -> frozenset[str] | None:
    """The resources that a set is for; None: all."""
    selector = parse_selector(text, Scope.VARIABLE_SET)
    matches = predicate(selector)
    if "resource" not in selector.roots:
        return None if matches({**subjects, "resource": {}}) else frozenset()
    return frozenset([view["id"] for view in resources if matches({**subjects, "resource": view})])


def _is_secret(value: Any) -> bool:
    """Whether a value that a reference leads to is somebody's secret, or says where one is."""
    return is_masked(value) or next(ids_in(value), None) is not None or next(references_in(value), None) is not None


def _tied(candidate: Candidate, ladder: Sequence[Candidate], after: int, resource_id: str) -> tuple[str, ...]:
    """The ids of the candidates that only an id puts behind the one that was taken."""
    tied: tuple[str, ...] = ()
    for place in range(after, len(ladder)):
        one = ladder[place]
        if one.rank != candidate.rank:
            break
        if one.concerns(resource_id):
            tied = (*tied, str(one.origin.get("valueId") or one.origin.get("setId")))
    return tied


def _reference(value: Reference, found: Found | None = None) -> dict[str, Any]:
    """A reference, and what it led to, for people."""
    said: dict[str, Any] = {"name": value.name, "path": list(value.path)}
    if found is not None:
        said |= {
            "ruleId": found.rule_id,
            "ruleName": found.rule_name,
            "entity": {"type": found.kind, "id": found.id, "name": found.name},
        }
        if found.others:
            said["others"] = True
    return {"reference": said}
