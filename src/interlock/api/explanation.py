"""Why does it wait? Stored verdicts as sentences, for one target and for a deployment; the console uses the same.

The sentences are `decide/explain.py`'s; here they are put in an order that a person at 3 a.m. can act on: what runs,
what it goes for, what stands in the way and who can move it.

Source: core.md law 8; STYLE rule 16.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from interlock.decide.explain import OWN, EndedMove, failures, sentence, title
from interlock.model.job import TERMINAL, JobStatus
from interlock.model.verification import POSTED
from interlock.store.jobs import JobRow
from interlock.store.pages import JobPlaceRow
from interlock.store.target_states import LiveRollout, Release, StoredDecision, TargetState
from interlock.store.verification_words import awaited_post
from interlock.store.verifications import VerificationRow
from interlock.web.answers import instant

Verdict = Mapping[str, Any]

WAYS_ON = "Nothing starts in it until an operator resumes or aborts it, or a newer version's rollout opens."

BY_HAND = frozenset({"pin_in_force", "skipped"})
"""Reasons of verdicts that a person made."""

NO_TARGETS = (
    "It has no targets: no resource is matched both by its selector and by that of an environment that shares a system "
    "with it."
)


def explain_target(
    target: TargetState,
    *,
    decisions: Mapping[str, StoredDecision],
    tags: Mapping[str, str],
    releases: Mapping[str, Release],
    ended: Sequence[EndedMove],
) -> list[str]:
    """What there is to say about a target, most telling first.

    Takes: `tags` maps version id to tag, `releases` holds the target's current one, `ended` its newest moves that are
           over, newest first.
    """
    said = [_standing(target, tags=tags, releases=releases), *failures(ended)]
    for tag, verdict in holding(target, decisions=decisions, tags=tags):
        about = f"{tag}: " if tag else ""
        said.append(f"{about}{title(verdict)}: {sentence(verdict)}")
    for tag, verdict in by_hand(target, decisions=decisions, tags=tags):
        about = f"{tag}: " if tag and verdict.get("reason") == "skipped" else ""
        said.append(f"{about}{title(verdict)}: {sentence(verdict)}")
    if target.outcome in {"hold", "unknown"} and target.since is not None:
        said.append(f"So since {instant(target.since)}.")
    if target.wake_at is not None:
        said.append(f"It is looked at again at {instant(target.wake_at)}, or when a fact arrives.")
    if target.agent is not None:
        said.append(f"Its agent is {target.agent} ({target.agent_type}).")
    return said


HANDOVERS: Mapping[str, str] = {
    "waiting": "It waits to be handed over",
    "starting": "It is being handed over",
    "started": "The agent has it",
    "uncertain": "Its hand-over was not answered: whether it runs outside is not known",
}


def explain_job(
    job: JobRow, *, place: JobPlaceRow, checks: Sequence[VerificationRow], ended: Sequence[EndedMove]
) -> list[str]:
    """What there is to say about a job: what it does, how it stands, what was measured, and what failed here.

    Takes: `ended` are the newest moves of its target that are over, newest first.
    """
    came = f" from {place.from_tag}" if place.from_tag and place.from_tag != place.tag else ""
    said = [f"Takes {place.resource} in {place.environment}{came} to {place.tag} by a {job.move_kind} move."]
    if JobStatus(job.status) in TERMINAL:
        message = f": {' '.join(job.message.split()).rstrip('.')}" if job.message else ""
        said.append(f"It ended {job.status}{_at(job.completed_at).replace(' since ', ' at ')}{message}.")
    else:
        until = f"; it is allowed until {instant(place.valid_until)}" if place.valid_until else ""
        said.append(f"{HANDOVERS.get(place.handover, place.handover)}, its status is {job.status}{until}.")
        if job.status == JobStatus.PENDING and job.message:
            said.append(job.message)
        said.extend(_holder(job))
    said.append(f"Its agent is {place.agent} ({place.agent_type}).")
    if place.cancel_asked_at is not None:
        why = f": {place.cancel_reason}" if place.cancel_reason else ""
        said.append(f"The outside was asked to stop it at {instant(place.cancel_asked_at)}{why}.")
    said.extend(
        f"Its verification is {check.state}{f': {check.message}' if check.message else ''}." for check in checks
    )
    said.extend(
        f"{metric['name']} waits for {awaited_post(job.id, metric['name'])}"
        for check in checks
        for metric in check.metrics
        if "running" == check.state == metric["state"] and metric["spec"]["provider"]["type"] == POSTED
    )
    reason = OWN.get(place.move_reason or "")
    if reason is not None and place.move_state not in {"succeeded", "failed"}:
        said.append(f"Its move is {place.move_state}. {reason.format_map(_Unsaid(status=job.status))}")
    return [*said, *failures(ended)]


def explain_run_job(job: JobRow) -> list[str]:
    """What there is to say about a job of a workflow's run."""
    on = f" on {job.context['resource']['name']}" if job.resource_id else ""
    said = [f"Does what a run of the workflow {job.context['workflow']['name']} asked for{on}; it brings no version."]
    message = f": {' '.join(job.message.split()).rstrip('.')}" if job.message else ""
    if JobStatus(job.status) in TERMINAL:
        said.append(f"It ended {job.status}{_at(job.completed_at).replace(' since ', ' at ')}{message}.")
    else:
        said.append(f"Its status is {job.status}{message}.")
        said.extend(_holder(job))
    return said


def _holder(job: JobRow) -> list[str]:
    """Who claimed a pull agent's job, and until when it has it. Nothing where nobody has."""
    if not job.held_by:
        return []
    if job.leased_until is None:
        return [f"{job.held_by} claimed it (attempt {job.attempt}) and has it until it says how it ended."]
    heard = f"; it was last heard at {instant(job.heard_at)}" if job.heard_at else ""
    until = f"has it until {instant(job.leased_until)}, or longer if it says by then that it lives"
    return [f"{job.held_by} claimed it (attempt {job.attempt}) and {until}{heard}."]


class _Unsaid(dict[str, object]):
    """Values for a sentence; one that is missing reads as '?'."""

    def __missing__(self, key: str) -> str:
        return "?"


def first_reason(
    target: TargetState, *, decisions: Mapping[str, StoredDecision], tags: Mapping[str, str]
) -> str | None:
    """The first sentence of what holds a target; None when nothing does."""
    for _, verdict in holding(target, decisions=decisions, tags=tags):
        return sentence(verdict)
    return None


def holding(
    target: TargetState, *, decisions: Mapping[str, StoredDecision], tags: Mapping[str, str]
) -> list[tuple[str, Verdict]]:
    """What stands in a target's way: (tag of the version that it holds, verdict), the target's own first."""
    return [each for each in _verdicts(target, decisions, tags) if each[1].get("outcome") != "pass"]


def by_hand(
    target: TargetState, *, decisions: Mapping[str, StoredDecision], tags: Mapping[str, str]
) -> list[tuple[str, Verdict]]:
    """What somebody set by hand and what lets a target go, or keeps it: pins, skips and bypasses."""
    return [each for each in _verdicts(target, decisions, tags) if each[1].get("reason") in BY_HAND]


def _verdicts(
    target: TargetState, decisions: Mapping[str, StoredDecision], tags: Mapping[str, str]
) -> list[tuple[str, Verdict]]:
    own_tag = tags.get(target.decided_version_id or "", "")
    found = [(own_tag, verdict) for verdict in target.verdicts]
    for decision_id in target.decision_ids:
        decision = decisions.get(decision_id)
        if decision is not None:
            found.extend((decision.tag or "", verdict) for verdict in decision.verdicts)
    return [each for number, each in enumerate(found) if each not in found[:number]]


def explain_deployment(targets: Sequence[TargetState], *, rollouts: Sequence[LiveRollout], frozen: int) -> list[str]:
    """What there is to say about a deployment as a whole."""
    if not targets:
        return [NO_TARGETS]
    counts = Counter(target.outcome or "not decided yet" for target in targets)
    said = [f"{len(targets)} targets: {', '.join(f'{number} {word}' for word, number in sorted(counts.items()))}."]
    said.extend(_rollout(rollout) for rollout in rollouts)
    if frozen:
        said.append(f"{frozen} {'freeze is' if frozen == 1 else 'freezes are'} in force that may concern it.")
    return said


def _standing(target: TargetState, *, tags: Mapping[str, str], releases: Mapping[str, Release]) -> str:
    """What runs, and what it goes for."""
    current = releases.get(target.current_release_id or "")
    runs = f"Runs {tags.get(current.version_id, current.version_id)}" if current else "Runs nothing yet"
    if target.state != "attached":
        return f"{runs}; {target.state}{_at(target.detached_at)}."
    if target.move_version_id is not None:
        tag = tags.get(target.move_version_id, target.move_version_id)
        kind = "" if target.move_kind == "forward" else f" by {target.move_kind}"
        return f"{runs}; moving to {tag}{kind}, {target.move_state}."
    wanted = target.decided_version_id if target.outcome in {"hold", "unknown"} else None
    if wanted is not None and (current is None or wanted != current.version_id):
        return f"{runs}; waits to go to {tags.get(wanted, wanted)}."
    if target.outcome is None:
        return f"{runs}; not decided yet."
    return f"{runs}."


def _rollout(rollout: LiveRollout) -> str:
    what = f"of {rollout.tag}" if rollout.kind == "version" else f"({rollout.kind})"
    about = f"The rollout {what} in {rollout.environment}"
    match rollout.state:
        case "halted":
            count = f"{rollout.failures} of its targets failed, more than is allowed"
            if rollout.reason == "rolled_back":
                count = "what it brought is taken back there"
            return f"{about} halted at {instant(rollout.state_at)}: {count}. {WAYS_ON}"
        case "paused":
            why = f": {rollout.reason.rstrip('.')}" if rollout.reason else ""
            return f"{about} was paused at {instant(rollout.state_at)}{why}. {WAYS_ON}"
        case _:
            return f"{about} is open since {instant(rollout.opened_at)}."


def _at(at: datetime | None) -> str:
    return f" since {instant(at)}" if at else ""
