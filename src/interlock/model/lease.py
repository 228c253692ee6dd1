"""For how long does whoever claimed a job have it, and what becomes of the job when it falls silent?

A *lease* ends by itself unless whoever has the job says in time that it lives: a *heartbeat*. Each claim is an attempt
of its own, with a number, the *fence*: what an attempt says whose lease has ended is refused.

A job has a lease when its agent's config says `leaseSeconds`, or when the claim asks for one. Without, whoever claimed
it has it until it says how it ended, as programs expect that know of no heartbeat.

Source: core.md section 5; decision record 0040.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.model.errors import FieldError

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
    wrong = {error.path for error in wrong_lease_keys(config)}
    told = {key: config.get(key) for key in LEASE_KEYS if f"config.{key}" not in wrong}
    lease_s, attempts = told.get("leaseSeconds"), told.get("attemptsMax")
    return LeaseTerms(
        float(str(lease_s)) if lease_s is not None else None,
        str(told.get("onLeaseEnd") or FAIL),
        int(str(attempts)) if attempts is not None else ATTEMPTS_DEFAULT,
    )


LEASE_KEYS = ("attemptsMax", "leaseSeconds", "onLeaseEnd")


def wrong_lease_keys(config: Mapping[str, object]) -> list[FieldError]:
    """What is wrong with the keys of a config that say how its jobs are leased."""
    wrong = []
    lease_s, on_end, attempts = (config.get(key) for key in ("leaseSeconds", "onLeaseEnd", "attemptsMax"))
    if lease_s is not None and not _within(lease_s, LEASE_MIN_S, LEASE_MAX_S):
        wrong.append(FieldError("config.leaseSeconds", f"Must be from {LEASE_MIN_S:g} to {LEASE_MAX_S:g} seconds."))
    if on_end is not None and on_end not in (OFFER, FAIL):
        wrong.append(FieldError("config.onLeaseEnd", f"Must be {OFFER} or {FAIL}."))
    if attempts is not None and not (isinstance(attempts, int) and _within(attempts, 1, ATTEMPTS_MAX)):
        wrong.append(FieldError("config.attemptsMax", f"Must be a whole number from 1 to {ATTEMPTS_MAX}."))
    return wrong


def _within(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
