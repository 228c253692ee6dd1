"""How is a story told? Lines with an instant, who did what, and why; what holds is told once, until it changes.

The world's ledger speaks in ids, for it is a ledger; here they become names. Lines of one instant that say the same of
several targets become one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from interlock.decide.explain import SENTENCES, sentence, title
from interlock.simulate.stage import HandedOver, Stage, Telling, natural
from interlock.simulate.world import Told

INTERLOCK = "Interlock"
AGENT = "the agent"
VERIFICATION = "verification"
HOLDS = "holds"

NAMES_MAX = 8
"""So many targets are named in one line."""

_MICROSECONDS = re.compile(r"(?<=\d\d:\d\d:\d\d)\.\d+(?=Z)")


@dataclass(frozen=True, slots=True)
class Line:
    """Something that happened. `targets` are the names of those that it is about; empty for none."""

    at: datetime
    who: str
    what: str
    why: str = ""
    targets: tuple[str, ...] = ()

    def json(self) -> dict[str, Any]:
        """As `-o json` prints it."""
        body: dict[str, Any] = {"at": instant(self.at), "who": self.who, "what": self.what}
        if self.targets:
            body["targets"] = list(self.targets)
        if self.why:
            body["why"] = self.why
        return body


@dataclass(slots=True)
class Timeline:
    """The lines of a story so far."""

    stage: Stage
    lines: list[Line] = field(default_factory=list)
    _told: int = 0
    _held: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)

    def tell(self, tellings: Iterable[Telling]) -> None:
        """Lines of an act."""
        self.lines += [Line(self.stage.world.now, one.who, one.what, one.why) for one in tellings]

    def catch_up(self) -> None:
        """Tell what the ledger got since the last time."""
        ledger = self.stage.world.ledger
        found = [line for told in ledger[self._told :] if (line := self._line(told)) is not None]
        self._told = len(ledger)
        self.lines += _merged(found)

    def tell_holds(self, target_ids: Iterable[str]) -> None:
        """What holds some targets now, where that was not said since they last moved."""
        stage, grouped = self.stage, dict[tuple[str, ...], list[str]]()
        for target_id in target_ids:
            holds = stage.holds(target_id)
            if not holds:
                row = stage.rows.get(target_id)
                if row is not None and row.outcome == "moving":
                    self._held.pop(target_id, None)
                continue
            reasons = tuple(f"{one['rule']} {one['reason']}" for one in holds)
            if reasons in self._held.setdefault(target_id, set()):
                continue
            self._held[target_id].add(reasons)
            row = stage.rows[target_id]
            goes = f"{stage.tag(row.version_id)}: " if row.version_id and row.outcome != "settled" else ""
            said = tuple(dict.fromkeys(goes + _told_hold(one) for one in holds))
            grouped.setdefault(said, []).append(stage.target_name(target_id))
        for said, names in grouped.items():
            names.sort(key=natural)
            self.lines += [Line(stage.world.now, HOLDS, one, targets=tuple(names)) for one in said]

    def _line(self, told: Told) -> Line | None:
        stage = self.stage
        noun, _, verb = told.kind.partition(".")
        if noun == "rollout" and told.subject in stage.rollouts:
            return self._of_rollout(told, verb, *stage.rollouts[told.subject])
        if told.subject in stage.proofs and verb in {"passed", "failed", "inconclusive"}:
            measured, rollout_id = stage.proofs[told.subject]
            what, environment = stage.rollouts[rollout_id]
            word = "is inconclusive" if verb == "inconclusive" else verb
            return Line(told.at, VERIFICATION, f"{measured} of {what} in {environment} {word}", told.words)
        if noun == "approval":
            tag, environment = stage.requests[told.subject]
            return Line(told.at, INTERLOCK, f"asks whether {tag} may go to {environment}")
        move = stage.moves.get(
            stage.move_by_job.get(told.subject) or stage.move_by_verification.get(told.subject) or told.subject
        )
        if move is None:
            return None
        if told.kind == "job.handed_over":
            stage.handed_over.append(HandedOver(told.at, move))
        words = MOVES.get(told.kind)
        if words is None and noun == "job" and verb not in QUIET:
            words = (AGENT, f"the job ends {verb}")
        if words is None:
            return None
        who, what = words
        values = {"tag": stage.tag(move.version_id), "move": KINDS.get(move.kind, "")}
        why = told.words if noun != "move" or verb != "succeeded" else ""
        why = SENTENCES.get(why, why).split("{")[0].strip(" .:") if noun == "move" else why
        return Line(told.at, who, what.format_map(values), why, (stage.target_name(move.target_id),))

    def _of_rollout(self, told: Told, verb: str, what: str, environment: str) -> Line | None:
        words = ROLLOUTS.get(verb)
        if words is None:
            return None
        why = WHYS.get(told.words, told.words)
        return Line(told.at, INTERLOCK, words.format(what=what, environment=environment), why)


KINDS: Mapping[str, str] = {
    "rollback": "the rollback to ",
    "config": "its new config with ",
    "pin": "what it is pinned to, ",
    "redeploy": "once more ",
    "force": "by force ",
}

MOVES: Mapping[str, tuple[str, str]] = {
    "job.handed_over": (INTERLOCK, "starts {move}{tag}"),
    "job.withdrawn": (INTERLOCK, "takes the job for {tag} back"),
    "job.cancel_asked": (INTERLOCK, "asks for an end of the job for {tag}"),
    "move.succeeded": (INTERLOCK, "{tag} runs"),
    "move.failed": (INTERLOCK, "the move to {tag} failed"),
    "move.withdrawn": (INTERLOCK, "takes the move to {tag} back"),
    "move.cancelled": (INTERLOCK, "the move to {tag} ends without an outcome"),
    "quarantine.set": (INTERLOCK, "puts what failed into quarantine"),
    "rollback.escalated": (INTERLOCK, "the rollback failed too: a person must act"),
    "verification.passed": (VERIFICATION, "{tag} passed"),
    "verification.failed": (VERIFICATION, "{tag} failed"),
    "verification.inconclusive": (VERIFICATION, "{tag} is inconclusive"),
    "verification.again": (VERIFICATION, "{tag} is measured again"),
}
"""A ledger line about a move, its jobs or its verification -> who tells, and what."""

QUIET = frozenset({"created", "queued", "inProgress", "actionRequired", "successful"})
"""News of a job that the lines after it tell better."""

ROLLOUTS: Mapping[str, str] = {
    "opened": "opens the rollout of {what} in {environment}",
    "halted": "halts the rollout of {what} in {environment}",
    "superseded": "ends the rollout of {what} in {environment}",
    "aborted": "aborts the rollout of {what} in {environment}",
    "complete": "the rollout of {what} in {environment} is complete",
    "paused": "pauses the rollout of {what} in {environment}",
    "open": "goes on with the rollout of {what} in {environment}",
}


WHYS: Mapping[str, str] = {
    "done": "",
    "newer_version": "a newer version's rollout takes over",
    "newer_config": "what failed goes for another config by now",
    "failures": "more of its targets failed than may",
    "rolled_back": "what it brought goes back",
}
"""Why a rollout goes to another state."""


def _told_hold(verdict: Mapping[str, Any]) -> str:
    return _MICROSECONDS.sub("", f"{title(verdict)}: {sentence(verdict)}")


def _merged(lines: Iterable[Line]) -> list[Line]:
    """Lines of the same second that say the same of several targets, as one."""
    found: dict[tuple[object, ...], Line] = {}
    for number, line in enumerate(lines):
        key = (line.at.replace(microsecond=0), line.who, line.what, line.why) if line.targets else (number,)
        before = found.get(key)
        targets = (*before.targets, *line.targets) if before else line.targets
        at = before.at if before else line.at
        found[key] = Line(at, line.who, line.what, line.why, tuple(sorted(targets, key=natural)))
    return list(found.values())


def instant(at: datetime) -> str:
    """To the second, as it is printed."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def text(lines: Iterable[Line]) -> Iterable[str]:
    """The lines for a terminal: an instant, and what happened at it below."""
    before = None
    for line in lines:
        at = line.at.replace(microsecond=0)
        if at != before:
            yield f"{at:%a %Y-%m-%d %H:%M:%S} UTC"
            before = at
        names = ", ".join(line.targets[:NAMES_MAX])
        if len(line.targets) > NAMES_MAX:
            names += f" and {len(line.targets) - NAMES_MAX} more"
        why = f" ({line.why})" if line.why else ""
        what = f"{names}: {line.what}" if names else line.what
        yield f"  {line.who:<12}  {what}{why}"
