"""`interlock approve`: answer what a person is asked.

    interlock approve                                  the open requests
    interlock approve 4c1f…                            one, by id or the beginning of it
    interlock approve shop-api/production              one, by what it is about
    interlock approve shop-api/production --reject --comment "error rate in staging"

The answer carries the digest of what the request shows, so it counts for exactly that: when the request has changed in
between, the server refuses it and the new one has to be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from interlock.cli.connection import connected
from interlock.cli.tables import output_option, print_list
from interlock.client import Client, Seen
from interlock.model.errors import Conflict, NotFound


@click.command()
@click.argument("request", required=False, metavar="[ID | DEPLOYMENT/ENVIRONMENT]")
@click.option("--reject", is_flag=True, help="Say no.")
@click.option("--comment", help="Why. Everybody who sees the approval sees it.")
@output_option
@connected
def approve(client: Client, request: str | None, *, reject: bool, comment: str | None, output: str) -> None:
    r"""Answer a request for approval, or list them.

    Without an argument it lists the open requests. An answer counts for exactly what the request shows now.

    \b
    interlock approve shop-api/production
    interlock approve shop-api/production --reject --comment "error rate in staging"
    """
    found = list(client.list_approval_requests())
    if request is None:
        rows = [
            (each["id"][:8], _about(each), each["version"]["tag"], _count(each), each["openedAt"]) for each in found
        ]
        print_list(found, output=output, heads=("request", "about", "version", "approved", "asked at"), rows=rows)
        return
    chosen = _chosen(found, request)
    verdict = "rejected" if reject else "approved"
    client.answer_request(chosen["id"], verdict=verdict, digest=chosen["digest"], comment=comment)
    click.echo(f"{verdict} {_about(chosen)} {chosen['version']['tag']}")


def _chosen(found: Sequence[Seen], text: str) -> Seen:
    """The one request that is meant.

    Fails: `NotFound` or `Conflict` when it is none or several.
    """
    meant = [each for each in found if each["id"].startswith(text) or _about(each) == text]
    if not meant:
        raise NotFound(f"No open request matches {text}.")
    if len(meant) > 1:
        raise Conflict(f"{len(meant)} open requests match {text}; give more of the id.")
    return meant[0]


def _about(request: Seen) -> str:
    return f"{request['deployment']['name']}/{request['environment']['name']}"


def _count(request: Seen) -> str:
    """How many have approved, of how many that are needed."""
    given = [each for each in request.get("approvals") or () if each.get("verdict") == "approved"]
    return f"{len(given)}/{request['minimum']}"
