"""What is an incident? Something outside that burns: who says so, how bad it is, what it is about, and until when.

An incident is known by its source and the id that it has there, so that the same one told twice is one. It always has
an end: a source that falls silent holds nobody for ever. Whether it *gates* is its own: `critical` ones do unless
somebody says otherwise.

An alert that says nothing of how bad it is counts as critical: what is not known is never taken for harmless.

Source: issue "Error budgets and signals"; core.md section 2; requirements R003-28, R003-57.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

SEVERITIES = ("critical", "warning", "info")

GATING = frozenset({"critical"})
"""The severities that gate where nothing else is said."""

LASTS = timedelta(hours=12)
"""How long one is open when its source says nothing: longer than the 4 h after which Alertmanager repeats itself."""

LASTS_MAX = timedelta(days=30)

DEPLOYMENTS_MAX = 50
ENVIRONMENTS_MAX = 50
LINKS_MAX = 20
LABELS_MAX = 64
TITLE_MAX = 255
NAME_MAX = 255
VALUE_MAX = 500
"""What is longer is cut: whoever sends alerts gives up on a refusal, and then the incident would be missing."""

WORDS: Mapping[str, str] = {
    **dict.fromkeys(
        ("critical", "page", "fatal", "emergency", "disaster", "blocker", "urgent", "sev0", "sev1", "p0", "p1"),
        "critical",
    ),
    **dict.fromkeys(("warning", "warn", "error", "high", "major", "average", "sev2", "p2"), "warning"),
    **dict.fromkeys(
        (
            *("info", "informational", "notice", "none", "ok", "debug", "low", "minor", "ticket"),
            *("sev3", "sev4", "sev5", "p3", "p4", "p5"),
        ),
        "info",
    ),
}
"""What sources call a severity -> which of ours it is. What stands here neither is critical."""


def read_severity(text: str | None) -> str:
    """Which severity a source means; critical where it says nothing that is known."""
    return WORDS.get(re.sub(r"[\s_-]", "", text or "").lower(), "critical")


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident as it is stored.

    Takes: `unmatched` are names of deployments and environments that are not there. `environment_ids` are
           where it bites; None: everywhere. `started_at` and `ended_at` are by the source's clock, the other instants
           are ours.
    """

    id: str
    source: str
    external_id: str
    title: str
    severity: str
    gates: bool
    links: Mapping[str, str]
    labels: Mapping[str, str]
    unmatched: Sequence[str]
    environment_ids: Sequence[str] | None
    started_at: datetime
    opened_at: datetime
    renewed_at: datetime
    expires_at: datetime
    expired_at: datetime | None
    resolved_at: datetime | None
    ended_at: datetime | None
    resolved_by: str | None
    resolve_reason: str | None
    reported_by: str | None
    is_open: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What a source says of one incident now.

    Takes: `deployment_ids` are those that it is about, as far as they are there. `started_at` None: when it is first
           heard of. `resolved`: it is over, `ended_at` says when.
    """

    source: str
    external_id: str
    title: str
    severity: str
    gates: bool
    expires_at: datetime
    started_at: datetime | None = None
    resolved: bool = False
    ended_at: datetime | None = None
    deployment_ids: frozenset[str] = frozenset()
    environment_ids: frozenset[str] | None = None
    unmatched: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def bites(self) -> bool:
        """Whether it holds anything while it is open."""
        return self.gates and bool(self.deployment_ids) and self.environment_ids != frozenset()
