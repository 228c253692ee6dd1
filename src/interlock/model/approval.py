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
           `{principalId, name, verdict, comment, shownDigest, givenAt}`, oldest first. `group`: only its members'
           yes counts; `lasts_s`: a yes counts so long; `config_digests`: the resolved configs that are asked about,
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
