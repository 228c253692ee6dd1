"""`interlock keys`: keys for people and machines. A key is shown once, when it is made.

    interlock keys create --user ada --workspace shop --role approver
    interlock keys create --user ci --role developer --scope read --scope version:write --expires 2027-01-01T00:00:00Z
    interlock keys create --user ci --role developer --over developer@deployment:shop-api
    interlock keys list
    interlock keys rotate 4c1f0a --overlap 24h
    interlock keys revoke 4c1f0a

With a server (--url, INTERLOCK_URL or the file) it asks the server, so the caller's own key must be an admin's. With
--data or --database-url it writes to the database of an installation on this machine: the way in when every key is
lost.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli.attached import given
from interlock.cli.completion import names_of
from interlock.cli.connection import connect, connected
from interlock.cli.places import parse_duration
from interlock.cli.scopes import bound
from interlock.cli.tables import list_options, output_option, print_list, print_one
from interlock.client import Client
from interlock.model.errors import NotFound

if TYPE_CHECKING:
    from interlock.client.shapes import Key


@click.group()
def keys() -> None:
    """Make API keys for people and machines."""


@keys.command()
@click.option("--user", required=True, help="Whose key; created when new.")
@click.option("-w", "--workspace", envvar="INTERLOCK_WORKSPACE", help="Slug or id.")
@click.option(
    "--role", shell_complete=names_of("role"), help="What the user may do there; not needed for one who has a role."
)
@click.option("--over", multiple=True, metavar="ROLE[@KIND:NAME]", help="Narrow the key to this; may repeat.")
@click.option("--name", default="", help="What the key is for.")
@click.option("--scope", "scopes", multiple=True, help="What alone the key may be used for; may repeat.")
@click.option("--expires", metavar="RFC3339", help="When it ends.  [default: never]")
@click.option("--url", envvar="INTERLOCK_URL", help="The server.")
@click.option("--api-key", envvar="INTERLOCK_API_KEY", help="An admin's key.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="The data directory, without a server.")
@click.option("--database-url", help="The database, without a server.")
@output_option
def create(
    *,
    user: str,
    workspace: str | None,
    role: str | None,
    over: tuple[str, ...],
    name: str,
    scopes: tuple[str, ...],
    expires: str | None,
    url: str | None,
    api_key: str | None,
    data: Path | None,
    database_url: str | None,
    output: str,
) -> None:
    """Make a key. It is printed alone on stdout, for `$(…)`."""
    if data is not None or database_url is not None:
        if scopes or expires or over or role is None:
            raise click.UsageError("Without a server: --role, and neither --scope, --over nor --expires.")
        import asyncio

        from interlock.app import create_key, load_settings

        if workspace is None:
            raise click.UsageError("Give --workspace.")
        settings = load_settings(**given(data=data, database_url=database_url))
        click.echo(asyncio.run(create_key(settings, user=user, workspace=workspace, role=role, name=name)))
        return
    with connect(url=url, api_key=api_key, workspace=workspace) as client:
        bindings = [bound(client, each) for each in over]
        made = client.create_key(user=user, role=role, name=name, scopes=scopes, bindings=bindings, expires_at=expires)
        print_one(made, output=output, text=made["key"], kind="key", named=lambda made: made["prefix"])


@keys.command("list")
@list_options
@connected
def list_keys(client: Client, *, output: str) -> None:
    """List keys: whose, what for, until when, last used. Never their text."""
    found = list(client.list_keys())
    rows = [
        (
            each["prefix"][:6],
            each["user"]["name"],
            each["name"],
            ", ".join(each.get("scopes", ())) or "everything",
            f"revoked {each['revokedAt']}" if "revokedAt" in each else each.get("expiresAt", "never"),
            each.get("lastUsedAt", "never"),
        )
        for each in found
    ]
    print_list(
        found,
        output=output,
        heads=("key", "user", "name", "scopes", "ends", "last used"),
        rows=rows,
        kind="key",
        named=lambda each: each["prefix"],
    )


@keys.command()
@click.argument("prefix", shell_complete=names_of("key"))
@output_option
@connected
def revoke(client: Client, prefix: str, *, output: str) -> None:
    """End a key, by the beginning of its prefix or its id."""
    key = _picked(client, prefix)
    answer = client.revoke_key(key["id"])
    text = f"revoked {key['prefix']} of {key['user']['name']}"
    print_one(answer, output=output, text=text, kind="key", named=lambda _: key["prefix"])


@keys.command()
@click.argument("prefix", shell_complete=names_of("key"))
@click.option("--overlap", default="24h", show_default=True, metavar="24h", help="How long the old key goes on.")
@output_option
@connected
def rotate(client: Client, prefix: str, *, overlap: str, output: str) -> None:
    """Make the key that takes another's place. It is printed alone on stdout."""
    key = _picked(client, prefix)
    made = client.rotate_key(key["id"], overlap_s=int(parse_duration(overlap, option="--overlap").total_seconds()))
    click.echo(f"{key['prefix']} goes on for {overlap}.", err=True)
    print_one(made, output=output, text=made["key"], kind="key", named=lambda made: made["prefix"])


def _picked(client: Client, prefix: str) -> Key:
    found = [each for each in client.list_keys() if each["prefix"].startswith(prefix) or each["id"] == prefix]
    if len(found) != 1:
        raise NotFound(f"{len(found) or 'No'} keys begin with {prefix}.")
    return found[0]
