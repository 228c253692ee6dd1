"""The suite for agents comes with the product; here it is called by its short name."""

from __future__ import annotations

from interlock.agents.conformance import (
    AUTHORIZATION,
    CALLBACK,
    CONTEXT,
    FAULTS_OF,
    AgentConformance,
    ConfirmFaults,
    Faults,
    InspectFaults,
    PlanFaults,
    Rehearsal,
    ended,
    job_of,
    started,
)

__all__ = [
    "AUTHORIZATION",
    "CALLBACK",
    "CONTEXT",
    "FAULTS_OF",
    "AgentConformance",
    "ConfirmFaults",
    "Faults",
    "InspectFaults",
    "PlanFaults",
    "Rehearsal",
    "ended",
    "job_of",
    "started",
]
