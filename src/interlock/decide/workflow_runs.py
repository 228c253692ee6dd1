"""May a run of a workflow start its jobs? It is decided too: nothing reaches an agent without a decision.

A run brings no version, so most rules have nothing to ask of it. What is asked is what holds for everything that
starts: the freezes that cover it. One that covers any of its jobs refuses the whole run, because half of what somebody
asked for is nothing that they asked for. A job that still waits is judged again right before it is handed over.

Source: core.md section 2 (a freeze holds from its commit) and 5; DESIGN.md section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from interlock.decide.facts import Freeze
from interlock.decide.record import content_digest
from interlock.decide.rules import freeze
from interlock.decide.subjects import WorkflowRun
from interlock.decide.verdict import Judged, Outcome, Verdict, guarded, verdict_json, worst


@dataclass(frozen=True, slots=True)
class RunDecision:
    """What was decided on a run: its verdicts as they are stored, and the one that bars it, if one does."""

    outcome: Outcome
    verdicts: tuple[dict[str, object], ...]
    digest: str
    barring: Verdict | None

    @property
    def starts(self) -> bool:
        """Whether its jobs may go."""
        return self.outcome is Outcome.PASS


def decide_run(freezes: Sequence[Freeze], now: datetime) -> RunDecision:
    """Judge a run, or one job of it.

    Takes: the freezes in force that cover it, oldest first.
    """
    judged = Judged(freeze.kind, guarded(freeze.evaluate, WorkflowRun(tuple(freezes)), now), freeze.stage)
    verdicts = (verdict_json(judged),)
    outcome = worst([judged])
    return RunDecision(
        outcome, verdicts, content_digest([outcome.value, verdicts]), judged.verdict if judged.bars else None
    )
