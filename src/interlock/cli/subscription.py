"""`interlock subscription`: who is told what happens, and what became of it.

    interlock subscription create ci --webhook https://ci.example.org/hook --kind 'rollout.*'
    interlock subscription create chat --slack https://hooks.slack.com/services/… --kind rollout.halted
    interlock subscription create leads --to group:sre-leads --kind approval.requested --remind 24h
    interlock subscription list
    interlock subscription show ci                 its secret too, for one who may write it
    interlock subscription deliveries ci           what was sent, what the receiver answered, when it is tried next
    interlock subscription test ci
    interlock subscription redeliver ci 4c1f…
    interlock subscription address ada ada@example.org

A subscription is named by its name or the beginning of its id.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.places import parse_duration, picked
from interlock.cli.tables import id_of, items_max, list_options, output_option, print_list, print_one, table
from interlock.client import Client, Wire
from interlock.model.errors import Conflict, Rejected

DELIVERIES_SHOWN = 20
TEST_WAIT_S = 30.0
LOOK_EVERY_S = 0.2
KINDS_SHOWN = 3


@click.group()
def subscription() -> None:
    """Tell others what happens: webhooks, chats, letters."""


@subscription.command("list")
@list_options
@connected
def list_subscriptions(client: Client, *, output: str) -> None:
    """List the subscriptions and how they fare."""
    found = list(client.list_subscriptions())
    rows = [
        (
            each["name"],
            each["channel"],
            _standing(each),
            each.get("url") or ", ".join(each.get("to", ())),
            _kinds(each["kinds"]),
            each["pending"],
            each["parked"],
            each.get("nextTryAt"),
        )
        for each in found
    ]
    heads = ("name", "channel", "state", "to", "kinds", "waiting", "parked", "next try")
    print_list(found, output=output, heads=heads, rows=rows, kind="subscription")


@subscription.command()
@click.argument("name", shell_complete=names_of("subscription"))
@output_option
@connected
def show(client: Client, name: str, *, output: str) -> None:
    """Show one with all its fields; its secrets for one who may write it."""
    found = client.get_subscription(_id(client, name))
    text = table(("field", "value"), [(field, _text(value)) for field, value in found.items()])
    print_one(found, output=output, text=text, kind="subscription")


@subscription.command()
@click.argument("name")
@click.option("--webhook", metavar="URL", help="POST a signed webhook there.")
@click.option("--slack", metavar="URL", help="Write to a chat: its incoming webhook.")
@click.option("--to", multiple=True, metavar="WHOM", help="Send letters: an address, group:NAME or approvers.")
@click.option(
    "--kind", "kinds", multiple=True, help="rollout.halted, 'rollout.*' or '*'.  [default: what needs people]"
)
@click.option("--filter", "selector", default="", metavar="CEL", help="Only events that match, over `event`.")
@click.option("--system", help="Only what happens in this system.")
@click.option("--environment", help="Only what happens in this environment.")
@click.option("--deployment", help="Only what happens to this deployment.")
@click.option("--group", help="Of requests for approval only those that ask this group.")
@click.option("--remind", metavar="24h", help="Tell an open request for approval once more after so long.")
@click.option("--template", "templates", multiple=True, metavar="KIND=FILE", help="A text of your own for a kind.")
@output_option
@connected
def create(
    client: Client,
    name: str,
    *,
    webhook: str | None,
    slack: str | None,
    to: tuple[str, ...],
    kinds: tuple[str, ...],
    selector: str,
    system: str | None,
    environment: str | None,
    deployment: str | None,
    group: str | None,
    remind: str | None,
    templates: tuple[str, ...],
    output: str,
) -> None:
    """Tell somebody what happens from now on."""
    if sum(map(bool, (webhook, slack, to))) != 1:
        raise click.UsageError("Give one of --webhook, --slack and --to.")
    if sum(each is not None for each in (system, environment, deployment)) > 1:
        raise click.UsageError("Give one of --system, --environment and --deployment.")
    body: Wire = {"name": name, "filter": selector, **({"kinds": list(kinds)} if kinds else {})}
    body |= {"channel": "email", "to": list(to)} if to else {}
    body |= {"channel": "webhook", "url": webhook} if webhook else {}
    body |= {"channel": "slack", "url": slack} if slack else {}
    if group is not None:
        body["group"] = group
    if remind is not None:
        body["remindAfterHours"] = parse_duration(remind, option="--remind").total_seconds() / 3600
    if templates:
        body["templates"] = dict(_template(each) for each in templates)
    scope = _scope(client, system=system, environment=environment, deployment=deployment)
    if scope is not None:
        body["scope"] = scope
    made = client.create_subscription(body)
    text = [f"subscription {made['name']} tells {', '.join(made['kinds'])}"]
    text += [f"secret {made['secret']}"] if "secret" in made else []
    print_one(made, output=output, text=text, kind="subscription")


@subscription.command()
@click.argument("name", shell_complete=names_of("subscription"))
@output_option
@connected
def delete(client: Client, name: str, *, output: str) -> None:
    """End one. What it has not told yet is not told."""
    answer = client.delete_subscription(_id(client, name))
    print_one(answer, output=output, text=f"deleted {name}", kind="subscription", named=lambda _: name)


@subscription.command()
@click.argument("name", shell_complete=names_of("subscription"))
@click.option("--reason", default="", help="Why.")
@output_option
@connected
def pause(client: Client, name: str, *, reason: str, output: str) -> None:
    """Tell nothing until it is resumed. Nothing is lost meanwhile."""
    paused = client.pause_subscription(_id(client, name), reason=reason)
    print_one(paused, output=output, text=f"paused {name}", kind="subscription")


@subscription.command()
@click.argument("name", shell_complete=names_of("subscription"))
@click.option("--from-now", is_flag=True, help="Leave out what happened meanwhile.")
@output_option
@connected
def resume(client: Client, name: str, *, from_now: bool, output: str) -> None:
    """Tell again, and try now what waits."""
    resumed = client.resume_subscription(_id(client, name), from_now=from_now)
    text = f"{name} is {resumed['state']}, {resumed['pending']} waiting"
    print_one(resumed, output=output, text=text, kind="subscription")


@subscription.command()
@click.argument("name", shell_complete=names_of("subscription"))
@click.option("--overlap-hours", type=float, default=24.0, show_default=True, help="How long the old one signs too.")
@output_option
@connected
def rotate(client: Client, name: str, *, overlap_hours: float, output: str) -> None:
    """Sign with a new secret; for a while the one before signs too."""
    rotated = client.rotate_subscription_secret(_id(client, name), overlap_hours=overlap_hours)
    text = (f"secret {rotated['secret']}", f"the one before signs until {rotated['oldSecretUntil']}")
    print_one(rotated, output=output, text=text, kind="subscription")


@subscription.command()
@click.argument("name", shell_complete=names_of("subscription"))
@output_option
@connected
def test(client: Client, name: str, *, output: str) -> None:
    """Send a test and say what the receiver answered."""
    subscription_id = _id(client, name)
    sent = client.test_subscription(subscription_id)
    deadline_s = time.monotonic() + TEST_WAIT_S
    while sent["state"] == "pending" and time.monotonic() < deadline_s:
        time.sleep(LOOK_EVERY_S)
        sent = client.get_delivery(subscription_id, sent["id"])
    said = sent.get("lastError") or (f"the receiver answered {sent['lastStatus']}" if "lastStatus" in sent else "")
    if sent["state"] != "delivered":
        raise Rejected(f"The test was not delivered: {said or 'no worker has sent it yet.'}")
    text = f"delivered in {sent.get('lastMs', 0)} ms: {said}"
    print_one(sent, output=output, text=text, kind="delivery", named=id_of)


@subscription.command()
@click.argument("name", shell_complete=names_of("subscription"))
@click.option("--state", type=click.Choice(["pending", "delivered", "parked", "skipped"]), help="Only these.")
@list_options
@connected
def deliveries(client: Client, name: str, *, state: str | None, output: str) -> None:
    """List what was sent, newest first."""
    found = list(client.list_deliveries(_id(client, name), state=state, items_max=items_max(DELIVERIES_SHOWN)))
    rows = [
        (
            each["id"][:8],
            each["createdAt"],
            each["kind"] if each["purpose"] == "event" else f"{each['kind']} ({each['purpose']})",
            each["state"],
            each["attempts"],
            each.get("lastStatus"),
            each.get("nextTryAt"),
            each.get("lastError"),
        )
        for each in found
    ]
    heads = ("delivery", "since", "kind", "state", "tries", "answer", "next try", "error")
    print_list(found, output=output, heads=heads, rows=rows, kind="delivery", named=id_of)


@subscription.command()
@click.argument("name", shell_complete=names_of("subscription"))
@click.argument("delivery", required=False)
@click.option("--parked", is_flag=True, help="All that were given up.")
@output_option
@connected
def redeliver(client: Client, name: str, delivery: str | None, *, parked: bool, output: str) -> None:
    """Send a delivery again, under its id, or all that were given up."""
    if (delivery is None) == (not parked):
        raise click.UsageError("Give a delivery, or --parked.")
    subscription_id = _id(client, name)
    found = list(client.list_deliveries(subscription_id, state="parked" if parked else None))
    wanted = found if delivery is None else [picked(found, delivery, what="delivery")]
    for each in reversed(wanted):
        client.redeliver(subscription_id, each["id"])
    if output == "table":
        click.echo(f"{len(wanted)} to be sent again")
    else:
        print_list(wanted, output=output, heads=(), rows=[()] * len(wanted), kind="delivery", named=id_of)


@subscription.command()
@click.argument("name", shell_complete=names_of("subscription"))
@click.argument("delivery")
@output_option
@connected
def park(client: Client, name: str, delivery: str, *, output: str) -> None:
    """Give a delivery up, so that what comes after it may go."""
    subscription_id = _id(client, name)
    meant = picked(client.list_deliveries(subscription_id, state="pending"), delivery, what="waiting delivery")
    parked = client.park_delivery(subscription_id, meant["id"])
    print_one(parked, output=output, text=f"parked {meant['id'][:8]}", kind="delivery", named=id_of)


@subscription.command()
@click.argument("user", shell_complete=names_of("member"))
@click.argument("email", required=False)
@output_option
@connected
def address(client: Client, user: str, email: str | None, *, output: str) -> None:
    """Say where letters to a member go; without an address, forget it."""
    meant = picked(client.list_members(), user, what="member", about=_name)
    answer = client.put_address(meant["id"], email=email)
    text = f"{meant['name']} is written to at {email}" if email else f"forgot the address of {meant['name']}"
    print_one(answer, output=output, text=text, kind="member", named=lambda _: meant["name"])


def _id(client: Client, name: str) -> str:
    found = list(client.list_subscriptions())
    named = [each for each in found if each["name"] == name]
    return str((named[0] if named else picked(found, name, what="subscription"))["id"])


def _scope(
    client: Client, *, system: str | None, environment: str | None, deployment: str | None
) -> dict[str, str] | None:
    for kind, name, listed in (
        ("system", system, client.list_systems),
        ("environment", environment, client.list_environments),
    ):
        if name is not None:
            meant = picked(listed(), name, what=kind, about=_name)
            return {"kind": kind, "id": str(meant["id"])}
    if deployment is None:
        return None
    found = (each["deployment"] for each in client.list_deployments())
    return {"kind": "deployment", "id": str(picked(found, deployment, what="deployment", about=_name)["id"])}


def _name(each: Mapping[str, Any]) -> str:
    return str(each["name"])


def _template(text: str) -> tuple[str, str]:
    kind, equals, file = text.partition("=")
    if not equals:
        raise click.UsageError("A template is KIND=FILE, as in rollout.halted=halted.txt.")
    try:
        return kind, Path(file).read_text()
    except (OSError, UnicodeDecodeError) as cause:
        raise Conflict(f"{file} cannot be read: {cause}") from cause


def _kinds(kinds: Sequence[str]) -> str:
    more = f" and {len(kinds) - KINDS_SHOWN} more" if len(kinds) > KINDS_SHOWN else ""
    return ", ".join(kinds[:KINDS_SHOWN]) + more


def _standing(each: Mapping[str, Any]) -> str:
    return "failing" if each["state"] == "active" and "failingSince" in each else str(each["state"])


def _text(value: object) -> str:
    match value:
        case list():
            return ", ".join(map(str, value))
        case dict():
            return " ".join(f"{key}={inner}" for key, inner in value.items())
        case _:
            return str(value)
