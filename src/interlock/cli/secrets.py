"""`interlock secrets status | rotate | key`: the keys that seal secrets.

    interlock secrets status                     which key seals how many
    interlock secrets rotate --new-key           a new key in the key file, everything sealed again with it
    interlock secrets rotate --drop-old          …and the keys that seal nothing any more moved to secret.keys.retired
    interlock secrets key                        print a fresh key, for INTERLOCK_SECRET_KEYS

Nothing is deployed by a rotation, and it may run while Interlock does. One that was interrupted is done by calling it
again. These commands reach the database of an installation on this machine, not a server.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from interlock.cli.attached import attached, given
from interlock.cli.tables import output_option, print_list


@click.group()
def secrets() -> None:
    """Show and change the keys that seal secrets."""


@secrets.command()
def key() -> None:
    """Print a fresh key."""
    from interlock.outside.secrets import new_key

    click.echo(new_key())


@secrets.command()
@output_option
@attached
def status(*, output: str, data: Path | None, database_url: str | None) -> None:
    """Show the keys, the newest first, and how many secrets each seals."""
    from interlock.app import load_settings, secret_keys_in_use

    rows = asyncio.run(secret_keys_in_use(load_settings(**given(data=data, database_url=database_url))))
    print_list(
        [{"key": one.name, "seals": one.seals, "known": one.known} for one in rows],
        output=output,
        heads=("KEY", "SEALS", "KNOWN"),
        rows=[(one.name, str(one.seals), "yes" if one.known else "no: bring it back") for one in rows],
    )


@secrets.command()
@click.option("--new-key", is_flag=True, help="First put a fresh key into the key file, before the others.")
@click.option("--drop-old", is_flag=True, help="At the end take keys that seal nothing out of the key file.")
@attached
def rotate(*, new_key: bool, drop_old: bool, data: Path | None, database_url: str | None) -> None:
    """Seal every secret again with the newest key."""
    from interlock.app import load_settings, rotate_secrets

    settings = load_settings(**given(data=data, database_url=database_url))
    done = asyncio.run(rotate_secrets(settings, fresh=new_key, drop=drop_old))
    noun = "value" if done.sealed == 1 else "values"
    click.echo(f"Sealed {done.sealed:,} {noun} again. Key {done.newest} seals everything now.")
    if done.dropped:
        click.echo(f"Took out of the key file: {', '.join(done.dropped)}. Backups from before need them: they are in")
        click.echo("secret.keys.retired now, beside it. Keep that with the backups, and delete it here.")
    elif done.idle:
        place = "with --drop-old" if done.file else "out of INTERLOCK_SECRET_KEYS"
        click.echo(f"These keys seal nothing any more, take them {place}: {', '.join(done.idle)}.")
