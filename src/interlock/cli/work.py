"""`interlock work list | retry | bury`: what needs a look, and what was given up on.

    interlock work list --state buried
    interlock work retry round 8f14e45f-…
    interlock work bury observe 3c59dc04-… --reason "the pipeline was deleted"

A buried item failed too often and is left alone until it is asked for again. These commands reach the database of an
installation on this machine, not a server.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from interlock.cli.attached import attached, given
from interlock.cli.tables import items_max, list_options, print_list

if TYPE_CHECKING:
    from interlock.store.tx import Store

T = TypeVar("T")
ROWS_MAX = 10_000
STATES = ("due", "waiting", "running", "buried")


@click.group()
def work() -> None:
    """List, retry or bury work items."""


@work.command("list")
@click.option("--kind", help="Only this kind, as in round, dispatch or observe.")
@click.option("--state", type=click.Choice(STATES), help="Only these.")
@list_options
@attached
def list_(*, kind: str | None, state: str | None, output: str, data: Path | None, database_url: str | None) -> None:
    """List work items: buried ones first, then the most urgent."""

    async def read(store: Store) -> list[dict[str, Any]]:
        from interlock.store.work import list_work

        async with store.read() as conn:
            return [
                dataclasses.asdict(each)
                for each in await list_work(conn, kind=kind, state=state, rows_max=items_max(200) or ROWS_MAX)
            ]

    found = json.loads(json.dumps(_with_store(read, data=data, database_url=database_url), default=_text))
    columns = ("kind", "key", "state", "ready_at", "attempts", "last_error")
    print_list(
        found,
        output=output,
        heads=[column.replace("_", " ") for column in columns],
        rows=[[each[column] for column in columns] for each in found],
        kind="work",
        named=lambda each: f"{each['kind']}/{each['key']}",
    )


@work.command()
@click.argument("kind")
@click.argument("key")
@attached
def retry(kind: str, key: str, *, data: Path | None, database_url: str | None) -> None:
    """Look at an item now, whatever happened to it before."""

    async def write(store: Store) -> None:
        from interlock.store.work import retry_work

        async with store.read() as conn:
            await retry_work(conn, kind, key)
        store.wakes.announce({kind})

    _with_store(write, data=data, database_url=database_url)
    click.echo(f"{kind} {key} is looked at again.")


@work.command()
@click.argument("kind")
@click.argument("key")
@click.option("--reason", required=True, help="Why it is left alone.")
@attached
def bury(kind: str, key: str, *, reason: str, data: Path | None, database_url: str | None) -> None:
    """Leave an item alone until it is asked for again."""

    async def write(store: Store) -> None:
        from interlock.store.work import bury_work

        async with store.read() as conn:
            await bury_work(conn, kind, key, reason=reason)

    _with_store(write, data=data, database_url=database_url)
    click.echo(f"{kind} {key} is buried.")


def _with_store(do: Callable[[Store], Awaitable[T]], *, data: Path | None, database_url: str | None) -> T:
    """Do something with the store of the installation that is meant."""
    from interlock.app import database, load_settings, open_store

    async def main() -> T:
        settings = load_settings(**given(data=data, database_url=database_url))
        async with database(settings, own=False) as url, open_store(settings, url) as store:
            return await do(store)

    return asyncio.run(main())


def _text(value: object) -> str:
    """Instants as text."""
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
