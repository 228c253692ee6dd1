"""`interlock replay`: is it decided the same today as it was decided then?

    interlock replay shop-api/1.4.0 -e production    the last decision about a version there
    interlock replay 8f14e45f-…                      a decision, or a round

The facts that the round knew are read back and decided again at its instant. The answer names that instant, the engine
and the time zones of then, and shows the tree. Under another engine a difference is no fault; it says so.

Exit codes: 0 it agrees, 3 it does not; 1 and 2 as everywhere.
"""

from __future__ import annotations

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.exit_codes import HELD
from interlock.cli.places import version_meant
from interlock.cli.tables import output_option, print_one
from interlock.cli.trees import rule_lines
from interlock.client import Client, Seen
from interlock.model.errors import NotFound


@click.command()
@click.argument("decision", metavar="DEPLOYMENT/TAG | DECISION-ID | ROUND-ID")
@click.option(
    "-e", "--environment", shell_complete=names_of("environment"), help="Of a version: its last decision in this one."
)
@output_option
@click.pass_context
@connected
def replay(client: Client, ctx: click.Context, decision: str, *, environment: str | None, output: str) -> None:
    r"""Decide a past decision again.

    Exit code 0: it is decided the same today. 3: it is not.

    \b
    interlock replay shop-api/1.4.0 --environment production
    """
    meant = _last_decision(client, decision, environment=environment) if "/" in decision else decision
    said = client.replay(meant)
    print_one(said, output=output, text=_lines(said), kind="decision", named=lambda _: meant)
    ctx.exit(0 if said["agrees"] else HELD)


def _last_decision(client: Client, version: str, *, environment: str | None) -> str:
    """The newest decision about a version, in an environment if one is said.

    Fails: `NotFound` when nothing was decided about it there.
    """
    found = client.trace_version(version_meant(client, version))["decisions"]
    there = [one for one in found if environment is None or (one.get("environment") or {}).get("name") == environment]
    if not there:
        raise NotFound(f"Nothing was decided about {version}{f' in {environment}' if environment else ''}.")
    return str(there[-1]["id"])


def _lines(said: Seen) -> list[str]:
    lines = [
        str(said["says"]),
        f"{said['deployment']['name']}, {_count(said['targets'], 'target')}, {_count(said['moves'], 'move')} started.",
    ]
    for one in said["decisions"]:
        differs = ", which differs" if one.get("differs") else ""
        lines.append(f"{one['kind']} of {one['version']} into {one['environment']}: {one['outcome']}{differs}")
        lines.extend(rule_lines(one["verdicts"]))
    lines.extend(f"differs: {one['subject']}" for one in said["differences"])
    return lines


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
