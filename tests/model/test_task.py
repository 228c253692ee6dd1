"""What may a task ask for, and is what was handed in what was asked for?"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.model.errors import Invalid
from interlock.model.task import checked_evidence, fields_of, told_evidence, typed

FIELDS, WRONG = fields_of(
    [
        {"name": "ticket", "type": "url", "required": True},
        {"name": "rate", "type": "number", "minimum": 0, "maximum": 100, "required": True},
        {"name": "path", "type": "choice", "options": ["primary", "backup"]},
        {"name": "watched", "type": "boolean"},
        {"name": "note", "type": "text", "maxLength": 10},
    ],
    at="config.evidence",
)
GOOD: dict[str, Any] = {"ticket": "https://tickets.example.com/7", "rate": 0.2}


def refused(evidence: dict[str, Any]) -> list[str]:
    with pytest.raises(Invalid) as error:
        checked_evidence(FIELDS, evidence)
    return [each.path for each in error.value.fields]


def test_the_declaration_is_fine() -> None:
    assert WRONG == []
    assert [each.document() for each in FIELDS][1] == {
        "name": "rate",
        "type": "number",
        "required": True,
        "minimum": 0,
        "maximum": 100,
    }


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ("ticket", "e"),
        ([{"name": "a", "type": "text"}] * 21, "e"),
        (["ticket"], "e[0]"),
        ([{"type": "text"}], "e[0].name"),
        ([{"name": " ", "type": "text"}], "e[0].name"),
        ([{"name": "a", "type": "date"}], "e[0].type"),
        ([{"name": "a", "type": ["text"]}], "e[0].type"),
        ([{"name": "a", "type": "text", "minimum": 1}], "e[0].minimum"),
        ([{"name": "a", "type": "text", "required": "yes"}], "e[0].required"),
        ([{"name": "a", "type": "text", "maxLength": 0}], "e[0].maxLength"),
        ([{"name": "a", "type": "number", "minimum": True}], "e[0].minimum"),
        ([{"name": "a", "type": "number", "minimum": float("inf")}], "e[0].minimum"),
        ([{"name": "a", "type": "number", "minimum": 5, "maximum": 1}], "e[0].maximum"),
        ([{"name": "a", "type": "choice"}], "e[0].options"),
        ([{"name": "a", "type": "choice", "options": []}], "e[0].options"),
        ([{"name": "a", "type": "choice", "options": ["x", "x"]}], "e[0].options"),
        ([{"name": "a", "type": "choice", "options": [1]}], "e[0].options"),
        ([{"name": "a", "type": "text"}, {"name": "a", "type": "url"}], "e[1].name"),
    ],
)
def test_a_declaration_that_cannot_be_asked_for_is_refused(config: Any, path: str) -> None:
    assert path in [each.path for each in fields_of(config, at="e")[1]]


def test_what_was_asked_for_is_taken_in_the_order_of_the_fields() -> None:
    given_ = {"note": "fine", "path": "backup", "watched": False, **GOOD}
    assert list(checked_evidence(FIELDS, given_).items()) == [
        ("ticket", GOOD["ticket"]),
        ("rate", 0.2),
        ("path", "backup"),
        ("watched", False),
        ("note", "fine"),
    ]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    assert refused({"tickets": 1, "rate": 101}) == ["evidence.tickets", "evidence.ticket", "evidence.rate"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("ticket", each) for each in ("javascript:alert(1)", "ftp://a/b", "https://", "https://a b", "https://me:pw@a")],
        *[("ticket", each) for each in (7, "https://a" * 999)],
        *[("rate", each) for each in ("1", True, -1, 100.5, float("nan"), float("inf"), None)],
        *[("path", each) for each in ("tertiary", 1, ["primary"])],
        *[("watched", each) for each in ("true", 1)],
        *[("note", each) for each in ("01234567890", "   ", 5, "a\x00b", {"a": 1})],
    ],
)  # fmt: skip
def test_a_value_that_is_not_as_declared_is_refused_by_name(name: str, value: Any) -> None:
    assert f"evidence.{name}" in refused({**GOOD, name: value})


@pytest.mark.parametrize(
    "url", ["http://a", "HTTPS://tickets.example.com:8443/7?x=1#y", "https://[::1]:80/", "https://a/é", "https://a?b@c"]
)
def test_an_address_is_taken(url: str) -> None:
    assert checked_evidence(FIELDS, {**GOOD, "ticket": url})["ticket"] == url


def test_texts_of_a_form_are_read_by_the_type_of_their_field() -> None:
    texts = {"ticket": " https://a.example ", "rate": "12", "watched": "on", "path": "", "note": "  "}
    assert typed(FIELDS, texts) == {"ticket": "https://a.example", "rate": 12, "watched": True}
    assert typed(FIELDS, {"rate": "0.5", "watched": "No"}) == {"rate": 0.5, "watched": False}
    with pytest.raises(Invalid) as error:
        typed(FIELDS, {"rate": "soon", "watched": "maybe"})
    assert [each.path for each in error.value.fields] == ["evidence.rate", "evidence.watched"]


def test_the_ledger_is_told_no_free_text() -> None:
    told = told_evidence(FIELDS, {**GOOD, "note": "Ada did it"})
    assert told["evidence"] == GOOD
    assert "Ada" not in str(told)
    assert told["evidenceDigest"] != told_evidence(FIELDS, {**GOOD, "note": "Bob did"})["evidenceDigest"]
    assert told_evidence(FIELDS, {}) == {}


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_stands_in_a_config_is_read_or_refused(config: Any) -> None:
    fields, wrong = fields_of(config, at="e")
    assert wrong or isinstance(fields, tuple)


@given(
    st.dictionaries(
        st.sampled_from([each.name for each in FIELDS]) | st.text(),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    )
)
def test_whatever_is_handed_in_is_taken_or_refused(evidence: dict[str, Any]) -> None:
    taken: dict[str, Any] = {}
    with contextlib.suppress(Invalid):
        taken = checked_evidence(FIELDS, evidence)
    assert set(taken) <= {each.name for each in FIELDS}
