"""What may a value be? Checked with the path of every fault, and said as JSON Schema: one table serves both.

A shape is frozen and knows nothing of files. `faults` gives every fault, not the first alone; a key that is not known
comes with the one that was probably meant. A key without a value (`description:`) counts as not written.

Source: JSON Schema draft 7, which editors understand best (`yaml-language-server`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Protocol

from interlock.decide.rule_schema import Schema, or_null

Path = tuple[str | int, ...]


TEXT_MAX = 20_000
NAME_MAX = 255
INT32_MAX = 2**31 - 1
_HAS_INK = re.compile(r"\S")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at a path within a document. `alone`: the message says itself what it is about."""

    path: Path
    message: str
    alone: bool = False

    @property
    def sentence(self) -> str:
        """The fault as it is told after `file:line`."""
        return f"{'' if self.alone or not self.path else path_text(self.path) + ' '}{self.message}."


class Shape(Protocol):
    """What a value may be. `words` finishes the sentence "must be …"."""

    @property
    def words(self) -> str:
        """What it must be, for people."""
        ...

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        """What is wrong with a value that is there."""
        ...

    def schema(self) -> Schema:
        """The same as JSON Schema."""
        ...


@dataclass(frozen=True, slots=True)
class Key:
    """One key of an object.

    Takes: `default` is what the server has where nothing was written. `kept`: not written means left as it is.
           `about` is the key's line in the reference and in an editor. `nullable`: null is a value of it.
    """

    shape: Shape
    about: str = ""
    default: object = None
    required: bool = False
    kept: bool = False
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """Text of limited length; a `name` must have something in it that can be seen."""

    length_max: int = TEXT_MAX
    inked: bool = False

    @property
    def words(self) -> str:
        """See Shape."""
        return "text"

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        """See Shape."""
        if not isinstance(value, str):
            yield Fault(path, f"must be text{_quotes(value)}")
        elif len(value) > self.length_max:
            yield Fault(path, f"must have at most {self.length_max} characters")
        elif self.inked and not _HAS_INK.search(value):
            yield Fault(path, "must not be empty")

    def schema(self) -> Schema:
        """See Shape."""
        limits: Schema = {"type": "string", "maxLength": self.length_max}
        return limits | ({"pattern": r"\S"} if self.inked else {})


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number."""

    minimum: int = -INT32_MAX
    maximum: int = INT32_MAX

    @property
    def words(self) -> str:
        """See Shape."""
        return "a whole number"

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        """See Shape."""
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            yield Fault(path, "must be a whole number")
        elif not self.minimum <= value <= self.maximum:
            yield Fault(path, f"must be from {self.minimum} to {self.maximum}")

    def schema(self) -> Schema:
        """See Shape."""
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Number:
    """Any finite number."""

    @property
    def words(self) -> str:
        """See Shape."""
        return "a number"

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        """See Shape."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            yield Fault(path, "must be a number")

    def schema(self) -> Schema:
        """See Shape."""
        return {"type": "number"}


@dataclass(frozen=True, slots=True)
class Truth:
    """true or false."""

    @property
    def words(self) -> str:
        """See Shape."""
        return "true or false"

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        """See Shape."""
        if not isinstance(value, bool):
            yield Fault(path, "must be true or false")

    def schema(self) -> Schema:
        """See Shape."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    allowed: tuple[str, ...]

    @property
    def words(self) -> str:
        """See Shape."""
        return f"one of {', '.join(self.allowed)}"

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        """See Shape."""
        if value not in self.allowed:
            yield Fault(path, f"must be {self.words}{meant(str(value), self.allowed)}")

    def schema(self) -> Schema:
        """See Shape."""
        return {"type": "string", "enum": list(self.allowed)}


@dataclass(frozen=True, slots=True)
class Anything:
    """Any value that JSON can say."""

    @property
    def words(self) -> str:
        """See Shape."""
        return "any value"

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        """See Shape."""
        if isinstance(value, float) and not math.isfinite(value):
            yield Fault(path, "must be a finite number")
        elif isinstance(value, Mapping):
            for key, each in value.items():
                yield from self.faults(each, (*path, key))
        elif isinstance(value, list):
            for number, each in enumerate(value):
                yield from self.faults(each, (*path, number))

    def schema(self) -> Schema:
        """See Shape."""
        return {}


@dataclass(frozen=True, slots=True)
class Map:
    """An object whose keys are somebody else's business, each value of one shape."""

    values: Shape = field(default_factory=Anything)

    @property
    def words(self) -> str:
        """See Shape."""
        return "an object"

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        """See Shape."""
        if not isinstance(value, Mapping):
            yield Fault(path, f"must be {self.words}")
            return
        for key, each in value.items():
            yield from self.values.faults(each, (*path, key))

    def schema(self) -> Schema:
        """See Shape."""
        return {"type": "object", "additionalProperties": self.values.schema() or True}


@dataclass(frozen=True, slots=True)
class List:
    """A list of one shape."""

    item: Shape
    items_min: int = 0
    items_max: int = 100_000

    @property
    def words(self) -> str:
        """See Shape."""
        return "a list"

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        """See Shape."""
        if not isinstance(value, list):
            yield Fault(path, "must be a list")
            return
        if not self.items_min <= len(value) <= self.items_max:
            yield Fault(path, f"must have from {self.items_min} to {self.items_max} items")
        for number, each in enumerate(value):
            yield from self.item.faults(each, (*path, number))

    def schema(self) -> Schema:
        """See Shape."""
        limits: Schema = {"minItems": self.items_min} if self.items_min else {}
        return {"type": "array", "items": self.item.schema() or True, "maxItems": self.items_max, **limits}


@dataclass(frozen=True, slots=True)
class Object:
    """An object with these keys and no others.

    Takes: `one_of` are groups of keys of which at most one may be there.
    """

    keys: Mapping[str, Key]
    one_of: tuple[tuple[str, ...], ...] = ()
    what: str = "an object"

    @property
    def words(self) -> str:
        """See Shape."""
        return "an object"

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        """See Shape."""
        if not isinstance(value, Mapping):
            yield Fault(path, "must be an object")
            return
        subject = path_text(path) or self.what
        for key, each in value.items():
            if key not in self.keys:
                told = meant(str(key), tuple(self.keys)) or f"; it has {', '.join(self.keys)}"
                yield Fault((*path, key), f"{subject} has no {key}{told}", alone=True)
            elif each is not None:
                yield from self.keys[key].shape.faults(each, (*path, key))
        for key, wanted in self.keys.items():
            if wanted.required and (key not in value if wanted.nullable else value.get(key) is None):
                yield Fault(path, f"{subject} needs {key}{' (null is one)' if wanted.nullable else ''}", alone=True)
        for group in self.one_of:
            given = [key for key in group if value.get(key) is not None]
            if len(given) > 1:
                yield Fault((*path, given[1]), f"give {given[0]} or {given[1]}, not both", alone=True)

    def schema(self) -> Schema:
        """See Shape."""
        body: Schema = {
            "type": "object",
            "properties": {name: key_schema(key) for name, key in self.keys.items()},
            "additionalProperties": False,
        }
        if any(key.required for key in self.keys.values()):
            body["required"] = [name for name, key in self.keys.items() if key.required]
        if self.one_of:
            # Two of a group, both with a value: a key without one counts as not written.
            body["allOf"] = [
                {"not": {"properties": {a: _THERE, b: _THERE}, "required": [a, b]}}
                for group in self.one_of
                for place, a in enumerate(group)
                for b in group[place + 1 :]
            ]
        return body


@dataclass(frozen=True, slots=True)
class Said:
    """A shape that somebody else checks (`meaning.py`), with the schema that goes with it."""

    described: Callable[[], Schema]
    wrapped: Shape = field(default_factory=Anything)

    @property
    def words(self) -> str:
        """See Shape."""
        return self.wrapped.words

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        """See Shape."""
        return self.wrapped.faults(value, path)

    def schema(self) -> Schema:
        """See Shape."""
        return self.described()


_THERE: Schema = {"not": {"type": "null"}}

NAME = Text(NAME_MAX, inked=True)
TEXT = Text()
TRUTH = Truth()
ANY = Anything()
TEXTS = Map(Text(TEXT_MAX))
TREE = Map()
NAMES = List(NAME, items_min=1)


def key_schema(key: Key) -> Schema:
    """A key's schema, with its line; one that need not be there may be empty."""
    schema = key.shape.schema()
    if not key.required:
        schema = or_null(schema)
    about = {"description": key.about} if key.about else {}
    default = {"default": key.default} if key.default not in (None, "", [], {}) else {}
    return {**about, **schema, **default}


def meant(word: str, known: Sequence[str]) -> str:
    """`; did you mean selector`, or nothing where nothing is near."""
    folded = {each.lower().replace("_", ""): each for each in known}
    near = get_close_matches(word.lower().replace("_", ""), list(folded), n=1, cutoff=0.75)
    return f"; did you mean {folded[near[0]]}" if near else ""


def path_text(path: Path) -> str:
    """`("rules", 0, "anyApproval")` as `rules[0].anyApproval`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


_PART = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)")


def parse_path(text: str) -> Path:
    """`rules[0].anyApproval` as its parts."""
    return tuple(int(found[1]) if found[1] else found[2] for found in _PART.finditer(text))


def _quotes(value: object) -> str:
    """What to do about a number or a date that should be text."""
    return " (put it in quotes)" if isinstance(value, bool | int | float) else ""
