"""Do Google's CEL, the generated Python and the generated SQL say the same of every selector and every resource?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from interlock.inventory import engine
from interlock.inventory.engine import Failed, Trouble
from interlock.inventory.selector import Scope, Selector, parse_selector
from interlock.inventory.to_python import Match, match_outcome, matches, python_source, sieve
from interlock.inventory.to_sql import SqlFragment, to_sql
from inventory.expressions import resources, selectors

OURS = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
ROWS = """
WITH r AS MATERIALIZED (
    SELECT ordinality, t.* FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS one(doc, ordinality),
    LATERAL (SELECT (doc ->> 'id')::uuid AS id, doc ->> 'identifier' AS identifier, doc ->> 'name' AS name,
                    doc ->> 'kind' AS kind, doc ->> 'version' AS version, (doc ->> 'workspaceId')::uuid AS workspace_id,
                    (doc ->> 'providerId')::uuid AS provider_id, doc -> 'config' AS config,
                    doc -> 'metadata' AS metadata,
                    (doc ->> 'createdAt')::timestamptz AS created_at, (doc ->> 'updatedAt')::timestamptz AS updated_at,
                    (doc ->> 'deletedAt')::timestamptz AS deleted_at) AS t
)
SELECT ordinality FROM r WHERE """


def reference(selector: Selector, resource: dict[str, Any]) -> object:
    return engine.evaluate(selector.checked, selector.variables, {"resource": resource})


def outcome(value: object) -> Match:
    if isinstance(value, bool):
        return Match.YES if value else Match.NO
    missing = isinstance(value, Failed) and value.trouble is Trouble.MISSING
    return Match.NO if missing else Match.UNKNOWN


@settings(max_examples=250, **OURS)
@given(selectors, st.lists(resources, min_size=1, max_size=6))
def test_generated_python_agrees_with_the_reference(text: str, found: list[dict[str, Any]]) -> None:
    selector = parse_selector(text, Scope.RESOURCE)
    event("compiled" if python_source(selector) else "left to the reference")
    values = [reference(selector, one) for one in found]
    assert [matches(selector, {"resource": one}) for one in found] == [value is True for value in values]
    assert sieve(selector)(found) == [one for one, value in zip(found, values, strict=True) if value is True]
    assert [match_outcome(selector, {"resource": one}) for one in found] == [outcome(value) for value in values]


Ask = Callable[[SqlFragment, Sequence[dict[str, Any]]], list[int]]


@pytest.fixture(scope="module")
def ask(pg: Any) -> Iterator[Ask]:
    """Run a fragment over some resources on the real server; gives the places of those that it keeps."""
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(pg.url_of("postgres")))

    def run(fragment: SqlFragment, found: Sequence[dict[str, Any]]) -> list[int]:
        query = connection.fetch(ROWS + fragment.where, json.dumps(found), *fragment.params)
        return sorted(row["ordinality"] - 1 for row in loop.run_until_complete(query))

    yield run
    loop.run_until_complete(connection.close())
    loop.close()


@settings(max_examples=250, **OURS)
@given(selectors, st.lists(resources, min_size=1, max_size=6))
@example("resource.config.env[0] == 'a'", [{"config": {"env": "a"}}])  # a lone value is no list
@example("'a' in resource.config.env", [{"config": {"env": "a"}}, {"config": {"env": ["a"]}}])
@example("dyn(1) in resource.config.env || !(dyn(1) in resource.config.env)", [{"config": {"env": {"a": 1}}}])
@example("has(resource.config.env.a)", [{"config": {"env": ["a"]}}, {"config": {"env": {"a": None}}}])
@example("!(resource.metadata.env == 'a')", [{"metadata": {"team": "a"}}, {"metadata": {"env": "b"}}])
@example("(resource.metadata.env == 'a') == false", [{"metadata": {"team": "a"}}, {"metadata": {"env": "b"}}])
@example("resource.name < 'a'", [{"name": "B"}, {"name": "b"}])
def test_generated_sql_agrees_with_the_reference(ask: Ask, text: str, found: list[dict[str, Any]]) -> None:
    selector = parse_selector(text, Scope.RESOURCE)
    fragment = to_sql(selector, first=2)
    event("translated" if fragment else "left to Python")
    if fragment is not None:
        expected = [place for place, one in enumerate(found) if reference(selector, one) is True]
        assert ask(fragment, found) == expected, fragment
