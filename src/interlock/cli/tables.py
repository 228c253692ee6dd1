"""How does a list look in a terminal? Columns as wide as what they hold, two spaces between, nothing drawn.

A table can be read by a person, cut by `awk` and pasted into a chat. `-o json` gives the wire's objects instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import click


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lines of aligned columns under their heads; an empty cell is a dash."""
    cells = [[head.upper() for head in heads], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines)


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else " ".join(str(value).split())


def print_list(items: Sequence[object], *, output: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a list as the user asked: the wire's objects as JSON, or a table."""
    if output == "json":
        click.echo(json.dumps(items, indent=2, ensure_ascii=False))
    elif items:
        click.echo(table(heads, rows))
    else:
        click.echo("Nothing.", err=True)


output_option = click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print."
)
"""The `-o` of every command that lists."""
