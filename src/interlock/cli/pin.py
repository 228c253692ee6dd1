"""`interlock pin`: this stays at, or goes to, this version.

    interlock pin                                                       those in force
    interlock pin shop-api 1.4.2 --reason "1.5 leaks memory"            everywhere
    interlock pin shop-api/production 1.4.2 --reason "audit" --for 2d
    interlock pin shop-api/production/prod-eu-1 1.4.2 --reason "we look at it"

The narrowest pin wins, and a place has one. `interlock unpin` ends it.
"""

from __future__ import annotations

import click

from interlock.cli.completion import places, tags
from interlock.cli.connection import connected
from interlock.cli.places import both, expiry, find_place, find_version, lasting_option, place_of, until
from interlock.cli.tables import id_of, list_options, print_list, print_one
from interlock.client import Client, Seen
from interlock.model.errors import Invalid


@click.command()
@click.argument("place", required=False, metavar="[DEPLOYMENT[/ENVIRONMENT[/RESOURCE]]]", shell_complete=places)
@click.argument("tag", required=False, metavar="[VERSION]", shell_complete=tags)
@click.option("--reason", help="Why. Everybody whom it concerns reads it.")
@lasting_option
@list_options
@connected
def pin(
    client: Client, place: str | None, tag: str | None, *, reason: str | None, lasts: str | None, output: str
) -> None:
    r"""Keep something at a version, or list pins.

    A pin moves back as well as forward; every gate is asked. When it ends by itself nothing moves back to what it left;
    `interlock unpin` lets its targets go on at once.

    \b
    interlock pin shop-api/production 1.4.2 --reason "1.5 leaks memory" --for 2d
    """
    if place is None:
        list_pins(client, output=output)
        return
    place, tag = both(place, tag, needs="what is pinned, and to which version")
    if not reason:
        raise Invalid("Say why: --reason.")
    where = find_place(client, place)
    version = find_version(client, where.deployment_id, tag)
    made = client.pin({"versionId": version, **where.ids(), "reason": reason, **expiry(lasts)})
    text = (
        f"Pinned {place_of(made)} to {tag} {until(made, otherwise='until it is unpinned')}.",
        f"End it with: interlock unpin {made['id'][:8]} --reason …",
    )
    print_one(made, output=output, text=text, kind="pin", named=id_of)


def list_pins(client: Client, *, output: str) -> None:
    """Print the pins in force."""
    found: list[Seen] = list(client.list_pins())
    rows = [
        (
            each["id"][:8],
            place_of(each),
            each["version"]["tag"],
            each.get("createdBy"),
            each["createdAt"],
            each.get("expiresAt"),
            each["reason"],
        )
        for each in found
    ]
    heads = ("pin", "what", "version", "by", "since", "until", "reason")
    print_list(found, output=output, heads=heads, rows=rows, kind="pin", named=id_of)
