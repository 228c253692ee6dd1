"""`interlock db dump | restore`: everything into one file, and back.

    interlock db dump before-upgrade.dump
    interlock db restore before-upgrade.dump

A dump may be made while Interlock runs. A restore needs it stopped: with --data it starts the directory's PostgreSQL by
itself for as long as it takes.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli.attached import attached, given

if TYPE_CHECKING:
    from interlock.settings import Settings


@click.group()
def db() -> None:
    """Dump or restore the database."""


@db.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@attached
def dump(file: Path, *, data: Path | None, database_url: str | None) -> None:
    """Write the whole database into FILE."""
    import asyncio

    from interlock.app import load_settings

    asyncio.run(_dump(load_settings(**given(data=data, database_url=database_url)), file))
    click.echo(f"Wrote {file} ({file.stat().st_size:,} bytes).")


@db.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Drop what is there.")
@attached
def restore(file: Path, *, replace: bool, data: Path | None, database_url: str | None) -> None:
    """Load FILE into the database, whole or not at all."""
    import asyncio

    from interlock.app import load_settings

    asyncio.run(_restore(load_settings(**given(data=data, database_url=database_url)), file, replace=replace))
    click.echo(f"Restored {file}.")


async def _dump(settings: Settings, file: Path) -> None:
    """With a running `up` of the directory, else with its PostgreSQL started for this."""
    from interlock.store.dump import dump_database

    async with _database(settings) as url:
        await dump_database(url, file)


async def _restore(settings: Settings, file: Path, *, replace: bool) -> None:
    """With the directory's PostgreSQL started for this: an `up` that runs would write into what is being replaced."""
    from interlock.app import database
    from interlock.store.dump import restore_database

    async with database(settings, own=True) as url:
        await restore_database(url, file, replace=replace)


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[str]:
    from interlock.store.embedded import reach

    if settings.database_url is not None:
        yield settings.database_url
    else:
        async with reach(settings.data, binaries=settings.postgres_bin) as url:
            yield url
