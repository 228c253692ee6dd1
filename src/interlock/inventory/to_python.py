"""Does this selector match? CEL compiled to Python, exactly, some twenty times faster than evaluating it.

CEL has three outcomes: true, false and error (a key that is missing, a comparison that makes no sense), and `error ||
true` is true. So each boolean expression is compiled twice, to "it is true" and to "it is false"; an error is neither:

    is true:   a && b   ->  T(a) and T(b)      a || b  ->  T(a) or T(b)      !a  ->  F(a)
    is false:  a && b   ->  F(a) or F(b)       a || b  ->  F(a) and F(b)     !a  ->  T(a)

Values are total too: what cannot be computed is `ERROR`, which equals nothing. So nothing raises on the way, and `T`
alone answers "is it a match", at the price of one dictionary access and one comparison for the usual case. Comparisons
are chosen by the checked types, since Python has `True == 1` and CEL has not.

What is not compiled (arithmetic, time spans, regular expressions beyond the simplest, rare functions) goes to the
reference engine, expression by expression; so does any evaluation in which the generated code raises after all. A
property test holds the two equal.

Views are plain mappings as `scope.py` describes them; `subjects` maps each root to its view.

It is one long file because the text that is written and the small functions that it calls are one agreement: whoever
changes a helper's idea of an error must see the writer that relies on it.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md, sections Logical Operators and Equality;
libraries.md section 2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any, TypeAlias

from interlock.inventory import engine
from interlock.inventory.engine import Failed, Subjects, Trouble, instant_text, regex_found
from interlock.inventory.extensions import FUNCTIONS, equal
from interlock.inventory.scope import FIELDS_BY_ROOT, Absent
from interlock.inventory.selector import PARSED_MAX, Expression, Selector
from interlock.inventory.syntax import (
    Call,
    Comprehension,
    Const,
    Ident,
    Items,
    Node,
    Select,
    bare,
    chain,
    without_regex,
)
from interlock.model.errors import Invalid

STEPS_MAX = 2000
"""Conditions written per expression: those that need both outcomes of a part double it at each level."""

Predicate: TypeAlias = Callable[[Subjects], bool]
Sieve: TypeAlias = Callable[[Iterable[Mapping[str, Any]]], list[Any]]


class Match(Enum):
    """What a policy's selector says of a target. Unknown holds."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


def matches(selector: Selector, subjects: Subjects) -> bool:
    """Whether it is true of them. A missing key, or anything else that cannot be computed, is no match."""
    return predicate(selector)(subjects)


def match_outcome(selector: Selector, subjects: Subjects) -> Match:
    """The same with the third outcome told apart.

    Why:    a policy that might apply must not be taken for one that does not (core.md section 4, "Verdicts").
    Gives:  `UNKNOWN` when a fact namespace that it reads lacks what is asked, or when the evaluation fails for
            another reason than a missing key; a key missing in plain metadata is `NO`.
    """
    if predicate(selector)(subjects):
        return Match.YES
    if _refuted(selector)(subjects):
        return Match.NO
    value = engine.evaluate(selector.checked, selector.variables, subjects)
    if isinstance(value, Failed):
        return Match.UNKNOWN if selector.reads_facts or value.trouble is Trouble.WRONG else Match.NO
    return Match.NO if value is False else Match.UNKNOWN


@lru_cache(maxsize=PARSED_MAX)
def _refuted(selector: Selector) -> Predicate:
    """Whether it is false for sure, by generated code; False leaves the question to the reference engine."""
    function = _function(selector, wanted=False)
    if function is None:
        return lambda _subjects: False

    def quick(subjects: Subjects) -> bool:
        try:
            return bool(function(subjects))
        except Exception:  # noqa: BLE001 whatever it was, the reference decides
            return False

    return quick


def value_of(expression: Expression, subjects: Subjects) -> object:
    """What an expression gives, as plain Python.

    Fails: `Invalid` with the engine's words when it gives nothing.
    """
    value = engine.evaluate(expression.checked, expression.variables, subjects)
    if isinstance(value, Failed):
        raise Invalid(value.message)
    return value


@lru_cache(maxsize=PARSED_MAX)
def valuer(expression: Expression) -> Callable[[Subjects], object]:
    """An expression as a function of its subjects, for many of them; None where it gives nothing. Never raises."""

    def reference(subjects: Subjects) -> object:
        value = engine.evaluate(expression.checked, expression.variables, subjects)
        return None if isinstance(value, Failed) else value

    writer = _Writer()
    try:
        function = _compiled(expression, writer.value(expression.ast), writer.constants)
    except _NotCompiledError:
        function = None
    if function is None:
        return reference

    def quick(subjects: Subjects) -> object:
        try:
            value: object = function(subjects)
        except Exception:  # noqa: BLE001 whatever it was, the reference decides
            return reference(subjects)
        return None if value is ERROR else value

    return quick


@lru_cache(maxsize=PARSED_MAX)
def predicate(selector: Selector) -> Predicate:
    """The selector as a function of its subjects. Never raises.

    Costs: 100-200 µs the first time.
    """

    def reference(subjects: Subjects) -> bool:
        return engine.evaluate(selector.checked, selector.variables, subjects) is True

    if (constant := selector.constant) is not None:
        return lambda _subjects: constant
    function = _function(selector)
    if function is None:
        return reference

    def quick(subjects: Subjects) -> bool:
        try:
            return bool(function(subjects))
        except Exception:  # noqa: BLE001 whatever it was, the reference decides
            return reference(subjects)

    return quick


@lru_cache(maxsize=PARSED_MAX)
def sieve(selector: Selector) -> Sieve:
    """The selector as a filter over many views of its first root, for selectors that read no other. Never raises.

    Costs: 10-25 ms for 100,000 views.
    """
    one = predicate(selector)
    root = selector.scope.roots[0]

    def slow(views: Iterable[Mapping[str, Any]]) -> list[Any]:
        return [view for view in views if one({root: view})]

    if (constant := selector.constant) is not None:
        return lambda views: list(views) if constant else []
    function = _function(selector, sieve=True)
    if function is None or not selector.roots <= {root}:
        return slow

    def quick(views: Iterable[Mapping[str, Any]]) -> list[Any]:
        kept = views if isinstance(views, Sequence) else list(views)
        try:
            return list(function(kept))
        except Exception:  # noqa: BLE001 one odd view: look at each by itself
            return slow(kept)

    return quick


def python_source(selector: Selector) -> str | None:
    """The generated condition, to look at; None when the reference engine evaluates this selector."""
    try:
        return _Writer().true(selector.ast)
    except _NotCompiledError:
        return None


def _function(selector: Selector, *, wanted: bool = True, sieve: bool = False) -> Callable[..., Any] | None:
    writer = _Writer()
    root = selector.scope.roots[0]
    try:
        condition = writer.condition(selector.ast, wanted=wanted)
    except _NotCompiledError:
        return None
    if sieve:
        kept = f"def compiled(views):\n return [{_local(root)} for {_local(root)} in views if {condition}]"
        return _defined(selector, kept, writer.constants)
    return _compiled(selector, condition, writer.constants)


def _compiled(expression: Expression, body: str, constants: Mapping[str, Any]) -> Callable[..., Any] | None:
    """A function of the subjects that gives what some Python text over their roots does."""
    bound = "".join(f" {_local(one)} = subjects[{one!r}]\n" for one in sorted(expression.roots))
    return _defined(expression, f"def compiled(subjects):\n{bound} return {body}", constants)


def _defined(expression: Expression, text: str, constants: Mapping[str, Any]) -> Callable[..., Any] | None:
    names = {**_NAMES, **constants}
    try:
        exec(compile(text, f"<selector {expression.text[:60]}>", "exec"), names)  # noqa: S102 our own text
    except (SyntaxError, RecursionError, MemoryError):  # nested too deep for Python's own parser
        return None
    found: Callable[..., Any] = names["compiled"]
    return found


# --- what the generated code calls ----------------------------------------------------------------------------------


class _Error:
    """What could not be computed. Equal to nothing, in nothing, neither true nor false."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


ERROR = _Error()
_NUMBERS = frozenset({int, float})
_MAPS = (dict, Mapping)  # dict first: asking an abstract class costs ten times as much
_CONTAINERS = (list, tuple, *_MAPS)
_KEYS = frozenset({str, bool, int, float})
_SIZED = (str, list, *_MAPS)


def _get(value: Any, key: Any) -> Any:
    """`value[key]` for a text key."""
    return value.get(key, ERROR) if isinstance(value, _MAPS) else ERROR


def _at(value: Any, position: Any) -> Any:
    """`value[position]` for any key: lists by whole number from 0, maps by text."""
    if isinstance(value, _MAPS):
        return value.get(position, ERROR) if type(position) is str else ERROR
    if isinstance(value, list) and type(position) is int and 0 <= position < len(value):
        return value[position]
    return ERROR


def _there(value: Any) -> Any:
    """A field of a view: None is absent."""
    return ERROR if value is None else value


def _instant_there(value: Any) -> Any:
    """A field of a view that holds an instant, as text."""
    return ERROR if value is None else instant_text(value)


def _equal(left: Any, right: Any) -> Any:
    return ERROR if left is ERROR or right is ERROR else equal(left, right)


def _unequal(left: Any, right: Any) -> Any:
    return ERROR if left is ERROR or right is ERROR else not equal(left, right)


def _ordered(left: Any, right: Any) -> bool:
    """Whether CEL compares the two by size."""
    kinds = type(left), type(right)
    return (kinds[0] is kinds[1] and kinds[0] in _SORTED) or (kinds[0] in _NUMBERS and kinds[1] in _NUMBERS)


_SORTED = frozenset({str, int, float, bool, datetime})


def _less(left: Any, right: Any) -> Any:
    return left < right if _ordered(left, right) else ERROR


def _less_or_equal(left: Any, right: Any) -> Any:
    return left <= right if _ordered(left, right) else ERROR


def _in(element: Any, container: Any) -> Any:
    if element is ERROR:
        return ERROR
    if isinstance(container, list | tuple):
        return any(equal(one, element) for one in container)
    if isinstance(container, _MAPS) and type(element) in _KEYS:
        return type(element) is str and element in container
    return ERROR


def _has(value: Any, key: str) -> Any:
    return key in value if isinstance(value, _MAPS) else ERROR


def _starts(value: Any, part: Any) -> Any:
    return value.startswith(part) if type(value) is str and type(part) is str else ERROR


def _ends(value: Any, part: Any) -> Any:
    return value.endswith(part) if type(value) is str and type(part) is str else ERROR


def _contains(value: Any, part: Any) -> Any:
    return part in value if type(value) is str and type(part) is str else ERROR


def _matches(value: Any, pattern: Any) -> Any:
    if type(value) is not str or type(pattern) is not str:
        return ERROR
    found = regex_found(value, pattern)
    return ERROR if found is None else found


_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_ASCII_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}


def _lower(value: Any) -> Any:
    return value.translate(_ASCII_LOWER) if type(value) is str else ERROR


def _upper(value: Any) -> Any:
    return value.translate(_ASCII_UPPER) if type(value) is str else ERROR


def _split(value: Any, separator: Any) -> Any:
    if type(value) is not str or type(separator) is not str:
        return ERROR
    return value.split(separator) if separator else list(value)


def _size(value: Any) -> Any:
    return len(value) if isinstance(value, _SIZED) else ERROR


_WHOLE = re.compile(r"-?[0-9]{1,18}")


def _int(value: Any) -> Any:
    """int(…) of a plain whole number. Anything else raises, and the reference engine decides."""
    if type(value) is str and _WHOLE.fullmatch(value):
        return int(value)
    if value is ERROR or type(value) is int:
        return value
    raise TypeError(value)


_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")


def _instant(value: Any) -> Any:
    """timestamp(…) of RFC 3339 text to the microsecond. Anything else raises, and the reference engine decides."""
    if value is ERROR:
        return value
    if _INSTANT.fullmatch(value):
        return datetime.fromisoformat(value)
    raise ValueError(value)


def _parsed_instant(text: str) -> Any:
    """An instant that stands in the expression; `ERROR` where there is no such day."""
    try:
        return _instant(text)
    except ValueError:
        return ERROR


def _elements(value: Any) -> Any:
    """What a macro runs over; nothing when it cannot."""
    return value if isinstance(value, _CONTAINERS) else ()


def _iterable(value: Any) -> bool:
    return isinstance(value, _CONTAINERS)


def _exactly_one(value: Any, true: Callable[[Any], Any], false: Callable[[Any], Any]) -> Any:
    kept = _filtered(value, true, false)
    return ERROR if kept is ERROR else len(kept) == 1


def _filtered(value: Any, true: Callable[[Any], Any], false: Callable[[Any], Any]) -> Any:
    if not _iterable(value):
        return ERROR
    kept = []
    for one in value:
        if true(one):
            kept.append(one)
        elif not false(one):
            return ERROR
    return kept


def _mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    if not _iterable(value):
        return ERROR
    return _list([function(one) for one in value])


def _list(elements: list[Any]) -> Any:
    return ERROR if any(one is ERROR for one in elements) else elements


_KINDS: Mapping[str, type] = {"list": list, "string": str, "dyn": object}


def _call(name: str, *args: Any) -> Any:
    """One of our extensions. What it does not take, or refuses, is an error."""
    function, kinds, _ = FUNCTIONS[name]
    if any(one is ERROR or not isinstance(one, _KINDS[kind]) for one, kind in zip(args, kinds, strict=True)):
        return ERROR
    try:
        return function(*args)
    except ValueError:
        return ERROR


_NAMES: Mapping[str, Any] = {
    "__builtins__": {"any": any, "all": all, "type": type, "bool": bool, "None": None},
    "ERROR": ERROR,
    **{
        function.__name__: function
        for function in (
            _get, _at, _there, _instant_there, _equal, _unequal, _less, _less_or_equal, _in, _has, _starts, _ends,
            _contains, _matches, _lower, _upper, _split, _size, _int, _instant, _elements, _iterable, _exactly_one,
            _filtered, _mapped, _list, _call,
        )
    },
}  # fmt: skip


# --- from tree to text ----------------------------------------------------------------------------------------------


class _NotCompiledError(Exception):
    """This expression is the reference engine's."""


_MIRRORED = {"_>_": "_<_", "_>=_": "_<=_"}
_ORDER = {"_<_": ("<", "_less"), "_<=_": ("<=", "_less_or_equal")}
_NEGATED = {"_==_": "_!=_", "_!=_": "_==_", "_<_": "_>=_", "_<=_": "_>_", "_>_": "_<=_", "_>=_": "_<_"}
_TEXT_TESTS = {"startsWith": "_starts", "endsWith": "_ends", "contains": "_contains", "matches": "_matches"}


class _Writer:
    """Writes the Python of one expression: `true` and `false` for conditions, `value` for the rest."""

    def __init__(self) -> None:
        self.constants: dict[str, Any] = {}
        self.steps = 0

    def constant(self, value: object) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return name

    # Conditions.

    def true(self, node: Node) -> str:
        """Python that is truthy exactly when the node is true."""
        return self.condition(node, wanted=True)

    def false(self, node: Node) -> str:
        """Python that is truthy exactly when the node is false; neither when it is an error."""
        return self.condition(node, wanted=False)

    def condition(self, node: Node, *, wanted: bool) -> str:
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise _NotCompiledError
        match node:
            case Const(value=bool(value)):
                return str(value is wanted)
            case Call(function="_&&_" | "_||_"):
                word = " and " if (node.function == "_&&_") is wanted else " or "
                return f"({word.join(self.condition(arg, wanted=wanted) for arg in chain(node))})"
            case Call(function="!_", args=(operand,)):
                return self.condition(operand, wanted=not wanted)
            case Call(function="_?_:_", args=(when, then, other)):
                chosen, rest = self.condition(then, wanted=wanted), self.condition(other, wanted=wanted)
                return f"({self.true(when)} and {chosen} or {self.false(when)} and {rest})"
            case Call(function=function, args=(left, right)) if function in _NEGATED:
                return self.compared(function if wanted else _NEGATED[function], left, right)
            case Comprehension(macro="exists" | "all"):
                return self.quantified(node, wanted=wanted)
            case _:
                return self.tested(node, wanted=wanted)

    def compared(self, function: str, left: Node, right: Node) -> str:
        """One comparison, by the kinds of its sides."""
        if function in _MIRRORED:
            return self.compared(_MIRRORED[function], right, left)
        if function in _ORDER:
            sign, name = _ORDER[function]
            first, second = self.value(left), self.value(right)
            if _sure(left) and _sure(right) and left.type == right.type == "string":
                return f"{first} {sign} {second}"
            return f"({name}({first}, {second}) is True)"
        if isinstance(left, Const):
            left, right = right, left
        value, equality = self.value(left), function == "_==_"
        if isinstance(right, Const) and not isinstance(bare(left), Const) and (plain := _plain(right)):
            if equality:
                return f"({value} {plain} {right.value!r})"
            if _sure(left):
                return f"({value} {_PLAIN_NOT[plain]} {right.value!r})"
            if plain == "==" and (found := _label(left)):
                container, key = found  # where the key is missing, the constant stands in: not unlike itself
                return f"({self.value(container)}.get({key!r}, {right.value!r}) != {right.value!r})"
        name = "_equal" if equality else "_unequal"
        return f"({name}({value}, {self.value(right)}) is True)"

    def quantified(self, node: Comprehension, *, wanted: bool) -> str:
        """exists is an OR over the elements, all an AND; an error counts only if nothing decides."""
        body, over = self.condition(node.body, wanted=wanted), self.value(node.range)
        variable = _variable(node.variable)
        if (node.macro == "exists") is wanted:
            return f"any({body} for {variable} in _elements({over}))"
        name = f"n{len(self.constants)}"
        self.constants[name] = None
        return f"(_iterable({name} := {over}) and all({body} for {variable} in {name}))"

    def tested(self, node: Node, *, wanted: bool) -> str:
        """Any other value in a place where true or false is wanted."""
        match node:
            case Call(function="dyn", args=(inner,)):
                return self.condition(inner, wanted=wanted)
            case Const():
                return "False"
            case Call(function="matches") if plain := without_regex(node):
                return self.condition(plain, wanted=wanted)
            case Call(function="@in", args=(element, Items(elements=elements))) if wanted and all(
                isinstance(one, Const) and one.type == "string" for one in elements
            ):
                texts = tuple(one.value for one in elements if isinstance(one, Const))
                held = frozenset(texts) if element.type == "string" else texts
                return f"({self.value(element)} in {self.constant(held)})"
            case Call(function="@in", args=(element, Ident() as container)) if (
                _sure(element) and _sure(container) and element.type == "string"
            ):
                return f"({self.value(element)} {'in' if wanted else 'not in'} {self.value(container)})"
            case Select(test=True, operand=Ident() as operand) if _sure(operand):
                return f"({node.field!r} {'in' if wanted else 'not in'} {self.value(operand)})"
            case Call(function="startsWith" | "endsWith" as function, args=(text, part)) if (
                _sure(text) and _sure(part) and text.type == part.type == "string"
            ):
                call = f"{self.value(text)}.{function.lower()}({self.value(part)})"
                return call if wanted else f"(not {call})"
            case _:
                pass
        return f"({self.value(node)} is {wanted})"

    # Values.

    def value(self, node: Node) -> str:
        """Python that gives the value, or `ERROR`."""
        match node:
            case Const():
                return self.literal(node)
            case Ident():
                return _read(node)
            case Select(test=True):
                return f"_has({self.value(node.operand)}, {node.field!r})"
            case Select():
                return self.looked_up(node.operand, repr(node.field))
            case Items():
                return f"_list([{', '.join(map(self.value, node.elements))}])"
            case Call():
                return self.called(node)
            case Comprehension(macro="map"):
                return f"_mapped({self.value(node.range)}, lambda {_variable(node.variable)}: {self.value(node.body)})"
            case Comprehension(macro="filter" | "exists_one"):
                name = "_filtered" if node.macro == "filter" else "_exactly_one"
                variable = _variable(node.variable)
                true, false = (
                    f"lambda {variable}: {self.true(node.body)}",
                    f"lambda {variable}: {self.false(node.body)}",
                )
                return f"{name}({self.value(node.range)}, {true}, {false})"
            case Comprehension():
                return self.truth(node)
            case _:
                raise _NotCompiledError

    def literal(self, node: Const) -> str:
        if node.type in {"bytes", "uint"}:
            raise _NotCompiledError
        return self.constant(node.value) if node.type == "double" else repr(node.value)

    def looked_up(self, container: Node, key: str) -> str:
        """`container[key]` for a text key."""
        inner = self.value(container)
        return (
            f"{inner}.get({key}, ERROR)"
            if _sure(container) and container.type.startswith("map(")
            else f"_get({inner}, {key})"
        )

    def called(self, node: Call) -> str:
        function, args = node.function, node.args
        if function in _LOGIC:
            return self.truth(node) if function != "_?_:_" or node.type == "bool" else self.chosen(node)
        if function == "_[_]":
            container, key = args
            if isinstance(key, Const) and key.type == "string":
                return self.looked_up(container, repr(key.value))
            return f"_at({self.value(container)}, {self.value(key)})"
        if function == "dyn":
            return self.value(args[0])
        if function == "timestamp" and isinstance(text := args[0], Const) and _INSTANT.fullmatch(str(text.value)):
            return self.constant(_parsed_instant(str(text.value)))
        if function in FUNCTIONS:
            return f"_call({function!r}, {', '.join(map(self.value, args))})"
        name = _FUNCTIONS.get((function, len(args)))
        if name is None:
            raise _NotCompiledError
        return f"{name}({', '.join(map(self.value, args))})"

    def truth(self, node: Node) -> str:
        """A condition as a value."""
        return f"(True if {self.true(node)} else False if {self.false(node)} else ERROR)"

    def chosen(self, node: Call) -> str:
        """`when ? then : other` of any type."""
        when, then, other = node.args
        return f"({self.value(then)} if {self.true(when)} else {self.value(other)} if {self.false(when)} else ERROR)"


_LOGIC = frozenset({"_&&_", "_||_", "!_", "_?_:_", *_NEGATED})
_FUNCTIONS = {
    ("@in", 2): "_in",
    ("startsWith", 2): "_starts",
    ("endsWith", 2): "_ends",
    ("contains", 2): "_contains",
    ("matches", 2): "_matches",
    ("lowerAscii", 1): "_lower",
    ("upperAscii", 1): "_upper",
    ("size", 1): "_size",
    ("split", 2): "_split",
    ("int", 1): "_int",
    ("timestamp", 1): "_instant",
}
_PLAIN_NOT = {"==": "!=", "is": "is not"}


def _plain(constant: Const) -> str:
    """The Python operator that compares with this constant as CEL does, whatever is on the left; "" for none."""
    if constant.type in {"bool", "null"}:
        return "is"
    if constant.type == "string" or (constant.type == "int" and constant.value not in {0, 1}):
        return "=="
    return ""


def _sure(node: Node) -> bool:
    """Whether the value is always there, and of its declared type."""
    match node:
        case Const():
            return True
        case Ident(name=name):
            root, _, field = name.partition(".")
            return (
                bool(field) and not root.startswith("has_") and FIELDS_BY_ROOT[root][field].absent is not Absent.ERROR
            )
        case _:
            return False


def _read(node: Ident) -> str:
    """Read a variable: a field of a view, the presence of one, a whole root, or the variable of a macro."""
    root, _, name = node.name.partition(".")
    if name and root.startswith("has_"):
        return f"({_local(root[4:])}.get({name!r}) is not None)"
    if not name:
        return _variable(root) if root not in _WHOLE_ROOTS else _local(root)
    field = FIELDS_BY_ROOT[root][name]
    if field.instant:
        return f"_instant_there({_local(root)}.get({name!r}))"
    if field.absent is Absent.ERROR:
        return f"_there({_local(root)}.get({name!r}))"
    if field.absent is Absent.BLANK:
        return f'({_local(root)}.get({name!r}) or "")'
    return f"{_local(root)}[{name!r}]"


_WHOLE_ROOTS = frozenset({"service", "change", "from", "to", "result"})


def _local(root: str) -> str:
    return f"r_{root}"


def _variable(name: str) -> str:
    return f"v_{name.replace('@', 'at_')}"


def _label(node: Node) -> tuple[Node, str] | None:
    """Map and key, when the node reads a fixed key of a map that is always there."""
    match node:
        case Select(operand=Ident() as container, field=key, test=False):
            pass
        case Call(function="_[_]", args=(Ident() as container, Const(value=str(key)))):
            pass
        case _:
            return None
    return (container, key) if _sure(container) and container.type.startswith("map(") else None
