"""`interlock unpin`: end a pin; its targets go on to whatever is newer than what they run."""

from __future__ import annotations

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.places import picked, place_of, reason_option
from interlock.cli.tables import id_of, output_option, print_one
from interlock.client import Client


@click.command()
@click.argument("pin_id", metavar="ID | DEPLOYMENT[/ENVIRONMENT[/RESOURCE]]", shell_complete=names_of("pin"))
@reason_option
@output_option
@connected
def unpin(client: Client, pin_id: str, *, reason: str, output: str) -> None:
    """End a pin.

    Its targets go on to whatever is newer than what they run, as far as nothing else holds it. `interlock pin` lists
    those in force; the beginning of an id is enough to name one.
    """
    meant = picked(client.list_pins(), pin_id, what="pin", about=place_of)
    removed = client.remove_pin(meant["id"], reason=reason)
    text = f"Unpinned {place_of(meant)} from {meant['version']['tag']}."
    print_one(removed, output=output, text=text, kind="pin", named=id_of)
