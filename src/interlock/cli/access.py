"""`interlock access`: who may do what, and why.

    interlock access                                             what this key may do here
    interlock access explain steer --user otto --deployment shop-api
    interlock access can-i freeze --environment production       exit code 0: yes, 3: no

The answer comes from the function that decides every call, so it cannot differ from what is done.
"""

from __future__ import annotations

import click

from interlock.cli.connection import connected
from interlock.cli.exit_codes import HELD
from interlock.cli.tables import output_option, print_list, print_one
from interlock.client import Client


@click.group(invoke_without_command=True)
@click.pass_context
def access(ctx: click.Context) -> None:
    """Say who may do what, and why."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(show)


@access.command()
@output_option
@connected
def show(client: Client, *, output: str = "table") -> None:
    """Show what this key may do here."""
    found = client.get_access()
    items = found["permissions"]
    where = {"workspace": "everything", "some": "some of it: see `interlock role bindings`"}
    rows = [(each["name"], where[each["over"]], each["description"]) for each in items]
    print_list(items, output=output, heads=("permission", "over", "what it lets one do"), rows=rows, kind="permission")


@access.command()
@click.argument("permission")
@click.option("--user", help="A member; without it, this key.")
@click.option("--system", help="Where: a system.")
@click.option("--deployment", help="Where: a deployment.")
@click.option("--environment", help="Where: an environment.")
@output_option
@connected
def explain(
    client: Client,
    permission: str,
    *,
    user: str | None,
    system: str | None,
    deployment: str | None,
    environment: str | None,
    output: str,
) -> None:
    """Say whether somebody may do something somewhere, and why or why not."""
    found = client.explain_access(permission, user=user, system=system, deployment=deployment, environment=environment)
    word = "yes" if found["allowed"] else "no"
    print_one(found, output=output, text=f"{word}: {found['sentence']}", kind="access", named=lambda _: word)


@access.command("can-i")
@click.argument("permission")
@click.option("--system", help="Where: a system.")
@click.option("--deployment", help="Where: a deployment.")
@click.option("--environment", help="Where: an environment.")
@output_option
@connected
def can_i(
    client: Client, permission: str, *, system: str | None, deployment: str | None, environment: str | None, output: str
) -> None:
    """Ask whether this key may: exit code 0 for yes, 3 for no."""
    found = client.explain_access(permission, system=system, deployment=deployment, environment=environment)
    word = "yes" if found["allowed"] else "no"
    text = word if found["allowed"] else f"no: {found['sentence']}"
    print_one(found, output=output, text=text, kind="access", named=lambda _: word)
    if not found["allowed"]:
        raise SystemExit(HELD)
