"""`interlock group`: people who are asked together.

    interlock group list
    interlock group set sre-leads ada bea          exactly these people
    interlock group set platform --claim platform  and whom the identity provider has in that group
    interlock group delete sre-leads

A rule asks for their yes by the group's name: `anyApproval: {minApprovals: 1, approverGroup: sre-leads}`. Whoever
leaves a group, what they approved for it no longer counts.
"""

from __future__ import annotations

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.tables import list_options, output_option, print_list, print_one
from interlock.client import Client


@click.group()
def group() -> None:
    """List groups of people, or say who is in one."""


@group.command("list")
@list_options
@connected
def list_groups(client: Client, *, output: str) -> None:
    """List the groups with their members."""
    found = list(client.list_groups())
    rows = [(each["name"], ", ".join(member["name"] for member in each["members"])) for each in found]
    print_list(found, output=output, heads=("group", "members"), rows=rows, kind="group")


@group.command("set")
@click.argument("name", shell_complete=names_of("group"))
@click.argument("members", nargs=-1)
@click.option("--claim", help="What the identity provider calls the group: who is in it there is in it here.")
@output_option
@connected
def set_members(client: Client, name: str, members: tuple[str, ...], *, claim: str | None, output: str) -> None:
    """Make a group of exactly these users, or change it to that."""
    saved = client.put_group(name, members, claim=claim)
    inside = ", ".join(member["name"] for member in saved["members"]) or "nobody"
    print_one(saved, output=output, text=f"group {saved['name']}: {inside}", kind="group")


@group.command()
@click.argument("name", shell_complete=names_of("group"))
@output_option
@connected
def delete(client: Client, name: str, *, output: str) -> None:
    """End a group. A rule that names it waits until one of this name exists again."""
    answer = client.delete_group(name)
    print_one(answer, output=output, text=f"deleted {name}", kind="group", named=lambda _: name)
