"""`interlock worker`: a worker on a database that others share. Any number of them may run."""

from __future__ import annotations

from pathlib import Path

import click

from interlock.cli.attached import attached, given


@click.command()
@click.option("--parent", type=int, hidden=True, help="End when this process ends.")
@attached
def worker(*, parent: int | None, data: Path | None, database_url: str | None) -> None:
    """Run a worker on a shared database."""
    from interlock.app import load_settings, run_worker

    settings = load_settings(**given(data=data, database_url=database_url))
    raise SystemExit(run_worker(settings, parent=parent))
