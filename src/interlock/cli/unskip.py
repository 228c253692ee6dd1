"""`interlock unskip`: take a skip back; what it let start goes on, nothing else starts by it."""

from __future__ import annotations

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.places import picked, place_of, reason_option
from interlock.cli.tables import id_of, output_option, print_one
from interlock.client import Client


@click.command()
@click.argument("skip_id", metavar="ID", shell_complete=names_of("skip"))
@reason_option
@output_option
@connected
def unskip(client: Client, skip_id: str, *, reason: str, output: str) -> None:
    """Take a skip back.

    What it let start goes on; nothing else starts by it. `interlock skip` lists those in force; the beginning of an id
    is enough to name one.
    """
    meant = picked(client.list_skips(), skip_id, what="skip")
    removed = client.remove_skip(meant["id"], reason=reason)
    text = f"Taken back: {meant['version']['tag']} no longer passes by hand in {place_of(meant)}."
    print_one(removed, output=output, text=text, kind="skip", named=id_of)
