"""`interlock keys create`: a key for a person or a machine, shown once.

    interlock keys create --user ada --workspace shop --role approver

With a server (--url, INTERLOCK_URL or the file) it asks the server, so the caller's own key must be an admin's. With
--data or --database-url it writes to the database of an installation on this machine: the way in when every key is
lost.
"""

from __future__ import annotations

from pathlib import Path

import click

from interlock.cli.attached import given
from interlock.cli.connection import connect

ROLES = ("viewer", "developer", "approver", "operator", "admin")


@click.group()
def keys() -> None:
    """Make API keys for people and machines."""


@keys.command()
@click.option("--user", required=True, help="Whose key; created when new.")
@click.option("-w", "--workspace", envvar="INTERLOCK_WORKSPACE", help="Slug or id.")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the user may do there.")
@click.option("--name", default="", help="What the key is for.")
@click.option("--url", envvar="INTERLOCK_URL", help="The server.")
@click.option("--api-key", envvar="INTERLOCK_API_KEY", help="An admin's key.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="The data directory, without a server.")
@click.option("--database-url", help="The database, without a server.")
def create(
    *,
    user: str,
    workspace: str | None,
    role: str,
    name: str,
    url: str | None,
    api_key: str | None,
    data: Path | None,
    database_url: str | None,
) -> None:
    """Make a key. It is printed alone on stdout, for `$(…)`."""
    if data is not None or database_url is not None:
        import asyncio

        from interlock.app import create_key, load_settings

        if workspace is None:
            raise click.UsageError("Give --workspace.")
        settings = load_settings(**given(data=data, database_url=database_url))
        click.echo(asyncio.run(create_key(settings, user=user, workspace=workspace, role=role, name=name)))
        return
    with connect(url=url, api_key=api_key, workspace=workspace) as client:
        click.echo(client.create_key(user=user, role=role, name=name)["key"])
