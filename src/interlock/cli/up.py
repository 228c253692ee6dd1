"""`interlock up`: everything on this machine, with one command.

API and console run in this process, one worker as its child. Without --database-url it starts a PostgreSQL of its
own in the data directory. The first start makes an admin's API key and prints it once. Ctrl-C and SIGTERM end
everything in order; a second one ends it at once.
"""

from __future__ import annotations

from pathlib import Path

import click

from interlock.cli.attached import attached, given


@click.command()
@click.option("--host", help="The address to listen on.  [env: INTERLOCK_HOST; default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free one.  [env: INTERLOCK_PORT; default: 8080]")
@attached
def up(*, host: str | None, port: int | None, data: Path | None, database_url: str | None) -> None:
    """Run API, console and a worker on this machine."""
    from interlock.app import load_settings, run_up

    raise SystemExit(run_up(load_settings(**given(host=host, port=port, data=data, database_url=database_url))))
