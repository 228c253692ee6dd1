"""`interlock forecast`: when could each target start at the earliest, and what keeps it until then?

    interlock forecast shop-api                          the newest ready version, everywhere
    interlock forecast shop-api 1.4.0 -e production

What the rules alone would allow, with usual durations and with long ones. People are an assumption, never guessed at;
what no instant is known for says so.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from interlock.cli.completion import names_of, tags
from interlock.cli.connection import connected
from interlock.cli.tables import output_option, print_one, table
from interlock.cli.version import deployment_id
from interlock.client import Client, Seen


@click.command()
@click.argument("deployment", shell_complete=names_of("deployment"))
@click.argument("version", required=False, shell_complete=tags)
@click.option("-e", "--environment", shell_complete=names_of("environment"), help="Only this one.")
@output_option
@connected
def forecast(client: Client, deployment: str, version: str | None, *, environment: str | None, output: str) -> None:
    r"""Say when each target could start at the earliest.

    For each target its earliest start, what keeps it until then, and the start with long durations (p90).

    \b
    interlock forecast shop-api
    interlock forecast shop-api 1.4.0 --environment production
    """
    said = client.forecast(deployment_id(client, deployment), version=version, environment=environment)
    named = f"{said['deployment']['name']}/{said['version']['tag']}"
    print_one(said, output=output, text=_lines(said), kind="version", named=lambda _: named)


def _lines(said: Seen) -> Iterator[str]:
    names = {each["id"]: each["name"] for each in said["environments"]}
    yield f"{said['deployment']['name']} {said['version']['tag']}, as of {said['at']}"
    for each in said["environments"]:
        yield ""
        yield from _environment(each)
        rows = [
            (
                target["resource"]["name"],
                target["state"],
                target.get("startsAt"),
                (target.get("p90") or {}).get("startsAt"),
                (target.get("cause") or {}).get("sentence"),
            )
            for target in said["targets"]
            if names[target["environmentId"]] == each["name"]
        ]
        yield table(("target", "state", "earliest start", "with p90", "until then"), rows)
    if said.get("targetsCut"):
        yield f"and {said['targetsCut']} more"


def _environment(each: Seen) -> Iterator[str]:
    durations = each["durations"]
    job, proof = durations["jobSeconds"], durations["verificationSeconds"]
    counts = ", ".join(f"{number} {word}" for word, number in sorted(each["states"].items()))
    yield f"{each['name']}: {counts}"
    measured = f"job {job['p50']:.0f} s (p90 {job['p90']:.0f} s)"
    if proof["p90"]:
        measured += f", verification {proof['p50']:.0f} s (p90 {proof['p90']:.0f} s)"
    yield f"  {measured}; {durations.get('caution') or 'of the last ' + str(durations['samples']) + ' moves'}"
    if each.get("lastEnd"):
        late = each["p90"].get("lastEnd")
        yield f"  done at {each['lastEnd']}{f', at {late} with p90' if late else ''}"
    for assumption in each.get("assumes") or ():
        yield f"  taken as answered: {assumption}"
