"""`interlock group`: people who are asked together.

    interlock group list
    interlock group set sre-leads ada bea          exactly these people
    interlock group delete sre-leads

A rule asks for their yes by the group's name: `anyApproval: {minApprovals: 1, approverGroup: sre-leads}`. Whoever
leaves a group, what they approved for it no longer counts.
"""

from __future__ import annotations

import click

from interlock.cli.connection import connected
from interlock.cli.tables import output_option, print_list
from interlock.client import Client


@click.group()
def group() -> None:
    """List groups of people, or say who is in one."""


@group.command("list")
@output_option
@connected
def list_groups(client: Client, *, output: str) -> None:
    """List the groups with their members."""
    found = list(client.list_groups())
    rows = [(each["name"], ", ".join(member["name"] for member in each["members"])) for each in found]
    print_list(found, output=output, heads=("group", "members"), rows=rows)


@group.command("set")
@click.argument("name")
@click.argument("members", nargs=-1)
@connected
def set_members(client: Client, name: str, members: tuple[str, ...]) -> None:
    """Make a group of exactly these users, or change it to that."""
    saved = client.put_group(name, members)
    inside = ", ".join(member["name"] for member in saved["members"]) or "nobody"
    click.echo(f"group {saved['name']}: {inside}")


@group.command()
@click.argument("name")
@connected
def delete(client: Client, name: str) -> None:
    """End a group. A rule that names it waits until one of this name exists again."""
    client.delete_group(name)
    click.echo(f"deleted {name}")
