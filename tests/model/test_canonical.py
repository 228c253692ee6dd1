"""The same value is always the same bytes: those of RFC 8785, whichever writer made them."""

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from interlock.model.canonical import INTEGER_MAX, canonical, digest
from interlock.model.errors import Bug

INTEGERS = st.integers(-INTEGER_MAX, INTEGER_MAX)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner) | st.tuples(inner, inner),
)


@given(VALUES)
def test_it_is_what_rfc_8785_says(value):
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "value",
    [
        {"b": 1, "a": {"d": [True, None], "c": '\x1f\x7f\u2028é"\\/\b\f\n\r\t'}},
        {"€": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "ö": 7},
        [1.0, 1e21, 5e-324, -0.0, 0.1],
        INTEGER_MAX,
        "\U0001f600",
    ],
)
def test_what_writers_differ_in(value):
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, {1: 2}, {"a": object()}, "\ud800", {"a": {1, 2}}])
def test_what_has_no_canonical_form_is_a_fault_of_ours(value):
    with pytest.raises(Bug):
        canonical(value)


def test_the_order_of_keys_is_no_content():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
