"""How is what a command found or made printed? The same four ways everywhere.

    -o table    for people: aligned columns, or sentences where there is one thing
    -o json     for programs: the wire's object, or a list of them
    -o yaml     the same as YAML
    -o name     one kind/name on each line, for `xargs`; `describe` and `delete` take them as they are

Lists also take `--sort COLUMN` (`--sort=-COLUMN` backwards), `--no-headers` and `--limit`; without a limit every page
is read. What is said besides (nothing found, what to do next) goes to stderr, so that a pipe gets the answer alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from interlock.cli.columns import table, terminal_width
from interlock.client import Seen

__all__ = ["about", "id_of", "items_max", "list_options", "output_option", "print_list", "print_one", "table"]

T = TypeVar("T")
OUTPUTS = ("table", "json", "yaml", "name")
META = "interlock.list"
"""Where a list's options wait in click's context for `print_list`."""

output_option = click.option(
    "-o", "--output", type=click.Choice(OUTPUTS), default="table", show_default=True, help="How to print."
)
"""The `-o` of every command that shows or makes something."""


def list_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`-o`, `--sort`, `--no-headers` and `--limit`: what every command takes that lists."""
    for option in (
        click.option(
            "-l",
            "--limit",
            type=click.IntRange(1),
            expose_value=False,
            callback=_keep("limit"),
            help="At most this many.  [default: all]",
        ),
        click.option("--no-headers", is_flag=True, expose_value=False, callback=_keep("bare"), help="Rows alone."),
        click.option(
            "--sort",
            metavar="COLUMN",
            expose_value=False,
            callback=_keep("sort"),
            help="By this column; -COLUMN backwards.",
        ),
        output_option,
    ):
        command = option(command)
    return command


def _keep(name: str) -> Callable[[click.Context, click.Parameter, object], None]:
    def keep(ctx: click.Context, _: click.Parameter, value: object) -> None:
        ctx.meta.setdefault(META, {})[name] = value

    return keep


def _asked(name: str) -> Any:
    ctx = click.get_current_context(silent=True)
    return None if ctx is None else ctx.meta.get(META, {}).get(name)


def items_max(otherwise: int | None = None) -> int | None:
    """How many items to read: as `--limit` says; all of them where they are sorted first, or where it says nothing.

    Takes: `otherwise` is for lists without an end, which are not read to theirs unless it is asked for.
    """
    limit: int | None = _asked("limit")
    if limit is not None:
        return None if _asked("sort") else limit
    return otherwise


def print_list(
    items: Sequence[object],
    *,
    output: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[object]],
    kind: str = "",
    named: Callable[[Any], object] | None = None,
) -> None:
    """Print a list as the user asked.

    Takes: `rows` has a row for each item, in the same order; `kind` and `named` make the lines of `-o name`.
    """
    pairs = sorted_pairs(list(zip(items, rows, strict=True)), heads=heads, by=_asked("sort"))
    pairs = pairs[: _asked("limit")]
    if output in {"json", "yaml"}:
        print_data([item for item, _ in pairs], output=output)
    elif output == "name":
        for item, _ in pairs:
            click.echo(full_name(kind, item, named=named))
    elif pairs:
        click.echo(table(heads, [row for _, row in pairs], width=terminal_width(), headed=not _asked("bare")))
    else:
        click.echo("Nothing.", err=True)


def print_one(
    item: Any,
    *,
    output: str,
    text: str | Iterable[str],
    kind: str = "",
    named: Callable[[Any], object] | None = None,
) -> None:
    """Print one thing that was found, made or answered.

    Takes: `text` is what `-o table` prints: sentences, or a tree.
    """
    if output in {"json", "yaml"}:
        print_data(item, output=output)
    elif output == "name":
        click.echo(full_name(kind, item, named=named))
    else:
        click.echo(text if isinstance(text, str) else "\n".join(text))


def print_data(value: object, *, output: str) -> None:
    """Print what the wire said, as JSON or YAML."""
    click.echo(
        json.dumps(value, indent=2, ensure_ascii=False) if output == "json" else as_yaml(value), nl=output == "json"
    )


def as_yaml(value: object) -> str:
    """A value as YAML, keys in the wire's order."""
    import io

    from ruamel.yaml import YAML

    if value in ({}, []):
        return f"{value}\n"
    writer = YAML()
    writer.default_flow_style = False
    writer.width = 4096
    into = io.StringIO()
    writer.dump(value, into)
    return into.getvalue()


def full_name(kind: str, item: Any, *, named: Callable[[Any], object] | None) -> str:
    """`kind/name`; a thing without a name goes by its id."""
    name = named(item) if named is not None else item.get("name") or item.get("id") or item.get("tag") or ""
    return f"{kind}/{name}" if kind else str(name)


def sorted_pairs(
    pairs: list[tuple[T, Sequence[object]]], *, heads: Sequence[str], by: str | None
) -> list[tuple[T, Sequence[object]]]:
    """Items and their rows by one column; what has nothing there comes last.

    Fails: `UsageError` when there is no such column.
    """
    if not by:
        return pairs
    wanted, backwards = by.removeprefix("-").strip().lower().replace("-", " "), by.startswith("-")
    names = [head.lower() for head in heads]
    if wanted not in names:
        raise click.UsageError(
            f"There is no column {wanted}; there are {', '.join(name.replace(' ', '-') for name in names)}."
        )
    column = names.index(wanted)
    filled = [pair for pair in pairs if pair[1][column] not in {None, ""}]
    empty = [pair for pair in pairs if pair[1][column] in {None, ""}]
    return sorted(filled, key=lambda pair: _order(pair[1][column]), reverse=backwards) + empty


def _order(value: object) -> tuple[int, float, str]:
    """Numbers by size and before texts, texts by letter."""
    if isinstance(value, int | float):
        return 0, float(value), ""
    return 1, 0.0, str(value).casefold()


def id_of(item: Seen) -> str:
    """What goes by its id."""
    return str(item["id"])


def about(each: Seen) -> str:
    """DEPLOYMENT/ENVIRONMENT[/RESOURCE]: a place as people type it."""
    parts = (each.get("deployment"), each.get("environment"), each.get("resource"))
    return "/".join(
        str(part.get("name") or part.get("id") if isinstance(part, dict) else part) for part in parts if part
    )
