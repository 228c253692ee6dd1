"""Does SQL stand only where it may? In `store/sql`, in `store/migrations`, and in `inventory/to_sql.py`."""

from __future__ import annotations

import re

import pytest

from house.source import SRC, TOP, modules, name_of, texts_of, tree_of

LOOKS_LIKE_SQL = re.compile(
    r"(?is)\b(select\s+.+\s+from\s+\w|insert\s+into\s+\w|update\s+\w+\s+set\s|delete\s+from\s+\w|"
    r"create\s+(temp(orary)?\s+|unlogged\s+)?(table|index|function|trigger|database|role)\s|drop\s+(table|database)\s|"
    r"alter\s+table\s|truncate\s+\w)"
)

COMMENTS_BEFORE_A_NAME = re.compile(r"(?m)^--.*\n(?:^--.*\n)*\Z")

MAY_HOLD_SQL = {
    "src/interlock/inventory/to_sql.py": "compiles a selector to a WHERE fragment with numbered parameters",
    "src/interlock/store/server/place.py": "creates the database, before there is a connection to it",
}
"""file -> why SQL stands there. DESIGN section 3 names the first; the other works where no database is yet."""


def test_sql_text_stands_in_sql_files() -> None:
    wrong = [
        f"{name_of(path)}:{line} {' '.join(text.split())[:80]}"
        for path in modules()
        if name_of(path) not in MAY_HOLD_SQL
        for line, text in texts_of(tree_of(path))
        if LOOKS_LIKE_SQL.search(text)
    ]
    assert not wrong, "\n".join(["", *wrong])


def test_every_exception_is_still_needed() -> None:
    idle = [
        name
        for name in MAY_HOLD_SQL
        if not any(LOOKS_LIKE_SQL.search(text) for _, text in texts_of(tree_of(TOP / name)))
        and name != "src/interlock/inventory/to_sql.py"
    ]
    assert not idle, idle


def test_every_query_that_looks_for_rows_says_what_it_relies_on() -> None:
    """House rule 9: the comment at a query names its index. One that only adds the rows it was given looks for none."""
    wrong = []
    for path in sorted((SRC / "store" / "sql").glob("*.sql")):
        above, *queries = re.split(r"(?m)^-- name: *", path.read_text())
        said_above = COMMENTS_BEFORE_A_NAME.search(above)
        for query in queries:
            name, _, rest = query.partition("\n")
            said_for_next = COMMENTS_BEFORE_A_NAME.search(rest)
            body = rest[: said_for_next.start()] if said_for_next else rest
            comments = [*re.findall(r"(?m)^--.*", body), *(said_above.group().splitlines() if said_above else ())]
            only_adds = re.match(r"(?s)(--[^\n]*\n|\s)*insert into\b", body, re.IGNORECASE) and not re.search(
                r"(?i)\b(where|join|order by)\b", body
            )
            if not only_adds and not any(len(comment.split()) > 2 for comment in comments):
                wrong.append(f"{name_of(path)}: {name}")
            said_above = said_for_next
    assert not wrong, "\n".join(["", *wrong])


@pytest.mark.parametrize("text", ["SELECT id FROM job", "insert into job values", "UPDATE job SET x = 1"])
def test_the_search_finds_sql(text: str) -> None:
    assert LOOKS_LIKE_SQL.search(text)


@pytest.mark.parametrize("text", ["update available", "The job was deleted from it"])
def test_the_search_knows_prose(text: str) -> None:
    assert not LOOKS_LIKE_SQL.search(text)
