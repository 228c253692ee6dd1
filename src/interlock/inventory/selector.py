"""Is this text a selector, and what does it say? CEL text, checked against the words of its scope, once.

Everything wrong is found when the text is written, with line and column: what does not parse, a field that does not
exist, a comparison of unlike types, a result that is not true or false. An empty text selects nothing; `true` selects
everything, `false` nothing. When it is evaluated, a missing key is no error and no match.

Two spellings that people bring along are read as what they mean: `resource["kind"]` as `resource.kind`, and
`has(resource.name)` on a declared field as "is it there". Both replacements keep every column where it was.

Evaluating is the business of `to_python.py` and `to_sql.py`.

Source: contract.md section e, "Selectors (CEL)"; reference-behaviour.md section 7 and its [RB];
https://github.com/google/cel-spec.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from interlock.inventory.engine import Checked, Fault, check
from interlock.inventory.scope import FACT_NAMESPACES, FIELDS_BY_ROOT, Scope
from interlock.inventory.syntax import Comprehension, Const, Ident, Node, parse_tree, walk
from interlock.model.errors import Invalid

__all__ = ["Expression", "Scope", "Selector", "parse_expression", "parse_selector"]

TEXT_MAX = 10_000
"""An expression may be this long; the engine itself ends at 32 levels of nesting."""

PARSED_MAX = 8192

_TOKEN = re.compile(
    r"""(?P<skip>
        //[^\n]*
      | (?:[rR][bB]?|[bB][rR])(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')
      | [bB]?(?:\"{3}(?:\\.|.)*?\"{3}|'{3}(?:\\.|.)*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    )
    | (?<![\w.])(?P<indexed>[A-Za-z]\w*)[ ]*\[[ ]*(?P<quote>["'])(?P<key>[A-Za-z]\w*)(?P=quote)[ ]*\]
    | (?<![\w.])has\((?P<root>[A-Za-z]\w*)\.(?P<name>[A-Za-z]\w*)\)""",
    re.VERBOSE | re.DOTALL,
)
_UNDECLARED = re.compile(r"undeclared reference to '([\w.]+)'")


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression.

    Takes: `variables` are the declared variables that it reads, `resource.kind` and the like, in order.
    """

    text: str
    scope: Scope
    ast: Node = field(compare=False, repr=False)
    checked: Checked = field(compare=False, repr=False)
    variables: tuple[str, ...] = field(compare=False, repr=False)

    @property
    def roots(self) -> frozenset[str]:
        """The roots that it reads: what must be loaded to evaluate it."""
        return frozenset(variable.partition(".")[0].removeprefix("has_") for variable in self.variables)

    @property
    def reads_facts(self) -> bool:
        """Whether it reads facts from outside, so that a missing one makes it unknown and not false."""
        return not FACT_NAMESPACES.isdisjoint(self.roots)


@dataclass(frozen=True, slots=True)
class Selector(Expression):
    """An expression that is true or false of its subjects."""

    @property
    def constant(self) -> bool | None:
        """True for everything, False for nothing, None when it depends."""
        if isinstance(self.ast, Const):
            return self.ast.value is True
        return None


@lru_cache(maxsize=PARSED_MAX)
def parse_selector(text: str, scope: Scope) -> Selector:
    """Read a selector.

    Gives:  the same object for the same text and scope, as long as it is remembered.
    Fails:  `Invalid`, with line and column.
    Costs:  50-100 µs the first time.
    """
    checked = _checked(text if text.strip() else "false", scope)
    if checked.type not in {"BOOL", "DYN"}:
        raise Invalid(f"A selector must be true or false; this one gives {checked.type.lower()}.")
    tree, variables = _tree(checked, scope)
    return Selector(text, scope, tree, checked, variables)


@lru_cache(maxsize=PARSED_MAX)
def parse_expression(text: str, scope: Scope) -> Expression:
    """Read an expression that may give any value (group keys, fan-out lists). Fails as `parse_selector`."""
    checked = _checked(text, scope)
    tree, variables = _tree(checked, scope)
    return Expression(text, scope, tree, checked, variables)


def _checked(text: str, scope: Scope) -> Checked:
    if len(text) > TEXT_MAX:
        raise Invalid(f"An expression may have at most {TEXT_MAX} characters; this one has {len(text)}.")
    checked = check(plain_spelling(text, scope), scope)
    if isinstance(checked, Fault):
        raise Invalid(_sentence(checked, text, scope))
    return checked


def _tree(checked: Checked, scope: Scope) -> tuple[Node, tuple[str, ...]]:
    """The tree, and the declared variables that it reads."""
    tree = parse_tree(checked.serialized)
    found: dict[str, None] = {}
    declared = scope.variables
    for node in walk(tree):
        if isinstance(node, Comprehension) and node.variable in scope.roots:
            raise Invalid(
                f"`{node.variable}` is already a name here; call the variable of `{node.macro}` something else."
            )
        if isinstance(node, Ident) and node.name in declared:
            found[node.name] = None
    return tree, tuple(found)


def plain_spelling(text: str, scope: Scope) -> str:
    """The text with `root["field"]` and `has(root.field)` in the form that the checker knows, every column kept."""

    def plain(found: re.Match[str]) -> str:
        whole = found[0]
        if found["key"] and found["key"] in _fields(found["indexed"], scope):
            return f"{found['indexed']}.{found['key']}".ljust(len(whole))
        if found["root"] and found["name"] in _fields(found["root"], scope):
            return f"has_{found['root']}.{found['name']}".ljust(len(whole))
        return whole

    return _TOKEN.sub(plain, text)


def _fields(root: str, scope: Scope) -> tuple[str, ...]:
    return tuple(FIELDS_BY_ROOT.get(root, ())) if root in scope.roots else ()


def _sentence(fault: Fault, text: str, scope: Scope) -> str:
    """The fault for the person who wrote the text: where, what, and which words there are."""
    where = f"line {fault.line}:{fault.column}: " if fault.line else ""
    found = _UNDECLARED.search(fault.message)
    if found is None:
        return f"{where}{fault.message}"
    root, _, name = found[1].partition(".")
    if fields := _fields(root, scope):
        known = ", ".join(fields)
        if not name:
            return f"{where}`{root}` is read field by field ({root}.name); its fields are {known}."
        return f"{where}`{root}` has no field `{name.partition('.')[0]}`; its fields are {known}."
    if re.search(rf"\b{re.escape(found[1])}\s*\(", text):
        return f"{where}there is no function `{found[1]}` that takes this."
    return f"{where}`{found[1]}` is not known here; an expression may read {', '.join(scope.roots)}."
