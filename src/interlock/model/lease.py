"""For how long does whoever claimed a job have it, and what becomes of the job when it falls silent?

A *lease* ends by itself unless whoever has the job says in time that it lives: a *heartbeat*. Each claim is an attempt
of its own, with a number, the *fence*: what an attempt says whose lease has ended is refused.

A job has a lease when its agent's config says `leaseSeconds`, or when the claim asks for one. Without, whoever claimed
it has it until it says how it ended, as programs expect that know of no heartbeat.

Source: core.md section 5; decision record 0031.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

LEASE_MIN_S = 1.0
LEASE_MAX_S = 86_400.0
ATTEMPTS_DEFAULT = 3
ATTEMPTS_MAX = 100

OFFER, FAIL = "offer", "fail"


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """What an agent's config says of leases.

    Takes: `lease_s` None: none, unless the claim asks. `attempts_max` counts hand-overs of one job.
    """

    lease_s: float | None = None
    on_end: str = FAIL
    attempts_max: int = ATTEMPTS_DEFAULT

    def granted_s(self, asked_s: float | None) -> float | None:
        """How long the lease of a claim lasts: what it asks for, at most what the config says; None: it has none."""
        if asked_s is None:
            return self.lease_s
        return asked_s if self.lease_s is None else min(asked_s, self.lease_s)

    def offers(self, attempt: int) -> bool:
        """Whether the job is offered again after this attempt's lease."""
        return self.on_end == OFFER and attempt < self.attempts_max


def lease_terms(config: Mapping[str, object]) -> LeaseTerms:
    """The terms of a merged config. A value that is none counts as absent: it was refused when it was written."""
    lease_s, on_end, attempts = (config.get(key) for key in ("leaseSeconds", "onLeaseEnd", "attemptsMax"))
    return LeaseTerms(
        float(lease_s) if _number(lease_s) and LEASE_MIN_S <= lease_s <= LEASE_MAX_S else None,
        OFFER if on_end == OFFER else FAIL,
        int(attempts) if _number(attempts) and 1 <= attempts <= ATTEMPTS_MAX else ATTEMPTS_DEFAULT,
    )


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
