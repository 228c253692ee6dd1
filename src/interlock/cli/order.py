"""`interlock order`: see which redeploys, forces and rollbacks were asked for, and take one back.

    interlock order list
    interlock order withdraw 4c1f… --reason "not needed any more"

An order is asked for with `interlock redeploy`, `force` and `rollback`, whose common parts stand here. It is stored at
once; a worker answers it when its target is free. Until its job is handed over it can be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from interlock.cli.completion import names_of, places
from interlock.cli.connection import connected
from interlock.cli.places import find_place, parse_duration
from interlock.cli.tables import id_of, list_options, output_option, print_data, print_list, print_one
from interlock.client import Client, Seen, Wire
from interlock.model.errors import Conflict, NotFound

SHOWN_MAX = 10
"""Refused targets that are named; the others are counted."""


@click.group()
def order() -> None:
    """List what was asked for, or take it back."""


@order.command("list")
@click.option("--all", "ended_too", is_flag=True, help="Those that ended as well.")
@list_options
@connected
def list_orders(client: Client, *, ended_too: bool, output: str) -> None:
    """List the open orders, newest first."""
    found = list(client.list_orders(state=None if ended_too else "open"))
    rows = [
        (
            each["id"][:8],
            each["kind"],
            _about(each),
            each["version"]["tag"],
            each["state"],
            each["createdBy"],
            each.get("expiresAt"),
            each.get("reason"),
        )
        for each in found
    ]
    heads = ("order", "kind", "about", "version", "state", "by", "until", "reason")
    print_list(found, output=output, heads=heads, rows=rows, kind="order", named=id_of)


@order.command()
@click.argument("order_id", metavar="ID", shell_complete=names_of("order"))
@click.option("--reason", required=True, help="Why.")
@output_option
@connected
def withdraw(client: Client, order_id: str, *, reason: str, output: str) -> None:
    """Take an open order back; the beginning of its id is enough."""
    meant = [each for each in client.list_orders() if each["id"].startswith(order_id)]
    if not meant:
        raise NotFound(f"No open order matches {order_id}.")
    if len(meant) > 1:
        raise Conflict(f"{len(meant)} orders match {order_id}; give more of the id.")
    ended = client.withdraw_order(meant[0]["id"], reason=reason)
    text = f"withdrew the {meant[0]['kind']} of {_about(meant[0])}"
    print_one(ended, output=output, text=text, kind="order", named=id_of)


# What redeploy, force and rollback share ------------------------------------------------------------------------------


def order_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where, why and for how long."""
    for option in (
        output_option,
        click.option("--for", "lasts", metavar="2h", help="Until when it may start: 30m, 2h, 1d.  [default: 1d]"),
        click.option("--reason", required=True, help="Why. Everybody who looks at it reads it."),
        click.option("--resource", help="Only this resource, by identifier."),
        click.option("--environment", shell_complete=names_of("environment"), help="Only this environment."),
        click.argument("deployment", metavar="DEPLOYMENT[/ENVIRONMENT[/RESOURCE]]", shell_complete=places),
    ):
        command = option(command)
    return command


def place(client: Client, *, kind: str, deployment: str, lasts: str | None, output: str, **asked: str | None) -> None:
    """Ask, and say what became of it. The place may be one text, as for a pin."""
    if "/" in deployment:
        deployment, asked["environment"], asked["resource"] = _split(client, deployment, asked)
    body: Wire = {"kind": kind, "deployment": deployment}
    body |= {key: value for key, value in asked.items() if value is not None}
    if lasts is not None:
        body["expiresAt"] = (datetime.now(UTC) + parse_duration(lasts)).isoformat()
    tell_placed(client.place_orders(body), output=output)


def _split(client: Client, text: str, asked: Mapping[str, str | None]) -> tuple[str, str, str | None]:
    """DEPLOYMENT/ENVIRONMENT[/RESOURCE] in its parts, the resource by its identifier.

    Fails: `UsageError` when the options say it too; `NotFound`.
    """
    if asked.get("environment") or asked.get("resource"):
        raise click.UsageError(f"{text} says where already; give no --environment or --resource beside it.")
    where = find_place(client, text)
    deployment, environment, *_ = text.split("/", 2)
    if where.resource_id is None:
        return deployment, environment, None
    targets = client.list_targets(deployment_id=where.deployment_id)
    return (
        deployment,
        environment,
        next(str(each["resource"]["identifier"]) for each in targets if each["resource"]["id"] == where.resource_id),
    )


def tell_placed(answer: Seen, *, output: str = "table") -> None:
    """One line an order, then why the other targets refused."""
    if output in {"json", "yaml"}:
        print_data(answer, output=output)
        return
    for each in answer["orders"]:
        text = f"{each['kind']} of {_about(each)} to {each['version']['tag']}: order {each['id'][:8]}"
        print_one(each, output=output, text=text, kind="order", named=id_of)
    for each in answer["refused"][:SHOWN_MAX]:
        click.echo(each["message"], err=True)
    more = len(answer["refused"]) - SHOWN_MAX
    if more > 0:
        click.echo(f"… and {more} more targets.", err=True)


def _about(each: Seen) -> str:
    return f"{each['deployment']['name']}/{each['environment']['name']}/{each['resource']['name']}"
