"""What is promised, and where do the error budgets stand? Objectives (SLOs) and what was read of them. All ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from interlock.client.calls import Wire
from interlock.client.reach import Reach

if TYPE_CHECKING:
    from interlock.client.shapes import Slo, SloReadings


class Slos(Reach):
    """Objectives."""

    def list_slos(self, *, deployment: str | None = None, items_max: int | None = None) -> Iterator[Slo]:
        """Objectives by name; those that cover one deployment, by id or name."""
        return self._list("slos", query={"deploymentId": deployment}, items_max=items_max)

    def get_slo(self, slo: str) -> Slo:
        """An objective, by id or name, with where its error budget stands."""
        return cast("Slo", self._get("slos", slo))

    def create_slo(self, body: Wire) -> Slo:
        """Create an objective. It is read at once."""
        return cast("Slo", self._write("POST", "slos", body=body))

    def put_slo(self, slo_id: str, body: Wire) -> Slo:
        """Replace an objective by id."""
        return cast("Slo", self._write("PUT", "slos", slo_id, body=body))

    def delete_slo(self, slo: str) -> Slo:
        """End an objective, with what was read of it."""
        return cast("Slo", self._delete("slos", slo))

    def list_slo_readings(
        self, slo: str, *, since: str | None = None, until: str | None = None, points: int | None = None
    ) -> SloReadings:
        """What was read of an objective, oldest first: by default of the last day, at most 500 readings."""
        query = {"since": since, "until": until, "points": points}
        return cast("SloReadings", self._get("slos", slo, "readings", query=query))
