"""How does a stored decision read? One sentence a verdict, the same for API, console and CLI.

Takes stored verdict JSON (what `verdict.verdict_json` wrote), so that a decision of last month reads as it did.
Instants are absolute: "opens 2026-03-09T09:00 Europe/Berlin", never "in 3 h".

Source: DESIGN.md section 4 ("Reasons carry instants and numbers"); core.md law 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from interlock.decide import counterfactual, forecast, gates, lift, orders, rows, standing
from interlock.decide.lift import Lift
from interlock.decide.rules import RULES

OWN = {
    "job_failed": "The job ended {status}.",
    "newer_version": "A newer version goes first.",
    "rejected_meanwhile": "It was rejected meanwhile.",
    "rollout_ended": "Its rollout was aborted.",
    "pinned": "A pin goes first.",
    "config_changed": "Its config changed before it was handed over.",
    "not_wanted": "Its version is no candidate here any more.",
    "held": "A rule holds it again.",
    "target_detached": "Its target left the inventory.",
    "rolled_back": "Its target goes back.",
    "ordered": "A force goes first.",
    "order_ended": "The order that it answered ended.",
    "nothing_to_bring": "The target runs nothing that could be brought again.",
    "version_gone": "Its version is not known any more.",
    "expired": "It reached its end before its turn came.",
    "slot_taken": "Another move took the last place in {key}.",
}
"""The reasons for which moves and orders end, which no rule owns."""

SENTENCES: Mapping[str, str] = {
    **{code: text for rule in RULES for code, text in rule.REASONS.items()},
    **gates.REASONS,
    **rows.REASONS,
    **forecast.REASONS,
    **standing.REASONS,
    **orders.REASONS,
    **OWN,
}
"""Reason code -> sentence with named values."""


LIFT_SENTENCES: Mapping[str, str] = {
    **{code: text for rule in RULES for code, text in getattr(rule, "LIFTS", {}).items()},
    **lift.LIFTS,
    **counterfactual.LIFTS,
}
"""Code of a lift -> sentence with named values."""


SET_BY_HAND = frozenset({"frozen", "pin_in_force", "skipped"})
"""Reasons whose sentence says since when, and until when or that it has no end."""


class _Words(dict[str, object]):
    """Values for a sentence; one that is missing reads as '?', so that an old decision still reads."""

    def __missing__(self, key: str) -> str:
        return "?"


def sentence(verdict: Mapping[str, object]) -> str:
    """One verdict as a sentence, with since when, until when and who can act."""
    reason = str(verdict.get("reason"))
    values = verdict.get("values")
    words = _Words({key: _word(value) for key, value in (values if isinstance(values, Mapping) else {}).items()})
    if reason in SET_BY_HAND:
        words["until"] = f"ends {words['until_at']}" if "until_at" in words else "has no end"
        words["since"] = str(verdict.get("since", "?"))
    text = SENTENCES.get(reason, reason).format_map(words)
    if verdict.get("outcome") == "pass":
        return text
    parts = [text]
    if "since" in verdict and str(verdict["since"]) not in text:
        parts.append(f"Since {verdict['since']}.")
    if "changesAt" in verdict and str(verdict["changesAt"]) not in text and reason != "frozen":
        parts.append(f"It changes at {verdict['changesAt']}.")
    if "who" in verdict:
        parts.append(f"Who can act: {verdict['who']}.")
    if verdict.get("observed"):
        parts.append("(observed only)")
    return " ".join(parts)


def plain_sentence(verdict: Mapping[str, object]) -> str:
    """What a verdict says, without since when, until when and who: where those are shown beside it."""
    beside = ("who", "changesAt", "observed")
    kept = {key: value for key, value in verdict.items() if key not in beside}
    return sentence({**kept, "outcome": "pass"})


def _word(value: object) -> object:
    return ", ".join(str(item) for item in value) if isinstance(value, list | tuple) else value


def title(verdict: Mapping[str, object]) -> str:
    """The rule, and the policy it comes from."""
    policy = verdict.get("policy")
    return f"{verdict.get('rule')} ({policy})" if policy else str(verdict.get("rule"))


def sentences(verdicts: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """The verdicts with their sentences: what holds first, in the order of the stages."""
    return [told(verdict) for verdict in sorted(verdicts, key=lambda one: one.get("outcome") == "pass")]


def told(verdict: Mapping[str, object]) -> dict[str, object]:
    """One verdict as it is stored, and as it reads; `says` leaves out what stands in fields of its own."""
    return {**verdict, "title": title(verdict), "says": plain_sentence(verdict), "sentence": sentence(verdict)}


QUOTED_MAX = 300
"""Characters of a message from outside that a sentence carries; the job's own page has all of it."""


@dataclass(frozen=True, slots=True)
class EndedMove:
    """A move that is over, with what ended it: the last verification that did not pass, the last job that ran."""

    id: str
    target_id: str
    kind: str
    tag: str
    state: str
    closed_at: datetime
    undoes_move_id: str | None
    measured_state: str | None
    measured_message: str | None
    measured_at: datetime | None
    job_status: str | None
    job_message: str | None
    job_ended_at: datetime | None
    jobs: int


def failures(moves: Sequence[EndedMove]) -> list[str]:
    """What went wrong on a target since it last went well: each failed version with when and why, and where it led.

    Takes: the newest ended moves of one target, newest first. One that succeeded, unless it is a rollback, ends what
           is told.
    """
    told: list[EndedMove] = []
    for move in moves:
        if move.state == "succeeded" and move.kind != "rollback":
            break
        told.append(move)
    answers = {move.undoes_move_id: move for move in told if move.undoes_move_id is not None}
    return [_failure(move, answers.get(move.id)) for move in reversed(told) if move.state in {"failed", "cancelled"}]


def _failure(move: EndedMove, answer: EndedMove | None) -> str:
    """As in "1.1.0 failed its verification at …: error-rate: 1 of 2 measurements failed; rolled back to 1.0.0 at …"."""
    about = f"The rollback to {move.tag}" if move.kind == "rollback" else move.tag
    if move.measured_at is not None:
        word = "failed its verification" if move.measured_state == "failed" else "could not be verified"
        said = f"{about} {word} at {_at(move.measured_at)}{_quoted(move.measured_message)}"
    elif move.state == "cancelled":
        said = f"{about} was cancelled at {_at(move.closed_at)}{_quoted(move.job_message)}"
    else:
        tries = f" after {move.jobs} attempts" if move.jobs > 1 else ""
        status = f" (job {move.job_status})" if move.job_status not in {None, "failure"} else ""
        at = _at(move.job_ended_at or move.closed_at)
        said = f"{about} failed{tries} at {at}{status}{_quoted(move.job_message)}"
    if answer is not None and answer.state == "succeeded":
        said += f"; rolled back to {answer.tag} at {_at(answer.closed_at)}"
    return f"{said}."


def _quoted(message: str | None) -> str:
    """A message on one line, with its end where all of it is too long: what went wrong is said last."""
    text = " ".join((message or "").split()).rstrip(".")
    if len(text) > QUOTED_MAX:
        text = f"…{text[-QUOTED_MAX:]}"
    return f": {text}" if text else ""


def _at(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def lift_sentence(one: Lift) -> str:
    """One fact that would be different, as a sentence."""
    words = _Words({key: _word(value) for key, value in one.values.items()})
    return LIFT_SENTENCES.get(one.code, one.code).format_map(words)
