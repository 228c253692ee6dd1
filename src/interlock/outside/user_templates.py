"""What may a text that a user wrote do with an event? Fill in values, choose, and walk through lists; nothing else.

The language is Jinja. A template is parsed when it is written, and whatever is not on the lists below is refused by
name and line: no calls, no assignments, no arithmetic, no macros, no includes, loops in loops only two deep, few
filters. What is left can neither reach Python nor run long: lists have at most `ITEMS_MAX` items and texts
`VALUE_MAX` characters when they get here, nothing can grow them, and the output is cut at `OUTPUT_MAX`. So no process
has to be killed for it.

Jinja's own sandbox stands behind the lists. What comes out is text: where it becomes part of HTML, the layout around
it escapes it.

For argv, environment values and URLs `outside/templates.py` is the language: dotted paths alone.

Source: Jinja documentation, "Sandbox"; DESIGN.md section 3, `outside/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from interlock.model.errors import Invalid, Rejected

TEXT_MAX = 10_000
OUTPUT_MAX = 64 * 1024
ITEMS_MAX = 100
VALUE_MAX = 2_000
LEVELS_MAX = 8
LOOPS_DEEP_MAX = 2

FILTERS = ("upper", "lower", "title", "capitalize", "trim", "default", "length", "first", "last", "join", "tojson",
           "round", "e", "escape")  # fmt: skip
TESTS = ("defined", "undefined", "none", "string", "number", "mapping", "sequence", "in", "eq", "ne")

_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Const,
    nodes.If,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Concat,
    nodes.Filter,
    nodes.Test,
    nodes.For,
)


def _environment() -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(undefined=Undefined, trim_blocks=True, lstrip_blocks=True)
    made.filters = {name: made.filters[name] for name in FILTERS}
    made.tests = {name: made.tests[name] for name in TESTS}
    made.globals.clear()
    return made


_LANGUAGE = _environment()


def check_template(text: str, *, field: str) -> None:
    """Refuse a template that is broken, too long, or uses what is not on the lists.

    Fails: `Invalid` with the field, the line and what is wrong.
    """
    if len(text) > TEXT_MAX:
        raise Invalid(f"A template may have at most {TEXT_MAX:,} characters.", field=field)
    try:
        tree = _LANGUAGE.parse(text)
    except (TemplateSyntaxError, RecursionError) as broken:
        line = getattr(broken, "lineno", 1)
        raise Invalid(f"line {line}: {getattr(broken, 'message', None) or 'it is nested too deep'}", field=field) from (
            broken
        )
    _check(tree, field=field, loops=0)


def _check(node: nodes.Node, *, field: str, loops: int) -> None:
    if not isinstance(node, _ALLOWED):
        raise Invalid(f"line {node.lineno}: {_word(node)} is not known in these templates.", field=field)
    match node:
        case nodes.Filter() if node.name not in FILTERS or node.node is None:
            raise Invalid(f"line {node.lineno}: there is no filter {node.name}; {', '.join(FILTERS)}.", field=field)
        case nodes.Filter() if any(not _short(each) for each in (*node.args, *node.kwargs)):
            raise Invalid(f"line {node.lineno}: {node.name} takes short constants only.", field=field)
        case nodes.Test() if node.name not in TESTS:
            raise Invalid(f"line {node.lineno}: there is no test {node.name}; {', '.join(TESTS)}.", field=field)
        case nodes.Getattr() if node.attr.startswith("_"):
            raise Invalid(f"line {node.lineno}: {node.attr} is not known in these templates.", field=field)
        case nodes.For():
            loops += 1
            if loops > LOOPS_DEEP_MAX or node.recursive:
                raise Invalid(f"line {node.lineno}: loops stand at most two deep.", field=field)
    for child in node.iter_child_nodes():
        if not (isinstance(node, nodes.Filter) and isinstance(child, nodes.Keyword)):
            _check(child, field=field, loops=loops)


def _short(node: nodes.Node) -> bool:
    value = node.value if isinstance(node, nodes.Keyword) else node
    return isinstance(value, nodes.Const) and len(str(value.value)) <= 50


def _word(node: nodes.Node) -> str:
    return {"Call": "a call", "Assign": "an assignment", "Include": "include", "Import": "import"}.get(
        type(node).__name__, type(node).__name__.lower()
    )


def render_template(text: str, context: Mapping[str, object], *, field: str) -> str:
    """The template filled in.

    Fails: `Rejected`, naming the field, for one that fails or gets too long; `Invalid` for one that was never allowed.
    """
    small = {key: shortened(value) for key, value in context.items()}
    pieces: list[str] = []
    length = 0
    try:
        for piece in _compiled(text, field=field).generate(small):
            length += len(piece)
            if length > OUTPUT_MAX:
                raise Rejected(f"{field}: the text gets longer than {OUTPUT_MAX:,} characters.")
            pieces.append(piece)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as failed:
        raise Rejected(f"{field}: the template fails: {failed}") from failed
    return "".join(pieces)


@lru_cache(maxsize=512)
def _compiled(text: str, *, field: str) -> Any:
    check_template(text, field=field)
    return _LANGUAGE.from_string(text)


def shortened(value: object, *, levels: int = LEVELS_MAX) -> object:
    """The value with nothing in it that is longer than a template may meet."""
    match value:
        case str():
            return value if len(value) <= VALUE_MAX else value[: VALUE_MAX - 1] + "…"
        case None | bool() | int() | float():
            return value
        case Mapping() if levels:
            return {
                str(key)[:VALUE_MAX]: shortened(inner, levels=levels - 1)
                for key, inner in list(value.items())[:ITEMS_MAX]
            }
        case Sequence() if levels:
            return [shortened(inner, levels=levels - 1) for inner in list(value)[:ITEMS_MAX]]
        case _:
            return str(value)[:VALUE_MAX]
