"""Does the schema for editors say what the parser says? On every example, and on documents that chance writes."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from interlock.decide.rules import RULES, parse_rules
from interlock.documents.kinds import KINDS
from interlock.documents.reading import parse_text, plain
from interlock.documents.schema import document_schema
from interlock.documents.text import render_body
from interlock.model.errors import Invalid

TOP = Path(__file__).parents[2]
SCHEMA = jsonschema_rs.Draft7Validator(document_schema())
FILES = [file for file in sorted(TOP.glob("examples/**/*.yaml")) if "scenarios" not in file.parts]


def written(text: str) -> list[Any]:
    return [plain(each) for each in YAML().load_all(text) if each is not None]


def documents_in(text: str) -> list[str]:
    """The documents of a page's YAML blocks."""
    blocks = re.findall(r"```ya?ml\n(.*?)```", text, re.DOTALL)
    return [block for block in blocks if re.search(r"^type: [A-Z]", block, re.MULTILINE)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_example_fits_the_schema_and_is_read(file: Path) -> None:
    faults: list[str] = []
    assert parse_text(str(file), file.read_text(), faults)
    assert faults == []
    for document in written(file.read_text()):
        assert list(SCHEMA.iter_errors(document)) == []


def test_every_document_of_the_guides_and_of_the_kinds_own_pages_fits() -> None:
    pages = [path.read_text() for path in (TOP / "docs").rglob("*.md")]
    pages += [path.read_text() for path in (TOP / "src" / "interlock" / "documents" / "kinds").glob("*.py")]
    blocks = [block for page in pages for block in documents_in(page)]
    assert len(blocks) > 12
    for block in blocks:
        faults: list[str] = []
        assert parse_text("page", block, faults), block
        assert faults == [], block
        for document in written(block):
            assert list(SCHEMA.iter_errors(document)) == [], block


def test_the_schema_of_rules_takes_every_example_of_their_pages() -> None:
    for rule in RULES:
        for block in re.findall(r"```yaml\n(.*?)```", rule.__doc__ or "", re.DOTALL):
            (loaded,) = written(block)
            if isinstance(loaded, dict) and "rules" in loaded:
                document = {"type": "Policy", "name": "a", "rules": loaded["rules"]}
                assert [each.message for each in SCHEMA.iter_errors(document)] == [], rule.kind


# Documents by chance --------------------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([1.0, 2.5, 3_000_000_000]),
    st.sampled_from(["", " ", "a", "true", "wait", "enforce", "production", "x" * 300]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.sampled_from(["a", "key", "value", "name", "kind", "values", "config"]), inner, max_size=2),
    ),
    max_leaves=4,
)
GOOD: dict[str, Any] = {
    "name": "a",
    "identifier": "a",
    "kind": "a",
    "version": "a",
    "agentType": "a",
    "reference": "a",
    "cel": "true",
    "selector": "true",
    "reason": "a",
    "channel": "email",
    "kinds": ["job.*"],
    "system": "a",
    "systems": ["a"],
    "variables": {},
    "scope": {"kind": "workspace"},
}


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A document of some kind: what it needs, some of what it may have, and perhaps something that it has not."""
    kind = draw(st.sampled_from(KINDS))
    body: dict[str, Any] = {"type": kind.name}
    for name, key in kind.keys.items():
        wanted = draw(st.sampled_from([0, 1, 2])) if not key.required else draw(st.sampled_from([1, 1, 1, 2]))
        if wanted == 1 and name in GOOD:
            body[name] = GOOD[name]
        elif wanted:
            body[name] = draw(VALUES)
    if draw(st.integers(0, 4)) == 0:
        body[draw(st.sampled_from(["nmae", "x"]))] = draw(SCALARS)
    return body


@given(bodies())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_schema_and_parser_agree_on_documents_that_chance_writes(body: dict[str, Any]) -> None:
    rules = body.get("rules")
    if body["type"] == "Policy" and isinstance(rules, list) and rules:
        del body["rules"]  # of rules the schema says the shape of each field, the parser all of their sense
    if body["type"] == "VariableSet" and isinstance(body.get("variables"), list):
        del body["variables"]  # the wire's form, which the parser understands and editors are not offered
    faults: list[str] = []
    parse_text("chance", json.dumps(body), faults)
    said = [each.message for each in SCHEMA.iter_errors(body)]
    assert bool(faults) == bool(said), (faults, said)


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.one_of(st.text(max_size=30), VALUES), max_size=4))
@settings(max_examples=80, deadline=None)
def test_what_is_written_reads_back_as_the_same(body: dict[str, Any]) -> None:
    assert written(render_body(body)) == [body]


# Rules by chance ------------------------------------------------------------------------------------------------------


@cache
def examples_of_rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for rule in RULES:
        for block in re.findall(r"```yaml\n(.*?)```", rule.__doc__ or "", re.DOTALL):
            (loaded,) = written(block)
            if isinstance(loaded, dict):
                found += loaded.get("rules") or ()
    return found


@st.composite
def changed_rules(draw: st.DrawFn) -> dict[str, Any]:
    """A rule of somebody's page, with a field left out, another value, or a word of another rule."""
    rule = json.loads(json.dumps(draw(st.sampled_from(examples_of_rules()))))
    (kind,) = rule
    body = rule[kind]
    if draw(st.booleans()) and body:
        body.pop(draw(st.sampled_from(sorted(body))))
    if draw(st.booleans()) and body:
        body[draw(st.sampled_from(sorted(body)))] = draw(VALUES)
    if draw(st.integers(0, 3)) == 0:
        body[draw(st.sampled_from(["maxInFlight", "require", "waves", "appliesTo", "x"]))] = draw(VALUES)
    return {kind: body}


@given(changed_rules())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_a_rules_reader_takes_the_schema_takes(rule: dict[str, Any]) -> None:
    try:
        parse_rules([rule])
    except Invalid:
        return
    document = {"type": "Policy", "name": "a", "rules": [rule]}
    assert [each.message for each in SCHEMA.iter_errors(document)] == []
