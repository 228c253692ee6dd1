"""Which fields has each kind of rule, as JSON Schema? Asked of the rules' own readers.

A rule reads its object through `Fields`, one field after the other. Here it reads one that only notes what is asked
for, once for each word of each choice, since some fields are asked for only under one of them. So no second list of
fields exists that could be forgotten; what a reader checks beyond the kind of a value stays the reader's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from interlock.decide.effects import APPROVALS_MAX
from interlock.decide.rules import ALWAYS_ASKED, APPLIES_TO, ENVELOPE, RULES
from interlock.model.compare import read_compare
from interlock.model.verification import read_metric
from interlock.model.wire import INT32_MAX, TEXT_MAX, Fields

Schema = dict[str, Any]
_T = TypeVar("_T")
RUNS_MAX = 64


def or_null(schema: Schema) -> Schema:
    """The schema, or null."""
    if not schema or "$ref" in schema or "anyOf" in schema:
        return {"anyOf": [schema, {"type": "null"}]} if schema else {}
    if "type" not in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    widened = {**schema, "type": [*kinds, "null"]}
    return widened | ({"enum": [*schema["enum"], None]} if "enum" in schema else {})


class Noting(Fields):
    """Fields of an object that says nothing, which keep what was asked for.

    Takes: `picked` is which word a choice answers, and whether a field that may be one value or several is a list.
    """

    def __init__(self, picked: Mapping[str, Any]) -> None:
        super().__init__({}, "")
        self.noted: dict[str, Schema] = {}
        self.needed: set[str] = set()
        self.open: dict[str, tuple[Any, ...]] = {}
        self._picked = picked

    def _note(self, name: str, schema: Schema, *, required: bool = False) -> None:
        self.noted[name] = schema
        if required:
            self.needed.add(name)

    def anything(self, name: str) -> object:
        self._note(name, {})
        return None

    def integer(
        self,
        name: str,
        *,
        default: int | None = None,
        minimum: int = 0,
        maximum: int = INT32_MAX,
        required: bool = False,
    ) -> int:
        self._note(name, {"type": "integer", "minimum": minimum, "maximum": maximum}, required=required)
        return default if default is not None else minimum

    def optional_integer(self, name: str, *, minimum: int = 0, maximum: int = INT32_MAX) -> int | None:
        self._note(name, {"type": "integer", "minimum": minimum, "maximum": maximum})
        return None

    def number(
        self, name: str, *, default: float | None, minimum: float, maximum: float, required: bool = False
    ) -> float | None:
        self._note(name, {"type": "number", "minimum": minimum, "maximum": maximum}, required=required)
        return default

    def boolean(self, name: str, *, default: bool) -> bool:
        self._note(name, {"type": "boolean"})
        return default

    def text(self, name: str, *, default: str | None = None, required: bool = False, maximum: int = TEXT_MAX) -> str:
        ink: Schema = {"pattern": r"\S"} if required else {}
        self._note(name, {"type": "string", "maxLength": maximum, **ink}, required=required)
        return default or ""

    def choice(self, name: str, *, allowed: tuple[str, ...], default: str | None = None) -> str:
        self._note(name, {"type": "string", "enum": list(allowed)}, required=default is None)
        self.open[name] = allowed
        return str(self._picked.get(name, default or allowed[0]))

    def words(self, name: str, *, allowed: tuple[str, ...], default: tuple[str, ...] = ()) -> tuple[str, ...]:
        self._note(name, {"type": "array", "items": {"type": "string", "enum": list(allowed)}})
        return default

    def mapping(self, name: str, *, required: bool = False) -> Mapping[str, object]:
        self._note(name, {"type": "object"}, required=required)
        return {}

    def items(self, name: str, *, required: bool = False, maximum: int = 100) -> list[object]:
        self._note(name, {"type": "array", "maxItems": maximum}, required=required)
        return []

    def parsed(self, name: str, parse: Callable[[str], _T], *, required: bool = True) -> _T | None:
        self.text(name, required=required)
        return None

    def is_list(self, name: str) -> bool:
        self.open[name] = (False, True)
        return bool(self._picked.get(name, False))

    def unwanted(self, name: str, message: str) -> None:
        """Not asked for: under another choice it is."""

    def done(self) -> None:
        """Nothing is refused."""


@lru_cache(maxsize=1)
def rule_schema() -> Schema:
    """One entry of a policy's `rules`: exactly one kind, and perhaps what the server adds."""
    kinds = {rule.kind: _described(rule) for rule in RULES if hasattr(rule, "parse")}
    there: Schema = {"not": {"type": "null"}}
    return {
        "type": "object",
        "properties": {
            **{kind: or_null(schema) for kind, schema in kinds.items()},
            **{name: {} for name in sorted(ENVELOPE)},
        },
        "additionalProperties": False,
        "oneOf": [{"required": [kind], "properties": {kind: there}} for kind in kinds],
    }


def _described(rule: Any) -> Schema:
    """A rule's object."""
    properties, needed = noted_by(rule.parse)
    if rule.shape == "gate" and rule.kind not in ALWAYS_ASKED:
        properties["appliesTo"] = {"type": "string", "enum": list(APPLIES_TO)}
    if hasattr(rule, "read_reaction"):
        words, always = noted_by(rule.read_reaction)
        properties["reactions"] |= {"items": _object({**words, "then": effect_schema()}, {*always, "then"})}
    if rule.kind == "verification":
        fields, wanted = noted_by(read_metric)
        fields["provider"] = {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}
        sides, both = noted_by(read_compare)
        side = {"type": "object", "properties": {"provider": {"type": "object"}, "label": {"type": "string"}}}
        fields["compare"] = _object({**sides, "canary": side, "baseline": side}, both)
        one_of = [{"required": ["successCondition"]}, {"required": ["compare"]}]
        metric = {**_object(fields, wanted - {"successCondition"}), "anyOf": one_of}
        properties["metrics"] |= {"items": metric, "minItems": 1}
    heading = (rule.__doc__ or "").partition("\n")[0].partition(": ")[2]
    return {"description": heading[:1].upper() + heading[1:], **_object(properties, needed)}


def effect_schema() -> Schema:
    """What a rule makes of a signal (`effects`)."""
    parts: Schema = {
        "approvals": {"type": "integer", "minimum": 1, "maximum": APPROVALS_MAX},
        "approverGroup": {"type": "string"},
        "paceCap": {"type": "number", "minimum": 0.01, "maximum": 1},
    }
    return {"anyOf": [{"type": "string", "enum": ["pass", "hold"]}, _object(parts, set())]}


def noted_by(parse: Callable[[Fields], object]) -> tuple[dict[str, Schema], set[str]]:
    """What a reader asks for: (field -> schema, those that it always needs).

    Why:    a reader that takes nothing but defaults may stumble over what it got; what it asked for until then counts.
    """
    found: dict[str, list[Schema]] = {}
    needed: list[set[str]] = []
    todo: list[dict[str, Any]] = [{}]
    for picked in todo:
        fields = Noting(picked)
        parse(fields)
        needed.append(fields.needed)
        for name, schema in fields.noted.items():
            known = found.setdefault(name, [])
            if schema not in known:
                known.append(schema)
        for name, words in fields.open.items():
            if name not in picked and not any(name in other for other in todo):
                todo += [{**picked, name: word} for word in words]
        if len(todo) > RUNS_MAX:
            break
    schemas = {name: known[0] if len(known) == 1 else {"anyOf": known} for name, known in found.items()}
    return schemas, set.intersection(*needed)


def _object(properties: Mapping[str, Schema], needed: set[str]) -> Schema:
    body: Schema = {
        "type": "object",
        "properties": {name: each if name in needed else or_null(each) for name, each in properties.items()},
        "additionalProperties": False,
    }
    return body | ({"required": sorted(needed)} if needed else {})
