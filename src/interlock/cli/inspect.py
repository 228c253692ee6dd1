"""`interlock inspect`: what is on a target now, and where does it differ from what was applied?

    interlock inspect shop-api/production/prod-eu-1

Its agent is asked, and has to be of a type that can inspect (`kubernetes`). Nothing is changed. The exit code is 0,
whatever was found; scripts read `-o json`.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from interlock.cli.completion import places
from interlock.cli.connection import connected
from interlock.cli.places import find_place
from interlock.cli.tables import output_option, print_one
from interlock.client import Client, Seen
from interlock.model.errors import Invalid
from interlock.model.ids import TargetKey


@click.command("inspect")
@click.argument("place", metavar="DEPLOYMENT/ENVIRONMENT/RESOURCE", shell_complete=places)
@output_option
@connected
def inspect(client: Client, place: str, *, output: str) -> None:
    r"""Say what is on a target now, and where it drifted.

    The target's agent looks; nothing is changed.

    \b
    interlock inspect shop-api/production/prod-eu-1
    """
    found = find_place(client, place)
    if found.environment_id is None or found.resource_id is None:
        raise Invalid("A target is DEPLOYMENT/ENVIRONMENT/RESOURCE.")
    key = str(TargetKey(found.resource_id, found.environment_id, found.deployment_id))
    said = client.inspect_target(key)
    print_one(said, output=output, text=lines(said), named=lambda _: place)


def lines(said: Seen) -> Iterator[str]:
    """The answer, as it reads."""
    yield f"As of {said['at']}, against job {said['jobId']}:"
    for heading, found in (("runs", said["artifacts"]), ("there", said["objects"])):
        for one in found:
            yield f"  {heading:8}{one}"
    for one in said["drift"]:
        word = "is not there" if one["missing"] else "differs in " + ", ".join(one["fields"])
        yield f"  drift   {one['object']} {word}"
    if not said["drift"]:
        yield "  Nothing differs from what was applied."
