"""Which rows does this selector match? CEL compiled to a WHERE fragment, exactly, or not at all.

SQL has three truth values, and its NULL behaves under AND, OR and NOT as an error does in CEL: `metadata ->> 'env' =
'prod'` is NULL where the key is missing, `NULL OR TRUE` is TRUE, and a row is kept only if the whole is TRUE. So a
comparison translates one to one, if only whatever cannot be computed is NULL and never FALSE.

One form breaks that rule for the sake of the index: `metadata @> '{"env": "prod"}'` (GIN) is FALSE where the key is
missing. It is used only where FALSE and NULL come to the same: not below a `!`, nor in a condition, nor in a comparison
of truths.

Text is ordered by code point, as CEL does it: `COLLATE "C"`. JSON numbers, texts and truths are compared as jsonb,
which keeps them apart. All constants are parameters.

What is not translated (regular expressions, macros, arithmetic, functions of ours) gives None, and the caller filters
in Python. A property test holds this, the generated Python and the reference equal.

Source: https://www.postgresql.org/docs/15/functions-json.html; libraries.md section 2, "Rules found".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from interlock.inventory.scope import FIELDS_BY_ROOT, Absent
from interlock.inventory.selector import Selector
from interlock.inventory.syntax import Call, Const, Ident, Items, Node, Select, bare, chain, without_regex

Kind = Literal["text", "uuid", "jsonb", "instant"]


@dataclass(frozen=True, slots=True)
class SqlFragment:
    """A condition for WHERE, and the values of its numbered parameters, from the number that was asked for."""

    where: str
    params: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """How a field is read: SQL over the table's alias, and what that gives."""

    sql: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Table:
    """The columns behind one root's fields. A field that is not here makes a selector untranslatable."""

    root: str
    columns: Mapping[str, Column]


def columns_of(alias: str, **kinds: Kind) -> dict[str, Column]:
    """Column name -> column, for columns under one alias."""
    return {name: Column(f"{alias}.{name}", kind) for name, kind in kinds.items()}


_R: Final = columns_of(
    "r",
    id="uuid",
    identifier="text",
    name="text",
    kind="text",
    version="text",
    workspace_id="uuid",
    provider_id="uuid",
    config="jsonb",
    metadata="jsonb",
    created_at="instant",
    updated_at="instant",
    deleted_at="instant",
)

RESOURCES: Final = Table(
    "resource",
    {
        "id": _R["id"],
        "identifier": _R["identifier"],
        "name": _R["name"],
        "kind": _R["kind"],
        "version": _R["version"],
        "workspaceId": _R["workspace_id"],
        "providerId": _R["provider_id"],
        "config": _R["config"],
        "metadata": _R["metadata"],
        "createdAt": _R["created_at"],
        "updatedAt": _R["updated_at"],
        "deletedAt": _R["deleted_at"],
    },
)
"""`resource` under the alias r."""

_V: Final = columns_of(
    "v",
    id="uuid",
    deployment_id="uuid",
    tag="text",
    name="text",
    status="text",
    message="text",
    metadata="jsonb",
    config="jsonb",
    created_at="instant",
)

VERSIONS: Final = Table(
    "version",
    {
        "id": _V["id"],
        "deploymentId": _V["deployment_id"],
        "tag": _V["tag"],
        "name": _V["name"],
        "status": _V["status"],
        "message": _V["message"],
        "metadata": _V["metadata"],
        "config": _V["config"],
        "createdAt": _V["created_at"],
    },
)
"""`version` under the alias v."""

_D: Final = columns_of(
    "d",
    id="uuid",
    name="text",
    description="text",
    resource_selector="text",
    job_agent_selector="text",
    metadata="jsonb",
)

DEPLOYMENTS: Final = Table(
    "deployment",
    {
        "id": _D["id"],
        "name": _D["name"],
        "slug": _D["name"],
        "description": _D["description"],
        "resourceSelector": _D["resource_selector"],
        "jobAgentSelector": _D["job_agent_selector"],
        "metadata": _D["metadata"],
    },
)
"""`deployment` under the alias d. `jobAgentConfig` is Python's: what is stored there holds the ids of secrets."""


def to_sql(selector: Selector, *, table: Table = RESOURCES, first: int = 1) -> SqlFragment | None:
    """The condition, with parameters numbered from `first`; None when it is not translatable.

    Takes: the caller's query names the table with the alias that `table` was made for.
    """
    writer = _Writer(table, first)
    try:
        where = writer.truth(selector.ast, loose=True)
    except _NotTranslatedError:
        return None
    return SqlFragment(where, tuple(writer.params))


class _NotTranslatedError(Exception):
    """This selector is Python's."""


_ORDER = {"_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">="}
_MIRRORED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}
_EQUAL = {"_==_": "=", "_!=_": "<>"}
_LETTERS = ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_CASES = {"lowerAscii": _LETTERS, "upperAscii": _LETTERS[::-1]}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")
_EXACT_MAX = 2**53
_SQL_MAX = 20_000


class _Writer:
    """Writes SQL: `truth` for conditions, `text`, `json`, `instant` for values. Each is NULL where CEL has an error."""

    def __init__(self, table: Table, first: int) -> None:
        self.table = table
        self.first = first
        self.params: list[object] = []
        self.numbers: dict[tuple[object, str], str] = {}

    def param(self, value: object, cast: str) -> str:
        """A numbered parameter; the same value is passed once."""
        if isinstance(value, str | tuple) and any("\x00" in one for one in value):
            raise _NotTranslatedError
        key = (value, cast)
        if key not in self.numbers:
            self.params.append(list(value) if isinstance(value, tuple) else value)
            self.numbers[key] = f"${self.first + len(self.params) - 1}::{cast}"
        return self.numbers[key]

    def document(self, value: object) -> str:
        """A constant as jsonb.

        Why: PostgreSQL folds this cast into the plan; `to_jsonb` and the like it would call for every row.
        """
        text = json.dumps(value)
        if "\\u0000" in text:
            raise _NotTranslatedError
        return f"{self.param(text, 'text')}::jsonb"

    # Conditions.

    def truth(self, node: Node, *, loose: bool = False) -> str:
        """A condition.

        Takes: `loose` when FALSE may stand for NULL here, so that the index can be used.
        """
        match node:
            case Const(value=bool(known)):
                return "TRUE" if known else "FALSE"
            case Call(function="_&&_" | "_||_"):
                word = " AND " if node.function == "_&&_" else " OR "
                return f"({word.join(self.truth(one, loose=loose) for one in chain(node))})"
            case Call(function="!_", args=(operand,)):
                return f"(NOT {self.truth(operand)})"
            case Call(function="_?_:_", args=(when, then, other)):
                return self.either(when, self.truth(then, loose=loose), self.truth(other, loose=loose))
            case Call(function="_==_" | "_!=_", args=(left, right)):
                return self.equal(node.function, left, right, loose=loose)
            case Call(function=function, args=(left, right)) if function in _ORDER:
                return self.ordered(function, left, right)
            case Call(function="@in", args=(element, container)):
                return self.contained(element, container)
            case Call(function="startsWith", args=(text, part)):
                return f"starts_with({self.text(text)}, {self.text(part)})"
            case Call(function="endsWith", args=(text, part)):
                end = self.text(part)
                return f"(right({self.text(text)}, length({end})) = {end})"
            case Call(function="contains", args=(text, part)):
                return f"(strpos({self.text(text)}, {self.text(part)}) > 0)"
            case Call(function="matches") if plain := without_regex(node):
                return self.truth(plain, loose=loose)
            case Select(test=True, operand=operand, field=key):
                return self.has_key(operand, self.param(key, "text"))
            case Ident(name=name) if name.startswith("has_"):
                return self.present(name.partition(".")[2])
            case _ if bare(node).type == "dyn":
                value = self.json(node)
                return f"(CASE {value} WHEN 'true'::jsonb THEN TRUE WHEN 'false'::jsonb THEN FALSE END)"
            case _:
                raise _NotTranslatedError

    def either(self, when: Node, then: str, other: str) -> str:
        """`when ? then : other`. The condition stands there twice, so nested ones double."""
        condition = self.truth(when)
        if len(condition) > _SQL_MAX:
            raise _NotTranslatedError
        return f"(CASE WHEN {condition} THEN {then} WHEN NOT {condition} THEN {other} END)"

    def equal(self, function: str, left: Node, right: Node, *, loose: bool) -> str:
        """`==` and `!=`, by the kinds of the two sides."""
        if isinstance(left, Const):
            left, right = right, left
        sign = _EQUAL[function]
        if left.type == right.type == "string":
            if loose and sign == "=" and isinstance(right, Const) and (found := self.label(left)):
                labels, key = found
                return f"({labels} @> {self.document({key: right.value})})"
            return self.equal_texts(sign, left, right)
        if left.type == right.type == "bool":
            return f"({self.truth(left)} {sign} {self.truth(right)})"
        if left.type == right.type == "timestamp":
            return f"({self.instant(left)} {sign} {self.instant(right)})"
        return f"({self.json(left)} {sign} {self.json(right)})"

    def equal_texts(self, sign: str, left: Node, right: Node) -> str:
        """Two texts. An id is compared as such, so that its index serves."""
        column = self.column(left)
        if column and column.kind == "uuid" and isinstance(right, Const) and _UUID.fullmatch(str(right.value)):
            return f"({column.sql} {sign} {self.param(right.value, 'text')}::uuid)"
        return f"({self.text(left)} {sign} {self.text(right)})"

    def ordered(self, function: str, left: Node, right: Node) -> str:
        """`<` and the like: texts by code point, numbers by value, instants; NULL for anything else."""
        if isinstance(left, Const):
            function, left, right = _MIRRORED[function], right, left
        sign = _ORDER[function]
        if left.type == right.type == "timestamp":
            return f"({self.instant(left)} {sign} {self.instant(right)})"
        if "string" in {left.type, right.type}:
            return f'({self.text(left)} COLLATE "C" {sign} {self.text(right)})'
        if left.type == "dyn" and isinstance(right, Const) and right.type in {"int", "double"}:
            value = self.json(left)
            number = f"({value})::numeric {sign} {self.param(repr(_exact(right)), 'text')}::numeric"
            return f"(CASE WHEN jsonb_typeof({value}) = 'number' THEN {number} END)"
        raise _NotTranslatedError

    def contained(self, element: Node, container: Node) -> str:
        """`element in container`."""
        if isinstance(container, Items):
            if not container.elements:  # = ANY('{}') is FALSE for a NULL, too
                raise _NotTranslatedError
            texts = [one.value for one in container.elements if isinstance(one, Const) and one.type == "string"]
            if element.type == "string" and len(texts) == len(container.elements):
                return f"({self.text(element)} = ANY({self.param(tuple(texts), 'text[]')}))"
            equals = (self.equal("_==_", element, one, loose=False) for one in container.elements)
            return f"({' OR '.join(equals)})"
        if container.type.startswith("map(string,") and element.type == "string":
            return self.has_key(container, self.text(element))
        if container.type != "dyn":
            raise _NotTranslatedError
        value, wanted = self.json(container), self.json(element)
        in_list = f"WHEN 'array' THEN {value} @> {wanted}"
        if bare(element).type == "string":
            return f"(CASE jsonb_typeof({value}) WHEN 'object' THEN {value} ? {self.text(element)} {in_list} END)"
        if isinstance(key := bare(element), Const):
            in_map = "" if key.type == "null" else "WHEN 'object' THEN FALSE "
            return f"(CASE jsonb_typeof({value}) {in_map}{in_list} END)"
        raise _NotTranslatedError

    def has_key(self, container: Node, key: str) -> str:
        """Whether a map has the key; NULL for what is no map, since `?` finds elements of lists, too."""
        value = self.json(container)
        if self.column(container):
            return f"({value} ? {key})"
        return f"(CASE WHEN jsonb_typeof({value}) = 'object' THEN {value} ? {key} END)"

    def present(self, field: str) -> str:
        """has(root.field) of a declared field."""
        if FIELDS_BY_ROOT[self.table.root][field].absent is Absent.NEVER:
            return "TRUE"
        return f"({self.field(field).sql} IS NOT NULL)"

    # Values.

    def text(self, node: Node) -> str:
        """Text; NULL for a value of another type."""
        match node:
            case Const(type="string", value=value):
                return self.param(value, "text")
            case Ident() if column := self.column(node):
                if column.kind not in {"text", "uuid"}:
                    raise _NotTranslatedError
                sql = f"{column.sql}::text" if column.kind == "uuid" else column.sql
                blank = FIELDS_BY_ROOT[self.table.root][node.name.partition(".")[2]].absent is Absent.BLANK
                return f"coalesce({sql}, '')" if blank else sql
            case Call(function="lowerAscii" | "upperAscii", args=(inner,)):
                source, changed = _CASES[node.function]
                return f"translate({self.text(inner)}, '{source}', '{changed}')"
            case Call(function="_?_:_", args=(when, then, other), type="string"):
                return self.either(when, self.text(then), self.text(other))
            case _:
                pass
        if found := self.label(node):
            return f"({found[0]} ->> {self.param(found[1], 'text')})"
        if bare(node).type == "string":
            return self.text(bare(node)) if bare(node) is not node else self.untranslated()
        value = self.json(node)
        return f"(CASE WHEN jsonb_typeof({value}) = 'string' THEN {value} #>> '{{}}' END)"

    def json(self, node: Node) -> str:
        """Any value as jsonb. An index into a list has what is indexed in it twice, so chains of them double."""
        sql = self.any_json(node)
        if len(sql) > _SQL_MAX:
            raise _NotTranslatedError
        return sql

    def any_json(self, node: Node) -> str:
        match bare(node):
            case Const(type="null"):
                return "'null'::jsonb"
            case Const(type="bool", value=value):
                return f"'{str(value).lower()}'::jsonb"
            case Const(type="int" | "double") as number:
                return self.document(_exact(number))
            case Const(type="string", value=value):
                return self.document(value)
            case Ident() as one if (column := self.column(one)) and column.kind == "jsonb":
                return column.sql
            case Select(operand=operand, field=key, test=False, type="dyn"):
                return f"({self.json(operand)} -> {self.param(key, 'text')})"
            case Call(function="_[_]", args=(operand, Const(type="string", value=key)), type="dyn"):
                return f"({self.json(operand)} -> {self.param(key, 'text')})"
            case Call(function="_[_]", args=(operand, Const(type="int", value=int(at))), type="dyn") if 0 <= at < 2**31:
                inner = self.json(operand)  # PostgreSQL takes a lone number or text for a list of one
                return f"(CASE WHEN jsonb_typeof({inner}) = 'array' THEN {inner} -> {at} END)"
            case one if one.type == "string":
                return f"to_jsonb({self.text(one)})"
            case _:
                raise _NotTranslatedError

    def instant(self, node: Node) -> str:
        """`timestamp(…)` of a column or of an instant that stands there."""
        match node:
            case Call(function="timestamp", args=(Ident() as one,)) if (
                column := self.column(one)
            ) and column.kind == "instant":
                return column.sql
            case Call(function="timestamp", args=(Const(value=str(text)),)) if _INSTANT.fullmatch(text):
                try:
                    return self.param(datetime.fromisoformat(text), "timestamptz")
                except ValueError:
                    return "NULL::timestamptz"
            case _:
                raise _NotTranslatedError

    def label(self, node: Node) -> tuple[str, str] | None:
        """Column and key, when the node reads a fixed key of a map of texts."""
        match node:
            case Select(operand=Ident() as one, field=key, test=False, type="string"):
                pass
            case Call(function="_[_]", args=(Ident() as one, Const(value=str(key))), type="string"):
                pass
            case _:
                return None
        column = self.column(one)
        return (column.sql, key) if column else None

    def column(self, node: Node) -> Column | None:
        """The column behind a field of the table's root; None for any other node."""
        if not isinstance(node, Ident):
            return None
        root, _, field = node.name.partition(".")
        if not field:
            return None
        if root != self.table.root:
            raise _NotTranslatedError
        return self.field(field)

    def field(self, name: str) -> Column:
        if name not in self.table.columns:
            raise _NotTranslatedError
        return self.table.columns[name]

    def untranslated(self) -> str:
        raise _NotTranslatedError


def _exact(node: Const) -> int | float:
    """A number that jsonb's decimal arithmetic and CEL's binary one agree on."""
    if not isinstance(node.value, int | float) or abs(node.value) > _EXACT_MAX:
        raise _NotTranslatedError
    return node.value
