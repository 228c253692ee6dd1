"""`interlock role`: which roles there are, what each carries, and who holds it over what.

interlock role list
interlock role permissions
interlock role set releaser version:write freeze --description "What CI may do"
interlock role grant operator --group sre --over system:checkout
interlock role bindings --user otto
interlock role revoke 4c1f0a
interlock role delete releaser
"""

from __future__ import annotations

from typing import Any, cast

import click

from interlock.cli.connection import connected
from interlock.cli.places import picked
from interlock.cli.scopes import bound, over
from interlock.cli.tables import list_options, output_option, print_list, print_one
from interlock.client import Client
from interlock.model.errors import NotFound


@click.group()
def role() -> None:
    """List, make, grant or revoke roles."""


@role.command("list")
@list_options
@connected
def list_roles(client: Client, *, output: str) -> None:
    """List the built-in roles, then the workspace's own."""
    found = list(client.list_roles())
    rows = [(each["name"], ", ".join(each["permissions"]), each["bindings"], each["description"]) for each in found]
    print_list(found, output=output, heads=("role", "permissions", "held", "for"), rows=rows, kind="role")


@role.command()
@list_options
@connected
def permissions(client: Client, *, output: str) -> None:
    """List the permissions that a role may carry."""
    found = list(client.list_permissions())
    rows = [(each["name"], each["description"]) for each in found]
    print_list(found, output=output, heads=("permission", "what it lets one do"), rows=rows, kind="permission")


@role.command("set")
@click.argument("name")
@click.argument("words", nargs=-1, required=True, metavar="PERMISSION...")
@click.option("--description", default="", help="Who it is for.")
@output_option
@connected
def set_role(client: Client, name: str, words: tuple[str, ...], *, description: str, output: str) -> None:
    """Make a role of exactly these permissions, or change it to that."""
    saved = client.put_role(name, words, description=description)
    print_one(saved, output=output, text=f"role {saved['name']}: {', '.join(saved['permissions'])}", kind="role")


@role.command()
@click.argument("name")
@output_option
@connected
def delete(client: Client, name: str, *, output: str) -> None:
    """End a role that nobody holds."""
    answer = client.delete_role(name)
    print_one(answer, output=output, text=f"deleted {name}", kind="role", named=lambda _: name)


@role.command()
@click.option("--user", help="Only of this user, by name or id.")
@click.option("--group", help="Only of this group.")
@click.option("--role", "name", help="Only of this role.")
@list_options
@connected
def bindings(client: Client, *, user: str | None, group: str | None, name: str | None, output: str) -> None:
    """List who holds which role over what."""
    found = list(client.list_role_bindings(user=user, group=group, role=name))
    rows = [(each["id"][:8], _who(each), each["role"], over(cast("Any", each))) for each in found]
    print_list(found, output=output, heads=("id", "who", "role", "over"), rows=rows, kind="role-binding")


@role.command()
@click.argument("name", metavar="ROLE")
@click.option("--user", help="Whom: a member.")
@click.option("--group", help="Whom: everybody in this group.")
@click.option("--key", help="Narrow this key, by the beginning of its prefix or its id.")
@click.option("--over", "text", default="workspace", show_default=True, metavar="KIND:NAME", help="What it is over.")
@output_option
@connected
def grant(
    client: Client, name: str, *, user: str | None, group: str | None, key: str | None, text: str, output: str
) -> None:
    """Give a role to a user, a group or a key. A key's role narrows it."""
    if sum(each is not None for each in (user, group, key)) != 1:
        raise click.UsageError("Give one of --user, --group and --key.")
    body = bound(client, f"{name}@{text}")
    if key is not None:
        found = [each for each in client.list_keys() if each["prefix"].startswith(key) or each["id"] == key]
        if len(found) != 1:
            raise NotFound(f"{len(found) or 'No'} keys begin with {key}.")
        key = found[0]["id"]
    body |= {kind: each for kind, each in (("user", user), ("group", group), ("key", key)) if each is not None}
    made = client.create_role_binding(body)
    said = f"{_who(made)} has the role {made['role']} over {over(cast('Any', made))}"
    print_one(made, output=output, text=said, kind="role-binding", named=lambda made: made["id"])


@role.command()
@click.argument("binding_id", metavar="BINDING")
@output_option
@connected
def revoke(client: Client, binding_id: str, *, output: str) -> None:
    """Take a role back, by the beginning of its binding's id."""
    known = cast("Any", picked(client.list_role_bindings(), binding_id, what="role binding"))
    answer = client.delete_role_binding(known["id"])
    said = f"{_who(known)} no longer has the role {known['role']} over {over(known)}"
    print_one(answer, output=output, text=said, kind="role-binding", named=lambda _: known["id"])


def _who(binding: Any) -> str:
    for kind in ("user", "group", "key"):
        if kind in binding:
            who = binding[kind]
            return who["name"] if kind == "user" else f"{kind} {who.get('name', who.get('prefix'))}"
    return "-"
