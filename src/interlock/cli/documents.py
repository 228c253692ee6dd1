"""What do the files given to `apply` say, and where is each word written?

A file holds YAML 1.2 documents (`on` and `no` are text there), each an object with a `type`. Reading keeps the line of
every key, so that a refusal names file and line. What stands here is the shape: which keys a type has, which must be
there, of which kind each value is. Whether names resolve is `apply.py`'s business; whether the server takes it, the
server's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from glob import has_magic
from pathlib import Path
from typing import Any

from interlock.model.errors import Invalid

DOCUMENT_BYTES_MAX = 16 * 1024 * 1024
"""The largest file that is read. A fleet belongs in a sync, not in one file."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a document.

    Takes: `shape` is one of SHAPES. `default` is what the server has where nothing was written.
    """

    shape: str
    default: object = None
    required: bool = False


NAME = Key("text", required=True)
METADATA = Key("texts", default={})
SYSTEMS = {"system": Key("text"), "systems": Key("names")}
RESOURCE_KEYS: Mapping[str, Key] = {
    "identifier": NAME,
    "name": NAME,
    "kind": NAME,
    "version": NAME,
    "config": Key("object", default={}),
    "metadata": METADATA,
}

TYPES: Mapping[str, Mapping[str, Key]] = {
    "System": {"name": NAME, "description": Key("text"), "metadata": METADATA},
    "JobAgent": {
        "name": NAME,
        "agentType": NAME,
        "config": Key("object", default={}),
        "metadata": METADATA,
    },
    "Policy": {
        "name": NAME,
        "description": Key("text"),
        "selector": Key("text", default="true"),
        "priority": Key("integer", default=0),
        "enabled": Key("truth", default=True),
        "metadata": METADATA,
        "rules": Key("objects", default=[]),
    },
    "RelationshipRule": {
        "name": NAME,
        "description": Key("text"),
        "reference": NAME,
        "cel": NAME,
        "metadata": METADATA,
    },
    "VariableSet": {
        "name": NAME,
        "description": Key("text", default=""),
        "selector": NAME,
        "priority": Key("integer", default=0),
        "variables": Key("object", default={}),
    },
    "ResourceProvider": {"name": NAME, "metadata": METADATA, "resources": Key("objects")},
    "Resource": {**RESOURCE_KEYS, "variables": Key("object"), "provider": Key("text")},
    "Environment": {
        "name": NAME,
        "description": Key("text"),
        "resourceSelector": Key("text", default="false"),
        "metadata": METADATA,
        **SYSTEMS,
    },
    "Deployment": {
        "name": NAME,
        "description": Key("text"),
        "resourceSelector": Key("text", default="false"),
        "jobAgent": Key("text"),
        "jobAgentSelector": Key("text", default=""),
        "jobAgentConfig": Key("object", default={}),
        "variables": Key("objects"),
        "metadata": METADATA,
        **SYSTEMS,
    },
}
"""type -> its keys, in the order of writing: what others refer to comes first, and a policy stands before anything
that it could govern, so that nothing moves unguarded between two lines of a file."""

SHAPES: Mapping[str, str] = {
    "text": "text",
    "integer": "a whole number",
    "truth": "true or false",
    "object": "an object",
    "objects": "a list of objects",
    "names": "a list of names",
    "texts": "an object whose values are text (put numbers in quotes)",
}


@dataclass(frozen=True, slots=True)
class Document:
    """One object that a file describes.

    Takes: `at` is `file:line` of its first line; `lines` maps a top-level key to its line in `file`.
    """

    type: str
    body: Mapping[str, Any]
    file: str
    line: int
    lines: Mapping[str, int]

    @property
    def name(self) -> str:
        """What the object is known by: a resource's identifier, else the name."""
        return str(self.body["identifier" if self.type == "Resource" else "name"])

    def at(self, key: str | None = None) -> str:
        """`file:line` of the document or of one of its keys."""
        return f"{self.file}:{self.lines.get(key, self.line) if key else self.line}"

    def value(self, key: str) -> Any:
        """What was written under `key`, else the server's default."""
        return self.body.get(key, TYPES[self.type][key].default)


def read_documents(sources: Sequence[str]) -> list[Document]:
    """Read files, folders (their .yaml and .yml), globs and `-`, in the order given.

    Fails: `Invalid` for a source that matches nothing, text that is no YAML, a document of the wrong shape, and two
           documents for one object. Every fault is named, not the first alone.
    """
    documents: list[Document] = []
    faults: list[str] = []
    for name, text in _texts(sources):
        _parse(name, text, documents=documents, faults=faults)
    seen: dict[tuple[str, str], Document] = {}
    for document in documents if not faults else ():
        first = seen.setdefault((document.type, document.name), document)
        if first is not document:
            faults.append(f"{document.at()}: {document.type} {document.name} stands already at {first.at()}.")
    if faults:
        raise Invalid("\n".join(faults))
    return documents


def _texts(sources: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(name, text) of every file meant."""
    for source in sources:
        if source == "-":
            yield "-", sys.stdin.read()
            continue
        found = sorted(_root(source).glob(source.lstrip("/"))) if has_magic(source) else [Path(source)]
        files = [file for path in found for file in _files(path)]
        if not files:
            raise Invalid(f"{source}: no YAML file there.")
        for file in files:
            yield str(file), _text(file)


def _root(pattern: str) -> Path:
    return Path("/") if pattern.startswith("/") else Path()


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix in {".yaml", ".yml"} and file.is_file())
    return [path]


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > DOCUMENT_BYTES_MAX:
            raise Invalid(f"{file} is larger than {DOCUMENT_BYTES_MAX // 2**20} MiB.")
        return file.read_text()
    except (OSError, UnicodeDecodeError) as cause:
        raise Invalid(f"{file} cannot be read: {cause}") from cause


def _parse(name: str, text: str, *, documents: list[Document], faults: list[str]) -> None:
    """Add a file's documents, and its faults."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        loaded = list(YAML(typ="rt").load_all(text))
    except MarkedYAMLError as cause:
        mark = cause.problem_mark or cause.context_mark
        line = f":{mark.line + 1}" if mark else ""
        faults.append(f"{name}{line}: this is no YAML: {cause.problem or cause.context}.")
        return
    except YAMLError as cause:
        faults.append(f"{name}: this is no YAML: {cause}.")
        return
    for each in loaded:
        if each is None:
            continue
        if not isinstance(each, dict):
            faults.append(f"{name}: a document must be an object with a `type`.")
            continue
        starts, lines = _lines(each)
        found = _checked(each, name=name, line=starts, lines=lines, faults=faults)
        if found is not None:
            documents.append(found)


def _lines(loaded: Any) -> tuple[int, dict[str, int]]:
    """The line an object starts on, and that of each of its keys (the reader counts from 0)."""
    return loaded.lc.line + 1, {str(key): loaded.lc.key(key)[0] + 1 for key in loaded}


def _checked(loaded: Any, *, name: str, line: int, lines: Mapping[str, int], faults: list[str]) -> Document | None:
    """One document of the right shape, or None and its faults."""
    before = len(faults)
    kind = loaded.get("type")
    if kind not in TYPES:
        at = lines.get("type", line)
        said = f"unknown type {kind}" if kind else "a document needs a `type`"
        faults.append(f"{name}:{at}: {said}; one of {', '.join(TYPES)}.")
        return None
    body = {str(key): value for key, value in loaded.items() if key != "type"}
    _check_keys(body, TYPES[kind], name=name, line=line, lines=lines, faults=faults, what=kind)
    if kind == "ResourceProvider" and isinstance(body.get("resources"), list):
        for each in body["resources"]:
            if isinstance(each, dict):
                first, inner = _lines(each)
                _check_keys(each, RESOURCE_KEYS, name=name, line=first, lines=inner, faults=faults, what="resource")
    for one, other in (("system", "systems"), ("jobAgent", "jobAgentSelector")):
        if one in body and other in body:
            faults.append(f"{name}:{lines[other]}: give {one} or {other}, not both.")
    if len(faults) > before:
        return None
    return Document(kind, {key: _plain(value) for key, value in body.items() if value is not None}, name, line, lines)


def _check_keys(
    body: Mapping[str, Any],
    keys: Mapping[str, Key],
    *,
    name: str,
    line: int,
    lines: Mapping[str, int],
    faults: list[str],
    what: str,
) -> None:
    """Note unknown keys, missing keys and values of the wrong kind. A value left empty counts as not written."""
    for key, value in body.items():
        if key not in keys:
            faults.append(f"{name}:{lines[key]}: {what} has no {key}; it has {', '.join(keys)}.")
        elif value is not None and not _has_shape(value, keys[key].shape):
            faults.append(f"{name}:{lines[key]}: {key} must be {SHAPES[keys[key].shape]}.")
    faults.extend(
        f"{name}:{line}: {what} needs {key}."
        for key, wanted in keys.items()
        if wanted.required and body.get(key) in {None, ""}
    )


def _has_shape(value: object, shape: str) -> bool:
    match shape:
        case "text":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "truth":
            return isinstance(value, bool)
        case "object":
            return isinstance(value, dict)
        case "objects":
            return isinstance(value, list) and all(isinstance(each, dict) for each in value)
        case "names":
            return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
        case _:
            return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _plain(value: Any) -> Any:
    """The value without the reader's own classes, as JSON can say it. A date is its ISO text."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    for plain in (str, int, float):
        if isinstance(value, plain):
            return plain(value)
    return str(value)
