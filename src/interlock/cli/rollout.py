"""`interlock rollout`: see where changes stand, steer them, and open the way after a halt.

    interlock rollout list                                         open, paused and halted ones
    interlock rollout show shop-api/production                     its waves, what is next, what people said
    interlock rollout resume shop-api/production --reason "the port is free now"
    interlock rollout pause 4c1f… --reason "we are looking" --for 2h
    interlock rollout speed-up shop-api/production --bake 60 --reason "a fix that must be out by noon"
    interlock rollout promote shop-api/production --reason "proven in the morning"
    interlock rollout abort shop-api/production --reason "1.2.0 replaces it"

A rollout is named by the beginning of its id, or by what it is about where that is one alone. Resuming forgives the
failures that were seen; promoting too, and lets all that is left start at once; aborting ends the rollout and leaves
what it moved where it is. Gates are asked in any case.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.places import expiry, lasting_option
from interlock.cli.tables import id_of, list_options, output_option, print_list, print_one
from interlock.client import Client, Seen
from interlock.model.errors import Conflict, NotFound

STATES = {
    "pause": "paused",
    "resume": "resumed",
    "speed-up": "sped up",
    "promote": "promoted",
    "abort": "aborted",
}

_named = click.argument("rollout_id", metavar="ID | DEPLOYMENT/ENVIRONMENT", shell_complete=names_of("rollout"))
_why = click.option("--reason", required=True, help="Why. Everybody who looks at the rollout reads it.")


@click.group()
def rollout() -> None:
    """List, show, pause, resume, speed up, promote or abort rollouts."""


@rollout.command("list")
@list_options
@connected
def list_live(client: Client, *, output: str) -> None:
    """List the rollouts that are open, paused or halted."""
    found = list(client.list_rollouts())
    rows = [
        (each["id"][:8], _about(each), _tag(each), each["state"], each["stateAt"], each["failures"]) for each in found
    ]
    print_list(
        found,
        output=output,
        heads=("rollout", "about", "version", "state", "since", "failures"),
        rows=rows,
        kind="rollout",
        named=id_of,
    )


@rollout.command()
@_named
@_why
@lasting_option
@output_option
@connected
def pause(client: Client, rollout_id: str, *, reason: str, lasts: str | None, output: str) -> None:
    """Pause one: what is handed over goes on, nothing else starts."""
    _steer(client, rollout_id, step="pause", reason=reason, output=output, **expiry(lasts))


@rollout.command()
@_named
@_why
@output_option
@connected
def resume(client: Client, rollout_id: str, *, reason: str, output: str) -> None:
    """Resume one that is paused or halted."""
    _steer(client, rollout_id, step="resume", reason=reason, output=output)


@rollout.command()
@_named
@_why
@output_option
@connected
def abort(client: Client, rollout_id: str, *, reason: str, output: str) -> None:
    """Give one up: it starts nothing any more."""
    _steer(client, rollout_id, step="abort", reason=reason, output=output)


@rollout.command("speed-up")
@_named
@click.option("--interval", "interval_s", type=click.IntRange(0), help="Seconds between two targets (linear).")
@click.option("--bake", "bake_s", type=click.IntRange(0), help="Seconds that each wave bakes; 0 for none.")
@click.option("--max-in-flight", type=click.IntRange(1), help="So many at once.")
@_why
@output_option
@connected
def speed_up(
    client: Client,
    rollout_id: str,
    *,
    interval_s: int | None,
    bake_s: int | None,
    max_in_flight: int | None,
    reason: str,
    output: str,
) -> None:
    """Let one go faster than its rules say, never slower."""
    given = {"timeScaleInterval": interval_s, "bakeSeconds": bake_s, "maxInFlight": max_in_flight}
    faster = {name: value for name, value in given.items() if value is not None}
    if not faster:
        raise click.UsageError("Say what goes faster: --interval, --bake or --max-in-flight.")
    _steer(client, rollout_id, step="speed-up", reason=reason, output=output, **faster)


@rollout.command()
@_named
@_why
@output_option
@connected
def promote(client: Client, rollout_id: str, *, reason: str, output: str) -> None:
    """Let all that is left of one start at once; gates are still asked."""
    _steer(client, rollout_id, step="promote", reason=reason, output=output)


@rollout.command()
@_named
@output_option
@connected
def show(client: Client, rollout_id: str, *, output: str) -> None:
    """Show one: its waves, what is next and when, and what people said."""
    rollout = client.get_rollout(_meant(client, rollout_id)["id"])
    places = client.get_rollout_places(rollout["id"])
    whole = {**rollout, **places}
    print_one(whole, output=output, text=_lines(rollout, places), kind="rollout", named=id_of)


def _lines(rollout: Seen, places: Seen) -> Iterator[str]:
    yield f"{_about(rollout)} {_tag(rollout)}: {rollout['state']} since {rollout['stateAt']}, id {rollout['id']}"
    for wave in places["waves"]:
        name = f"wave {wave['number']}" if places["inWaves"] else "targets"
        counts = ", ".join(f"{number} {state}" for state, number in wave["counts"].items())
        yield f"  {name}: {counts}: {_names(wave['targets'])}"
    if (coming := places.get("next")) is not None:
        yield f"  next: {coming['resource']}: {coming['why']}"
    for word in rollout["steering"]:
        yield f"  {_said(word)}"


def _said(word: Seen) -> str:
    """What a person said of the rollout."""
    what = ", ".join(f"{name} {word[name]}" for name in FASTER if name in word)
    return f"{STATES[word['step']]} {word['at']} by {word['by']}{what and f' ({what})'}: {word['reason']}"


FASTER = ("timeScaleInterval", "bakeSeconds", "maxInFlight")
NAMES_MAX = 8


def _names(targets: Sequence[Seen]) -> str:
    named = ", ".join(each["resource"] for each in targets[:NAMES_MAX])
    return named if len(targets) <= NAMES_MAX else f"{named} and {len(targets) - NAMES_MAX} more"


def _steer(client: Client, text: str, *, step: str, reason: str, output: str, **more: object) -> None:
    meant = _meant(client, text)
    steered = client.steer_rollout(meant["id"], step=step, reason=reason, **more)
    said = f"{STATES[step]} {_about(meant)} {_tag(meant)}"
    print_one(steered, output=output, text=said, kind="rollout", named=id_of)


def _meant(client: Client, text: str) -> Seen:
    """The one live rollout that a text names; one that is over by its whole id."""
    meant = [each for each in client.list_rollouts() if each["id"].startswith(text) or _about(each) == text]
    if not meant and len(text) == ID_LENGTH:
        return client.get_rollout(text)
    if not meant:
        raise NotFound(f"No open, paused or halted rollout matches {text}.")
    if len(meant) > 1:
        raise Conflict(f"{len(meant)} rollouts match {text}; give more of the id.")
    return meant[0]


ID_LENGTH = 36


def _about(each: Seen) -> str:
    return f"{each['deployment']['name']}/{each['environment']['name']}"


def _tag(each: Seen) -> str:
    return str((each.get("version") or {}).get("tag") or each["kind"])
