"""`interlock trace`: what did a version go through, on every stage and target?

    interlock trace shop-api/1.4.0
    interlock trace 8f14e45f-… --all
    interlock trace shop-api/1.4.0 -o json

First where it stands: a line an environment, how many targets in which state, and what holds the others. Then its story
from the ledger, in order. The steps that every healthy move takes are left out; `--all` shows them.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from interlock.cli.connection import connected
from interlock.cli.ledger import is_routine, line
from interlock.cli.tables import output_option, print_one
from interlock.cli.version import deployment_id
from interlock.client import Client, Seen
from interlock.model.errors import Invalid, NotFound
from interlock.model.ids import is_id

HELD_MAX = 5
"""Held targets of an environment that are named with what holds them."""


@click.command()
@click.argument("version", metavar="DEPLOYMENT/TAG | VERSION-ID")
@click.option("--all", "everything", is_flag=True, help="Also the steps that every healthy move takes.")
@output_option
@connected
def trace(client: Client, version: str, *, everything: bool, output: str) -> None:
    r"""Show what a version went through.

    Every stage and target with its instants, then the story: decisions, approvals, jobs, verifications, rollbacks.

    \b
    interlock trace shop-api/1.4.0
    """
    found = client.trace_version(_version_id(client, version))
    print_one(found, output=output, text=_lines(found, everything=everything), kind="version", named=lambda _: version)


def _version_id(client: Client, text: str) -> str:
    """The id of the version that is meant."""
    if is_id(text):
        return text
    name, slash, tag = text.partition("/")
    if not slash:
        raise Invalid("A version is DEPLOYMENT/TAG, or its id.")
    for each in client.list_versions(deployment_id(client, name)):
        if each["tag"] == tag:
            return str(each["id"])
    raise NotFound(f"{name} has no version {tag}.")


def _lines(found: Seen, *, everything: bool) -> Iterator[str]:
    version = found["version"]
    yield f"{version['tag']}, {version['status']}, created {version['createdAt']}"
    for stage in found["stages"]:
        yield from _stage(stage)
    events = [event for event in found["events"] if everything or not is_routine(event)]
    yield ""
    yield from map(line, events)
    left_out = len(found["events"]) - len(events)
    if left_out:
        yield f"{left_out} routine steps are left out; --all shows them."


def _stage(stage: Seen) -> Iterator[str]:
    counts = ", ".join(f"{number} {state}" for state, number in stage["counts"].items())
    rollout = stage.get("rollout")
    about = f"; rollout {rollout['state']}, opened {rollout['openedAt']}" if rollout else ""
    yield f"  {stage['environment']['name']}: {counts}{about}"
    held = [cell for cell in stage["targets"] if cell.get("holds")]
    for cell in held[:HELD_MAX]:
        yield f"    {cell['resource']['name']}: {cell['holds']}"
    if len(held) > HELD_MAX:
        yield f"    and {len(held) - HELD_MAX} more"
