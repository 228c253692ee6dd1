"""What can be done from a terminal? One file per command, loaded only when it is called.

Commands talk REST through `client`, so that everything they can do the API can do as well. The exceptions start or tend
processes on this machine: `up`, `api`, `worker`, `db`, `work` and (without a server) `keys` reach `app`, and only they.
`simulate` plays a file and asks nobody.

`interlock --help` must stay under 100 ms, so this file imports click and nothing else: the table below holds the one
line that help shows for each command, and a test compares it with the command's own docstring.

Exit codes: 0 it worked, 1 it did not (one sentence on stderr), 2 the command line was wrong. Questions that scripts ask
answer with codes of their own: `can-deploy` 3 for hold and 4 for a person is needed, `replay` 3 for another answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from interlock import __version__
from interlock.model.errors import InterlockError, Invalid

COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": ("interlock.cli.up:up", "Run API, console and a worker on this machine."),
    "apply": ("interlock.cli.apply:apply", "Create or change what YAML files describe."),
    "version": ("interlock.cli.version:version", "Create versions, as CI does, or reject them."),
    "plan": ("interlock.cli.plan:plan", "Show what a version would change, before it exists."),
    "get": ("interlock.cli.get:get", "List resources, targets, jobs, versions or slots."),
    "explain": ("interlock.cli.explain:explain", "Say why a target, a version or a job waits."),
    "can-deploy": ("interlock.cli.can_deploy:can_deploy", "Ask whether a version may go somewhere now."),
    "policies": ("interlock.cli.policies:policies", "Say which policies apply, and why each matched."),
    "trace": ("interlock.cli.trace:trace", "Show what a version went through."),
    "replay": ("interlock.cli.replay:replay", "Decide a past decision again."),
    "approve": ("interlock.cli.approve:approve", "Answer a request for approval, or list them."),
    "rollout": ("interlock.cli.rollout:rollout", "List, show, pause, resume, speed up, promote or abort rollouts."),
    "rollback": ("interlock.cli.rollback:rollback", "Go back to what was good, now."),
    "redeploy": ("interlock.cli.redeploy:redeploy", "Bring the same release again."),
    "force": ("interlock.cli.force:force", "Bring a version past every rule."),
    "order": ("interlock.cli.order:order", "List what was asked for, or take it back."),
    "freeze": ("interlock.cli.freeze:freeze", "Stop every hand-over, from now on."),
    "thaw": ("interlock.cli.thaw:thaw", "End a freeze."),
    "pin": ("interlock.cli.pin:pin", "Keep something at a version, or list pins."),
    "unpin": ("interlock.cli.unpin:unpin", "End a pin."),
    "skip": ("interlock.cli.skip:skip", "Let a version pass a rule or a freeze, or list skips."),
    "unskip": ("interlock.cli.unskip:unskip", "Take a skip back."),
    "quarantine": (
        "interlock.cli.quarantine:quarantine",
        "List or clear what failed and is kept off its targets.",
    ),
    "cancel": ("interlock.cli.cancel:cancel", "Ask for a job's end."),
    "what-if": ("interlock.cli.what_if:what_if", "Say what policies would change before they are saved."),
    "delete": ("interlock.cli.delete:delete", "End a policy, once it is shown what it holds."),
    "forecast": ("interlock.cli.forecast:forecast", "Say when each target could start at the earliest."),
    "simulate": ("interlock.cli.simulate:simulate", "Play rollouts from files on a virtual clock."),
    "ledger": ("interlock.cli.ledger:ledger", "Show what happened, in order."),
    "group": ("interlock.cli.group:group", "List groups of people, or say who is in one."),
    "keys": ("interlock.cli.keys:keys", "Make API keys for people and machines."),
    "api": ("interlock.cli.api:api", "Run API and console on a shared database."),
    "worker": ("interlock.cli.worker:worker", "Run a worker on a shared database."),
    "work": ("interlock.cli.work:work", "List, retry or bury work items."),
    "db": ("interlock.cli.db:db", "Dump or restore the database."),
}
"""name -> where it is defined, and its line in `interlock --help`; in the order that help shows."""


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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Help without importing a single command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours ends it with its sentence and exit code 1."""
        try:
            return super().invoke(ctx)
        except InterlockError as error:
            raise click.ClickException(sentence(error)) from error


def sentence(error: InterlockError) -> str:
    """An error as a person reads it; refused fields follow, one to a line, but for what the sentence says already."""
    if not isinstance(error, Invalid):
        return error.message
    named = [f"  {field.path}: {field.message}" for field in error.fields if field.message not in error.message]
    return "\n".join([error.message, *named])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="interlock")
def cli() -> None:
    r"""Decide which version may go where, and when; and see that it did.

    \b
    interlock up                                      start everything on this machine
    interlock apply -f fleet/                         say what there is
    interlock version upsert -d shop-api -t 1.4.0     say that a version exists
    interlock explain shop-api                        why it waits, and who can act
    interlock freeze --reason "checkout is down"      stop every hand-over, now
    """


kept_lines(cli)


def main() -> None:
    """The `interlock` command."""
    cli(prog_name="interlock")
