"""What is a job, which status may follow which, and what do an agent and Interlock say to each other?

A job is one step of a move, given to one agent. Two things about it are kept apart:

- `status` is the wire's word for how the work goes. Its transition table stands here, once; the diagram
  in the docs is drawn from it. Terminal is final: late news is noted in the ledger, never applied.
- `handover` says whether the outside has the job. It never leaves the process.

A *retry* is a new job (`retry_of`); an *attempt* is one hand-over of the same job.

Source: core.md section 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class JobStatus(StrEnum):
    """The wire's eleven words."""

    PENDING = "pending"
    QUEUED = "queued"
    IN_PROGRESS = "inProgress"
    ACTION_REQUIRED = "actionRequired"
    SUCCESSFUL = "successful"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    INVALID_JOB_AGENT = "invalidJobAgent"
    INVALID_INTEGRATION = "invalidIntegration"
    EXTERNAL_RUN_NOT_FOUND = "externalRunNotFound"

    @property
    def terminal(self) -> bool:
        """Final: nothing may follow."""
        return self in TERMINAL


TERMINAL = frozenset(
    {
        JobStatus.SUCCESSFUL,
        JobStatus.FAILURE,
        JobStatus.CANCELLED,
        JobStatus.SKIPPED,
        JobStatus.INVALID_JOB_AGENT,
        JobStatus.INVALID_INTEGRATION,
        JobStatus.EXTERNAL_RUN_NOT_FOUND,
    }
)

FAILED = TERMINAL - {JobStatus.SUCCESSFUL, JobStatus.CANCELLED, JobStatus.SKIPPED}
OPEN = frozenset(JobStatus) - TERMINAL

STATUS_GROUPS: Mapping[str, frozenset[JobStatus]] = {
    "open": OPEN,
    "running": frozenset({JobStatus.IN_PROGRESS, JobStatus.ACTION_REQUIRED}),
    "waiting": frozenset({JobStatus.PENDING, JobStatus.QUEUED}),
    "failed": FAILED,
    "over": TERMINAL,
}
"""Words for several statuses, as people narrow lists by them."""


def statuses_of(words: Iterable[str]) -> tuple[str, ...]:
    """The statuses that these words mean: statuses and groups of them, in the wire's order.

    Fails: `ValueError` for a word that is neither, with the word.
    """
    meant: set[JobStatus] = set()
    for word in words:
        if word in STATUS_GROUPS:
            meant |= STATUS_GROUPS[word]
        elif word in set(JobStatus):
            meant.add(JobStatus(word))
        else:
            raise ValueError(word)
    return tuple(each.value for each in JobStatus if each in meant)


REPORTABLE = frozenset(
    {
        JobStatus.IN_PROGRESS,
        JobStatus.ACTION_REQUIRED,
        JobStatus.SUCCESSFUL,
        JobStatus.FAILURE,
        JobStatus.CANCELLED,
        JobStatus.SKIPPED,
    }
)
"""What the outside may say of a run by itself. The rest is ours to say."""

TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset({JobStatus.QUEUED, JobStatus.IN_PROGRESS, JobStatus.ACTION_REQUIRED}) | TERMINAL,
    JobStatus.QUEUED: frozenset({JobStatus.IN_PROGRESS}) | TERMINAL,
    JobStatus.IN_PROGRESS: frozenset({JobStatus.ACTION_REQUIRED}) | TERMINAL,
    JobStatus.ACTION_REQUIRED: frozenset({JobStatus.IN_PROGRESS}) | TERMINAL,
    **{status: frozenset[JobStatus]() for status in TERMINAL},
}
"""status -> what may follow it, as word from outside. Staying where one is is not a transition. The one road back is no
word from outside: a job whose lease ended may be `pending` again (`store/leases.py`).
"""


class Handover(StrEnum):
    """Whether the outside has the job: waiting -> starting -> started | uncertain; uncertain -> started | waiting."""

    WAITING = "waiting"
    STARTING = "starting"
    STARTED = "started"
    UNCERTAIN = "uncertain"


class Confirm(StrEnum):
    """Whether a run that was planned waits for our yes (capability `confirm`). It never leaves the process.

    none -> asked (the outside waits) <-> granted (a round let it pass) -> giving (a worker says yes) -> given | refused
    giving -> asked, where the outside still waits after all.
    """

    NONE = "none"
    ASKED = "asked"
    GRANTED = "granted"
    GIVING = "giving"
    GIVEN = "given"
    REFUSED = "refused"


def confirm_heard(before: Confirm, *, confirmable: bool) -> Confirm:
    """What becomes of it when the outside says that it waits to be confirmed, or that it does not.

    Why:    an answer may be older than our yes, so what was given is given, however often it still says that it waits.
            What somebody else has confirmed, or ended, waits for nobody.
    """
    if confirmable:
        return Confirm.ASKED if before is Confirm.NONE else before
    return Confirm.NONE if before in {Confirm.ASKED, Confirm.GRANTED} else before


class AgentClass(StrEnum):
    """What an unanswered start allows, and so what is promised (core.md section 5)."""

    KEYED = "keyed"
    FINDABLE = "findable"
    TOLD = "told"
    ASKED = "asked"


@dataclass(frozen=True, slots=True)
class Callback:
    """Where the outside says how one attempt of one job goes, and the token for that: it is good for nothing else."""

    url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AgentJob:
    """A job as its agent sees it.

    Takes: `attempt` counts hand-overs from 1. `config` is the merged job agent config (agent, then deployment, then
           version). `context` is the dispatch context: deployment, environment, resource, release, version,
           variables, jobAgent, jobAgentConfig, in the wire's JSON form. `timeout_s` bounds the run. Both hold secrets
           in full, so neither is in the `repr`. Agents with the capability `callback` get `shown`, the context as
           anybody may see it, with marks for its secrets, and `callback`.
    """

    id: str
    attempt: int
    agent_id: str
    agent_kind: str
    config: Mapping[str, object] = field(repr=False)
    context: Mapping[str, object] = field(repr=False)
    external_id: str | None = None
    started_at: datetime | None = None
    timeout_s: float | None = None
    shown: Mapping[str, object] = field(default_factory=dict, repr=False)
    callback: Callback | None = None


@dataclass(frozen=True, slots=True)
class Authorization:
    """Why this hand-over is allowed: the decision it rests on and until when that holds.

    Takes: `target_id` is empty for a job of a workflow's run; `release_digest` is then that of what the job froze.
    """

    decision_id: str
    target_id: str
    release_digest: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Observation:
    """What an agent saw of a run.

    `status` is None where the agent knows of the run but not how it goes. `links` maps label to URL. `output` is a
    bounded tail. `artifacts` are digests that now run on the target, `applied` the objects that were written, when
    the agent knows them. `confirmable`: it is planned, and waits to be confirmed.
    """

    status: JobStatus | None
    message: str | None = None
    external_id: str | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    output: str | None = None
    artifacts: tuple[str, ...] = ()
    applied: tuple[str, ...] = ()
    finished_at: datetime | None = None
    confirmable: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """What an agent would do with a job, told without doing it.

    Takes: `current` and `proposed` are rendered text; `current` is empty where nothing runs.
    """

    current: str
    proposed: str
    has_changes: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Drift:
    """One object of a target that is not as it was applied.

    Takes: `object` as in `Observation.applied`. `fields` are the paths that differ; `missing` where it is not there.
    """

    object: str
    fields: tuple[str, ...] = ()
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Inspected:
    """What is on a target now, whoever put it there.

    Takes: `applied` are the objects that are there, `artifacts` the digests that run. `external_id` is the attempt that
           wrote last, as an observation of it said; None where there was none.
    """

    at: datetime
    external_id: str | None = None
    applied: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    drift: tuple[Drift, ...] = ()


def age(seconds: float) -> str:
    """How long ago, in one unit: `12 s`, `3 min`, `2 h`, `5 days`."""
    whole = max(int(seconds), 0)
    for unit, words, least in ((86_400, "days", 2 * 86_400), (3_600, "h", 2 * 3_600), (60, "min", 120)):
        if whole >= least:
            return f"{whole // unit} {words}"
    return f"{whole} s"
