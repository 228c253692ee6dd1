"""Terraform Cloud and Enterprise: a job writes a workspace from a template, runs it, and follows the run to its end.

The template is a workspace as YAML, written as a Go template over the job's context. A version is usually a variable of
it, or the branch or tag that the workspace reads.

```yaml
type: JobAgent
name: terraform-cloud
agentType: tfe
config:
  organization: acme
  token: {secretRef: {provider: env, path: TFE_TOKEN}}
  webhookUrl: https://interlock.example.com/api/tfe/webhook
  webhookSecret: {secretRef: {provider: env, path: TFE_WEBHOOK_SECRET}}
  template: |
    name: {{ .deployment.name }}-{{ .resource.name }}
    project: prj-2nFb8XkVq4Wz9RtL
    terraform_version: "1.9.8"
    vcs_repo:
      identifier: acme/network
      oauth_token_id: ot-hmAyP66qk2AMVdbJ
      branch: main
    variables:
      - key: image_tag
        value: {{ .version.tag }}
      - key: region
        value: {{ .resource.config.region }}
      - key: AWS_SECRET_ACCESS_KEY
        category: env
        sensitive: true
```

{keys}

The template may hold `name` (needed), `description`, `project` (its id), `execution_mode`, `agent_pool_id`,
`terraform_version`, `working_directory`, `auto_apply` and the other settings of a workspace by the API's names with
`_`; `vcs_repo` with `identifier`, `branch`, `oauth_token_id` or `github_app_installation_id`, `ingress_submodules` and
`tags_regex`; and `variables`, each with `key`, `value`, `category` (`terraform` or `env`), `hcl`, `sensitive` and
`description`. A value that is a list or a map becomes an expression. Another key is refused, so that no misspelt
setting is silently not set. In the name, what Terraform Cloud would refuse becomes `-`.

**The workspace** is created, or changed where it differs from the template; what the template does not name stays as it
is. Where the template has `variables`, they become those of the workspace: missing ones are made, changed ones changed,
others removed. Terraform Cloud never tells a *sensitive* value again. So a sensitive variable that the template gives a
value is written each time, one that it names without a value is kept, and one that it does not name is kept too: nobody
could bring it back.

**Confirming.** A run plans first. When its plan changes something, the job is actionRequired and Interlock judges it
again, as the move that it completes: freezes, windows, approvals and every other gate, as they are *then*. Only when
all pass does Interlock apply the run, once; until then the target says what holds it, and the plan, its cost and its
policy checks are there to be looked at. A plan that changes nothing needs no yes. A newer version that is admitted, a
rejection, a pin elsewhere or a rollback discard the run. With `autoApply`, Terraform Cloud applies a run by itself as
soon as it is planned, and Interlock confirms nothing: what was judged before the hand-over is all that is judged.

**Statuses**: inProgress while it waits in its queue, plans and applies; actionRequired while it waits to be confirmed,
or for a person in Terraform Cloud (a soft-failed policy to override); applied, and planned without a change, are
successful; discarded and canceled are cancelled; errored, and a policy that failed for good, are failure. Message and
metadata hold what the plan would change, what it costs a month, and how many policy checks passed and failed.

**Without a run** (`triggerRunOnChange: false`): the job writes workspace and variables, and is successful when they
stand. Runs that your repository starts carry no job's id, so Interlock does not follow them.

**Webhook**: with `webhookUrl` the job makes a notification configuration named `interlock` at the workspace, signed
with `webhookSecret` (or with the installation's `INTERLOCK_TFE_WEBHOOK_SECRET`). News comes at once then; Interlock
asks every 10 s anyway. A configuration that Terraform Cloud refuses to make, because it cannot reach the address, fails
no job: its metadata says so. A secret that changed is written once that configuration is deleted.

**Plan**: the workspace as it would be against that of the version that runs, and a speculative run with the template's
Terraform variables; environment variables and sensitive values are those of the workspace. Nothing is changed.

**Permissions**: a *team* token, or a user's; an organization's token may create no runs. Give the team on the
workspaces' project

| what the job does | the least that Terraform Cloud asks for |
|---|---|
| create, follow, apply, discard and cancel runs; write variables | *Write* on the workspaces |
| create workspaces and change their settings | *Maintain* on the project |
| make the notification configuration (`webhookUrl`) | *Admin* on the workspaces, a part of *Maintain* |
| tell in a plan what changes, resource by resource | the same; without it a plan tells numbers |

So *Maintain* on the project is enough for all of it, and *Write* where workspaces stand as the template has them and no
`webhookUrl` is given.

**Class**: findable. The run's message begins with the job's id and attempt; after a start that was not answered it is
looked for among the workspace's newest runs for a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

import orjson

from interlock.agents.keys import Address, Checked, Flag, Key, Secret, Template, Text, check_keys, lacking
from interlock.agents.rest import TIMEOUT_S, Clash, Tool, follow_up, part
from interlock.agents.tfe_run import WITH_POLICIES, Run, instant_of, run_seen
from interlock.agents.tfe_workspace import (
    Variable,
    Workspace,
    described,
    differing,
    literal,
    parse_workspace,
    related_id,
    sync_of,
)
from interlock.clock import utc_now
from interlock.model.errors import AgentUnavailable, FieldError, NotStarted, Rejected, Unavailable
from interlock.model.job import AgentClass, AgentJob, Authorization, JobStatus, Observation, Planned
from interlock.model.secret import MASK
from interlock.outside.go_templates import GoTemplates
from interlock.outside.http import Http

HOME = "https://app.terraform.io"
MEDIA_TYPE = "application/vnd.api+json"
NOTIFICATION = "interlock"
TRIGGERS = (
    "run:created",
    "run:planning",
    "run:needs_attention",
    "run:applying",
    "run:completed",
    "run:errored",
)


def _wrong_news_url(value: object, field: str) -> list[FieldError]:
    """What is wrong with an address that Terraform Cloud calls. Interlock does not, so it may be a private one."""
    fine = isinstance(value, str) and value.startswith(("https://", "http://"))
    return [] if fine else [FieldError(field, "Must be a URL, http or https.")]


NEWS_URL = Checked("a URL, http or https", _wrong_news_url, {"type": "string", "format": "uri"})

KEYS = (
    Key("organization", Text(empty=False), "the organization's name", needed="job"),
    Key("token", Secret(), "a team or user token; sealed", needed="job"),
    Key("template", Template(), "a workspace as YAML, as a Go template with Sprig's functions", needed="job"),
    Key("address", Address(bare=True), "the server's address; without a scheme, https", default=HOME),
    Key("webhookUrl", NEWS_URL, "where Terraform Cloud tells its news: `https://<interlock>/api/tfe/webhook`"),
    Key("webhookSecret", Secret(), "what it signs its news with; sealed", shown_default="the installation's"),
    Key("autoApply", Flag(), "Terraform Cloud applies a run by itself; Interlock confirms nothing", default=False),
    Key("triggerRunOnChange", Flag(), "run the workspace; else only write it and its variables", default=True),
)

_LOOKED_AT_MAX = 100
_CHANGES_MAX = 500
_STAGES_MAX = 4


class TfeAgent:
    """A workspace a target, a run a job."""

    kind: ClassVar[str] = "tfe"
    klass: ClassVar[AgentClass] = AgentClass.FINDABLE
    capabilities: ClassVar[frozenset[str]] = frozenset({"confirm", "plan"})
    observe_every_s: ClassVar[float | None] = 10.0
    keys: ClassVar[tuple[Key, ...]] = KEYS
    open_ended: ClassVar[bool] = False

    def __init__(
        self,
        http: Http,
        templates: GoTemplates,
        *,
        webhook_secret: str | None = None,
        now: Callable[[], datetime] = utc_now,
        call_timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._http, self._templates, self._webhook_secret = http, templates, webhook_secret
        self._now, self._call_timeout_s = now, call_timeout_s

    def check_config(self, config: Mapping[str, object]) -> None:
        """Refuse unknown keys, wrong types, an address that is none, a template that cannot be read."""
        check_keys(config, self.keys, check_url=self._http.check_url)

    async def start(self, job: AgentJob, authorization: Authorization) -> Observation:
        """Write the workspace and its variables, then run it."""
        _ = authorization
        tool, wanted = self._tool(job), await self._workspace(job, job.context)
        with _before_the_run():
            there = await self._write(tool, job, wanted)
            await self._write_variables(tool, there, wanted)
            refused = await self._write_notification(tool, job, there)
        noted = {"tfe/notification": refused} if refused else {}
        if not _runs(job):
            return self._written(job, there, noted)
        body = {
            "type": "runs",
            "attributes": {"message": message_of(job), "auto-apply": job.config.get("autoApply") is True},
            "relationships": {"workspace": {"data": {"type": "workspaces", "id": there["id"]}}},
        }
        run = (await tool.call("POST", "/runs", body={"data": body}))["data"]
        return run_seen(Run(run), links=self._links(job, wanted.name, run["id"]), noted=noted)

    async def find(self, job: AgentJob) -> Observation | None:
        """The run whose message names the job and its attempt; without runs, a workspace that is as it should be."""
        tool, wanted = self._tool(job), await self._workspace(job, job.context)
        there = await self._read(tool, job, wanted.name)
        if there is None:
            return None
        if not _runs(job):
            return self._written(job, there, {}) if await self._is_as_wanted(tool, there, wanted) else None
        query = {"page[size]": _LOOKED_AT_MAX}
        listed = await tool.call("GET", f"/workspaces/{part(there['id'])}/runs", query=query, may_miss=True) or {}
        for run in listed.get("data") or []:
            if str(run["attributes"].get("message") or "").startswith(message_of(job, short=True)):
                return run_seen(Run(run), links=self._links(job, wanted.name, run["id"]))
        return None

    async def observe(self, job: AgentJob) -> Observation | None:
        """How the run goes: its state, what it would change, what that costs, what policies say."""
        if not _has_run(job):
            return await self.find(job)
        found = await self._fetch(self._tool(job), str(job.external_id))
        return run_seen(found) if found else None

    async def cancel(self, job: AgentJob) -> Observation | None:
        """Discard a run that waits, interrupt one that plans or applies. One that is over stays as it ended."""
        seen = None if _has_run(job) else await self.find(job)
        if not _has_run(job) and (seen is None or not str(seen.external_id).startswith("run-")):
            return seen
        tool, run_id = self._tool(job), str(job.external_id if _has_run(job) else seen and seen.external_id)
        found = await self._fetch(tool, run_id)
        if found is None or found.step_to_end is None:
            return run_seen(found) if found else None
        body = {"comment": "Interlock asks for the end of this run."}
        with suppress(Clash):  # it went on meanwhile: the next look says how
            await tool.call("POST", f"/runs/{part(run_id)}/actions/{found.step_to_end}", body=body)
        found = await self._fetch(tool, run_id)
        return run_seen(found) if found else None

    async def confirm(self, job: AgentJob, authorization: Authorization) -> Observation | None:
        """Apply the planned run. Terraform Cloud takes that once: asked again, it answers that nothing waits."""
        tool, run_id = self._tool(job), str(job.external_id)
        body = {"comment": f"Interlock lets it pass: decision {authorization.decision_id}."}
        clashed = False
        try:
            await tool.call("POST", f"/runs/{part(run_id)}/actions/apply", body=body)
        except Clash:
            clashed = True
        with follow_up():
            found = await self._fetch(tool, run_id)
        seen = run_seen(found) if found else None
        if clashed and seen is not None and seen.confirmable:
            raise AgentUnavailable("Terraform Cloud says both: that the run waits, and that it does not.")
        return seen

    async def plan(self, job: AgentJob, current: Mapping[str, object] | None) -> Planned:
        """The workspace as it would be against that of what runs, and a speculative run. Asked again, it follows the
        run that it began.
        """
        tool, wanted = self._tool(job), await self._workspace(job, job.context)
        before = "" if current is None else described(await self._workspace(job, current))
        after = described(wanted)
        there = await self._read(tool, job, wanted.name)
        if there is None:
            return Planned(before, after, before != after, "There is no such workspace yet: nothing could be planned.")
        found = await self._fetch(tool, str((await self._speculate(tool, job, there, wanted))["id"]))
        said = run_seen(found) if found else None
        if found is None or said is None or said.status is None or not said.status.terminal:
            raise AgentUnavailable("Terraform Cloud still plans.", retry_after_s=5.0)
        if found.state != "planned_and_finished":
            raise Rejected(f"The speculative run {said.external_id} ended {found.state}. {said.message or ''}".strip())
        after += await self._changes(tool, found.run)
        return Planned(before, after, found.has_changes or before != after, said.message or "")

    def links(self, job: AgentJob, observation: Observation) -> Mapping[str, str]:
        """What `start` and `find` know of: the workspace's name is the template's."""
        _ = job, observation
        return {}

    # The workspace --------------------------------------------------------------------------------------------------

    def _tool(self, job: AgentJob) -> Tool:
        said = lacking(job.config, self.keys)
        if said:
            raise Rejected(said)
        headers = {
            "Authorization": f"Bearer {job.config['token']}",
            "Accept": MEDIA_TYPE,
            "Content-Type": MEDIA_TYPE,
        }
        return Tool(self._http, "Terraform Cloud", f"{_home(job)}/api/v2", headers, self._call_timeout_s)

    async def _workspace(self, job: AgentJob, context: Mapping[str, object]) -> Workspace:
        text = await self._templates.render(str(job.config["template"]), context, field="config.template")
        return parse_workspace(text, field="config.template")

    async def _read(self, tool: Tool, job: AgentJob, name: str) -> dict[str, Any] | None:
        path = f"/organizations/{part(job.config['organization'])}/workspaces/{part(name)}"
        found = await tool.call("GET", path, may_miss=True)
        return found["data"] if found else None

    async def _write(self, tool: Tool, job: AgentJob, wanted: Workspace) -> dict[str, Any]:
        """The workspace as it is wanted: made, changed, or left alone where it is so."""
        there = await self._read(tool, job, wanted.name)
        document: dict[str, Any] = {"type": "workspaces", "attributes": dict(wanted.attributes)}
        if wanted.project:
            document["relationships"] = {"project": {"data": {"type": "projects", "id": wanted.project}}}
        if there is None:
            path = f"/organizations/{part(job.config['organization'])}/workspaces"
            return dict((await tool.call("POST", path, body={"data": document}))["data"])
        moves = bool(wanted.project) and related_id(there, "project") != wanted.project
        changed = differing(wanted, there)
        if not changed and not moves:
            return there
        document["attributes"] = changed
        if not moves:
            document.pop("relationships", None)
        path = f"/workspaces/{part(there['id'])}"
        return dict((await tool.call("PATCH", path, body={"data": document}))["data"])

    async def _variables(self, tool: Tool, there: Mapping[str, Any]) -> list[dict[str, Any]]:
        found = await tool.call("GET", f"/workspaces/{part(there['id'])}/vars")
        return list((found or {}).get("data") or [])

    async def _write_variables(self, tool: Tool, there: Mapping[str, Any], wanted: Workspace) -> None:
        """The workspace's variables as the template has them. What is removed goes first: a name is there once."""
        if wanted.variables is None:
            return
        sync, home = sync_of(wanted.variables, await self._variables(tool, there)), f"/workspaces/{part(there['id'])}"
        for variable_id in sync.delete:
            await tool.call("DELETE", f"{home}/vars/{part(variable_id)}", may_miss=True)
        for variable_id, variable in sync.update:
            body = {"data": {"type": "vars", "id": variable_id, "attributes": variable.attributes}}
            await tool.call("PATCH", f"{home}/vars/{part(variable_id)}", body=body)
        for variable in sync.create:
            body = {"data": {"type": "vars", "attributes": _with_value(variable)}}
            await tool.call("POST", f"{home}/vars", body=body)

    async def _is_as_wanted(self, tool: Tool, there: Mapping[str, Any], wanted: Workspace) -> bool:
        """Whether workspace and variables stand as the template has them, as far as that can be seen."""
        if differing(wanted, there):
            return False
        if wanted.variables is None:
            return True
        sync = sync_of(wanted.variables, await self._variables(tool, there))
        return not (sync.create or sync.delete or any(not one.sensitive for _, one in sync.update))

    async def _write_notification(self, tool: Tool, job: AgentJob, there: Mapping[str, Any]) -> str | None:
        """See to it that Terraform Cloud tells us its news. Says why not, where it refuses: asking goes on anyway."""
        url = job.config.get("webhookUrl")
        if not url or not _runs(job):
            return None
        home = f"/workspaces/{part(there['id'])}/notification-configurations"
        wanted = {"destination-type": "generic", "enabled": True, "name": NOTIFICATION, "url": str(url)}
        secret = job.config.get("webhookSecret") or self._webhook_secret
        full = {**wanted, "triggers": list(TRIGGERS), "token": str(secret) if secret else None}
        document: dict[str, Any] = {"type": "notification-configurations", "attributes": full}
        try:
            listed = (await tool.call("GET", home) or {}).get("data") or []
            mine = next((one for one in listed if one["attributes"].get("name") == NOTIFICATION), None)
            if mine is None:
                await tool.call("POST", home, body={"data": document})
                return None
            now = mine["attributes"]
            same = all(now.get(name) == value for name, value in wanted.items())
            if not same or set(now.get("triggers") or ()) != set(TRIGGERS):
                document["id"] = mine["id"]
                await tool.call("PATCH", f"/notification-configurations/{part(mine['id'])}", body={"data": document})
        except Rejected as refused:
            return f"Not set: {refused.message}"
        return None

    # Speculative runs -----------------------------------------------------------------------------------------------

    async def _speculate(
        self, tool: Tool, job: AgentJob, there: Mapping[str, Any], wanted: Workspace
    ) -> dict[str, Any]:
        """The speculative run of this plan: the one that was begun before, or a new one."""
        message = f"Interlock plan {job.id}"
        query = {"page[size]": _LOOKED_AT_MAX, "filter[operation]": "plan_only"}
        listed = await tool.call("GET", f"/workspaces/{part(there['id'])}/runs", query=query) or {}
        for run in listed.get("data") or []:
            if run["attributes"].get("message") == message:
                return dict(run)
        shown = [one for one in wanted.variables or () if _is_shown(one)]
        body = {
            "type": "runs",
            "attributes": {
                "message": message,
                "plan-only": True,
                "variables": [{"key": one.key, "value": literal(one)} for one in shown],
            },
            "relationships": {"workspace": {"data": {"type": "workspaces", "id": there["id"]}}},
        }
        return dict((await tool.call("POST", "/runs", body={"data": body}))["data"])

    async def _changes(self, tool: Tool, run: Mapping[str, Any]) -> str:
        """What a plan changes, a line a resource; empty where this token may not see it.

        Why:    the plan's JSON lies at an address that is good for a minute and asks for no token.
        """
        plan_id = related_id(run, "plan")
        if plan_id is None:
            return ""
        url = f"{tool.base_url}/plans/{part(plan_id)}/json-output"
        try:
            answer = await self._http.send("GET", url, headers=tool.headers, timeout_s=self._call_timeout_s)
            to = dict(answer.headers).get("location") if answer.status in {302, 303, 307} else None
            if to:
                most = 8 * 1024 * 1024
                answer = await self._http.send("GET", to, timeout_s=self._call_timeout_s, answer_bytes_max=most)
            if answer.status != 200 or answer.truncated:
                return ""
            told = orjson.loads(answer.body).get("resource_changes") or []
        except (Unavailable, Rejected, orjson.JSONDecodeError):
            return ""
        changed = [one for one in told if (one.get("change") or {}).get("actions") not in (["no-op"], ["read"], None)]
        lines = [f"  - {'/'.join(one['change']['actions'])} {one.get('address')}" for one in changed[:_CHANGES_MAX]]
        if len(changed) > _CHANGES_MAX:
            lines.append(f"  - and {len(changed) - _CHANGES_MAX} more")
        return "changes:\n" + "\n".join(lines) + "\n" if lines else ""

    # What is seen ---------------------------------------------------------------------------------------------------

    async def _fetch(self, tool: Tool, run_id: str) -> Run | None:
        """One run with its plan, its cost and its policy checks."""
        query = {"include": "plan,cost_estimate"}
        found = await tool.call("GET", f"/runs/{part(run_id)}", query=query, may_miss=True)
        if not found:
            return None
        run = Run(found["data"], tuple(found.get("included") or ()))
        if run.state in WITH_POLICIES:
            listed = await tool.call("GET", f"/runs/{part(run_id)}/policy-checks", may_miss=True) or {}
            return replace(run, checks=tuple(listed.get("data") or ()))
        return replace(run, checks=await self._evaluations(tool, run_id)) if run.has_stages else run

    async def _evaluations(self, tool: Tool, run_id: str) -> tuple[dict[str, Any], ...]:
        """What policies said that ran in a stage of their own, as newer ones do."""
        found: list[dict[str, Any]] = []
        stages = (await tool.call("GET", f"/runs/{part(run_id)}/task-stages", may_miss=True) or {}).get("data") or []
        for stage in stages[:_STAGES_MAX]:
            path = f"/task-stages/{part(stage['id'])}/policy-evaluations"
            found += (await tool.call("GET", path, may_miss=True) or {}).get("data") or []
        return tuple(found)

    def _written(self, job: AgentJob, there: Mapping[str, Any], noted: Mapping[str, str]) -> Observation:
        """A workspace that stands as it is wanted, of a job that runs nothing."""
        name = str(there["attributes"]["name"])
        return Observation(
            JobStatus.SUCCESSFUL,
            "Workspace and variables are written. Its runs are started by its repository; none is followed.",
            external_id=str(there["id"]),
            links={"Workspace": f"{_app(job)}/workspaces/{part(name)}"},
            metadata={"tfe/workspace": str(there["id"]), **noted},
            finished_at=instant_of(there["attributes"].get("updated-at")) or self._now(),
        )

    def _links(self, job: AgentJob, name: str, run_id: str) -> dict[str, str]:
        home = f"{_app(job)}/workspaces/{part(name)}"
        return {"Run": f"{home}/runs/{part(run_id)}", "Workspace": home}


def message_of(job: AgentJob, *, short: bool = False) -> str:
    """A run's message: the job's id, by which webhooks and `find` know it, and its attempt; then what it brings."""
    own = f"Interlock job {job.id}, attempt {job.attempt}:"
    return own if short else f"{own} {_name(job, 'deployment')} {_name(job, 'version')} to {_name(job, 'resource')}"


def _name(job: AgentJob, noun: str) -> str:
    found = job.context.get(noun)
    known = found if isinstance(found, Mapping) else {}
    return str(known.get("tag") or known.get("name") or noun)


def _runs(job: AgentJob) -> bool:
    return job.config.get("triggerRunOnChange") is not False


@contextmanager
def _before_the_run() -> Iterator[None]:
    """Calls of a `start` that only write what the run needs: silence then has started nothing, and they may be made
    again.
    """
    try:
        yield
    except AgentUnavailable as silent:
        raise NotStarted(silent.message, retry_after_s=silent.retry_after_s) from silent


def _has_run(job: AgentJob) -> bool:
    return (job.external_id or "").startswith("run-")


def _home(job: AgentJob) -> str:
    url = str(job.config.get("address") or HOME).rstrip("/")
    return url if "://" in url else f"https://{url}"


def _app(job: AgentJob) -> str:
    return f"{_home(job)}/app/{part(job.config['organization'])}"


def _with_value(variable: Variable) -> dict[str, Any]:
    """A new variable. A sensitive one without a value is made empty, for somebody to fill."""
    return {"value": "", **variable.attributes}


def _is_shown(variable: Variable) -> bool:
    """Whether a speculative run may be given a value: runs show their variables, and have no environment's."""
    return variable.category == "terraform" and not variable.sensitive and MASK not in (variable.value or "")
