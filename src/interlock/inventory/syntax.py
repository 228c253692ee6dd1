"""What does a checked expression consist of? The tree that both compilers walk, read from the checker's protobuf bytes.

`cel-expr-python` gives its tree as serialized `Any(cel.expr.CheckedExpr)`. The wire format needs thirty lines, so no
protobuf library does. Every node carries the type that the checker found; macros (`exists`, `all`, `has`) are already
expanded.

Source: protobuf encoding, https://protobuf.dev/programming-guides/encoding/; cel-spec, proto/cel/expr/checked.proto and
syntax.proto.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from interlock.model.errors import Bug

Scalar: TypeAlias = str | int | float | bool | bytes | None
Message: TypeAlias = dict[int, list[int | bytes]]


@dataclass(frozen=True, slots=True)
class Const:
    """A literal. `type` tells 1 from 1u from 1.0."""

    value: Scalar
    type: str


@dataclass(frozen=True, slots=True)
class Ident:
    """A declared variable (`resource.kind`) or the variable of an enclosing macro."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, or with `test` `has(operand.field)`."""

    operand: Node
    field: str
    test: bool
    type: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operator. A method call has its receiver as first argument and `member` set."""

    function: str
    args: tuple[Node, ...]
    member: bool
    type: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list literal."""

    elements: tuple[Node, ...]
    type: str


@dataclass(frozen=True, slots=True)
class Comprehension:
    """An expanded macro. `macro` is exists, all, exists_one, filter, map, or "" for one that was not recognised.

    `body` is the predicate of the macro, for map the mapped expression.
    """

    macro: str
    variable: str
    range: Node
    body: Node
    type: str


@dataclass(frozen=True, slots=True)
class Other:
    """What the compilers leave to the reference engine: messages, map literals, optional entries."""

    children: tuple[Node, ...]
    type: str


Node: TypeAlias = Const | Ident | Select | Call | Items | Comprehension | Other


def parse_tree(checked: bytes) -> Node:
    """The root of a serialized checked expression.

    Fails: `Bug` when the bytes are not what the checker writes.
    """
    try:
        message = _message(_bytes(_message(checked), 2))
        types = dict(_map_entries(message, 3))
        return _Reader(types).node(_message(_bytes(message, 4)))
    except (IndexError, KeyError, UnicodeDecodeError, struct.error) as cause:
        raise Bug(f"A checked expression could not be read: {cause}") from cause


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below."""
    match node:
        case Select():
            return (node.operand,)
        case Call():
            return node.args
        case Items():
            return node.elements
        case Comprehension():
            return (node.range, node.body)
        case Other():
            return node.children
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, parents first."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(children(node))


def chain(node: Call) -> list[Node]:
    """The operands of a tree of one operator, in order: `a && b && c` as three."""
    found: list[Node] = []
    waiting: list[Node] = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Call) and one.function == node.function:
            waiting.extend(reversed(one.args))
        else:
            found.append(one)
    return found


def bare(node: Node) -> Node:
    """The node without `dyn(…)` around it."""
    while isinstance(node, Call) and node.function == "dyn":
        node = node.args[0]
    return node


_PLAIN_PATTERN = re.compile(r"(\^?)([A-Za-z0-9_/: ,=@-]*)(\$?|\.\*)")


def without_regex(node: Call) -> Node | None:
    """`text.matches(pattern)` as a plain comparison, where the pattern is plain text between anchors; else None."""
    text, pattern = node.args
    if text.type != "string" or not isinstance(pattern, Const):
        return None
    found = _PLAIN_PATTERN.fullmatch(str(pattern.value))
    if found is None:
        return None
    start, literal, end = found.groups()
    part = Const(literal, "string")
    if start and end == "$":
        return Call("_==_", (text, part), member=False, type="bool")
    function = "startsWith" if start else "endsWith" if end == "$" else "contains"
    return Call(function, (text, part), member=True, type="bool")


# --- from bytes -------------------------------------------------------------------------------------------------------

_PRIMITIVES = {1: "bool", 2: "int", 3: "uint", 4: "double", 5: "string", 6: "bytes"}
_WELL_KNOWN = {1: "dyn", 2: "timestamp", 3: "duration"}


class _Reader:
    """Turns messages into nodes, looking types up by expression id."""

    def __init__(self, types: Mapping[int, bytes]) -> None:
        self.types = types

    def node(self, message: Message) -> Node:
        identity = _int(message, 2)
        type_ = _type(_message(self.types[identity])) if identity in self.types else "dyn"
        if 3 in message:
            return self.const(_message(_bytes(message, 3)))
        if 4 in message:
            return Ident(_text(_message(_bytes(message, 4)), 1), type_)
        if 5 in message:
            part = _message(_bytes(message, 5))
            return Select(self.child(part, 1), _text(part, 2), test=bool(_int(part, 3)), type=type_)
        if 6 in message:
            part = _message(_bytes(message, 6))
            target = (self.child(part, 1),) if 1 in part else ()
            return Call(_text(part, 2), target + self.nodes(part, 3), member=bool(target), type=type_)
        if 7 in message and 2 not in (part := _message(_bytes(message, 7))):
            return Items(self.nodes(part, 1), type_)
        if 9 in message:
            return self.comprehension(_message(_bytes(message, 9)), type_)
        return Other(tuple(self.literal_parts(message)), type_)

    def child(self, message: Message, number: int) -> Node:
        return self.node(_message(_bytes(message, number)))

    def nodes(self, message: Message, number: int) -> tuple[Node, ...]:
        return tuple(self.node(_message(part)) for part in message.get(number, ()) if isinstance(part, bytes))

    def literal_parts(self, message: Message) -> Iterator[Node]:
        """The expressions inside a map, a message or a list with optional entries."""
        for part in message.get(7, ()):
            yield from self.nodes(_message(part), 1)
        for part in message.get(8, ()):
            for entry in _message(part).get(2, ()):
                for number in (3, 4):
                    yield from self.nodes(_message(entry), number)

    def const(self, message: Message) -> Const:
        number, values = next(iter(message.items()), (1, [0]))
        value = values[-1]
        if isinstance(value, bytes):
            if number == 5:
                return Const(float(struct.unpack("<d", value)[0]), "double")
            return Const(value.decode(), "string") if number == 6 else Const(value, "bytes")
        if number == 2:
            return Const(bool(value), "bool")
        if number == 3:
            return Const(value - (1 << 64) if value >> 63 else value, "int")
        return Const(value, "uint") if number == 4 else Const(None, "null")

    def comprehension(self, message: Message, type_: str) -> Node:
        """Recognise the macro by the shape that the parser expands it to."""
        variable, accumulator = _text(message, 1), _text(message, 3)
        over, start = self.child(message, 2), self.child(message, 4)
        step, result = self.child(message, 6), self.child(message, 7)
        macro, body = "", step
        if 8 not in message and isinstance(step, Call):
            macro, body = _macro(step, start, variable=variable, accumulator=accumulator, result=result)
        if not macro:
            return Other((over, start, self.child(message, 5), step, result), type_)
        return Comprehension(macro, variable, over, body, type_)


def _macro(step: Call, start: Node, *, variable: str, accumulator: str, result: Node) -> tuple[str, Node]:
    """Which macro it was, with its body; ("", step) when it is none that the compilers know."""
    plain = isinstance(result, Ident) and result.name == accumulator
    args = step.args
    match step.function, start:
        case "_||_", Const(value=False) if plain:
            return "exists", args[1]
        case "_&&_", Const(value=True) if plain:
            return "all", args[1]
        case "_?_:_", Const(value=0):
            return "exists_one", args[0]
        case "_?_:_", Items() if (
            plain and isinstance(grown := args[1], Call) and isinstance(added := grown.args[1], Items)
        ):
            kept = added.elements[0]
            return ("filter", args[0]) if isinstance(kept, Ident) and kept.name == variable else ("", step)
        case "_+_", Items() if plain and isinstance(args[1], Items):
            return "map", args[1].elements[0]
        case _:
            return "", step


def _type(message: Message) -> str:
    """CEL's spelling of a type, lists and maps with their parts."""
    if 3 in message:
        return _PRIMITIVES[_int(message, 3)]
    if 5 in message:
        return _WELL_KNOWN[_int(message, 5)]
    if 6 in message:
        return f"list({_part(_message(_bytes(message, 6)), 1)})"
    if 7 in message:
        part = _message(_bytes(message, 7))
        return f"map({_part(part, 1)},{_part(part, 2)})"
    return "null" if 2 in message else "dyn" if 1 in message else "other"


def _part(message: Message, number: int) -> str:
    return _type(_message(_bytes(message, number))) if number in message else "dyn"


def _map_entries(message: Message, number: int) -> Iterator[tuple[int, bytes]]:
    for entry in message.get(number, ()):
        part = _message(entry)
        yield _int(part, 1), _bytes(part, 2)


def _message(raw: int | bytes) -> Message:
    """Field number -> its values in order; varints as int, the rest as bytes.

    Fails: `Bug` when it is no message.
    """
    if isinstance(raw, int):
        raise Bug("A number stands where a message should.")
    found: Message = {}
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        value: int | bytes
        match key & 7:
            case 0:
                value, at = _varint(raw, at)
            case 1:
                value, at = raw[at : at + 8], at + 8
            case 2:
                length, at = _varint(raw, at)
                value, at = raw[at : at + length], at + length
            case kind:
                raise Bug(f"A checked expression holds wire type {kind}.")
        found.setdefault(key >> 3, []).append(value)
    return found


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def _int(message: Message, number: int) -> int:
    value = message.get(number, [0])[-1]
    return value if isinstance(value, int) else 0


def _bytes(message: Message, number: int) -> bytes:
    value = message[number][-1]
    return value if isinstance(value, bytes) else b""


def _text(message: Message, number: int) -> str:
    return _bytes(message, number).decode() if number in message else ""
