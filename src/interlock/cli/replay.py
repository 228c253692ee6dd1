"""`interlock replay`: is it decided the same today as it was decided then?

    interlock replay 8f14e45f-…        a decision, or a round

The facts that the round knew are read back and decided again at its instant. The answer names that instant, the engine
and the time zones of then, and shows the tree. Under another engine a difference is no fault; it says so.

Exit codes: 0 it agrees, 3 it does not; 1 and 2 as everywhere.
"""

from __future__ import annotations

import click

from interlock.cli.connection import connected
from interlock.cli.exit_codes import HELD
from interlock.cli.tables import output_option, print_one
from interlock.cli.trees import rule_lines
from interlock.client import Client, Seen


@click.command()
@click.argument("decision", metavar="DECISION-ID | ROUND-ID")
@output_option
@click.pass_context
@connected
def replay(client: Client, ctx: click.Context, decision: str, *, output: str) -> None:
    """Decide a past decision again.

    Exit code 0: it is decided the same today. 3: it is not.
    """
    said = client.replay(decision)
    print_one(said, output=output, text=_lines(said), kind="decision", named=lambda _: decision)
    ctx.exit(0 if said["agrees"] else HELD)


def _lines(said: Seen) -> list[str]:
    lines = [
        str(said["says"]),
        f"{said['deployment']['name']}, {said['targets']} targets, {said['moves']} moves started.",
    ]
    for one in said["decisions"]:
        differs = ", which differs" if one.get("differs") else ""
        lines.append(f"{one['kind']} of {one['version']} into {one['environment']}: {one['outcome']}{differs}")
        lines.extend(rule_lines(one["verdicts"]))
    lines.extend(f"differs: {one['subject']}" for one in said["differences"])
    return lines
