"""`interlock unskip`: take a skip back; what it let start goes on, nothing else starts by it."""

from __future__ import annotations

import click

from interlock.cli.connection import connected
from interlock.cli.places import picked, place_of, reason_option
from interlock.client import Client


@click.command()
@click.argument("skip_id", metavar="ID")
@reason_option
@connected
def unskip(client: Client, skip_id: str, *, reason: str) -> None:
    """Take a skip back.

    What it let start goes on; nothing else starts by it. `interlock skip` lists those in force; the beginning of an id
    is enough to name one.
    """
    meant = picked(client.list_skips(), skip_id, what="skip")
    client.remove_skip(meant["id"], reason=reason)
    click.echo(f"Taken back: {meant['version']['tag']} no longer passes by hand in {place_of(meant)}.")
