"""`interlock saturation`: how full is what a deployment runs on?

    interlock saturation list shop-api
    interlock saturation report shop-api db-pool 0.91
    interlock saturation report shop-api queue 12000 --high-above 10000 --saturated-above 50000 --environment production
    interlock saturation forget shop-api db-pool

A policy's rule `saturation` acts on the level. A reading counts for five minutes unless `--fresh-for` says otherwise;
then nothing is known of it, and that is never normal.
"""

from __future__ import annotations

import math

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.places import parse_duration
from interlock.cli.tables import list_options, output_option, print_list, print_one
from interlock.client import Client, Seen, Wire

HEADS = ("signal", "environment", "level", "value", "high above", "saturated above", "since", "counts until")

_deployment = click.argument("deployment", shell_complete=names_of("deployment"))
_environment = click.option("--environment", shell_complete=names_of("environment"), help="Only there.")


@click.group()
def saturation() -> None:
    """List, report or forget how full things are."""


@saturation.command("list")
@_deployment
@list_options
@connected
def list_all(client: Client, deployment: str, *, output: str) -> None:
    """List what is read of a deployment."""
    found = client.list_saturations(deployment)
    print_list(found, output=output, heads=HEADS, rows=map(_row, found), kind="saturation", named=_name)


@saturation.command()
@_deployment
@click.argument("signal")
@click.argument("value", type=float)
@_environment
@click.option("--high-above", type=float, help="From here on it is high.  [default: 0.8]")
@click.option("--saturated-above", type=float, help="From here on it is saturated.  [default: 0.95]")
@click.option("--fresh-for", "lasts", metavar="5m", help="How long it counts: 30s, 5m, 2h.  [default: 5m]")
@click.option("--source", default="cli", show_default=True, help="Who says so.")
@output_option
@connected
def report(
    client: Client,
    deployment: str,
    signal: str,
    value: float,
    *,
    environment: str | None,
    high_above: float | None,
    saturated_above: float | None,
    lasts: str | None,
    source: str,
    output: str,
) -> None:
    """Say how full something is."""
    numbers = {"VALUE": value, "--high-above": high_above, "--saturated-above": saturated_above}
    for said_as, number in numbers.items():
        if number is not None and not math.isfinite(number):
            raise click.UsageError(f"{said_as} must be a finite number. What is not known is not reported.")
    body: Wire = {"name": signal, "value": value, "source": source}
    more = {"environment": environment, "highAbove": high_above, "saturatedAbove": saturated_above}
    body |= {name: one for name, one in more.items() if one is not None}
    if lasts is not None:
        body["freshForSeconds"] = int(parse_duration(lasts, option="--fresh-for").total_seconds())
    said = client.post_saturation(deployment, body)
    text = f"{signal} is {said['level']} ({said['value']:g}) until {said['freshUntil']}."
    print_one(said, output=output, text=text, kind="saturation", named=_name)


@saturation.command()
@_deployment
@click.argument("signal")
@_environment
@output_option
@connected
def forget(client: Client, deployment: str, signal: str, *, environment: str | None, output: str) -> None:
    """Forget what nobody reads any more: else it stays unknown, and holds."""
    gone = client.forget_saturation(deployment, signal, environment=environment)
    print_one(gone, output=output, text=f"Forgotten: {signal}.", kind="saturation", named=_name)


def _name(each: Seen) -> str:
    return str(each["name"])


def _row(each: Seen) -> tuple[object, ...]:
    where = (each.get("environment") or {}).get("name")
    return (
        *(each["name"], where, each["level"], f"{each['value']:g}", f"{each['highAbove']:g}"),
        *(f"{each['saturatedAbove']:g}", each["since"], each["freshUntil"]),
    )
