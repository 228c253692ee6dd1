"""What can a rule answer, and what does it owe the people who wait?

A verdict is `pass`, `hold` or `unknown`. A hold says what it waits for: `wait` (an instant or a fact), `person`, `deny`
(only a change of the request or of the rule helps) or `incomplete` (something required is missing). `unknown` is
honest: it moves nothing but a rollback.

Reasons are codes with values, never sentences: `explain.py` makes the sentences, the same for API, console and CLI.
Values hold instants as RFC 3339 text, so that a stored verdict is plain JSON.

Source: core.md section 4, "Verdicts"; STYLE.md rules 6 and 16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum


class Outcome(StrEnum):
    """What a verdict does to a move."""

    PASS = "pass"
    HOLD = "hold"
    UNKNOWN = "unknown"


class WaitsFor(StrEnum):
    """What would lift a hold."""

    WAIT = "wait"
    PERSON = "person"
    DENY = "deny"
    INCOMPLETE = "incomplete"


class Stage(StrEnum):
    """Gates are asked in this order; a person is asked only when nothing before judgement holds."""

    ELIGIBILITY = "eligibility"
    READINESS = "readiness"
    JUDGEMENT = "judgement"


STAGES = (Stage.ELIGIBILITY, Stage.READINESS, Stage.JUDGEMENT)


@dataclass(frozen=True, slots=True)
class Obligation:
    """What a verdict obliges to: approvals (joined by max), paceCap (by min), evidence (by union).

    `kind` is `approvals`, `paceCap` or `evidence`; `values` say how many, which fraction, which kind.
    """

    kind: str
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's answer for one subject.

    Takes: `since` is the instant from which it has held or passed, where stored facts tell it. `changes_at` is the
           first instant at which time alone may change it. `waits_on` names facts (`approval:<version>:<environment>`),
           for people and for the laws. `who` names who can act.
    """

    outcome: Outcome
    reason: str
    values: Mapping[str, object] = field(default_factory=dict)
    waits_for: WaitsFor | None = None
    since: datetime | None = None
    changes_at: datetime | None = None
    waits_on: tuple[str, ...] = ()
    who: str | None = None
    obligations: tuple[Obligation, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether it lets the move start."""
        return self.outcome is Outcome.PASS

    @property
    def asks(self) -> bool:
        """Whether it holds for nothing but people's approvals, which somebody is then asked for."""
        return self.waits_for is WaitsFor.PERSON and any(one.kind == "approvals" for one in self.obligations)


def passes(
    reason: str,
    *,
    since: datetime | None = None,
    changes_at: datetime | None = None,
    obligations: tuple[Obligation, ...] = (),
    **values: object,
) -> Verdict:
    """A pass, with what it rests on."""
    return Verdict(Outcome.PASS, reason, plain(values), since=since, changes_at=changes_at, obligations=obligations)


def holds(
    waits_for: WaitsFor,
    reason: str,
    *,
    since: datetime | None = None,
    changes_at: datetime | None = None,
    waits_on: tuple[str, ...] = (),
    who: str | None = None,
    obligations: tuple[Obligation, ...] = (),
    **values: object,
) -> Verdict:
    """A hold: what it waits for, since when, until when, who can act."""
    return Verdict(
        Outcome.HOLD,
        reason,
        plain(values),
        waits_for=waits_for,
        since=since,
        changes_at=changes_at,
        waits_on=waits_on,
        who=who,
        obligations=obligations,
    )


def unknown(reason: str, *, waits_on: tuple[str, ...] = (), **values: object) -> Verdict:
    """We could not tell. Moves nothing but a rollback."""
    return Verdict(Outcome.UNKNOWN, reason, plain(values), waits_on=waits_on)


def guarded(evaluate: Callable[..., Verdict], *asked: object) -> Verdict:
    """A rule's verdict; `unknown` with the error when it raises: an error never opens a gate."""
    try:
        return evaluate(*asked)
    except Exception as error:  # noqa: BLE001 - whatever a rule does wrong must hold, and say so
        return unknown("rule_error", error=f"{type(error).__name__}: {error}")


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict and the rule that gave it, or the rules where they are judged together.

    `observed` verdicts are recorded and shown, and start or stop nothing.
    """

    kind: str
    verdict: Verdict
    stage: Stage = Stage.ELIGIBILITY
    rule_ids: tuple[str, ...] = ()
    policy_id: str = ""
    policy_name: str = ""
    observed: bool = False

    @property
    def bars(self) -> bool:
        """Whether it keeps the move from starting."""
        return not self.observed and not self.verdict.passes


def skipped(
    judged: Judged, *, reason: str, skip_id: str, expires_at: datetime | None, by: str, since: datetime
) -> Judged:
    """The same rule, passed by a skip: what it would have said stays readable."""
    own = judged.verdict
    changes_at = earliest((expires_at, own.changes_at))
    verdict = passes(
        "skipped",
        since=since,
        changes_at=changes_at,
        skip=skip_id,
        why=reason,
        by=by or None,
        until_at=expires_at,
        instead_of=own.reason,
    )
    return replace(judged, verdict=verdict)


def worst(judged: Iterable[Judged]) -> Outcome:
    """unknown over hold over pass, over those that are enforced."""
    outcomes = {one.verdict.outcome for one in judged if not one.observed}
    if Outcome.UNKNOWN in outcomes:
        return Outcome.UNKNOWN
    return Outcome.HOLD if Outcome.HOLD in outcomes else Outcome.PASS


def earliest(instants: Iterable[datetime | None]) -> datetime | None:
    """The first of the instants that are there; None when none is."""
    return min((instant for instant in instants if instant is not None), default=None)


def instant(at: datetime) -> str:
    """RFC 3339 in UTC, as it stands in stored verdicts."""
    return (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat()[:-6] + "Z"


def plain(values: Mapping[str, object]) -> dict[str, object]:
    """The values as plain JSON: instants as text, tuples as lists, None left out."""
    return {key: _plain(value) for key, value in values.items() if value is not None}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, tuple | list | frozenset):
        return [_plain(item) for item in value]
    return value


def verdict_json(judged: Judged) -> dict[str, object]:
    """A judged verdict as it is stored, digested and explained. Absent fields are left out."""
    verdict = judged.verdict
    body: dict[str, object] = {
        "rule": judged.kind,
        "outcome": str(verdict.outcome),
        "reason": verdict.reason,
        "values": dict(verdict.values),
        "stage": str(judged.stage),
    }
    if judged.rule_ids:
        body["ruleId"] = ",".join(judged.rule_ids)
    if judged.policy_id:
        body["policyId"] = judged.policy_id
    if judged.policy_name:
        body["policy"] = judged.policy_name
    if judged.observed:
        body["observed"] = True
    if verdict.waits_for is not None:
        body["waitsFor"] = str(verdict.waits_for)
    if verdict.since is not None:
        body["since"] = instant(verdict.since)
    if verdict.changes_at is not None:
        body["changesAt"] = instant(verdict.changes_at)
    if verdict.waits_on:
        body["waitsOn"] = list(verdict.waits_on)
    if verdict.who is not None:
        body["who"] = verdict.who
    if verdict.obligations:
        body["obligations"] = [{"kind": one.kind, **one.values} for one in verdict.obligations]
    return body
