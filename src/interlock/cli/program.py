"""How is a command found, run and ended? The click group around the table of `commands.py`.

A command's file is imported when it is called. Every error ends as one sentence on stderr with an exit code of
`exit_codes.py`; Ctrl-C ends quietly.
"""

from __future__ import annotations

import gc
import os
from importlib import import_module
from typing import Any

import click

from interlock import __version__
from interlock.cli.commands import COMMANDS, render_help
from interlock.cli.exit_codes import FAULT, INTERRUPTED
from interlock.model.errors import InterlockError, Invalid, Unauthorized


def kept_lines(command: click.Command) -> click.Command:
    """The command, with the lines of its examples kept apart in its help.

    Why:    click keeps a paragraph as it is after a line with a backspace; the docstrings that we write are raw, and
            say it in two characters.
    """
    if command.help is not None:
        command.help = command.help.replace("\\b\n", "\b\n")
    for inner in getattr(command, "commands", {}).values():
        kept_lines(inner)
    return command


class Commands(click.Group):
    """A group whose commands are imported when they are called, and which says errors of ours in one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return kept_lines(command)

    def get_help(self, ctx: click.Context) -> str:
        """Help without importing a single command."""
        return render_help().rstrip()

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error ends it with one sentence, never with a traceback.

        Why:    what `up`, `api` and `worker` print is a log, and a fault of theirs belongs into it whole.
        """
        try:
            return super().invoke(ctx)
        except InterlockError as error:
            raise click.ClickException(sentence(error)) from error
        except (KeyboardInterrupt, click.Abort):
            click.echo("", err=True)
            ctx.exit(INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, OSError):
            raise
        except Exception as error:
            if os.environ.get("INTERLOCK_DEBUG") or ctx.invoked_subcommand in LOGGING:
                raise
            said = " ".join(str(error).split()) or "no more is known"
            raise Fault(
                f"This is a fault of interlock: {type(error).__name__}: {said}. INTERLOCK_DEBUG=1 shows where."
            ) from error


class Fault(click.ClickException):
    """What nobody foresaw."""

    exit_code = FAULT


LOGGING = frozenset({"up", "api", "worker"})


def sentence(error: InterlockError) -> str:
    """An error as a person reads it; refused fields follow, one to a line, but for what the sentence says already."""
    if isinstance(error, Unauthorized) and error.message.startswith("The API key"):
        return f"{error.message}\nHint: `interlock config show` says which key is used, and from where."
    if not isinstance(error, Invalid):
        return error.message
    named = [f"  {field.path}: {field.message}" for field in error.fields if field.message not in error.message]
    return "\n".join([error.message, *named])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="interlock")
def cli() -> None:
    """Decide which version may go where, and when; and see that it did."""


def run() -> None:
    """Read the command line, do it, and exit.

    Why:    what is imported stays. A sixth of a server's start went into looking for garbage in it (measured).
    """
    gc.set_threshold(50_000, 20, 100)
    cli(prog_name="interlock")
