"""`interlock incident`: what burns outside, and what does it hold?

    interlock incident list
    interlock incident open --deployment checkout --title "checkout answers 500" --for 2h
    interlock incident open --deployment checkout --environment production --title "…" --severity warning --gate
    interlock incident resolve 4c1f --reason "the pool is larger now"

While an incident is open on a deployment, or on one that it depends on, nothing new starts there; rollbacks and
versions of type `fix` go out. Alertmanager and incident tools report by REST: docs/guides/incidents.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.places import expiry, picked
from interlock.cli.tables import id_of, items_max, list_options, output_option, print_list, print_one
from interlock.cli.version import deployment_id
from interlock.client import Client, Seen, Wire

HEADS = ("incident", "severity", "gates", "about", "title", "source", "since", "until")


@click.group()
def incident() -> None:
    """List, open or resolve what burns outside."""


@incident.command("list")
@click.option("--deployment", shell_complete=names_of("deployment"), help="Those that are about this one.")
@click.option("--all", "over", is_flag=True, help="Those that are over as well.")
@list_options
@connected
def list_open(client: Client, *, deployment: str | None, over: bool, output: str) -> None:
    """List the open incidents, newest first."""
    narrow = deployment_id(client, deployment) if deployment else None
    found = list(client.list_incidents(deployment_id=narrow, over=over or None, items_max=items_max(None)))
    print_list(found, output=output, heads=HEADS, rows=map(_row, found), kind="incident", named=id_of)


@incident.command("open")
@click.option("--title", required=True, help="What burns. Every held target shows it.")
@click.option(
    "--deployment",
    "about",
    multiple=True,
    required=True,
    shell_complete=names_of("deployment"),
    help="What it is about; several times.",
)
@click.option(
    "--environment",
    "where",
    multiple=True,
    shell_complete=names_of("environment"),
    help="Only there; several times.  [default: everywhere]",
)
@click.option(
    "--severity",
    type=click.Choice(("critical", "warning", "info")),
    default="critical",
    show_default=True,
    help="How bad.",
)
@click.option("--gate/--no-gate", "gates", default=None, help="Whether it holds.  [default: when it is critical]")
@click.option("--for", "lasts", metavar="2h", help="How long from now: 30m, 2h, 1d.  [default: 12h]")
@click.option("--source", default="cli", show_default=True, help="Who says so.")
@click.option("--id", "external_id", metavar="TEXT", help="Its id there: the same again renews it.")
@click.option("--link", "links", multiple=True, metavar="NAME=URL", help="Where to read more; several times.")
@output_option
@connected
def open_(
    client: Client,
    *,
    title: str,
    about: Sequence[str],
    where: Sequence[str],
    severity: str,
    gates: bool | None,
    lasts: str | None,
    source: str,
    external_id: str | None,
    links: Sequence[str],
    output: str,
) -> None:
    """Say that something burns: nothing new starts on what it is about."""
    body: Wire = {"title": title, "severity": severity, "source": source}
    body["deployments"] = [deployment_id(client, each) for each in about]
    if where:
        body["environments"] = list(where)
    if gates is not None:
        body["gates"] = gates
    if external_id is not None:
        body["externalId"] = external_id
    if links:
        body["links"] = dict(_link(each) for each in links)
    body |= expiry(lasts)
    made = client.report_incident(body)
    text = made["says"]
    if made["outcome"] == "old":
        text = "It began before an occurrence that is resolved already: nothing changed."
    if made["open"]:
        text = f"{text} Resolve it with: interlock incident resolve {made['id'][:8]}"
    print_one(made, output=output, text=text, kind="incident", named=id_of)


@incident.command()
@click.argument("incident_id", metavar="ID", shell_complete=names_of("incident"))
@click.option("--reason", default="", help="Why it holds nobody any longer.")
@output_option
@connected
def resolve(client: Client, incident_id: str, *, reason: str, output: str) -> None:
    """Say that one is over; the beginning of an id is enough.

    Its source may go on repeating it: only one that begins after this holds again.
    """
    meant = picked(client.list_incidents(), incident_id, what="incident")
    over = client.resolve_incident(meant["id"], reason=reason)
    text = f"Resolved {meant['id'][:8]} ({meant['title']})."
    print_one(over, output=output, text=text, kind="incident", named=id_of)


def _link(text: str) -> tuple[str, str]:
    name, equals, url = text.partition("=")
    if not equals or not url.startswith(("https://", "http://")):
        raise click.UsageError(f"A link is NAME=URL, as in runbook=https://…; not {text!r}.")
    return name, url


def _row(each: Seen) -> tuple[object, ...]:
    return (
        *(each["id"][:8], each["severity"], "yes" if each["gates"] and each["deployments"] else "no"),
        *(", ".join(one["name"] for one in each["deployments"]), each["title"], each["source"]),
        *(each["startedAt"], each.get("resolvedAt") or each["expiresAt"]),
    )
