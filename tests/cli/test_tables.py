"""How lists and answers are printed: columns, widths, order, and the four ways of -o."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from interlock.cli import COMMANDS, cli
from interlock.cli.columns import cells_wide, fitted, table
from interlock.cli.tables import OUTPUTS, as_yaml, list_options, print_list, print_one

HOSTS = [
    {"name": "b", "size": 10, "why": "x" * 60},
    {"name": "a", "size": 9, "why": None},
    {"name": "c", "size": None, "why": "on"},
]


@click.command()
@list_options
def hosts(output: str) -> None:
    rows = [(each["name"], each["size"], each["why"]) for each in HOSTS]
    print_list(HOSTS, output=output, heads=("name", "size", "why held"), rows=rows, kind="host")


def shown(*arguments: str) -> str:
    ran = CliRunner().invoke(hosts, list(arguments))
    assert ran.exit_code == 0, ran.output
    return ran.output


class TestColumns:
    def test_in_a_pipe_nothing_is_cut(self):
        assert "x" * 60 in shown()

    def test_the_widest_columns_give_way_to_the_terminal(self):
        lines = table(("name", "why"), [("short", "x" * 100), ("y" * 30, "z")], width=40).splitlines()
        assert max(map(len, lines)) == 40
        assert lines[1].endswith("…")

    def test_no_column_vanishes_however_narrow(self):
        assert fitted([50, 50, 3], [8, 8, 3], width=10) == [8, 8, 3]

    def test_what_fits_stays_as_it_is(self):
        assert fitted([5, 5], [8, 8], width=80) == [5, 5]

    def test_wide_characters_take_two_cells_and_accents_none(self):
        assert [cells_wide(text) for text in ("ab", "日本", "é")] == [2, 4, 1]
        first, second = table(("a", "b"), [("日本", "x"), ("long", "y")], headed=False).splitlines()
        assert (first, second) == ("日本  x", "long  y")

    def test_yes_and_no_are_words(self):
        assert table(("a",), [(True,), (False,)], headed=False) == "yes\nno"


class TestLists:
    def test_a_column_sorts_numbers_by_size_and_what_is_empty_last(self):
        assert [line.split()[0] for line in shown("--sort", "size", "--no-headers").splitlines()] == ["a", "b", "c"]
        assert [line.split()[0] for line in shown("--sort=-size", "--no-headers").splitlines()] == ["b", "a", "c"]

    def test_json_comes_in_the_same_order(self):
        assert [each["name"] for each in json.loads(shown("--sort", "name", "-o", "json"))] == ["a", "b", "c"]

    def test_a_column_of_two_words_is_named_with_a_dash(self):
        assert shown("--sort", "why-held", "-o", "name").splitlines() == ["host/c", "host/b", "host/a"]

    def test_an_unknown_column_is_a_usage_error_that_names_them(self):
        ran = CliRunner().invoke(hosts, ["--sort", "age"])
        assert ran.exit_code == 2
        assert "there are name, size, why-held" in ran.stderr

    def test_a_limit_takes_the_first_after_sorting(self):
        assert shown("--sort", "name", "--limit", "1", "-o", "name") == "host/a\n"

    def test_nothing_is_said_on_stderr_and_leaves_a_pipe_empty(self, monkeypatch):
        monkeypatch.setattr(f"{__name__}.HOSTS", [])
        assert CliRunner().invoke(hosts, []).stdout == ""
        assert shown("-o", "json") == "[]\n"
        assert shown("-o", "yaml") == "[]\n"
        assert shown("-o", "name") == ""


class TestOne:
    def test_yaml_keeps_the_order_and_the_kinds_of_values(self):
        assert as_yaml({"b": "on", "a": [1, {"c": None}], "d": "1"}) == "b: on\na:\n- 1\n- c:\nd: '1'\n"

    @pytest.mark.parametrize(
        ("output", "text"),
        [("table", "a sentence\n"), ("json", '{\n  "id": "1"\n}\n'), ("yaml", "id: '1'\n"), ("name", "pin/1\n")],
    )
    def test_one_thing_in_four_ways(self, output, text):
        @click.command()
        def made() -> None:
            print_one({"id": "1"}, output=output, text="a sentence", kind="pin")

        assert CliRunner().invoke(made, []).output == text


ASK_NOTHING = {
    "secrets key",
    "secrets rotate",
    "export",
    "schema",
    "up",
    "api",
    "worker",
    "db dump",
    "db restore",
    "work retry",
    "work bury",
    "agent run",
    "completion",
}
"""Commands that neither show nor make an object: they run, write files, or tend the database of this machine."""


def leaves(command: click.Command, name: str):
    inner = getattr(command, "list_commands", None)
    if inner is None:
        yield name, command
        return
    ctx = click.Context(command)
    for each in command.list_commands(ctx):
        one = command.get_command(ctx, each)
        if not one.hidden:
            yield from leaves(one, f"{name} {each}")


def every_command():
    for name in COMMANDS:
        yield from leaves(cli.get_command(click.Context(cli), name), name)


def test_every_command_that_shows_or_makes_something_takes_the_same_o():
    wrong = []
    for name, command in every_command():
        option = next((each for each in command.params if "-o" in each.opts), None)
        if name in ASK_NOTHING:
            continue
        if option is None:
            wrong.append(f"{name} has no -o")
        elif tuple(getattr(option.type, "choices", ())) != OUTPUTS or option.default != "table":
            wrong.append(f"{name} -o takes {option.type}")
    assert wrong == []


def test_every_command_that_lists_takes_the_same_options():
    wrong = [
        name
        for name, command in every_command()
        if (name.endswith(" list") or name.startswith("get "))
        and not {"--sort", "--no-headers", "--limit"} <= {opt for each in command.params for opt in each.opts}
    ]
    assert wrong == []
