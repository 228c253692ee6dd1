"""How does a list look in a terminal? Columns as wide as what they hold, two spaces between, nothing drawn.

A table can be read by a person, cut by `awk` and pasted into a chat. In a terminal that is too narrow, the widest
columns give way and end in `…`; into a pipe goes everything. How else a list or an answer can be printed stands in
`tables.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

GAP = 2
NARROW_MIN = 8
"""No column gets narrower than this, nor than its head, however narrow the terminal."""


def table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], *, width: int | None = None, headed: bool = True
) -> str:
    """Lines of aligned columns under their heads; an empty cell is a dash.

    Takes: `width` is that of the terminal; None: as wide as it gets.
    """
    named = [head.upper() for head in heads]
    cells = [*([named] if headed else []), *([_cell(value) for value in row] for row in rows)]
    if not cells:
        return ""
    widths = [max(cells_wide(row[column]) for row in cells) for column in range(len(heads))]
    if width is not None:
        widths = fitted(widths, [max(NARROW_MIN, len(head)) for head in named], width=width)
    return "\n".join(
        (" " * GAP).join(_set(cell, wide) for cell, wide in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def fitted(widths: Sequence[int], least: Sequence[int], *, width: int) -> list[int]:
    """Column widths that fit: the widest give way first, none beyond its least."""
    fits = list(widths)
    over = sum(fits) + GAP * (len(fits) - 1) - width
    while over > 0:
        able = [column for column in range(len(fits)) if fits[column] > least[column]]
        if not able:
            break
        widest = max(able, key=lambda column: fits[column])
        others = [fits[column] for column in able if fits[column] < fits[widest]]
        floor = max(least[widest], max(others, default=0), fits[widest] - over)
        taken = max(1, fits[widest] - floor)
        fits[widest] -= taken
        over -= taken
    return fits


def cells_wide(text: str) -> int:
    """How many cells of a terminal a text takes: two for what is drawn wide, none for what is drawn over another."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in {"W", "F"} else 1 for one in text
    )


def terminal_width() -> int | None:
    """How wide the terminal is; None where stdout is none."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def _set(cell: str, wide: int) -> str:
    """A cell in its column: filled up, or cut."""
    is_wide = cells_wide(cell)
    if is_wide <= wide:
        return cell + " " * (wide - is_wide)
    while cells_wide(cell) > wide - 1:
        cell = cell[:-1]
    return f"{cell}…"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value == "" else " ".join(str(value).split())
