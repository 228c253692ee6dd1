"""What is a freeze? A person's word that nothing may start in a scope, until an instant or until somebody thaws it.

Source: core.md sections 2 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

SCOPES = ("workspace", "system", "environment", "deployment")


@dataclass(frozen=True, slots=True)
class Freeze:
    """A freeze. `scope_id` is None for the workspace; `selector` narrows it to the targets that it matches."""

    id: str
    scope_kind: str
    scope_id: str | None
    selector: str | None
    reason: str
    incident_url: str | None
    created_by: str | None
    created_at: datetime
    expires_at: datetime | None
    thawed_at: datetime | None
    thawed_by: str | None
    thaw_reason: str | None
    in_force: bool
