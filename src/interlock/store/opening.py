"""What does a stored document say with its secrets in it, and how are they taken out of what comes back?

For the few who get values: an agent's call, a metric provider's, a pull agent's claim, a key with `job:secrets`. Sealed
values come from the database, referenced ones from outside, never in the same breath: no connection is held while
another system is asked.

What an agent or a provider says is looked through for the values that it was given before anything of it is kept: a
tool may print what it was handed.

Source: issue 4, "Secrets"; decision record 0022.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from interlock.model.errors import Rejected
from interlock.model.job import Observation, Planned
from interlock.model.secret import (
    MASK,
    REFERENCE,
    Path,
    filled,
    hidden,
    hidden_all,
    ids_in,
    mark,
    masked,
    references_in,
    resolved,
    spoken,
)
from interlock.model.verification import Measurement
from interlock.outside.references import REFERENCES_MAX, References
from interlock.store.tx import Store
from interlock.store.workspaces import find_workspace

RESOLVED = (("jobAgentConfig",), ("variables",))
"""The parts of a snapshot in which references are followed: what a deployment's writer wrote for the job."""

SEALED = (
    *RESOLVED,
    ("deployment", "jobAgentConfig"),
    ("version", "jobAgentConfig"),
    ("jobAgent", "config"),
    ("workflowJob", "config"),
)
"""The parts of a snapshot in which secrets may stand. What looks like one anywhere else, in a resource's config say, is
somebody's attempt to be given another's, and stays a mark."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A document with its values, and what hides them again.

    Takes: `values_by_mark`: what is shown in place of a value -> the value. Neither is in the `repr`.
    """

    document: Any = field(repr=False)
    values_by_mark: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def hide(self, text: str | None) -> str | None:
        """A text from outside, with marks where it repeats a value."""
        return hidden(text, self.values_by_mark) if text and self.values_by_mark else text

    def hide_all(self, value: Any) -> Any:
        """The same for all texts of a JSON value, keys too."""
        return hidden_all(value, self.values_by_mark) if self.values_by_mark else value

    def observation(self, seen: Observation) -> Observation:
        """What an agent saw, without the values."""
        if not self.values_by_mark:
            return seen
        return replace(
            seen,
            message=self.hide(seen.message),
            external_id=self.hide(seen.external_id),
            links=self.hide_all(seen.links),
            metadata=self.hide_all(seen.metadata),
            output=self.hide(seen.output),
        )

    def planned(self, planned: Planned) -> Planned:
        """What an agent would do, without the values."""
        if not self.values_by_mark:
            return planned
        return replace(
            planned,
            current=hidden(planned.current, self.values_by_mark),
            proposed=hidden(planned.proposed, self.values_by_mark),
            message=hidden(planned.message, self.values_by_mark),
        )

    def measurement(self, measured: Measurement) -> Measurement:
        """What a provider answered, without the values."""
        if not self.values_by_mark:
            return measured
        return replace(measured, message=self.hide(measured.message), result=self.hide_all(measured.result))


class Opener:
    """Opens documents for those who get values. One for a process.

    Takes: `references` None follows none: what a document refers to stays as it was written.
    """

    def __init__(self, store: Store, references: References | None = None) -> None:
        self._store = store
        self._references = references

    async def open_snapshot(self, workspace_id: str, snapshot: Mapping[str, Any], *, follow: bool = True) -> Opened:
        """A job's snapshot as its agent gets it: values where secrets may stand, marks elsewhere.

        Takes: `follow` False leaves references as they were written.
        Fails: as `open`.
        """
        parts = {path: part for path in SEALED if (part := at_path(snapshot, path)) is not None}
        followed = {path: parts.pop(path) for path in RESOLVED if follow and path in parts}
        inside, outside = await self.open(workspace_id, followed), await self.open_sealed(workspace_id, parts)
        document = masked(snapshot)
        for path, part in {**inside.document, **outside.document}.items():
            at_path(document, path[:-1])[path[-1]] = part
        return Opened(document, {**outside.values_by_mark, **inside.values_by_mark})

    async def open(self, workspace_id: str, document: Any) -> Opened:
        """A stored document with its values, sealed and referenced.

        Fails: `KeyMissing` when a value cannot be opened with our keys; `Rejected` when a reference leads nowhere,
               `Unavailable` when its store does not answer.
        Costs: nothing for a document without secrets and references.
        """
        opened = await self.open_sealed(workspace_id, document)
        wanted = {spoken(one): one for one in references_in(document)}
        if self._references is None or not wanted:
            return opened
        if len(wanted) > REFERENCES_MAX:
            raise Rejected(f"{len(wanted)} references to outside stores are more than {REFERENCES_MAX}, the most.")
        async with self._store.read() as conn:
            workspace = await find_workspace(conn, workspace_id)
        if workspace is None:
            raise Rejected("The workspace is gone.")
        asked = (self._references.resolve(one, workspace=workspace.slug) for one in wanted.values())
        values = dict(zip(wanted, await asyncio.gather(*asked), strict=True))
        document = resolved(opened.document, lambda one: values.get(spoken(one), {REFERENCE: one}))
        told = {f"{MASK} ({name})": value for name, value in values.items()}
        return Opened(document, {**opened.values_by_mark, **told})

    async def open_sealed(self, workspace_id: str, document: Any) -> Opened:
        """A stored document with the values that Interlock keeps; references stay as they were written.

        Fails: `KeyMissing`.
        """
        wanted = set(ids_in(document))
        if not wanted:
            return Opened(document)
        async with self._store.read() as conn:
            values = await self._store.secrets.open(conn, workspace_id, wanted)
        return Opened(filled(document, values), {mark(secret_id): value for secret_id, value in values.items()})


def at_path(document: Any, path: Path) -> Any:
    """What stands at a path of keys; None where nothing does."""
    for step in path:
        document = document.get(step) if isinstance(document, Mapping) else None
    return document
