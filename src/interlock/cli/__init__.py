"""What can be done from a terminal? One file per command, loaded only when it is called.

Commands talk REST through `client`, so that everything they can do the API can do as well. The exceptions start or tend
processes on this machine: `up`, `api`, `worker`, `db`, `work`, `secrets` and (without a server) `keys` reach `app`, and
only they. `simulate` plays a file and asks nobody.

`interlock --help` must stay under 80 ms, so this file imports nothing at all: help is printed from the table in
`commands.py`, and everything else waits for `program.py`, which brings click. Exit codes stand in `exit_codes.py`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.cli.commands import COMMANDS
    from interlock.cli.program import cli, sentence

INTERRUPTED = 130
"""What a Ctrl-C ends with, also one that comes while a command is still being imported."""

__all__ = ["COMMANDS", "cli", "main", "sentence"]


def __getattr__(name: str) -> object:
    """`COMMANDS`, `cli` and `sentence`, once somebody asks for them."""
    if name == "COMMANDS":
        from interlock.cli import commands

        return commands.COMMANDS
    if name in {"cli", "sentence"}:
        from interlock.cli import program

        return getattr(program, name)
    raise AttributeError(name)


def main() -> None:
    """The `interlock` command."""
    if sys.argv[1:] in (["--help"], ["-h"]):
        from interlock.cli.commands import render_help

        sys.stdout.write(render_help())
        return
    try:
        from interlock.cli.program import run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
