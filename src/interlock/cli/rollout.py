"""`interlock rollout`: see where changes stand, and open the way after a halt.

    interlock rollout list                                         open, paused and halted ones
    interlock rollout resume shop-api/production --reason "the port is free now"
    interlock rollout pause 4c1f… --reason "we are looking"
    interlock rollout abort shop-api/production --reason "1.2.0 replaces it"

A rollout is named by the beginning of its id, or by what it is about where that is one alone. Resuming forgives the
failures that were seen; aborting ends the rollout and leaves what it moved where it is.
"""

from __future__ import annotations

import click

from interlock.cli.connection import connected
from interlock.cli.tables import output_option, print_list
from interlock.client import Client, Wire
from interlock.model.errors import Conflict, NotFound

STATES = {"pause": "paused", "resume": "resumed", "abort": "aborted"}

_named = click.argument("rollout_id", metavar="ID | DEPLOYMENT/ENVIRONMENT")
_why = click.option("--reason", required=True, help="Why. Everybody who looks at the rollout reads it.")


@click.group()
def rollout() -> None:
    """List, pause, resume or abort rollouts."""


@rollout.command("list")
@output_option
@connected
def list_live(client: Client, *, output: str) -> None:
    """List the rollouts that are open, paused or halted."""
    found = list(client.list_rollouts())
    rows = [
        (each["id"][:8], _about(each), _tag(each), each["state"], each["stateAt"], each["failures"]) for each in found
    ]
    print_list(found, output=output, heads=("rollout", "about", "version", "state", "since", "failures"), rows=rows)


@rollout.command()
@_named
@_why
@connected
def pause(client: Client, rollout_id: str, *, reason: str) -> None:
    """Pause one: what is handed over goes on, nothing else starts."""
    _steer(client, rollout_id, step="pause", reason=reason)


@rollout.command()
@_named
@_why
@connected
def resume(client: Client, rollout_id: str, *, reason: str) -> None:
    """Resume one that is paused or halted."""
    _steer(client, rollout_id, step="resume", reason=reason)


@rollout.command()
@_named
@_why
@connected
def abort(client: Client, rollout_id: str, *, reason: str) -> None:
    """Give one up: it starts nothing any more."""
    _steer(client, rollout_id, step="abort", reason=reason)


def _steer(client: Client, text: str, *, step: str, reason: str) -> None:
    meant = [each for each in client.list_rollouts() if each["id"].startswith(text) or _about(each) == text]
    if not meant:
        raise NotFound(f"No open, paused or halted rollout matches {text}.")
    if len(meant) > 1:
        raise Conflict(f"{len(meant)} rollouts match {text}; give more of the id.")
    client.steer_rollout(meant[0]["id"], step=step, reason=reason)
    click.echo(f"{STATES[step]} {_about(meant[0])} {_tag(meant[0])}")


def _about(each: Wire) -> str:
    return f"{each['deployment']['name']}/{each['environment']['name']}"


def _tag(each: Wire) -> str:
    return str((each.get("version") or {}).get("tag") or each["kind"])
