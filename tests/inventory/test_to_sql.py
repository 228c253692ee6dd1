"""What SQL does a selector become, when does it use the index, and what is left to Python?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from interlock.inventory.selector import Scope, parse_selector
from interlock.inventory.to_sql import RESOURCES, SqlFragment, Table, columns_of, to_sql

ID = "00000000-0000-4000-8000-00000000000a"
A = "(r.config -> $1::text)"
AT = datetime(2026, 1, 1, tzinfo=UTC)


def sql(text: str, **options: Any) -> SqlFragment | None:
    return to_sql(parse_selector(text, Scope.RESOURCE), **options)


@pytest.mark.parametrize(
    ("text", "where", "params"),
    [
        ("", "FALSE", ()),
        ("true", "TRUE", ()),
        ("resource.kind == 'vm'", "(r.kind = $1::text)", ("vm",)),
        ("'vm' != resource.kind", "(r.kind <> $1::text)", ("vm",)),
        ("resource.metadata.env == 'a'", "(r.metadata @> $1::text::jsonb)", ('{"env": "a"}',)),
        ("!(resource.metadata.env == 'a')", "(NOT ((r.metadata ->> $1::text) = $2::text))", ("env", "a")),
        ("resource.metadata.env != 'a'", "((r.metadata ->> $1::text) <> $2::text)", ("env", "a")),
        ("resource.metadata['a'] == resource.name", "((r.metadata ->> $1::text) = r.name)", ("a",)),
        ("resource.metadata.b < 'b'", '((r.metadata ->> $1::text) COLLATE "C" < $1::text)', ("b",)),
        ("'b' < resource.name", '(r.name COLLATE "C" > $1::text)', ("b",)),
        (f"resource.id == '{ID}'", "(r.id = $1::text::uuid)", (ID,)),
        ("resource.id == 'x'", "(r.id::text = $1::text)", ("x",)),
        ("resource.kind in ['a', 'b']", "(r.kind = ANY($1::text[]))", (["a", "b"],)),
        ("'env' in resource.metadata", "(r.metadata ? $1::text)", ("env",)),
        ("has(resource.config.a)", "(r.config ? $1::text)", ("a",)),
        ("has(resource.providerId)", "(r.provider_id IS NOT NULL)", ()),
        ("has(resource.kind)", "TRUE", ()),
        ("resource.name.startsWith('a')", "starts_with(r.name, $1::text)", ("a",)),
        ("resource.name.matches('a$')", "(right(r.name, length($1::text)) = $1::text)", ("a",)),
        ("resource.config.n == 1", "((r.config -> $1::text) = $2::text::jsonb)", ("n", "1")),
        ("resource.config['n'] == null", "((r.config -> $1::text) = 'null'::jsonb)", ("n",)),
        (
            "timestamp(resource.createdAt) >= timestamp('2026-01-01T00:00:00Z')",
            "(r.created_at >= $1::timestamptz)",
            (AT,),
        ),
        (
            "timestamp(resource.createdAt) == timestamp('2026-02-30T00:00:00Z')",
            "(r.created_at = NULL::timestamptz)",
            (),
        ),
        (
            "resource.name in resource.config.a",
            f"(CASE jsonb_typeof({A}) WHEN 'object' THEN {A} ? r.name WHEN 'array' THEN {A} @> to_jsonb(r.name) END)",
            ("a",),
        ),
        (
            "true in resource.config.a",
            f"(CASE jsonb_typeof({A}) WHEN 'object' THEN FALSE WHEN 'array' THEN {A} @> 'true'::jsonb END)",
            ("a",),
        ),
        (
            "!resource.config.a",
            f"(NOT (CASE {A} WHEN 'true'::jsonb THEN TRUE WHEN 'false'::jsonb THEN FALSE END))",
            ("a",),
        ),
        ("(resource.kind == 'a') == true", "((r.kind = $1::text) = TRUE)", ("a",)),
        (
            "has(resource.config.a.b)",
            "(CASE WHEN jsonb_typeof((r.config -> $2::text)) = 'object' THEN (r.config -> $2::text) ? $1::text END)",
            ("b", "a"),
        ),
        (
            "resource.kind.lowerAscii() == 'a'",
            "(translate(r.kind, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz') = $1::text)",
            ("a",),
        ),
        (
            "resource.config.a.startsWith('b')",
            f"starts_with((CASE WHEN jsonb_typeof({A}) = 'string' THEN {A} #>> '{{}}' END), $2::text)",
            ("a", "b"),
        ),
        ("resource.config.a == 'b'", f"({A} = $2::text::jsonb)", ("a", '"b"')),
        ("null in resource.config.a", f"(CASE jsonb_typeof({A}) WHEN 'array' THEN {A} @> 'null'::jsonb END)", ("a",)),
        (
            "80 < resource.config.a",
            f"(CASE WHEN jsonb_typeof({A}) = 'number' THEN ({A})::numeric > $2::text::numeric END)",
            ("a", "80"),
        ),
        (
            "(resource.kind == 'a' ? resource.name : resource.version) == 'a'",
            "((CASE WHEN (r.kind = $1::text) THEN r.name WHEN NOT (r.kind = $1::text) THEN r.version END) = $1::text)",
            ("a",),
        ),
        ("resource.kind == 'a' && resource.name == 'a'", "((r.kind = $1::text) AND (r.name = $1::text))", ("a",)),
    ],
)
def test_a_selector_becomes_sql(text: str, where: str, params: tuple[object, ...]) -> None:
    assert sql(text) == SqlFragment(where, params)


@pytest.mark.parametrize(
    "text",
    [
        "resource.name.matches('[0-9]+')",
        "resource.config.list.exists(x, x == 1)",
        "size(resource.metadata) > 1",
        "size(resource.metadata) == 1",
        "int(resource.metadata.n) == 1",
        "semver(resource.version) > semver('1.0.0')",
        "resource.createdAt.startsWith('2026')",
        "timestamp(resource.metadata.at) > timestamp('2026-01-01T00:00:00Z')",
        "timestamp(resource.createdAt) > timestamp('2026-01-01T00:00:00.1234567Z')",
        "resource.lockedAt == 'x'",
        "resource.kind == 'a\\x00b'",
        "resource.kind in ['a', 'b\\x00']",
        "resource.metadata.env == 'a\\x00b'",
        "resource.kind in []",
        "1 in [size(resource.metadata)]",
        "1 in resource.kind.split(',').map(x, size(x))",
        "resource.config.a in resource.config.b",
        "resource.config.a < resource.config.b",
        "resource.config.a == 9007199254740993",
        "resource.config.a[-1] == 1",
        "resource.config.a == {}",
        "resource.name.split(',')[0] == 'a'",
        "resource.kind + 'x' == 'ax'",
        "resource.config.a == b'a'",
        "sets.contains(resource.config.a, [1])",
        "resource.config.a" + "[0]" * 20 + " == 1",
        "resource.metadata[resource.kind] == 'a'",
    ],
)
def test_what_is_not_sql_is_left_to_python(text: str) -> None:
    assert sql(text) is None


def test_nested_conditions_that_would_fill_a_page_are_left_to_python() -> None:
    text = "resource.kind == 'a'"
    for _ in range(12):
        text = f"({text} ? resource.name == 'b' : resource.name == 'c')"
    assert sql(text) is None


def test_parameters_start_where_the_callers_end() -> None:
    assert sql(
        "resource.kind == 'vm' && resource.metadata.env == 'vm' && resource.name == 'vm'", first=4
    ) == SqlFragment(
        "((r.kind = $4::text) AND (r.metadata @> $5::text::jsonb) AND (r.name = $4::text))", ("vm", '{"env": "vm"}')
    )


def test_another_table_under_another_alias() -> None:
    columns = columns_of("e", id="uuid", name="text", description="text", metadata="jsonb")
    environments = Table("environment", columns)
    text = "environment.name == 'prod' && environment.description.contains('x') && has(environment.description)"
    assert to_sql(parse_selector(text, Scope.ENVIRONMENT), table=environments) == SqlFragment(
        "((e.name = $1::text) AND (strpos(coalesce(e.description, ''), $2::text) > 0) AND (e.description IS NOT NULL))",
        ("prod", "x"),
    )
    both = parse_selector("version.tag == environment.name", Scope.VERSION_RULE)
    assert to_sql(both, table=environments) is None
    assert to_sql(parse_selector("result.ok", Scope.RESULT), table=RESOURCES) is None
    assert to_sql(parse_selector("result == true", Scope.RESULT), table=RESOURCES) is None


async def test_a_label_is_found_by_its_index_on_the_real_table(store: Any) -> None:
    async with store.read() as connection:
        fragment = sql("resource.metadata.env == 'prod' && !(resource.metadata.tier == '1')", first=2)
        assert fragment is not None
        await connection.execute(
            "WITH w AS (INSERT INTO workspace (name, slug) VALUES ('w', 'w') RETURNING id) "
            "INSERT INTO resource (workspace_id, identifier, name, kind, version, metadata) "
            "SELECT w.id, i, i, 'vm', '1', jsonb_build_object('env', CASE WHEN i % 500 = 0 THEN 'prod' ELSE 'dev' END) "
            "FROM w, generate_series(1, 3000) AS i"
        )
        await connection.execute("ANALYZE resource")
        lines = await connection.fetch(
            f"EXPLAIN SELECT r.id FROM resource r WHERE r.deleted_at IS NULL AND r.name <> $1 AND {fragment.where}",
            "",
            *fragment.params,
        )
        assert any("resource_metadata" in line[0] for line in lines)
