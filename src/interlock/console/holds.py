"""What holds, since when, until when, and who can act? Stored verdicts as the pages show them.

The sentences are `decide/explain.py`'s. A page shows the instants and the people beside the sentence, so they are
left out of it here.

Source: STYLE.md rule 16; core.md section 4, "Verdicts".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from interlock.decide.explain import sentence, title
from interlock.store.target_states import StoredDecision

Verdict = Mapping[str, Any]

_BESIDE = ("who", "changesAt", "observed")
_STAGES = {"eligibility": 0, "readiness": 1, "judgement": 2}


RED = frozenset({"rollout_halted", "rollout_taken_back", "rollout_disproved", "rejected", "rollback_escalated"})
"""Reasons that tell of something that went wrong."""


@dataclass(frozen=True, slots=True)
class Told:
    """A verdict for people. `mark` names its icon and colour; `verification` is the one that it waits for, by id."""

    title: str
    sentence: str
    reason: str
    mark: str
    since: datetime | None
    until: datetime | None
    who: str | None
    observed: bool
    verification: str | None = None


@dataclass(slots=True)
class Hold:
    """The same hold of one or more targets on their way to a version. `since`: the first of them is held since then."""

    told: Told
    tag: str | None
    since: datetime | None
    targets: list[str] = field(default_factory=list)


def told(verdict: Verdict) -> Told:
    """One verdict for people."""
    plain = {key: value for key, value in verdict.items() if key not in _BESIDE}
    text = sentence({**plain, "outcome": "pass"})
    until = _instant(verdict.get("changesAt"))
    return Told(
        title=title(verdict),
        sentence=text,
        reason=str(verdict.get("reason")),
        mark=mark_of(verdict),
        since=_instant(verdict.get("since")),
        until=None if verdict.get("reason") == "frozen" or str(verdict.get("changesAt")) in text else until,
        who=str(verdict["who"]) if verdict.get("who") else None,
        observed=bool(verdict.get("observed")),
        verification=str(verdict["verification"]) if verdict.get("verification") else None,
    )


def mark_of(verdict: Verdict) -> str:
    """Which mark a verdict gets: by what it waits for."""
    if verdict.get("outcome") == "pass":
        return "pass"
    if verdict.get("outcome") == "unknown":
        return "unknown"
    if verdict.get("reason") == "frozen":
        return "frozen"
    if verdict.get("reason") in RED:
        return "halted"
    return {"person": "person", "deny": "deny", "incomplete": "unknown"}.get(str(verdict.get("waitsFor")), "wait")


def holding(
    verdicts: Sequence[Verdict], decision_ids: Sequence[str], decisions: Mapping[str, StoredDecision]
) -> list[Verdict]:
    """What stands in a target's way: its own verdicts, then those it shares, each in the order of the stages."""
    shared = [verdict for each in decision_ids if each in decisions for verdict in decisions[each].verdicts]
    bars = [verdict for verdict in (*verdicts, *_staged(shared)) if _bars(verdict)]
    return [each for number, each in enumerate(bars) if each not in bars[:number]]


ASKS_A_PERSON = "approval_missing"
"""The reason for which there is a request that a person can answer."""


def first_hold(
    verdicts: Sequence[Verdict], decision_ids: Sequence[str], decisions: Mapping[str, StoredDecision]
) -> Told | None:
    """The first thing that holds; None when nothing does."""
    for verdict in holding(verdicts, decision_ids, decisions):
        return told(verdict)
    return None


def gathered(found: Iterable[tuple[str, str | None, datetime | None, Verdict]]) -> list[Hold]:
    """Holds of many targets, each kind of hold once.

    Takes: (target's name, tag it would go to, since when it is held, verdict).
    Gives: in the order they were found. Holds that differ only in numbers of one target (its place in a rollout) count
           as one, told for the target that goes first.
    """
    holds: dict[tuple[object, ...], Hold] = {}
    for name, tag, held_since, verdict in found:
        key = (tag, verdict.get("rule"), verdict.get("reason"), verdict.get("ruleId"), verdict.get("waitsFor"))
        told_now = told(verdict)
        since = told_now.since or held_since
        hold = holds.setdefault(key, Hold(told_now, tag, since))
        if told_now.until and hold.told.until and told_now.until < hold.told.until:
            hold.told = told_now
        hold.since = min(filter(None, (hold.since, since)), default=None)
        if name not in hold.targets:
            hold.targets.append(name)
    return list(holds.values())


def _bars(verdict: Verdict) -> bool:
    return verdict.get("outcome") != "pass" and not verdict.get("observed")


def _staged(verdicts: Sequence[Verdict]) -> list[Verdict]:
    return sorted(verdicts, key=lambda each: _STAGES.get(str(each.get("stage")), 1))


def _instant(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
