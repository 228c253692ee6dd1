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
from interlock.cli.places import version_meant
from interlock.cli.tables import output_option, print_one
from interlock.client import Client, Seen

HELD_MAX = 5
"""Held targets of an environment that are named with what holds them."""

STATES = {"left": "rolled back", "past": "moved on", "none": "never had it"}
"""State of a target -> how a count of it reads, where the wire's word alone would be misread."""


@click.command()
@click.argument("version", metavar="DEPLOYMENT/TAG | VERSION-ID")
@click.argument("tag", required=False, metavar="")
@click.option("--all", "everything", is_flag=True, help="Also the steps that every healthy move takes.")
@output_option
@connected
def trace(client: Client, version: str, tag: str | None, *, everything: bool, output: str) -> None:
    r"""Show what a version went through.

    Every stage and target with its instants, then the story: decisions, approvals, jobs, verifications, rollbacks.

    \b
    interlock trace shop-api/1.4.0
    interlock trace shop-api 1.4.0
    """
    found = client.trace_version(version_meant(client, version, tag=tag))
    name = f"{version}/{tag}" if tag else version
    print_one(found, output=output, text=_lines(found, everything=everything), kind="version", named=lambda _: name)


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
    counts = ", ".join(f"{number} {STATES.get(state, state)}" for state, number in stage["counts"].items())
    rollout = stage.get("rollout")
    about = f"; rollout {rollout['state']}, opened {rollout['openedAt']}" if rollout else ""
    yield f"  {stage['environment']['name']}: {counts}{about}"
    held = [cell for cell in stage["targets"] if cell.get("holds")]
    for cell in held[:HELD_MAX]:
        yield f"    {cell['resource']['name']}: {cell['holds']}"
    if len(held) > HELD_MAX:
        yield f"    and {len(held) - HELD_MAX} more"
