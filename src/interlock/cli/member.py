"""`interlock member`: who is in the workspace, with which roles.

    interlock member list
    interlock member add ida@example.org --role developer
    interlock member add otto --role operator --over deployment:shop-api
    interlock member add otto --role viewer --only            this role, and no other any more
    interlock member remove otto

Who does not exist yet is invited: whoever signs in with that address for the first time has the role. The last admin
stays.
"""

from __future__ import annotations

from typing import Any, cast

import click

from interlock.cli.connection import connected
from interlock.cli.scopes import over as over_of
from interlock.cli.scopes import scope
from interlock.cli.tables import list_options, output_option, print_list, print_one
from interlock.client import Client
from interlock.model.errors import NotFound


@click.group()
def member() -> None:
    """List, invite or remove people, and give them roles."""


@member.command("list")
@list_options
@connected
def list_members(client: Client, *, output: str) -> None:
    """List members with their roles and groups."""
    found = list(client.list_members())
    rows = [
        (each["name"], _roles(each), ", ".join(cast("Any", each).get("groups", ())), each["addedAt"]) for each in found
    ]
    print_list(found, output=output, heads=("member", "roles", "groups", "since"), rows=rows, kind="member")


@member.command()
@click.argument("user")
@click.option("--role", required=True, help="One of `interlock role list`.")
@click.option("--over", default="workspace", show_default=True, metavar="KIND:NAME", help="What the role is over.")
@click.option("--only", is_flag=True, help="Take every other role away.")
@output_option
@connected
def add(client: Client, user: str, *, role: str, over: str, only: bool, output: str) -> None:
    """Give somebody a role; invite who does not exist yet."""
    made = client.add_member({"user": user, "role": role, "scope": scope(client, over), "replace": only})
    print_one(made, output=output, text=f"{made['name']}: {_roles(made)}", kind="member")


@member.command()
@click.argument("user")
@output_option
@connected
def remove(client: Client, user: str, *, output: str) -> None:
    """Remove somebody, with every role and group here."""
    for each in client.list_members():
        if user in {each["name"], each["id"]}:
            answer = client.remove_member(each["id"])
            print_one(answer, output=output, text=f"removed {each['name']}", kind="member", named=lambda _: user)
            return
    raise NotFound(f"There is no member {user}.")


def _roles(each: Any) -> str:
    said = [
        binding["role"] + ("" if over_of(binding) == "workspace" else f"@{over_of(binding)}")
        for binding in each["bindings"]
    ]
    return ", ".join(said) or "by groups alone"
