"""Manual: a job that people do. They read what is to be done, do it, and say so with what shows it.

For what no tool of yours does yet: switch the traffic over in a vendor's portal, load a tape, change a cable, sign a
form. It waits in its place like any other job: gates and freezes hold it, a rollout counts it, verification follows it.

```yaml
type: JobAgent
name: switch-traffic
agentType: manual
config:
  instructions: |
    Send the traffic of {{ .resource.name }} to {{ .version.tag }} in the carrier's portal,
    then watch the error rate for ten minutes.
  group: network-duty
  dueInMinutes: 120
  evidence:
    - {name: ticket, type: url, required: true}
    - {name: errorRate, type: number, label: Errors per minute afterwards, required: true, minimum: 0, maximum: 100}
    - {name: path, type: choice, options: [primary, backup]}
```

{keys}

With an assignee and a group either may answer; with neither, everybody who may answer tasks there. Who is in the group
counts at the moment of the answer.

A field of `evidence` has a `name`, a `type`, and perhaps a `label` and `required`. A `text` may have `maxLength`, a
`number` may have `minimum` and `maximum`, a `choice` has `options`; `url` and `boolean` have no more. What is handed in
is stored with the job; the ledger keeps every value that is no free text, and the digest of all of them.

    interlock task list                              what waits for you
    interlock task show 4c1f
    interlock task complete 4c1f -e ticket=https://tickets.example.com/7 -e errorRate=0.2
    interlock task reject 4c1f --reason "the portal is down"
    interlock task comment 4c1f "I begin at noon"

**Permissions**: nothing outside. In Interlock, `task:answer` over the place of the job (developer, approver, operator
and admin carry it), and to be whom the task asks: another person's answer is refused, an admin's too.

**Statuses**: queued until somebody takes it or answers it; inProgress while somebody has it; then successful when it is
completed, failure when it is rejected. Instructions that cannot be rendered are a failure with line and reason; an
assignee or a group that does not exist is invalidJobAgent.

**Told**: `job.asked` and `job.overdue` are events that subscriptions tell; a letter to `approvers` goes to the task's
group.

**Class**: asked. Taking and answering are one statement each that succeeds once, and only while the decision behind the
job holds. Until somebody took it a freeze or a newer version takes it back (skipped): take it before you begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from interlock.agents.keys import Checked, Key, Number, Template, Text, check_keys, lacking
from interlock.model.errors import Invalid, Rejected
from interlock.model.job import AgentClass, AgentJob, Authorization, JobStatus, Observation
from interlock.model.task import (
    DUE_MINUTES_MAX,
    FIELDS_MAX,
    INSTRUCTIONS_MAX,
    LABEL_MAX,
    NAME_MAX,
    ON_OVERDUE,
    OPTIONS_MAX,
    TEXT_MAX,
    TYPES,
    Asked,
    fields_of,
)
from interlock.outside.go_templates import GoTemplates

EVIDENCE = {
    "type": "array",
    "maxItems": FIELDS_MAX,
    "items": {
        "type": "object",
        "required": ["name", "type"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": NAME_MAX},
            "type": {"enum": list(TYPES)},
            "label": {"type": "string", "maxLength": LABEL_MAX},
            "required": {"type": "boolean"},
            "minimum": {"type": "number"},
            "maximum": {"type": "number"},
            "maxLength": {"type": "integer", "minimum": 1, "maximum": TEXT_MAX},
            "options": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": OPTIONS_MAX},
        },
    },
}
"""Fields of evidence as JSON Schema."""

KEYS = (
    Key("instructions", Template(), "what is to be done, as a Go template over the job's context", needed="job"),
    Key(
        "assignee",
        Template(),
        "the name of a member of the workspace who may answer; a template as well",
        shown_default="nobody",
    ),
    Key(
        "group",
        Template(),
        "the name of a group of the workspace whose members may answer; a template as well",
        shown_default="none",
    ),
    Key(
        "evidence",
        Checked(f"a list of at most {FIELDS_MAX} fields", lambda it, at: fields_of(it, at=at)[1], EVIDENCE),
        f"fields to hand in with a completion, at most {FIELDS_MAX}: see below",
        shown_default="none",
    ),
    Key(
        "dueInMinutes",
        Number(0, DUE_MINUTES_MAX, above=True),
        "by when it is wanted, counted from the instant at which people are asked",
        shown_default="never",
    ),
    Key(
        "onOverdue",
        Text(choices=ON_OVERDUE),
        "`wait`: it stays open and is shown as overdue; `fail`: its job fails",
        default="wait",
    ),
)
_TEMPLATES = ("instructions", "assignee", "group")


class ManualAgent:
    """Asks people. Taking, answering and commenting are the API's."""

    kind: ClassVar[str] = "manual"
    klass: ClassVar[AgentClass] = AgentClass.ASKED
    capabilities: ClassVar[frozenset[str]] = frozenset({"ask"})
    observe_every_s: ClassVar[float | None] = None
    keys: ClassVar[tuple[Key, ...]] = KEYS
    open_ended: ClassVar[bool] = False

    def __init__(self, templates: GoTemplates) -> None:
        self._templates = templates

    def check_config(self, config: Mapping[str, object]) -> None:
        """Refuse unknown keys, wrong types, templates that cannot be read, evidence that cannot be asked for."""
        check_keys(config, self.keys)

    async def ask(self, job: AgentJob) -> Asked:
        """What people are asked, with the names and values of this job filled in.

        Fails: `Rejected` when a template cannot be filled, or fills to nothing; `Invalid` for a wrong config.
        """
        check_keys(job.config, self.keys, open_ended=True)
        lacks = lacking(job.config, self.keys)
        if lacks is not None:
            raise Invalid(lacks)
        config = job.config
        said = {key: (await self._rendered(job, key)).strip() for key in _TEMPLATES if key in config}
        empty = next((key for key, text in said.items() if not text or text == "<no value>"), None)
        if empty is not None:
            raise Rejected(f"config.{empty}: nothing is left of it for this job.")
        if len(said["instructions"]) > INSTRUCTIONS_MAX:
            raise Rejected(f"config.instructions: more than {INSTRUCTIONS_MAX:,} characters.")
        return Asked(
            instructions=said["instructions"],
            assignee=said.get("assignee"),
            group=said.get("group"),
            evidence=fields_of(config.get("evidence", []), at="config.evidence")[0],
            due_s=_due_s(config),
            on_overdue=str(config.get("onOverdue", "wait")),
        )

    async def start(self, job: AgentJob, authorization: Authorization) -> Observation:
        """Queued: it waits for somebody to take it."""
        _ = job, authorization
        return Observation(JobStatus.QUEUED, message="Waits for a person.")

    async def find(self, job: AgentJob) -> Observation | None:
        """There is no outside to ask."""
        _ = job
        return None

    async def observe(self, job: AgentJob) -> Observation | None:
        """People answer by themselves: nothing is known beyond the job's own row."""
        _ = job
        return Observation(None)

    async def cancel(self, job: AgentJob) -> Observation | None:
        """Nobody is called: whoever has it sees the cancel on its page. One that nobody took ends at once."""
        _ = job
        return None

    def links(self, job: AgentJob, observation: Observation) -> Mapping[str, str]:
        """None: its page is ours."""
        _ = job, observation
        return {}

    async def _rendered(self, job: AgentJob, key: str) -> str:
        return await self._templates.render(str(job.config[key]), job.context, field=f"config.{key}")


def _due_s(config: Mapping[str, object]) -> float | None:
    """Seconds until it is due; None where the config says none."""
    minutes = config.get("dueInMinutes")
    return float(minutes) * 60 if isinstance(minutes, int | float) else None
