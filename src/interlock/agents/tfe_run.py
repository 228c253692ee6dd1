"""What does a run of Terraform Cloud say? Its state as a job's status; its plan, cost and policy checks in words.

    pending, planning, …, applying           inProgress
    can be confirmed now (`is-confirmable`)  actionRequired
    policy_override, …awaiting_decision      actionRequired: a person in Terraform Cloud
    applied, planned_and_finished            successful
    discarded, canceled, force_canceled      cancelled
    errored, policy_soft_failed              failure

A state that is not listed is one on the way: HashiCorp adds some now and then.

Source: HashiCorp's API reference: Runs, Plans, Cost Estimates, Policy Checks, Policy Evaluations, Run Task Stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from interlock.model.job import JobStatus, Observation

ENDS: Mapping[str, JobStatus] = {
    "applied": JobStatus.SUCCESSFUL,
    "planned_and_finished": JobStatus.SUCCESSFUL,
    "errored": JobStatus.FAILURE,
    "policy_soft_failed": JobStatus.FAILURE,
    "discarded": JobStatus.CANCELLED,
    "canceled": JobStatus.CANCELLED,
    "force_canceled": JobStatus.CANCELLED,
}
"""Run states in which nothing follows."""

NEEDS_A_PERSON = frozenset({"policy_override", "post_plan_awaiting_decision"})
"""Run states that only a person in Terraform Cloud ends."""

WITH_POLICIES = frozenset({"policy_override", "policy_soft_failed", "policy_checked"})
"""Run states in which policy checks have something to say."""

_WORDS: Mapping[str, str] = {
    "applied": "Applied.",
    "policy_override": "A policy failed softly: somebody overrides it in Terraform Cloud, or discards the run.",
    "post_plan_awaiting_decision": "A policy failed softly: somebody overrides it in Terraform Cloud, or discards it.",
    "policy_soft_failed": "A policy failed.",
    "force_canceled": "The run was cancelled by force.",
}


def status_of(state: str, *, waits: bool = False) -> JobStatus:
    """A run's state as a job's status. `waits`: it can be confirmed now."""
    if state in ENDS:
        return ENDS[state]
    return JobStatus.ACTION_REQUIRED if waits or state in NEEDS_A_PERSON else JobStatus.IN_PROGRESS


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the API shows it. `included` are its plan and cost estimate, `checks` its policy checks, where they were
    asked for.
    """

    run: Mapping[str, Any]
    included: tuple[Mapping[str, Any], ...] = ()
    checks: tuple[Mapping[str, Any], ...] = ()

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What it says of itself."""
        found: Mapping[str, Any] = self.run["attributes"]
        return found

    @property
    def state(self) -> str:
        """The API's word for where it is."""
        return str(self.attributes.get("status"))

    @property
    def waits(self) -> bool:
        """Whether it waits to be confirmed."""
        return (self.attributes.get("actions") or {}).get("is-confirmable") is True

    @property
    def has_changes(self) -> bool:
        """Whether its plan changes anything."""
        return self.attributes.get("has-changes") is True

    @property
    def has_stages(self) -> bool:
        """Whether policies that run in a stage of their own have something to say by now."""
        stages = ((self.run.get("relationships") or {}).get("task-stages") or {}).get("data")
        return bool(stages) and (self.waits or self.state.startswith("post_plan_"))

    @property
    def step_to_end(self) -> str | None:
        """What ends it now: discard it or cancel it; None where nothing does."""
        actions = self.attributes.get("actions") or {}
        return next((one for one in ("discard", "cancel") if actions.get(_ABLE[one]) is True), None)


_ABLE = {"discard": "is-discardable", "cancel": "is-cancelable"}


def run_seen(
    run: Run, *, links: Mapping[str, str] | None = None, noted: Mapping[str, str] | None = None
) -> Observation:
    """What there is to say of a run. `noted` goes into the metadata."""
    state, status = run.state, status_of(run.state, waits=run.waits)
    by_itself = run.attributes.get("auto-apply") is True
    parts = {one.get("type"): one.get("attributes") or {} for one in run.included}
    told = [*_plan_words(parts.get("plans")), *_cost_words(parts.get("cost-estimates")), *_policy_words(run.checks)]
    said = _WORDS.get(state) or f"The run is {state.replace('_', ' ')}."
    if state == "planned_and_finished":
        said = "Planned." if run.has_changes else "Planned: there is nothing to change."
    if run.waits:
        said = "Planned. Terraform Cloud applies it by itself." if by_itself else "Planned; it waits to be confirmed."
    ended_at = (run.attributes.get("status-timestamps") or {}).get(f"{state.replace('_', '-')}-at")
    return Observation(
        status,
        " ".join([said, *(_sentence(name, one) for name, one in told)]),
        external_id=str(run.run["id"]),
        links=links or {},
        metadata={"tfe/run": str(run.run["id"]), "tfe/status": state, **dict(told), **(noted or {})},
        finished_at=instant_of(ended_at) if status.terminal else None,
        confirmable=run.waits and not by_itself,
    )


def _sentence(name: str, words: str) -> str:
    return f"Plan: {words}." if name == "tfe/plan" else f"{words[:1].upper()}{words[1:]}."


def _plan_words(plan: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if not plan or plan.get("status") not in {"finished", None}:
        return []
    counted = [(plan.get(f"resource-{name}"), word) for name, word in _COUNTS]
    told = [f"{number} to {word}" for number, word in counted if number or word != "import"]
    return [("tfe/plan", ", ".join(told))] if any(number is not None for number, _ in counted) else []


_RESULTS = (
    ("passed", "passed"),
    ("hard-failed", "failed"),
    ("mandatory-failed", "failed"),
    ("errored", "could not be evaluated"),
    ("soft-failed", "failed softly"),
    ("advisory-failed", "advised against"),
)
_COUNTS = (("additions", "add"), ("changes", "change"), ("destructions", "destroy"), ("imports", "import"))


def _cost_words(estimate: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if not estimate:
        return []
    if estimate.get("status") == "errored":
        return [("tfe/cost", f"the cost could not be estimated: {estimate.get('error-message') or 'no reason given'}")]
    if estimate.get("delta-monthly-cost") is None or estimate.get("status") != "finished":
        return []
    delta, total = str(estimate["delta-monthly-cost"]), estimate.get("proposed-monthly-cost")
    sign = "" if delta.startswith("-") else "+"
    return [("tfe/cost", f"costs {sign}{delta} USD a month, {total} in all")]


def _policy_words(checks: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    told_of = [one.get("attributes") or {} for one in checks]
    results = [one.get("result") or one.get("result-count") or {} for one in told_of]
    if not results:
        return []
    counts = [(sum(int(one.get(name) or 0) for one in results), word) for name, word in _RESULTS]
    told = [f"{number} {word}" for number, word in counts if number]
    return [("tfe/policies", f"policies: {', '.join(told) or 'none'}")]


def instant_of(text: object) -> datetime | None:
    """An instant of the API; None where it has none."""
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None
