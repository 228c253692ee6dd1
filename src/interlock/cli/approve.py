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

from interlock.cli.completion import open_requests
from interlock.cli.connection import connected
from interlock.cli.tables import id_of, list_options, print_list, print_one
from interlock.client import Client, Seen
from interlock.model.errors import Conflict, NotFound


@click.command()
@click.argument("request", required=False, metavar="[ID | DEPLOYMENT/ENVIRONMENT]", shell_complete=open_requests)
@click.option("--reject", is_flag=True, help="Say no, as `interlock reject` does.")
@click.option("--comment", help="Why. Everybody who sees the approval sees it.")
@list_options
@connected
def approve(client: Client, request: str | None, *, reject: bool, comment: str | None, output: str) -> None:
    r"""Answer a request for approval, or list them.

    Without an argument it lists the open requests. An answer counts for exactly what the request shows now.

    \b
    interlock approve shop-api/production
    interlock approve shop-api/production --reject --comment "error rate in staging"
    """
    if request is None:
        found = list(client.list_approval_requests())
        rows = [
            (each["id"][:8], _about(each), each["version"]["tag"], _count(each), each["openedAt"]) for each in found
        ]
        print_list(
            found,
            output=output,
            heads=("request", "about", "version", "approved", "asked at"),
            rows=rows,
            kind="request",
            named=id_of,
        )
        return
    answer_one(client, request, verdict="rejected" if reject else "approved", comment=comment, output=output)


def answer_one(client: Client, request: str, *, verdict: str, comment: str | None, output: str) -> None:
    """Answer one request: exactly what it shows now."""
    chosen = _chosen(list(client.list_approval_requests()), request)
    answered = client.answer_request(chosen["id"], verdict=verdict, digest=chosen["digest"], comment=comment)
    text = f"{verdict} {_about(chosen)} {chosen['version']['tag']}"
    if verdict == "approved":
        text += f"; {_standing(answered)}"
    print_one(answered, output=output, text=text, kind="request", named=id_of)


def _chosen(found: Sequence[Seen], text: str) -> Seen:
    """The one request that is meant.

    Fails: `NotFound` or `Conflict` when it is none or several.
    """
    meant = [each for each in found if each["id"].startswith(text) or _about(each) == text]
    if not meant:
        why = f" `interlock explain {text}` says what it waits for." if "/" in text else ""
        raise NotFound(f"No open request matches {text}: nobody is asked about it now.{why}")
    if len(meant) > 1:
        raise Conflict(f"{len(meant)} open requests match {text}; give more of the id.")
    return meant[0]


def _about(request: Seen) -> str:
    return f"{request['deployment']['name']}/{request['environment']['name']}"


def _count(request: Seen) -> str:
    """How many have approved, of how many that are needed."""
    yeses = [each for each in request.get("approvals") or () if each.get("verdict") == "approved"]
    return f"{sum('notCounted' not in each for each in yeses)}/{request['minimum']}"


def _standing(answered: Seen) -> str:
    """How many yeses count after ours, and why ours does not, if so."""
    words = sorted(answered.get("approvals") or (), key=lambda each: each.get("givenAt", ""))
    of_group = f" of the group {answered['group']}" if "group" in answered else ""
    count = f"it has {_count(answered)} approvals{of_group}"
    if words and "notCounted" in words[-1]:
        return f"it does not count, because {words[-1].get('says')}: {count}"
    return count
