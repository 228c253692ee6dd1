"""How does a round write down what it decided, once, and only when it changed?

One verdict tree per kind of move, environment, version and policy set; a short row per target. A tree whose content is
that of the stored one keeps its id, so that asking again writes nothing. `now` and the generation are not content.

Source: core.md section 6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import orjson

from interlock.decide.facts import Facts
from interlock.decide.plan import Decision, TargetDecision
from interlock.decide.verdict import Judged, earliest, instant, verdict_json, worst
from interlock.model.ids import derived_id


def content_digest(content: object) -> str:
    """SHA-256 over sorted JSON: tells whether content changed. Compared here only, it need not be canonical."""
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


class Content:
    """What the rows of many targets say. It keeps its verdicts alive, so that their identity may stand for them."""

    __slots__ = ("_decision_ids", "_judged", "_kind", "_outcome", "_verdicts", "_version_id", "digest", "wake_at")

    def __init__(
        self,
        outcome: str,
        kind: str | None,
        version_id: str | None,
        judged: tuple[Judged, ...],
        decision_ids: tuple[str, ...],
    ) -> None:
        self._outcome, self._kind, self._version_id = outcome, kind, version_id
        self._judged, self._decision_ids = judged, decision_ids
        self._verdicts: tuple[Mapping[str, object], ...] = tuple(map(verdict_json, judged))
        self.digest = content_digest([outcome, kind, version_id, self._verdicts, decision_ids])
        self.wake_at = earliest(one.verdict.changes_at for one in judged)

    def of(self, target_id: str) -> TargetDecision:
        """The row of one target."""
        return TargetDecision(
            target_id,
            self._kind,
            self._version_id,
            self._outcome,
            self._verdicts,
            self._decision_ids,
            self.digest,
            self.wake_at,
        )


class Recorder:
    """The decisions of one round."""

    def __init__(self, facts: Facts, now: datetime) -> None:
        self._facts = facts
        self._now = now
        self._by_subject: dict[str, Decision] = {}
        self._rows: list[TargetDecision] = []
        self._contents: dict[tuple[object, ...], Content] = {}
        self.instants: set[datetime] = set()

    def decide(
        self, *, kind: str, environment_id: str, version_id: str, policy_set: str | None, judged: Sequence[Judged]
    ) -> Decision:
        """The decision on one subject, which is asked for once a round."""
        subject = f"{kind}:{environment_id}:{version_id}:{policy_set or ''}"
        verdicts = tuple(verdict_json(one) for one in judged)
        outcome = worst(judged).value
        digest = content_digest([outcome, verdicts])
        known = self._facts.decided_by_subject.get(subject)
        if known is not None and known.digest == digest:
            decision_id = known.id
        else:
            decision_id = derived_id("decision", self._facts.deployment_id, subject, digest, instant(self._now))
        decision = Decision(
            id=decision_id,
            subject=subject,
            kind=kind,
            environment_id=environment_id,
            version_id=version_id,
            outcome=outcome,
            verdicts=verdicts,
            digest=digest,
            valid_until=earliest(one.verdict.changes_at for one in judged if not one.observed),
        )
        self._by_subject[subject] = decision
        self.wake(one.verdict.changes_at for one in judged)
        return decision

    def wake(self, instants: Iterable[datetime | None]) -> None:
        """Instants at which something may change by time alone."""
        self.instants.update(one for one in instants if one is not None and one > self._now)

    def content(
        self,
        outcome: str,
        *,
        kind: str | None = None,
        version_id: str | None = None,
        judged: tuple[Judged, ...] = (),
        decisions: tuple[Decision, ...] = (),
    ) -> Content:
        """What rows may say; the same verdicts and trees give the same content."""
        key = (outcome, kind, version_id, tuple(map(id, judged)), tuple(one.id for one in decisions))
        found = self._contents.get(key)
        if found is None:
            found = self._contents[key] = Content(outcome, kind, version_id, judged, key[4])
            self.wake((found.wake_at,))
        return found

    def row(self, target_id: str, content: Content) -> None:
        """Write a target's short row, if its content changed."""
        known = self._facts.decided_by_target.get(target_id)
        if known is None or known.digest != content.digest:
            self._rows.append(content.of(target_id))

    def decisions(self) -> tuple[Decision, ...]:
        """The trees that must be written: new ones, and those whose content changed."""
        known = self._facts.decided_by_subject
        return tuple(
            decision
            for subject, decision in sorted(self._by_subject.items())
            if subject not in known or known[subject].id != decision.id
        )

    def rows(self) -> tuple[TargetDecision, ...]:
        """The targets' rows that must be written."""
        return tuple(self._rows)

    def next_wake(self) -> datetime | None:
        """The first instant at which time alone may change an answer."""
        return min(self.instants, default=None)
