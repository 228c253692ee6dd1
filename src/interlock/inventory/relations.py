"""What does a reference lead to? The thing of the workspace that a relationship rule relates to a target's resource.

A rule is CEL over `from` and `to`; each may be any resource, deployment or environment of the workspace, as JSON with
its `type` (`resource`, `deployment`, `environment`). A reference names rules by their `reference`. The resource is put
on both sides, against everything else; the first match in this order counts, whatever order things were loaded in:

    rules by (name, id); the resource as `from` before the resource as `to`; resources before deployments before
    environments; then the smallest id

A thing is never related to itself. What the found thing lacks at the path is not looked for in the next one.

How a rule is evaluated without comparing everything with everything: conjuncts of the form `from.x == to.y` become a
hash join, and `to.kind == "VPC"` leaves out what cannot match; the whole rule is then asked of the few that are left.
Each of these steps only ever leaves out what the rule would refuse. A rule without such an equality compares a resource
with up to `COMPARED_MAX` things, and says so when there are more.

Source: reference-behaviour.md section 6 and its [RB] (a first match in no particular order; a whole workspace loaded
and asked for each reference of each target).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from interlock.inventory.selector import Scope, parse_selector
from interlock.inventory.syntax import Call, Const, Ident, Node, Select, bare, chain
from interlock.inventory.to_python import Predicate, predicate
from interlock.model.errors import Invalid
from interlock.model.variable import Reference, RelationshipRule, is_keepable

COMPARED_MAX = 1_000
"""Things that one rule is asked about for one resource, in one direction."""

OTHERS_ASKED_MAX = 10
"""How many more are asked, once one was found, to tell that it is not the only one."""

ENTITIES_MAX = 200_000
"""Things of a workspace that references are looked for in; with more, references lead nowhere and say why."""

KINDS = ("resource", "deployment", "environment")
"""The kinds of things that can be related, in the order in which they are tried."""

View: TypeAlias = Mapping[str, Any]
Steps: TypeAlias = tuple[str, ...]

_MISSING = object()
_SIDES = ("from", "to")


@dataclass(frozen=True, slots=True)
class Found:
    """What a reference leads to. `others`: more than one thing matches, and this one came first."""

    value: Any
    rule_id: str
    rule_name: str
    kind: str
    id: str
    name: str
    others: bool = False


@dataclass(frozen=True, slots=True)
class Nothing:
    """Why a reference leads nowhere, for a person."""

    why: str


@dataclass(frozen=True, slots=True)
class Needed:
    """Which things must be loaded to follow some references. `resource_kinds` None: resources of every kind."""

    deployments: bool
    environments: bool
    resource_kinds: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a rule's conjuncts can be looked up: (path of `from`, path of `to`) that are equal, and (path, text)
    that one side must have.
    """

    joins: tuple[tuple[Steps, Steps], ...]
    texts: Mapping[str, tuple[tuple[Steps, str], ...]]

    def admits(self, side: str, entity: View) -> bool:
        """Whether a thing may stand on this side."""
        return all(at_path(entity, steps) == text for steps, text in self.texts[side])


@dataclass(frozen=True, slots=True)
class Rule:
    """A relationship rule, ready to be asked."""

    id: str
    name: str
    reference: str
    matches: Predicate
    shape: Shape


@dataclass(slots=True)
class Side:
    """The things that may stand on one side of a rule, by what they are joined on; in the order of trying."""

    everything: list[View] = field(default_factory=list)
    by_key: dict[tuple[Any, ...], list[View]] = field(default_factory=dict)
    odd: bool = False
    """Some thing has a list or an object where the join compares, so the lookup would miss it."""


def entity_of(kind: str, view: View) -> dict[str, Any]:
    """A thing as a rule sees it: its view with its `type`, without what it lacks."""
    return {"type": kind, **{key: value for key, value in view.items() if value is not None}}


def parse_rules(rules: Iterable[RelationshipRule]) -> tuple[Rule, ...]:
    """The rules in the order of trying. One that is no valid CEL any more is left out."""
    parsed = []
    for rule in sorted(rules, key=lambda one: (one.name, one.id)):
        try:
            selector = parse_selector(rule.cel, Scope.RELATIONSHIP)
        except Invalid:
            continue
        parsed.append(Rule(rule.id, rule.name, rule.reference, predicate(selector), shape_of(selector.ast)))
    return tuple(parsed)


def needed(rules: Iterable[Rule], resources: Sequence[View]) -> Needed:
    """What must be loaded so that these rules can be asked about these resources.

    Why:    a rule that says `from.kind == "Cluster" && to.kind == "Network"` needs the networks, and no cluster.
    """
    kinds: set[str] = set()
    every_kind, deployments, environments = False, False, False
    mine = [entity_of("resource", view) for view in resources]
    for rule in rules:
        for side, other in (("from", "to"), ("to", "from")):
            if not any(rule.shape.admits(side, one) for one in mine):
                continue
            texts = dict(rule.shape.texts[other])
            kind = texts.get(("type",))
            deployments |= kind in {None, "deployment"}
            environments |= kind in {None, "environment"}
            if kind not in {None, "resource"}:
                continue
            if ("kind",) in texts:
                kinds.add(texts["kind",])
            else:
                every_kind = True
    return Needed(deployments, environments, None if every_kind else frozenset(kinds))


class Relations:
    """Follows references. What it finds for a resource is remembered, so each is looked for once a match."""

    def __init__(self, rules: Iterable[Rule], entities: Iterable[View], *, too_many: bool = False) -> None:
        self._rules: dict[str, list[Rule]] = {}
        for rule in rules:
            self._rules.setdefault(rule.reference, []).append(rule)
        self._entities = sorted(entities, key=lambda one: (KINDS.index(one["type"]), one["id"]))
        self._too_many = too_many
        self._sides: dict[tuple[str, str], Side] = {}
        self._related: dict[tuple[str, str], tuple[Rule, View, bool] | Nothing] = {}

    def follow(self, reference: Reference, resource: View) -> Found | Nothing:
        """What stands at the reference's path, for a resource."""
        key = (reference.name, resource["id"])
        if key not in self._related:
            self._related[key] = self._find(reference.name, entity_of("resource", resource))
        related = self._related[key]
        if isinstance(related, Nothing):
            return related
        rule, entity, others = related
        value = at_path(entity, reference.path)
        name = str(entity.get("name", ""))
        if value is _MISSING:
            return Nothing(f"{entity['type']} {name} has nothing at {'.'.join(reference.path)}")
        if not is_keepable(value):
            return Nothing(f"{entity['type']} {name} has a value at {'.'.join(reference.path)} that JSON cannot keep")
        return Found(value, rule.id, rule.name, entity["type"], entity["id"], name, others)

    def _find(self, name: str, resource: View) -> tuple[Rule, View, bool] | Nothing:
        rules = self._rules.get(name)
        if not rules:
            return Nothing(f"there is no relationship rule for the reference {name}")
        if self._too_many:
            return Nothing(f"references are looked for among {ENTITIES_MAX:,} things at most; this workspace has more")
        cut = ""
        for rule in rules:
            for side, other in (("from", "to"), ("to", "from")):
                if not rule.shape.admits(side, resource):
                    continue
                found, ended = self._first(rule, resource, side, other)
                if found is not None:
                    return rule, found[0], found[1]
                if not ended:
                    cut = cut or (
                        f"; {rule.name} was asked about the first {COMPARED_MAX:,} things only: let it compare with an "
                        "equality, as in from.metadata.x == to.metadata.x"
                    )
        return Nothing(f"nothing is related to this resource by the reference {name}{cut}")

    def _first(self, rule: Rule, resource: View, side: str, other: str) -> tuple[tuple[View, bool] | None, bool]:
        """The first thing that a rule relates and whether another one follows; and whether all were asked."""
        found: View | None = None
        asked = 0
        for entity in self._candidates(rule, resource, side, other):
            if entity["id"] == resource["id"] and entity["type"] == "resource":
                continue
            if asked >= (COMPARED_MAX if found is None else OTHERS_ASKED_MAX):
                return ((found, False), True) if found is not None else (None, False)
            asked += 1
            if rule.matches({side: resource, other: entity}):
                if found is not None:
                    return (found, True), True
                found, asked = entity, 0
        return (None if found is None else (found, False)), True

    def _candidates(self, rule: Rule, resource: View, side: str, other: str) -> Iterator[View] | Sequence[View]:
        """The things that may stand opposite a resource: by the join where there is one."""
        opposite = self._side(rule, other)
        if not rule.shape.joins or opposite.odd:
            return opposite.everything
        key = _key(resource, [join[_SIDES.index(side)] for join in rule.shape.joins])
        if key is None:
            return ()
        try:
            return opposite.by_key.get(key, ())
        except TypeError:  # a list or an object: compare it the long way
            return opposite.everything

    def _side(self, rule: Rule, side: str) -> Side:
        """The things that may stand on one side of a rule, indexed once."""
        if (rule.id, side) not in self._sides:
            found = self._sides[rule.id, side] = Side()
            paths = [join[_SIDES.index(side)] for join in rule.shape.joins]
            for entity in self._entities:
                key = _key(entity, paths)
                if key is None or not rule.shape.admits(side, entity):
                    continue
                found.everything.append(entity)
                try:
                    found.by_key.setdefault(key, []).append(entity)
                except TypeError:
                    found.odd = True
        return self._sides[rule.id, side]


NO_RELATIONS = Relations((), ())


def at_path(value: Any, steps: Steps) -> Any:
    """What stands at a path of keys, and of places in lists; a mark of our own where nothing does."""
    for step in steps:
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, Sequence) and not isinstance(value, str) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return _MISSING
    return value


def _key(entity: View, paths: Iterable[Steps]) -> tuple[Any, ...] | None:
    """What a thing is joined on; None when it lacks a part, and so can match nothing.

    Why:    Python's 1, 1.0 and True are one key. So some are asked that the rule then tells apart; none is left out.
    """
    key = tuple(at_path(entity, steps) for steps in paths)
    return None if any(part is _MISSING for part in key) else key


# What of a rule can be looked up --------------------------------------------------------------------------------------


def shape_of(tree: Node) -> Shape:
    """Read the conjuncts of a rule."""
    joins: list[tuple[Steps, Steps]] = []
    texts: dict[str, list[tuple[Steps, str]]] = {side: [] for side in _SIDES}
    for part in chain(tree) if isinstance(tree, Call) and tree.function == "_&&_" else [tree]:
        if not isinstance(part, Call) or part.function != "_==_":
            continue
        one, other = (_operand(each) for each in part.args)
        match one, other:
            case ("from", steps), ("to", theirs):
                joins.append((steps, theirs))
            case ("to", steps), ("from", theirs):
                joins.append((theirs, steps))
            case ((("from" | "to") as side, steps), str(text)) | (str(text), (("from" | "to") as side, steps)):
                texts[side].append((steps, text))
    return Shape(tuple(joins), {side: tuple(found) for side, found in texts.items()})


def _operand(node: Node) -> tuple[str, Steps] | str | None:
    """A path of one side, or a text; None for anything else."""
    steps: list[str] = []
    node = bare(node)
    if isinstance(node, Const):
        return node.value if isinstance(node.value, str) else None
    while True:
        match node:
            case Ident(name=("from" | "to") as side):
                return (side, tuple(reversed(steps))) if steps else None
            case Select(operand=inner, field=step, test=False):
                steps.append(step)
                node = bare(inner)
            case Call(function="_[_]", args=(inner, Const(value=str(step)))):
                steps.append(step)
                node = bare(inner)
            case _:
                return None
