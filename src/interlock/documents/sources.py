"""Which texts are meant by `-f`? Files, folders with everything below them, patterns, `-`, addresses.

    -f fleet/                    every .yaml, .yml and .json below, hidden ones left out
    -f 'fleet/**/*.yaml'         a pattern; `**` is any number of folders
    -f '!fleet/**/draft-*'       leave out what was meant so far and matches; a pattern without `/` is a file's name
    -f -                         standard input
    -f https://example.com/a.yaml

Sources are gone through in order, so a later one may bring back what an earlier `!` left out. A file that is meant
twice is read once, and files are read in the order in which they were first meant; those of one folder or pattern by
path. What is fetched from an address is not trusted more than its text: no key is sent there, and what the server
calls its content does not matter.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path

from interlock.model.errors import Invalid

TEXT_BYTES_MAX = 16 * 1024 * 1024
"""The largest text that is read. A fleet belongs in a sync, not in one file."""
FILES_MAX = 10_000
FETCH_S = 30.0
REDIRECTS_MAX = 5
ENDINGS = frozenset({".yaml", ".yml", ".json"})


def read_sources(sources: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(name, text) of everything meant, in order.

    Fails: `Invalid` for a source that means nothing, and for one that cannot be read.
    """
    names = meant_by(sources)
    if not names:
        raise Invalid(f"{', '.join(sources)}: everything was left out.")
    for name in names:
        yield name, read_source(name)


def meant_by(sources: Sequence[str]) -> list[str]:
    """The names of everything meant, each once, in order.

    Fails: `Invalid` for a source that means nothing.
    """
    names: dict[str, None] = {}
    for source in sources:
        if source.startswith("!"):
            out = [name for name in names if _is_left_out(name, source[1:])]
            for name in out:
                del names[name]
            continue
        found = list(_found(source))
        if not found:
            raise Invalid(f"{source}: no YAML or JSON file there.")
        names.update(dict.fromkeys(found))
        if len(names) > FILES_MAX:
            raise Invalid(f"{source}: more than {FILES_MAX:,} files.")
    return list(names)


def read_source(name: str) -> str:
    """The text behind one name.

    Fails: `Invalid` for what cannot be read, is no UTF-8 or is too large.
    """
    if name == "-":
        return sys.stdin.read()
    if is_address(name):
        return _fetched(name)
    file = Path(name)
    try:
        if file.stat().st_size > TEXT_BYTES_MAX:
            raise Invalid(f"{name} is larger than {TEXT_BYTES_MAX // 2**20} MiB.")
        return file.read_text(encoding="utf-8-sig")
    except OSError as cause:
        raise Invalid(f"{name} cannot be read: {cause.strerror or cause}.") from cause
    except UnicodeDecodeError as cause:
        raise Invalid(f"{name} cannot be read: it is no UTF-8 text.") from cause


def is_address(source: str) -> bool:
    """Whether a source is an address on the web."""
    return source.startswith(("http://", "https://"))


def _found(source: str) -> Iterator[str]:
    if source == "-" or is_address(source):
        yield source
    elif Path(source).is_dir():
        yield from _below(source)
    elif has_magic(source):
        for path in sorted(glob(source, recursive=True)):  # noqa: PTH207 the other one also finds what is hidden
            yield from _below(path) if Path(path).is_dir() else [str(Path(path))]
    else:
        yield source


def _below(folder: str) -> Iterator[str]:
    """The files of a folder and of those in it, by path. Links to folders are not followed: they may go in circles."""
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix in ENDINGS and not name.startswith("."):
                yield str(Path(here) / name)


def _is_left_out(name: str, pattern: str) -> bool:
    """Whether a pattern matches a path, or a folder that it is in; without `/` any part of the path."""
    shape = re.compile(_expression(pattern.rstrip("/")))
    path = Path(name)
    if "/" not in pattern.rstrip("/"):
        return any(shape.fullmatch(part) for part in path.parts)
    return any(shape.fullmatch(str(each)) for each in (path, *path.parents))


def _expression(pattern: str) -> str:
    """A shell pattern as a regular expression: `**` crosses folders, `*` and `?` do not."""
    parts: list[str] = []
    place = 0
    while place < len(pattern):
        if pattern.startswith("**/", place):
            parts.append("(?:.*/)?")
            place += 3
        elif pattern.startswith("**", place):
            parts.append(".*")
            place += 2
        elif pattern[place] == "[" and "]" in pattern[place + 2 :]:
            end = pattern.index("]", place + 2)
            inside = pattern[place + 1 : end].replace("\\", "\\\\")
            parts.append("[" + ("^" + inside[1:] if inside[0] in "!^" else inside) + "]")
            place = end + 1
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(pattern[place], re.escape(pattern[place])))
            place += 1
    return "".join(parts)


def _fetched(address: str) -> str:
    """The text at an address: so long, so large and over so many redirects as the limits say."""
    import httpx  # noqa: PLC0415 costs 100 ms, and few files come from an address

    try:
        with (
            httpx.Client(
                timeout=FETCH_S, follow_redirects=True, max_redirects=REDIRECTS_MAX, headers={"user-agent": "interlock"}
            ) as http,
            http.stream("GET", address) as answer,
        ):
            if not answer.is_success:
                raise Invalid(f"{address} answered {answer.status_code} {answer.reason_phrase}.")
            read = bytearray()
            for part in answer.iter_bytes():
                read += part
                if len(read) > TEXT_BYTES_MAX:
                    raise Invalid(f"{address} is larger than {TEXT_BYTES_MAX // 2**20} MiB.")
    except (httpx.HTTPError, httpx.InvalidURL) as cause:
        raise Invalid(f"{address} cannot be read: {str(cause) or type(cause).__name__}") from cause
    try:
        return read.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise Invalid(f"{address} is no UTF-8 text.") from cause
