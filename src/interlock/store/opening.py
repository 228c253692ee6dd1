"""What does a stored document say with its secrets in it, and how are they taken out of what comes back?

For the few who get values: an agent's call, a metric provider's, a pull agent's claim, a key with `job:secrets`. What
an agent or a provider says is looked through for the values that it was given before anything of it is kept: a tool may
print what it was handed.

Source: issue 4, "Secrets"; decision record 0022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from interlock.model.job import Observation, Planned
from interlock.model.secret import filled, hidden, ids_in
from interlock.model.verification import Measurement
from interlock.store.tx import Store


@dataclass(frozen=True, slots=True)
class Opened:
    """A document with its values, and what hides them again.

    Takes: `values_by_id` are never shown: not in a log, not by `repr`.
    """

    document: Any = field(repr=False)
    values_by_id: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def hide(self, text: str | None) -> str | None:
        """A text from outside, with marks where it repeats a value."""
        return hidden(text, self.values_by_id) if text and self.values_by_id else text

    def hide_all(self, value: Any) -> Any:
        """The same for all texts of a JSON value, keys too."""
        match value:
            case str():
                return self.hide(value)
            case Mapping():
                return {self.hide(str(key)): self.hide_all(inner) for key, inner in value.items()}
            case list() | tuple():
                return [self.hide_all(inner) for inner in value]
            case _:
                return value

    def observation(self, seen: Observation) -> Observation:
        """What an agent saw, without the values."""
        if not self.values_by_id:
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
        if not self.values_by_id:
            return planned
        return replace(
            planned,
            current=hidden(planned.current, self.values_by_id),
            proposed=hidden(planned.proposed, self.values_by_id),
            message=hidden(planned.message, self.values_by_id),
        )

    def measurement(self, measured: Measurement) -> Measurement:
        """What a provider answered, without the values."""
        if not self.values_by_id:
            return measured
        return replace(measured, message=self.hide(measured.message), result=self.hide_all(measured.result))


class Opener:
    """Opens documents for those who get values. One for a process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def open(self, workspace_id: str, document: Any) -> Opened:
        """A stored document with its values.

        Fails: `KeyMissing` when a value cannot be opened with our keys.
        Costs: nothing for a document without secrets.
        """
        wanted = set(ids_in(document))
        if not wanted:
            return Opened(document)
        async with self._store.read() as conn:
            values = await self._store.secrets.open(conn, workspace_id, wanted)
        return Opened(filled(document, values), values)
