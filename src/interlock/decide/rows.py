"""What does each target's row say? Where it goes, the first thing that holds it, or what became of it.

One short row a target, next to the shared decisions: it is what the console, `interlock explain` and the API show
first. A target that goes nowhere says why when something happened to it: that a version failed here, that a rollback
failed too, that its config is in quarantine, and who can act.

Source: core.md section 6; STYLE.md rule 16.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from interlock.decide.candidates import Candidates
from interlock.decide.facts import Move, Target
from interlock.decide.gates import Asked, Asking, Confirming
from interlock.decide.index import Index
from interlock.decide.plan import Plan
from interlock.decide.record import Content, Recorder
from interlock.decide.verdict import Judged, Outcome, Stage, WaitsFor, holds, worst

REASONS = {
    "round_full": "The round started {moves_max} moves already; the next one follows at once.",
    "quarantined": "{version} failed here or was taken back, and is in quarantine for this target.",
    "config_quarantined": "Its new config failed here or was taken back, and is in quarantine for this target.",
    "config_attempts_used": "Its new config was tried here and is not taken again by itself.",
    "attempts_used": "{version} was tried here and is not taken again by itself; nothing newer is admitted.",
    "not_proven": "What it runs, {version}, is not proven here.",
}


class Rows:
    """Writes the rows of one round."""

    def __init__(self, index: Index, recorder: Recorder, candidates: Candidates) -> None:
        self.index = index
        self.recorder = recorder
        self.candidates = candidates

    def write(
        self,
        asked: Asked,
        plan: Plan,
        *,
        paced: Mapping[str, tuple[Judged, ...]],
        left_over: Container[str],
        moves_max: int,
    ) -> None:
        """Hand every target's row to the recorder, which keeps those that changed.

        Takes: `paced` are the targets that wait for their place or a slot, with what they wait for; `left_over` those
               that would have started, but for `moves_max`.
        """
        starting = {move.target_id: move for move in plan.moves}
        ending = {end.move_id for end in plan.ends}
        full = Judged("round", holds(WaitsFor.WAIT, "round_full", moves_max=moves_max), Stage.READINESS)
        words: dict[str, Judged] = {}
        said: dict[tuple[object, ...], Content] = {}
        for target_id, asking in asked.by_target.items():
            move = starting.get(target_id)
            if move is None and asking.move is not None and asking.move.id not in ending:
                move = asking.move
            if asking.choice is None and not asking.held and move is None:
                judged = self._settled(asking.target, words)
                self.recorder.row(target_id, self.recorder.content("settled", judged=judged))
                continue
            place = (full,) if target_id in left_over else paced.get(target_id, ())
            kind, version_id = (move.kind, move.version_id) if move is not None else (None, None)
            key = (id(asking.choice), id(asking.held), *map(id, place), kind, version_id)
            content = said.get(key)
            if content is None:
                content = said[key] = self._said(asking, move, place)
            self.recorder.row(target_id, content)
        for target_id, one in asked.confirming.items():
            self.recorder.row(target_id, self._waits(one, paced.get(target_id, ())))
        for target, occupying, beside in asked.occupied:
            judged = (*beside, *self._pinned(target))
            content = self.recorder.content(
                "moving", kind=occupying.kind, version_id=occupying.version_id, judged=judged
            )
            self.recorder.row(target.id, content)

    def _waits(self, one: Confirming, place: tuple[Judged, ...]) -> Content:
        """What the row of a target says whose run waits to be confirmed: what holds it, as before a move."""
        answer = one.held or one.choice
        own = (*place, *one.judged, *(answer.judged if answer is not None else ()), *self._pinned(one.target))
        decisions = (answer.decision,) if answer is not None else ()
        outcome = "moving"
        if one.discard is None and (one.held is not None or place):
            told = (*(each.outcome for each in decisions), *(str(each.verdict.outcome) for each in own if each.bars))
            outcome = "unknown" if "unknown" in told else "hold"
        return self.recorder.content(
            outcome, kind=one.move.kind, version_id=one.move.version_id, judged=own, decisions=decisions
        )

    def _said(self, asking: Asking, move: Move | None, place: tuple[Judged, ...]) -> Content:
        """What a target's row says: where it goes, what holds it, and the trees that this rests on."""
        choice = asking.choice
        held = tuple(one.decision for one in asking.held)
        own = (*place, *(judged for one in asking.held for judged in one.judged))
        if choice is not None:
            own = (*own, *choice.judged)
            held = (choice.decision, *held)
        if move is not None:
            return self.recorder.content(
                "moving", kind=move.kind, version_id=move.version_id, judged=own, decisions=held
            )
        goes = choice or asking.held[0]
        unknown = worst(place) is Outcome.UNKNOWN
        unknown |= choice is None and (any(one.outcome == "unknown" for one in held) or worst(own) is Outcome.UNKNOWN)
        return self.recorder.content(
            "unknown" if unknown else "hold",
            kind=goes.kind,
            version_id=goes.version.id,
            judged=own,
            decisions=held,
        )

    def _settled(self, target: Target, shared: dict[str, Judged]) -> tuple[Judged, ...]:
        """What there is to say about a target that goes nowhere: what happened to it, and who can act."""
        pinned = self._pinned(target)
        said = self._outcome_of(target)
        if said is None:
            return pinned
        reason, who, tag = said
        key = f"{reason}:{tag}"
        if key not in shared:
            shared[key] = Judged("outcome", holds(WaitsFor.PERSON, reason, who=who, version=tag), Stage.READINESS)
        return (shared[key], *pinned)

    def _pinned(self, target: Target) -> tuple[Judged, ...]:
        """Who pinned it, why and until when; empty where nobody did."""
        pin = self.candidates.pin_of(target)
        return () if pin is None else (self.candidates.said_of(pin),)

    def _outcome_of(self, target: Target) -> tuple[str, str, str] | None:
        """Reason, who can act and the version it is about; None where all is well."""
        index, current, good, mark = self.index, target.current, target.good, target.mark
        quarantines = index.quarantines_by_target.get(target.id, ())
        anybody = "a newer version, a redeploy or a person"
        clears = "a newer version; or an operator may clear the quarantine"
        pin = self.candidates.pin_of(target)
        if pin is not None and (current is None or current.version_id != pin.version_id):
            return "attempts_used", "a new pin, or a redeploy", self._tag(pin.version_id)
        if current is not None and (good is None or good.id != current.id):
            bad = any(one.version_id == current.version_id for one in quarantines)
            bad = bad or any(one.config_digest == current.config_digest for one in quarantines)
            reason = ("rollback_escalated" if good else "no_good_release") if bad else "not_proven"
            return reason, anybody, self._tag(current.version_id)
        if pin is None and mark is not None and (current is None or index.is_newer(mark, current.version_id)):
            if any(one.version_id == mark for one in quarantines):
                return "quarantined", clears, self._tag(mark)
            return "attempts_used", anybody, self._tag(mark)
        if current is not None and target.config_digest not in {None, current.config_digest}:
            if (target.id, target.config_digest) in index.tried_configs:
                return "config_attempts_used", anybody, self._tag(current.version_id)
            return "config_quarantined", clears, self._tag(current.version_id)
        return None

    def _tag(self, version_id: str) -> str:
        version = self.index.version_by_id.get(version_id)
        return version.tag if version else version_id
