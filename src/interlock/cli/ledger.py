"""`interlock ledger`: what happened, in order, who did it and why.

    interlock ledger --last 50
    interlock ledger --subject job:8f14e45f-… --follow

`--follow` shows what is there and then waits for more; a broken connection is taken up again where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import click

from interlock.cli.connection import connected
from interlock.client import Client, Wire
from interlock.model.errors import Unavailable

RETRY_S = 1.0
SEEN_MAX = 100_000


@click.command()
@click.option("--subject", metavar="KIND:ID", help="Only what is about this, as in deployment:8f14….")
@click.option("--after", "after", type=click.IntRange(0), default=0, help="Only what came after this place.")
@click.option("--last", type=click.IntRange(1), help="Only the last so many.")
@click.option("--follow", is_flag=True, help="Go on as it grows.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@connected
def ledger(client: Client, *, subject: str | None, after: int, last: int | None, follow: bool, output: str) -> None:
    """Show what happened, in order."""
    events = list(client.list_ledger(subject=subject, after=after, items_max=SEEN_MAX))
    for event in events[-last:] if last else events:
        click.echo(_printed(event, output=output))
    if follow:
        for event in _followed(client, subject=subject, after=events[-1]["seq"] if events else after):
            click.echo(_printed(event, output=output))


def _followed(client: Client, *, subject: str | None, after: int) -> Iterator[Wire]:
    """New events, across broken connections, each once."""
    while True:
        try:
            for event in client.follow_ledger(subject=subject, after=after):
                after = event["seq"]
                yield event
        except Unavailable as error:
            click.echo(f"{error.message} Trying again.", err=True)
        time.sleep(RETRY_S)


def _printed(event: Wire, *, output: str) -> str:
    return json.dumps(event, ensure_ascii=False) if output == "json" else line(event)


def line(event: Wire) -> str:
    """One event on one line: instant, kind, who, what it is about (in names where the body has them), and the rest."""
    actor = event.get("actor") or {}
    who = actor.get("name") or actor.get("id") or actor.get("kind", "")
    body = dict(event.get("body") or {})
    place = "/".join(str(body.pop(key)) for key in ("deployment", "environment", "target") if key in body)
    subject = event.get("subject") or {}
    about = (
        " ".join(filter(None, [place, str(body.pop("version", ""))])) or f"{subject.get('kind')}:{subject.get('id')}"
    )
    rest = " ".join(f"{key}={_short(value)}" for key, value in body.items() if value is not None)
    return f"{event['at'][:23]}  {event['kind']:<24}  {who[:14]:<14}  {about:<40}  {rest}".rstrip()


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"
