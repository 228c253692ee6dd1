"""Does the tree say what the checker found, and does it refuse bytes that the checker never writes?"""

from __future__ import annotations

import pytest

from interlock.inventory import syntax
from interlock.inventory.selector import Scope, parse_expression, parse_selector
from interlock.inventory.syntax import (
    Call,
    Comprehension,
    Const,
    Ident,
    Items,
    Other,
    Select,
    bare,
    chain,
    children,
    parse_tree,
)
from interlock.model.errors import Bug


@pytest.mark.parametrize(
    ("text", "value", "type_"),
    [
        ("'é'", "é", "string"),
        ("-9", -9, "int"),
        ("9223372036854775807", 2**63 - 1, "int"),
        ("0", 0, "int"),
        ("7u", 7, "uint"),
        ("-1.5", -1.5, "double"),
        ("true", True, "bool"),
        ("false", False, "bool"),
        ("null", None, "null"),
        ("b'a'", b"a", "bytes"),
    ],
)
def test_a_literal_keeps_its_value_and_its_type(text: str, value: object, type_: str) -> None:
    assert parse_expression(text, Scope.RESULT).ast == Const(value, type_)


@pytest.mark.parametrize(
    ("text", "macro"),
    [
        ("result.exists(x, x == 1)", "exists"),
        ("result.all(x, x == 1)", "all"),
        ("result.exists_one(x, x == 1)", "exists_one"),
        ("result.filter(x, x == 1)", "filter"),
        ("result.filter(x, true)", "filter"),
        ("result.map(x, x == 1)", "map"),
    ],
)
def test_a_macro_is_recognised_by_its_shape(text: str, macro: str) -> None:
    tree = parse_expression(text, Scope.RESULT).ast
    assert isinstance(tree, Comprehension)
    assert (tree.macro, tree.variable, tree.range) == (macro, "x", Ident("result", "dyn"))
    assert children(tree) == (tree.range, tree.body)


@pytest.mark.parametrize(
    "text",
    [
        "result.map(x, x > 1, x + 1)",
        "cel.bind(x, result, x)",
        "{'a': result}",
        "[?optional.of(result)]",
        "google.protobuf.Duration{seconds: 1}",
    ],
)
def test_what_is_not_recognised_still_shows_its_parts(text: str) -> None:
    tree = parse_expression(text, Scope.RESULT).ast
    assert isinstance(tree, Other)
    assert children(tree)


def test_a_step_of_no_known_shape_is_no_macro() -> None:
    step = Call("_*_", (), member=False, type="int")
    assert syntax._macro(step, Const(1, "int"), variable="x", accumulator="@result", result=step) == ("", step)


def test_types_of_containers_are_spelt_out() -> None:
    assert parse_expression("[[1]]", Scope.RESULT).ast.type == "list(list(int))"
    assert parse_expression("{'a': [1u]}", Scope.RESULT).ast.type == "map(string,list(uint))"
    assert parse_expression("timestamp(result) - timestamp(result)", Scope.RESULT).ast.type == "duration"
    assert parse_expression("type(result)", Scope.RESULT).ast.type == "other"
    assert parse_expression("google.protobuf.Any{}", Scope.RESULT).ast.type == "dyn"


def test_a_chain_is_flat_and_in_order() -> None:
    tree = parse_selector("result.a && result.b && (result.c || result.d) && result.e", Scope.RESULT).ast
    assert isinstance(tree, Call)
    fields = [one.field if isinstance(one, Select) else "or" for one in chain(tree)]
    assert fields == ["a", "b", "or", "e"]


def test_dyn_is_taken_off() -> None:
    assert bare(parse_expression("dyn(dyn(1))", Scope.RESULT).ast) == Const(1, "int")
    assert children(Items((Const(1, "int"),), "list(int)")) == (Const(1, "int"),)


@pytest.mark.parametrize(
    "checked",
    [
        b"",  # nothing
        b"\x12\x00",  # no expression
        b"\x12\x01\x05",  # a wire type that does not occur
        b"\x12\x02\x18\x01",  # a number where a message should be
        b"\x12\x05\x22",  # cut off
        b"\x80",  # a number without end
        b"\x12\x07\x22\x05\x1a\x03\x32\x01\xff",  # a text that is no UTF-8
    ],
)
def test_foreign_bytes_are_a_bug(checked: bytes) -> None:
    with pytest.raises(Bug):
        parse_tree(checked)
