"""What will probably not do what was meant, though the server takes it? Names that may come to exist later.

A rule may ask a group that nobody has made yet, and a variable may refer by a rule that comes tomorrow: both wait, and
say so. Where a file names such a thing and neither the files nor the server have it, a note tells where.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from interlock.documents.reading import Document
from interlock.documents.server import Server
from interlock.documents.shapes import Path, meant

GROUP = "group:"


def find_hints(server: Server, documents: Sequence[Document]) -> Iterator[str]:
    """A line for each name that nothing has yet."""
    references: set[str] | None = None
    for document in documents:
        for path, group in groups_named(document):
            if not server.knows("Group", group):
                said = (
                    f"there is no group named {group} yet{server.near('Group', group)}; nobody is asked until there is"
                )
                yield f"{document.at(*path)}: {said}."
        for path, reference in references_named(document):
            if references is None:
                references = _references(server, documents)
            if reference not in references:
                near = meant(reference, sorted(references))
                said = f"no relationship rule has the reference {reference} yet{near}; it has no value until one has"
                yield f"{document.at(*path)}: {said}."


def groups_named(document: Document) -> Iterator[tuple[Path, str]]:
    """The groups that a policy asks and a subscription writes to."""
    if document.type == "Policy":
        for number, rule in enumerate(document.value("rules")):
            group = (rule.get("anyApproval") or {}).get("approverGroup")
            if group:
                yield ("rules", number, "anyApproval", "approverGroup"), group
    if document.type == "Subscription":
        if document.value("group"):
            yield ("group",), document.value("group")
        for number, each in enumerate(document.value("to")):
            if each.startswith(GROUP):
                yield ("to", number), each.removeprefix(GROUP)


def references_named(document: Document) -> Iterator[tuple[Path, str]]:
    """The references of variables' values."""
    variables = document.body.get("variables")
    if isinstance(variables, dict):
        for key, value in variables.items():
            yield from _reference(("variables", key), value)
    for number, one in enumerate(variables if isinstance(variables, list) else ()):
        for place, each in enumerate(one.get("values") or ()):
            yield from _reference(("variables", number, "values", place, "value"), each["value"])


def _reference(path: Path, value: Any) -> Iterator[tuple[Path, str]]:
    if isinstance(value, dict) and set(value) == {"reference", "path"}:
        yield (*path, "reference"), str(value["reference"])


def _references(server: Server, documents: Sequence[Document]) -> set[str]:
    described = {str(each.body["reference"]) for each in documents if each.type == "RelationshipRule"}
    return described | {str(each.body["reference"]) for each in server.every("RelationshipRule")}
