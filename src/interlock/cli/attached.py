"""Which installation on this machine? The two flags of every command that reaches the database and not the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def attached(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --data and --database-url. What neither says, the environment or the default says (`settings.py`)."""
    for option in (
        click.option("--database-url", metavar="URL", help="A PostgreSQL database.  [env: INTERLOCK_DATABASE_URL]"),
        click.option(
            "--data",
            type=click.Path(file_okay=False, path_type=Path),
            help="The data directory of `interlock up`.  [env: INTERLOCK_DATA; default: .interlock]",
        ),
    ):
        command = option(command)
    return command


def given(**flags: object) -> dict[str, object]:
    """The flags that were given: they win over the environment, which the settings read for themselves."""
    return {name: value for name, value in flags.items() if value is not None}
