"""What is an approval? A person's answer to a request that shows what is about to happen.

Both are append-only. The last word of a person on a version in an environment is the one that counts; taking it back
is a word too. An answer carries the digest of what was shown, so that it counts for exactly that; the wire's call may
leave it out and is kept as "package not seen".

Source: core.md section 4, "Approval answers a request".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

VERDICTS = ("approved", "rejected", "withdrawn")
"""What a person can say. `voided` is said by a round."""

STATUSES = ("open", "approved", "rejected", "superseded")

NOT_COUNTED: Mapping[str, str] = {
    "author": "{name} made the version, and its author's yes does not count here",
    "group": "{name} is not in the group {group}, whose yes is asked for",
    "ranOut": "the yes of {name} ran out",
}
"""Why a yes does not count, and how that is told."""


@dataclass(frozen=True, slots=True)
class Approval:
    """One answer."""

    id: str
    request_id: str | None
    version_id: str
    environment_id: str
    principal_id: str
    principal: str
    verdict: str
    comment: str | None
    shown_digest: str | None
    given_at: datetime


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A request, the latest word of each person on it, and where it stands.

    Takes: `status` is open, approved (enough people said yes), rejected (somebody says no) or superseded (a newer
           request stands for the same deployment and environment, or the version is no longer ready). `words` are
           `{principalId, name, verdict, comment, shownDigest, givenAt, notCounted}`, oldest first; `notCounted` says
           of a yes why it is none here (a key of `NOT_COUNTED`), and is None else. `group`: only its members' yes
           counts; `lasts_s`: a yes counts so long; `config_digests`: the resolved configs that are asked about,
           None for the version itself.
    """

    id: str
    deployment_id: str
    deployment: str
    environment_id: str
    environment: str
    version_id: str
    tag: str
    version: str
    change_id: str
    minimum: int
    group: str | None
    authors_excluded: bool
    lasts_s: float | None
    config_digests: Sequence[str] | None
    why: str
    shown: Mapping[str, Any]
    shown_digest: str
    opened_at: datetime
    words: Sequence[Mapping[str, Any]]
    status: str

    @property
    def given(self) -> int:
        """How many yeses count."""
        return sum(1 for word in self.words if word["verdict"] == "approved" and word.get("notCounted") is None)

    def why_not_counted(self, word: Mapping[str, Any]) -> str | None:
        """Why a yes does not count; None for one that does, and for what is no yes."""
        why = word.get("notCounted")
        return NOT_COUNTED[why].format(name=word["name"], group=self.group) if why else None
