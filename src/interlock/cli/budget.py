"""`interlock budget`: how much may go wrong still, and how fast is it used up?

    interlock budget shop-api            every objective that covers it
    interlock budget shop-api -o json    the same for a program

One line an objective: its class, what is left, the burn in each window (at 1 the budget lasts its period exactly), how
old the reading is. A class that is not healthy says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.tables import list_options, print_list
from interlock.client import Client, Seen
from interlock.model.errors import Invalid

WINDOWS = ("5m", "1h", "6h", "1d", "3d")


@click.command()
@click.argument("deployment", shell_complete=names_of("deployment"))
@list_options
@connected
def budget(client: Client, deployment: str, *, output: str) -> None:
    """Show where the error budgets of a deployment stand.

    What is left, how fast it burns in each window, the class that a policy's errorBudget rule acts on, and how old the
    reading is.
    """
    found = list(client.list_slos(deployment=deployment))
    if not found and output == "table":
        raise Invalid(f"No objective covers {deployment}. `interlock get slos` lists those that there are.")
    heads = ("objective", "target", "class", "left", *(f"burn {window}" for window in WINDOWS), "age", "since")
    rows = [_row(each) for each in found]
    print_list(found, output=output, heads=heads, rows=rows, kind="slo", named=lambda each: str(each["name"]))
    if output == "table":
        for line in _reasons(found):
            click.echo(line)


def _reasons(found: Sequence[Seen]) -> Iterator[str]:
    for each in found:
        status = each["status"]
        if status["budget"] != "healthy":
            yield f"{each['name']}: {status['why']}"
        if status.get("emptyAt") and status["budget"] not in {"unknown", "exhausted"}:
            yield f"{each['name']}: at the rate of the last hour it is spent at {status['emptyAt']}."


def _row(slo: Seen) -> tuple[object, ...]:
    status = slo["status"]
    burn = status["burn"]
    return (
        slo["name"],
        f"{slo['target']:g} % of {slo['windowDays']} d",
        status["budget"],
        left(status),
        *(f"{burn[window]:.3g}" if window in burn else None for window in WINDOWS),
        f"{status['ageSeconds']} s" if "ageSeconds" in status else None,
        status["since"],
    )


def left(status: Seen) -> str | None:
    """What is left of a budget, as in `62.1 %`."""
    return f"{status['remaining'] * 100:.1f} %" if "remaining" in status else None
