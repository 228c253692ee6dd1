"""`interlock quarantine`: what targets do not take again by themselves, and letting them.

interlock quarantine list
interlock quarantine clear shop-api/production/prod-eu-1 --reason "the disk was full"
"""

from __future__ import annotations

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.places import picked, place_of, reason_option
from interlock.cli.tables import id_of, list_options, output_option, print_list, print_one
from interlock.client import Client, Seen


@click.group()
def quarantine() -> None:
    """List or clear what failed and is kept off its targets."""


@quarantine.command("list")
@list_options
@connected
def list_in_force(client: Client, *, output: str) -> None:
    """List the quarantines in force."""
    found = list(client.list_quarantines())
    rows = [(each["id"][:8], place_of(each), _what(each), each["setAt"]) for each in found]
    print_list(
        found,
        output=output,
        heads=("quarantine", "target", "keeps off", "since"),
        rows=rows,
        kind="quarantine",
        named=id_of,
    )


@quarantine.command()
@click.argument("quarantine_id", metavar="ID | DEPLOYMENT/ENVIRONMENT/RESOURCE", shell_complete=names_of("quarantine"))
@reason_option
@output_option
@connected
def clear(client: Client, quarantine_id: str, *, reason: str, output: str) -> None:
    """Let a target take again what failed on it."""
    meant = picked(client.list_quarantines(), quarantine_id, what="quarantine", about=place_of)
    cleared = client.clear_quarantine(meant["id"], reason=reason)
    text = f"Cleared: {place_of(meant)} may take {_what(meant)} again."
    print_one(cleared, output=output, text=text, kind="quarantine", named=id_of)


def _what(each: Seen) -> str:
    version = each.get("version")
    return str(version["tag"]) if version else f"config {str(each.get('configDigest'))[:12]}"
