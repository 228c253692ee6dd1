"""`interlock get`: what is there? Aligned tables for people, `-o json` for programs."""

from __future__ import annotations

from typing import Any

import click

from interlock.cli.connection import connected
from interlock.cli.tables import output_option, print_list
from interlock.cli.version import deployment_id
from interlock.client import Client, Seen

limit_option = click.option(
    "-l", "--limit", "items_max", type=click.IntRange(1), default=100, show_default=True, help="At most this many."
)


@click.group()
def get() -> None:
    """List resources, targets, jobs, versions or slots."""


@get.command()
@click.option("-q", "--query", "cel", help='A selector, as in resource.kind == "Host".')
@limit_option
@output_option
@connected
def resources(client: Client, *, cel: str | None, items_max: int, output: str) -> None:
    """List resources."""
    found = list(client.list_resources(cel=cel, items_max=items_max))
    rows = [
        (each["name"], each["kind"], each["version"], each["identifier"], _pairs(each["metadata"])) for each in found
    ]
    print_list(found, output=output, heads=("name", "kind", "version", "identifier", "metadata"), rows=rows)


@get.command()
@click.option("-d", "--deployment", help="Name or id: only its targets.")
@limit_option
@output_option
@connected
def targets(client: Client, *, deployment: str | None, items_max: int, output: str) -> None:
    """List release targets: what runs on each, and what each goes for."""
    only = deployment_id(client, deployment) if deployment else None
    found = list(client.list_targets(deployment_id=only, items_max=items_max))
    rows = [
        (
            _name(each, "deployment"),
            _name(each, "environment"),
            _name(each, "resource"),
            each.get("state"),
            _tag(each.get("current")),
            _tag(each.get("desired")),
            each.get("outcome"),
            each.get("reason") or _frozen(each),
        )
        for each in found
    ]
    heads = ("deployment", "environment", "resource", "state", "runs", "goes for", "outcome", "why")
    print_list(found, output=output, heads=heads, rows=rows)


@get.command()
@limit_option
@output_option
@connected
def jobs(client: Client, *, items_max: int, output: str) -> None:
    """List jobs, newest first."""
    found = list(client.list_jobs(items_max=items_max))
    rows = [
        (
            each["job"]["id"],
            each["job"]["status"],
            _name(each, "deployment"),
            _name(each, "environment"),
            _name(each, "resource"),
            _tag(each.get("release")),
            each["job"].get("createdAt"),
            each["job"].get("message"),
        )
        for each in found
    ]
    heads = ("job", "status", "deployment", "environment", "resource", "version", "created", "message")
    print_list(found, output=output, heads=heads, rows=rows)


@get.command()
@click.argument("deployment")
@limit_option
@output_option
@connected
def versions(client: Client, *, deployment: str, items_max: int, output: str) -> None:
    """List a deployment's versions, newest first."""
    found = list(client.list_versions(deployment_id(client, deployment), items_max=items_max))
    rows = [
        (each["tag"], each["status"], each["createdAt"], each["name"], _pairs(each.get("metadata") or {}))
        for each in found
    ]
    print_list(found, output=output, heads=("tag", "status", "created", "name", "metadata"), rows=rows)


@get.command()
@limit_option
@output_option
@connected
def slots(client: Client, *, items_max: int, output: str) -> None:
    """List slot groups: how many of each may be in flight, who they are, and how many wait."""
    found = list(client.list_slots(items_max=items_max))
    rows = [
        (
            each["group"] or "all",
            each["policy"]["name"],
            f"{each['held']} of {each['limit'] or '?'}",
            each["size"],
            each["waiting"],
            ", ".join(map(_holder, each["holders"])),
        )
        for each in found
    ]
    heads = ("group", "policy", "in flight", "targets", "waiting", "holders")
    print_list(found, output=output, heads=heads, rows=rows)


def _holder(holder: Seen) -> str:
    """Which move holds a slot, as in `api/production/one 1.2.0`."""
    place = f"{holder['deployment']['name']}/{holder['environment']}/{holder['resource']}"
    return f"{place} {holder['version']}" + (f" ({holder['kind']})" if holder["kind"] != "forward" else "")


def _name(item: Seen, key: str) -> str | None:
    """The name of what an item is about."""
    found = item.get(key)
    return str(found.get("name") or found.get("id")) if isinstance(found, dict) else None


def _tag(version: Any) -> str | None:
    """The tag of a version, or of a release's."""
    if not isinstance(version, dict):
        return None
    inner = version.get("version")
    return str((inner if isinstance(inner, dict) else version).get("tag") or "")


def _pairs(metadata: Seen) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(metadata.items()))


def _frozen(target: Seen) -> str | None:
    """What is said of a target that nothing holds, where a freeze would."""
    for freeze in target.get("frozen") or ():
        until = f"until {freeze['until']}" if freeze.get("until") else "until thawed"
        return f"frozen ({freeze['scope']}) by {freeze['by']} {until}: {freeze['reason']}"
    return None
