"""`interlock api`: API and console on a database that others share. Any number of them may run."""

from __future__ import annotations

from pathlib import Path

import click

from interlock.cli.attached import attached, given


@click.command()
@click.option("--host", help="The address to listen on.  [env: INTERLOCK_HOST; default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free one.  [env: INTERLOCK_PORT; default: 8080]")
@attached
def api(*, host: str | None, port: int | None, data: Path | None, database_url: str | None) -> None:
    """Run API and console on a shared database."""
    from interlock.app import load_settings, run_api

    raise SystemExit(run_api(load_settings(**given(host=host, port=port, data=data, database_url=database_url))))
