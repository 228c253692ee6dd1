"""Which keys do many kinds have, and how do rows of the server become bodies?

A row's optional that is absent is absent in the body as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from interlock.documents.kind import Body, Named
from interlock.documents.shapes import NAME, NAMES, TEXT, TEXTS, Key, Text

SELECTOR = Text()

DESCRIPTION = Key(TEXT, "For people.")
METADATA = Key(TEXTS, "Texts by key: for selectors, for people, for `--selector`.", default={})
PRIORITY_ABOUT = "The higher one comes first."


def name_key(about: str) -> Key:
    """The key that an object is known by."""
    return Key(NAME, about, required=True)


SYSTEMS = {
    "system": Key(NAME, "The system it is in. Without one, and in none yet, it joins `default`.", kept=True),
    "systems": Key(NAMES, "The systems it is in, where there are several.", kept=True),
}


def picked(row: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """What the row says under these keys."""
    return {key: row[key] for key in keys if row.get(key) is not None}


def systems_named(body: Body) -> Iterable[Named]:
    """The systems that a body names."""
    if body.get("system"):
        yield Named(("system",), "System", body["system"])
    for number, name in enumerate(body.get("systems") or ()):
        yield Named(("systems", number), "System", name)


def system_names(body: Body) -> list[str]:
    """The names of the systems that a body says it is in."""
    return [body["system"]] if body.get("system") else list(body.get("systems") or ())


def systems_body(names: Iterable[str]) -> dict[str, Any]:
    """`system` for one, `systems` for several, nothing for none."""
    found = sorted(set(names))
    if not found:
        return {}
    return {"system": found[0]} if len(found) == 1 else {"systems": found}
