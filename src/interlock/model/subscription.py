"""Who is told what happens, and how far is the telling? A subscription, and the deliveries that come of it.

A subscription says which entries of the ledger are told (kinds by name or by prefix, a CEL filter, a scope, the group
that a request asks) and by which channel: a signed webhook, a chat's incoming webhook, or e-mail. A delivery is one
entry for one subscription. It is tried in the feed's order until the receiver takes it or the tries are used up:

    pending -> delivered                 taken
            -> parked                    given up; a person may have it sent again
            -> skipped                   not wanted any more (the request was answered meanwhile), or nobody to tell

How long is waited after which failure is a table, the same for everybody, spread by chance so that receivers that
failed together are not called together.

Source: Standard Webhooks specification 1.0, "Deliverability and reliability"; glossary "subscription", "delivery".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from interlock.model.errors import Invalid
from interlock.model.event import KINDS

CHANNELS = ("webhook", "slack", "email")

DEFAULT_KINDS = (
    "approval.requested",
    "job.asked",
    "job.overdue",
    "rollout.halted",
    "rollback.started",
    "rollback.escalated",
    "verification.failed",
    "verification.inconclusive",
    "freeze.set",
    "freeze.thawed",
)
"""What is told where nothing else is asked for: what needs a person, or explains why nothing moves."""

WAITS_S = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 21_600, 28_800, 36_000)
"""After the first failure 5 s, and so on: the last try is about 32 h after the first."""

ATTEMPTS_MAX = len(WAITS_S) + 1
REFUSALS_MAX = 3
"""A receiver that answers and does not want an event is asked so often: it would hold up all that come after."""

WAIT_MAX_S = 3_600
"""The longest that a receiver may ask us to wait (Retry-After)."""

KINDS_MAX = 100
ADDRESSES_MAX = 50
APPROVERS = "approvers"
GROUP_PREFIX = "group:"


@dataclass(frozen=True, slots=True)
class Subscription:
    """What is told to whom.

    Takes: `kinds` are kinds, prefixes (`rollout.*`) or `*`. `to` are e-mail addresses, `group:<name>`, or `approvers`:
           whoever the request's rule asks. `group`: of requests for approval only those that ask this group.
           `templates` are texts by kind or prefix in place of ours. `remind_after_s`: a request that is open so long
           is told once more. `state` is active, paused or disabled. `cursor_seq` is the place in the feed up to which
           deliveries were made. `failing_since` is the first failure since the last success.
    """

    id: str
    workspace_id: str
    name: str
    channel: str
    url: str | None
    to: Sequence[str]
    kinds: Sequence[str]
    filter: str
    scope_kind: str
    scope_id: str | None
    group: str | None
    templates: Mapping[str, str]
    remind_after_s: float | None
    state: str
    state_reason: str
    state_at: datetime
    secret_id: str | None
    old_secret_id: str | None
    old_secret_until: datetime | None
    url_id: str | None
    cursor_seq: int
    failing_since: datetime | None
    last_delivered_at: datetime | None
    revision: int
    created_by: str | None
    created_at: datetime
    updated_at: datetime
    pending: int
    parked: int
    next_try_at: datetime | None
    last_error: str | None

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""
        return self.failing_since is not None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One entry on its way to one subscription.

    Takes: `purpose` is event, reminder or test. `seq` and `event_id` are the entry's; a test has none. `last_status`
           is the answer's status code, None where there was no answer.
    """

    id: str
    subscription_id: str
    purpose: str
    seq: int | None
    event_id: str | None
    kind: str
    state: str
    attempts: int
    created_at: datetime
    next_try_at: datetime | None
    last_try_at: datetime | None
    last_status: int | None
    last_error: str | None
    last_ms: int | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one try ended.

    Takes: `outcome` is delivered, skipped, failed (it may work later), refused (the receiver answered no) or gone
           (never ask again). `retry_after_s` is what the receiver asked for.
    """

    outcome: str
    status: int | None = None
    error: str = ""
    took_ms: int | None = None
    retry_after_s: float | None = None


def covers_kind(wanted: Sequence[str], kind: str) -> bool:
    """Whether one of these kinds, prefixes or `*` means this kind."""
    return any(each in {"*", kind} or (each.endswith(".*") and kind.startswith(each[:-1])) for each in wanted)


def is_kind(text: str) -> bool:
    """Whether a text is a kind, a prefix of one or `*`."""
    return any(covers_kind([text], kind) for kind in KINDS)


def kinds_covered(wanted: Sequence[str]) -> tuple[str, ...]:
    """Every kind of the catalogue that is meant."""
    return tuple(kind for kind in KINDS if covers_kind(wanted, kind))


def checked_kinds(wanted: Sequence[str]) -> tuple[str, ...]:
    """Kinds as they are stored.

    Fails: `Invalid` for none, too many, and a word that no event has or begins with.
    """
    if not wanted:
        raise Invalid("Say which kinds of events are told, as in `rollout.halted`, `approval.*` or `*`.", field="kinds")
    if len(wanted) > KINDS_MAX:
        raise Invalid(f"At most {KINDS_MAX} kinds.", field="kinds")
    for number, each in enumerate(wanted):
        if not is_kind(each):
            raise Invalid(
                f"No event is called `{each}`. A kind is a name of the ledger's (`rollout.halted`), a prefix "
                "(`rollout.*`) or `*`.",
                field=f"kinds[{number}]",
            )
    return tuple(dict.fromkeys(wanted))


def text_for(templates: Mapping[str, str], kind: str) -> str | None:
    """The user's text for a kind: that of the kind itself, else of the longest prefix, else of `*`."""
    if kind in templates:
        return templates[kind]
    found = [each for each in templates if each == "*" or (each.endswith(".*") and kind.startswith(each[:-1]))]
    return templates[max(found, key=len)] if found else None


def wait_after(attempts: int, *, chance: float, asked_s: float | None = None) -> timedelta:
    """How long to wait after so many failures.

    Takes: `chance` from 0 to 1: a tenth more or less. `asked_s` is the receiver's own wish, an hour at most.
    """
    wait_s = WAITS_S[min(max(attempts, 1), len(WAITS_S)) - 1] * (0.9 + 0.2 * chance)
    return timedelta(seconds=max(wait_s, min(asked_s or 0.0, WAIT_MAX_S)))


def given_up(attempt: Attempt, attempts: int) -> bool:
    """Whether this was the last try, the `attempts`th."""
    return attempts >= (REFUSALS_MAX if attempt.outcome == "refused" else ATTEMPTS_MAX)


def attempt_of(status: int, *, took_ms: int, retry_after: str = "") -> Attempt:
    """What a receiver's status code means.

    Why: 2xx is a yes. 410 says never again. 408, 409, 425, 429 and 5xx may be otherwise later. A redirect is not
         followed, because where it leads was chosen by nobody here; it and every other 4xx is a no.
    """
    if 200 <= status < 300:
        return Attempt("delivered", status, took_ms=took_ms)
    if status == 410:
        return Attempt("gone", status, "The receiver says that it is gone for good (410).", took_ms)
    if status in {408, 409, 425, 429} or status >= 500:
        asked_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
        return Attempt("failed", status, f"The receiver answered {status}.", took_ms, asked_s)
    if 300 <= status < 400:
        return Attempt("refused", status, f"The receiver answered {status}: redirects are not followed.", took_ms)
    return Attempt("refused", status, f"The receiver answered {status}.", took_ms)
