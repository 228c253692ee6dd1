"""`interlock thaw`: end a freeze; without an argument, list those in force."""

from __future__ import annotations

from collections.abc import Sequence

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.places import picked
from interlock.cli.tables import id_of, list_options, print_list, print_one
from interlock.client import Client, Seen


@click.command()
@click.argument("freeze_id", required=False, metavar="[ID]", shell_complete=names_of("freeze"))
@click.option("--reason", default="", help="Why it may go on.")
@list_options
@connected
def thaw(client: Client, freeze_id: str | None, *, reason: str, output: str) -> None:
    """End a freeze.

    Without an argument it lists the freezes in force; the beginning of an id is enough to name one.
    """
    found = list(client.list_freezes())
    if freeze_id is None:
        print_freezes(found, output=output)
        return
    meant = picked(found, freeze_id, what="freeze")
    thawed = client.thaw(meant["id"], reason=reason)
    text = f"Thawed {meant['id'][:8]} ({meant['reason']})."
    print_one(thawed, output=output, text=text, kind="freeze", named=id_of)


def print_freezes(found: Sequence[Seen], *, output: str) -> None:
    """Print freezes."""
    rows = [
        (
            each["id"][:8],
            _scope(each),
            each.get("selector"),
            each["createdAt"],
            each.get("expiresAt"),
            each["reason"],
            each.get("incidentUrl"),
        )
        for each in found
    ]
    heads = ("freeze", "scope", "only where", "since", "until", "reason", "incident")
    print_list(found, output=output, heads=heads, rows=rows, kind="freeze", named=id_of)


def _scope(freeze: Seen) -> str:
    scope = freeze.get("scope") or {}
    name = scope.get("name") or scope.get("id")
    return " ".join(str(each) for each in (scope.get("kind", "workspace"), name) if each)
