"""What do texts say? Documents, each with the line of every word that it was written with.

A text holds YAML 1.2 documents (`on` and `no` are text there) or JSON, which is YAML too; a list of objects is as many
documents, so that what `get -o json` prints can be read. Reading keeps the lines, so that a refusal names file and
line, also one that the server speaks later. Here only the shape is checked: which keys there are and of which kind
each value is. Every fault of every file is told, not the first alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from interlock.documents.kind import Kind
from interlock.documents.kinds import KIND_BY_NAME
from interlock.documents.older import in_todays_words
from interlock.documents.shapes import Fault, Path, meant
from interlock.documents.sources import read_sources
from interlock.model.errors import Invalid

NODES_MAX = 2_000_000
"""How many values one text may hold: an alias of an alias of an alias is small to write."""


@dataclass(frozen=True, slots=True)
class Document:
    """One object that a text describes.

    Takes: `body` is plain JSON, in today's words, without what was left empty. `written` is the same as the reader
           saw it, with lines. `notes` are words that were understood but are no longer taught.
    """

    kind: Kind
    body: Mapping[str, Any]
    file: str
    line: int
    written: Any = field(default=None, compare=False, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """The kind's name."""
        return self.kind.name

    @property
    def name(self) -> str:
        """What the object is known by: a resource's identifier, a freeze's reason, else the name."""
        return str(self.body[self.kind.known_by])

    def at(self, *path: str | int) -> str:
        """`file:line` of the document or of something in it; of what holds it, where it was not written."""
        return f"{self.file}:{line_of(self.written, path, self.line)}"

    def fault(self, fault: Fault) -> str:
        """The fault with its place."""
        return f"{self.at(*fault.path)}: {fault.sentence}"

    def value(self, key: str) -> Any:
        """What was written under `key`, else the server's default."""
        value = self.body.get(key)
        return self.kind.keys[key].default if value is None else value


def read_documents(sources: Sequence[str]) -> list[Document]:
    """Read everything that the sources mean, in the order given.

    Fails: `Invalid` for a source that means nothing, text that is no YAML, a document of the wrong shape, and two
           documents for one object. Every fault is named, not the first alone.
    """
    documents, faults = find_documents(sources)
    if faults:
        raise Invalid("\n".join(faults))
    return documents


def find_documents(sources: Sequence[str]) -> tuple[list[Document], list[str]]:
    """The documents of the right shape, and every fault.

    Fails: `Invalid` for a source that means nothing or cannot be read.
    """
    documents: list[Document] = []
    faults: list[str] = []
    for name, text in read_sources(sources):
        documents += parse_text(name, text, faults)
    return documents, [*faults, *find_twice(documents)]


def parse_text(name: str, text: str, faults: list[str]) -> list[Document]:
    """The documents of one text; what is wrong goes into `faults`."""
    documents = []
    for loaded in _loaded(name, text, faults):
        for each in loaded if isinstance(loaded, list) else [loaded]:
            if each is None:
                continue
            if not isinstance(each, dict):
                faults.append(f"{name}: a document must be an object with a `type`.")
                continue
            found = _checked(each, name, faults)
            if found is not None:
                documents.append(found)
    return documents


def find_twice(documents: Sequence[Document]) -> Iterator[str]:
    """What is described twice."""
    seen: dict[tuple[str, str], Document] = {}
    for document in documents:
        first = seen.setdefault((document.type, document.name), document)
        if first is not document:
            yield f"{document.at()}: {document.type} {document.name} stands already at {first.at()}."


def line_of(written: Any, path: Path, line: int) -> int:
    """The line of what stands at a path, or of the nearest thing around it that was written."""
    for part in path:
        marks = getattr(written, "lc", None)
        try:
            line = (marks.key(part) if isinstance(written, dict) else marks.item(part))[0] + 1  # type: ignore[union-attr]
            written = written[part]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
    return line


def plain(value: Any) -> Any:
    """The value without the reader's own classes, as JSON can say it. A date is its ISO text.

    Fails: `Invalid` for a tag, a number that is none, and more values than NODES_MAX.
    """
    return _plain(value, [NODES_MAX], depth=0)


def _loaded(name: str, text: str, faults: list[str]) -> Iterator[Any]:
    """The documents of a text as the reader sees them."""
    try:
        yield from list(YAML(typ="rt").load_all(text))
    except MarkedYAMLError as cause:
        mark = cause.problem_mark or cause.context_mark
        line = f":{mark.line + 1}" if mark else ""
        said = (cause.problem or cause.context or "").partition("\n")[0]
        web = " It looks like a web page." if text.lstrip()[:1] == "<" else ""
        faults.append(f"{name}{line}: this is no YAML: {said}.{web}")
    except (YAMLError, RecursionError, ValueError) as cause:
        faults.append(f"{name}: this is no YAML: {cause}.")


def _checked(loaded: Any, name: str, faults: list[str]) -> Document | None:
    """One document of the right shape, or None and its faults."""
    line = loaded.lc.line + 1
    try:
        raw = plain(loaded)
    except Invalid as refused:
        faults.append(f"{name}:{line}: {refused.message}")
        return None
    kind_name, body, notes, wrong = in_todays_words(raw)
    at = line_of(loaded, ("type",), line)
    if kind_name is None or kind_name not in KIND_BY_NAME:
        known = tuple(KIND_BY_NAME)
        hint = meant(str(kind_name), known) or f"; one of {', '.join(known)}"
        said = (
            f"unknown type {kind_name}{hint}" if kind_name else f"a document needs a `type`; one of {', '.join(known)}"
        )
        faults.append(f"{name}:{at}: {said}.")
        return None
    kind = KIND_BY_NAME[kind_name]
    found = [*wrong, *kind.shape.faults(body, ())]
    faults += [f"{name}:{line_of(loaded, each.path, line)}: {each.sentence}" for each in found]
    if found:
        return None
    told = tuple(f"{name}:{line_of(loaded, each.path, line)}: {each.sentence}" for each in notes)
    body = {key: value for key, value in body.items() if value is not None}
    return Document(kind, body, name, line, written=loaded, notes=told)


def _plain(value: Any, left: list[int], *, depth: int) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth > 100:
        raise Invalid("this is too large or too deep; an alias may hold itself.")
    if type(value).__name__ == "TaggedScalar" or _tag(value):
        raise Invalid(f"the tag {_tag(value) or value.tag} has no meaning here.")
    if isinstance(value, dict):
        return {str(key): _plain(each, left, depth=depth + 1) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, left, depth=depth + 1) for each in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    for known in (str, int, float):
        if isinstance(value, known):
            return known(value)
    return str(value)


def _tag(value: Any) -> str:
    """An object's own tag, as `!include`; "" for YAML's."""
    tag = str(getattr(getattr(value, "tag", None), "value", None) or "")
    return tag if tag.startswith("!") else ""
