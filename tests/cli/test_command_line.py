"""What the command line promises whatever the command: help without imports, one sentence for an error, exit codes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from interlock.cli import COMMANDS, cli, sentence
from interlock.cli.commands import SECTIONS, render_help
from interlock.cli.connection import connect
from interlock.cli.contexts import Config, Context, config_path, load_config, save_config
from interlock.cli.tables import table
from interlock.model.errors import FieldError, Invalid, NotFound, Unauthorized

ENVIRONMENT = ("INTERLOCK_URL", "INTERLOCK_API_KEY", "INTERLOCK_WORKSPACE")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch, tmp_path):
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says_and_help_shows_its_first_line(name):
    target, line = COMMANDS[name]
    module, _, attribute = target.partition(":")
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.get_short_help_str(limit=200) == line


def test_help_lists_every_command():
    shown = CliRunner().invoke(cli, ["--help"])
    assert shown.exit_code == 0
    assert all(f"  {name} " in shown.output for name in COMMANDS)


def test_help_imports_neither_a_command_nor_anything_slow():
    program = """
import sys
sys.argv = ["interlock", "--help"]
before = set(sys.modules)
from interlock.cli import main
main()
print(*sorted(set(sys.modules) - before), file=sys.stderr)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == render_help()
    ours = {name for name in ran.stderr.split() if name.startswith("interlock")}
    assert ours == {"interlock", "interlock.cli", "interlock.cli.commands"}
    assert not {"click", "json", "inspect", "dataclasses", "http.client"} & set(ran.stderr.split())


def test_a_plain_command_imports_nothing_heavy():
    """What costs 30 to 250 ms each, and what no command that asks a server needs."""
    heavy = (
        *("httpx", "httpcore", "anyio", "asyncio", "rich", "pydantic", "pydantic_settings", "structlog", "fastapi"),
        *("ruamel", "ruamel.yaml", "asyncpg", "cryptography", "celpy", "cel_expr_python", "urllib.request"),
        *("interlock.app", "interlock.settings", "interlock.decide", "interlock.store", "interlock.inventory.selector"),
    )
    program = f"""
import os, sys
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]
sys.argv = ["interlock", "get", "jobs", "--url", "http://127.0.0.1:9", "--api-key", "k", "-w", "w"]
from interlock.cli import main
try:
    main()
except SystemExit as ended:
    print("exit", ended.code)
print([name for name in {heavy} if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "exit 1\n[]\n"


def test_help_is_the_same_whoever_prints_it_and_fits_80_columns():
    assert CliRunner().invoke(cli, ["--help"]).output == render_help()
    assert max(map(len, render_help().splitlines())) <= 80
    assert set(SECTIONS) < set(COMMANDS)


def test_a_fault_of_ours_is_one_sentence_unless_it_is_asked_for(monkeypatch):
    monkeypatch.setitem(COMMANDS, "get", ("interlock.cli.nowhere:get", "x"))
    ran = CliRunner().invoke(cli, ["get", "jobs"])
    assert ran.exit_code == 70
    assert ran.stderr.startswith("Error: This is a fault of interlock: ModuleNotFoundError")
    assert ran.stderr.count("\n") == 1
    monkeypatch.setenv("INTERLOCK_DEBUG", "1")
    assert isinstance(CliRunner().invoke(cli, ["get", "jobs"]).exception, ModuleNotFoundError)


def test_an_unknown_command_is_a_usage_error():
    assert CliRunner().invoke(cli, ["launch"]).exit_code == 2


def test_a_missing_option_is_a_usage_error():
    assert CliRunner().invoke(cli, ["version", "upsert"]).exit_code == 2


def test_without_a_key_says_the_three_ways_to_give_one():
    ran = CliRunner().invoke(cli, ["get", "jobs"])
    assert ran.exit_code == 1
    assert "--api-key" in ran.stderr
    assert "INTERLOCK_API_KEY" in ran.stderr
    assert "config.toml" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_a_server_that_is_not_there_is_one_sentence():
    ran = CliRunner().invoke(cli, ["get", "jobs", "--url", "http://127.0.0.1:9", "--api-key", "k", "-w", "w"])
    assert ran.exit_code == 1
    assert ran.stderr.startswith("Error: http://127.0.0.1:9 cannot be reached")


def test_refused_fields_are_listed_under_the_sentence():
    fields = (FieldError("rules[0]", "is unknown"), FieldError("name", "is required"))
    assert sentence(Invalid("The policy is wrong.", fields=fields)) == (
        "The policy is wrong.\n  rules[0]: is unknown\n  name: is required"
    )


class TestConnection:
    def written(self, text):
        config_path().parent.mkdir()
        config_path().write_text(text)
        config_path().chmod(0o600)

    def test_flags_win_over_the_file(self):
        self.written('url = "http://file"\napi_key = "file"\nworkspace = "file"\n')
        client = connect(url="http://flag", api_key="flag", workspace="flag")
        assert (client.calls.url, client.workspace) == ("http://flag", "flag")
        assert connect(url="http://file/api/", api_key=None, workspace="flag").workspace == "flag"

    def test_a_key_of_the_file_goes_to_its_own_server_alone(self):
        self.written('url = "http://file"\napi_key = "file"\nworkspace = "file"\n')
        with pytest.raises(Unauthorized, match="is for http://file, not for http://flag"):
            connect(url="http://flag", api_key=None, workspace=None)

    def test_the_file_serves_where_nothing_else_is_said(self):
        self.written('api_key = "file"\nworkspace = "file"\n')
        client = connect(url=None, api_key=None, workspace=None)
        assert (client.calls.url, client.workspace) == ("http://127.0.0.1:8080", "file")

    def test_a_context_is_taken_by_name_else_the_current_one(self):
        save_config(Config("b", {name: Context(f"http://{name}", "k", name) for name in "abc"}))
        assert connect(url=None, api_key=None, workspace=None).workspace == "b"
        assert connect(url=None, api_key=None, workspace=None, context="c").calls.url == "http://c"
        with pytest.raises(NotFound, match="there: a, b, c"):
            connect(url=None, api_key=None, workspace=None, context="d")

    def test_no_file_is_no_error(self):
        assert load_config() == Config()
        with pytest.raises(Unauthorized):
            connect(url=None, api_key=None, workspace=None)

    @pytest.mark.parametrize(
        "text", ['api-key = "x"', "url = 1", "url = ", "current = 1", "[contexts]\na = 1", "[contexts.a]\nkey = 'x'"]
    )
    def test_a_word_that_the_file_does_not_know_is_refused(self, text):
        self.written(text)
        with pytest.raises(Invalid, match=r"config\.toml"):
            load_config()

    def test_what_is_saved_is_read_back_and_is_for_its_owner_alone(self):
        saved = Config('it\'s "a"', {'it\'s "a"': Context("http://a", "k\\1"), "b": Context()}, Context(workspace="w"))
        path = save_config(saved)
        assert load_config() == saved
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o077 == 0
        assert [each.name for each in path.parent.iterdir()] == ["config.toml"]

    def test_a_file_of_keys_that_others_can_read_is_said(self, capsys):
        self.written('api_key = "k"\n')
        config_path().chmod(0o644)
        load_config()
        assert "chmod 600" in capsys.readouterr().err


def test_a_table_is_as_wide_as_what_it_holds_and_marks_what_is_empty():
    assert table(("name", "why"), [("a", None), ("longer", "two\nlines")]) == (
        "NAME    WHY\na       -\nlonger  two lines"
    )


def test_no_help_shows_how_its_lines_are_kept_apart():
    def shown(command: click.Command, name: str) -> Iterator[str]:
        yield command.get_help(click.Context(command, info_name=name))
        for inner, one in getattr(command, "commands", {}).items():
            yield from shown(one, f"{name} {inner}")

    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        for text in shown(command, name):
            assert "\\b" not in text, text
