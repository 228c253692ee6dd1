"""What stands on the server, belongs to these files, and is in none of them any more?

What belongs to files is said by a label: `--selector team=shop` writes the pair into the metadata of every document
that has any, and `--prune` with it ends what carries all pairs and stands in no document. Kinds without metadata are
left alone, and so is what the label's files never wrote. `--prune --provider` says that the files have all resources
of a provider (`plan.py`).

What would end most of what a label covers is refused unless it is allowed by name: a folder that was not checked out
looks like a folder whose files were all deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from interlock.documents.kinds import KINDS
from interlock.documents.plan import Planned, Step
from interlock.documents.reading import Document
from interlock.documents.shapes import Fault
from interlock.model.errors import Conflict, Invalid

REMOVED_MAX = 10
"""So many are removed without a question, whatever their share."""


def with_labels(documents: Sequence[Document], labels: Mapping[str, str]) -> list[Document]:
    """The documents with these pairs in their metadata.

    Fails: `Invalid` for one that says something else under a key.
    """
    faults: list[str] = []
    labelled: list[Document] = []
    for document in documents:
        if not document.kind.labelled:
            labelled.append(document)
            continue
        metadata = dict(document.value("metadata"))
        for key, value in labels.items():
            if metadata.get(key, value) != value:
                said = f"metadata.{key} is {metadata[key]}, and --selector says {value}"
                faults.append(document.fault(Fault(("metadata", key), said, alone=True)))
            metadata[key] = value
        body = {**document.body, "metadata": metadata}
        if document.body.get("resources") is not None:
            body["resources"] = [
                {**each, "metadata": {**(each.get("metadata") or {}), **labels}} for each in document.body["resources"]
            ]
        labelled.append(replace(document, body=body))
    if faults:
        raise Invalid("\n".join(faults))
    return labelled


def with_provider(documents: Sequence[Document], provider: str) -> list[Document]:
    """The documents, with this provider for every resource that names none."""
    return [
        replace(document, body={**document.body, "provider": provider})
        if document.type == "Resource" and "provider" not in document.body
        else document
        for document in documents
    ]


def prune_steps(planned: Planned, labels: Mapping[str, str]) -> list[Step]:
    """A step for everything that carries these labels and is in no document, in the order of ending."""
    named = {(step.kind, step.name) for step in planned.steps}
    steps: list[Step] = []
    for kind in reversed(KINDS):
        if not kind.labelled:
            continue
        for standing in planned.server.every(kind.name):
            metadata = standing.body.get("metadata") or {}
            if (kind.name, standing.name) in named or any(metadata.get(key) != each for key, each in labels.items()):
                continue
            writes = tuple(kind.remove(planned.server, standing))
            steps.append(Step("removed", kind.name, standing.name, writes, None, kind.whole(standing.body), None))
    return steps


def refuse_mass_removal(steps: Sequence[Step], *, allowed: bool) -> None:
    """Refuse to remove more than REMOVED_MAX objects and more than half of all that these files are about.

    Fails: `Conflict`.
    """
    removed = sum(step.verdict == "removed" for step in steps)
    stood = sum(step.verdict != "created" for step in steps)
    if not allowed and removed > REMOVED_MAX and removed * 2 > stood:
        raise Conflict(
            f"This would remove {removed} of {stood} objects. If that is meant, give --allow-removal.",
            code="MASS_REMOVAL",
        )
