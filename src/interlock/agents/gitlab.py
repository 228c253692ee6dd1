"""GitLab CI: a job runs a pipeline of a project, and follows it.

The pipeline gets the variables `INTERLOCK_JOB` (the job's id) and `INTERLOCK_ATTEMPT`, and those of the config. By the
first it is found again after a crash.

```yaml
type: JobAgent
name: gitlab
agentType: gitlab
config:
  url: https://gitlab.example.com
  token: {secretRef: {provider: env, path: GITLAB_TOKEN}}
  project: shop/deploy
  ref: main
  variables:
    VERSION: "{{ version.tag }}"
    TARGET: "{{ resource.name }}"
```

{keys}

**Permissions** of the token: scope `api`, and a role that may run pipelines on the ref (Developer; Maintainer where the
ref is protected). The project must let that role set pipeline variables.

**Statuses**: inProgress until it ends; actionRequired while it waits for a manual job; success is successful, canceled
is cancelled, skipped is skipped, failed is failure, with the names of the jobs that failed.

**Class**: findable. A start that was not answered is looked for among the project's newest pipelines for a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from interlock.agents.keys import Address, Flag, Key, NumberOrName, Secret, Text, TextMap, check_keys, lacking
from interlock.agents.rest import TIMEOUT_S, Tool, part
from interlock.clock import utc_now
from interlock.model.errors import AgentUnavailable, Rejected
from interlock.model.job import AgentClass, AgentJob, Authorization, JobStatus, Observation
from interlock.outside.http import Http
from interlock.outside.templates import render_text

HOME = "https://gitlab.com"

_VARIABLES_MAX = 50
KEYS = (
    Key("project", NumberOrName(), "the project's path or number", needed="job"),
    Key("token", Secret(), "a project, group or personal access token; sealed", needed="job"),
    Key("url", Address(), "the server's address", default=HOME),
    Key("ref", Text(), "the branch or tag whose pipeline runs", default="main"),
    Key("variables", TextMap(_VARIABLES_MAX), "variables of the pipeline, with placeholders; at most 50"),
    Key("repeatUncertain", Flag(), "start again when a start was not answered and no pipeline is found", default=False),
)
_LOOKED_AT_MAX = 100
_FAILED_MAX = 5
_LOOK_BACK = timedelta(hours=1)
_ENDS: Mapping[str, JobStatus] = {
    "success": JobStatus.SUCCESSFUL,
    "failed": JobStatus.FAILURE,
    "canceled": JobStatus.CANCELLED,
    "skipped": JobStatus.SKIPPED,
}


class GitLabAgent:
    """A pipeline a job."""

    kind: ClassVar[str] = "gitlab"
    klass: ClassVar[AgentClass] = AgentClass.FINDABLE
    capabilities: ClassVar[frozenset[str]] = frozenset()
    observe_every_s: ClassVar[float | None] = 10.0
    keys: ClassVar[tuple[Key, ...]] = KEYS
    open_ended: ClassVar[bool] = False

    def __init__(self, http: Http, *, now: Callable[[], datetime] = utc_now, call_timeout_s: float = TIMEOUT_S) -> None:
        self._http, self._now, self._call_timeout_s = http, now, call_timeout_s

    def check_config(self, config: Mapping[str, object]) -> None:
        """Refuse unknown keys, wrong types, an address that is none, malformed placeholders."""
        check_keys(config, self.keys, check_url=self._http.check_url)

    async def start(self, job: AgentJob, authorization: Authorization) -> Observation:
        """Make a pipeline."""
        _ = authorization
        tool, given = self._tool(job), job.config.get("variables")
        variables = {"INTERLOCK_JOB": job.id, "INTERLOCK_ATTEMPT": str(job.attempt)}
        for name, text in (given if isinstance(given, Mapping) else {}).items():
            variables[str(name)] = render_text(str(text), job.context, field=f"config.variables.{name}")
        body = {
            "ref": str(job.config.get("ref") or "main"),
            "variables": [{"key": key, "value": value} for key, value in variables.items()],
        }
        return _seen(await tool.call("POST", f"{_project(job)}/pipeline", body=body))

    async def find(self, job: AgentJob) -> Observation | None:
        """The pipeline that has the job's id and attempt among its variables."""
        tool, since = self._tool(job), (job.started_at or self._now()) - _LOOK_BACK
        query = {"source": "api", "updated_after": since.isoformat(), "order_by": "id", "per_page": _LOOKED_AT_MAX}
        for pipeline in await tool.call("GET", f"{_project(job)}/pipelines", query=query, may_miss=True) or []:
            path = f"{_project(job)}/pipelines/{part(pipeline['id'])}/variables"
            variables = await tool.call("GET", path, may_miss=True) or []
            told = {one.get("key"): one.get("value") for one in variables}
            if (told.get("INTERLOCK_JOB"), told.get("INTERLOCK_ATTEMPT")) == (job.id, str(job.attempt)):
                return _seen(pipeline)
        return None

    async def observe(self, job: AgentJob) -> Observation | None:
        """How the pipeline goes."""
        if not job.external_id:
            return await self.find(job)
        path, tool = f"{_project(job)}/pipelines/{part(job.external_id)}", self._tool(job)
        pipeline = await tool.call("GET", path, may_miss=True)
        if not pipeline:
            return None
        seen = _seen(pipeline)
        if seen.status is JobStatus.FAILURE:
            with suppress(AgentUnavailable, Rejected):  # that it failed is known without
                jobs = await tool.call("GET", f"{path}/jobs", query={"scope[]": "failed"}, may_miss=True)
                failed = [f"{one.get('name')} ({one.get('failure_reason') or 'failed'})" for one in jobs or []]
                told = f" Failed: {', '.join(failed[:_FAILED_MAX])}." if failed else ""
                return replace(seen, message=f"{seen.message}{told}")
        return seen

    async def cancel(self, job: AgentJob) -> Observation | None:
        """Cancel the pipeline's jobs; one that is over stays as it ended."""
        seen = await self.observe(job)
        if seen is None or seen.status is None or seen.status.terminal:
            return seen
        path = f"{_project(job)}/pipelines/{part(seen.external_id)}/cancel"
        pipeline = await self._tool(job).call("POST", path, may_miss=True)
        return _seen(pipeline) if pipeline else None

    def links(self, job: AgentJob, observation: Observation) -> Mapping[str, str]:
        """GitLab tells the pipeline's address with each answer."""
        _ = job, observation
        return {}

    def _tool(self, job: AgentJob) -> Tool:
        if missing := lacking(job.config, KEYS):
            raise Rejected(missing)
        url = str(job.config.get("url") or HOME).rstrip("/") + "/api/v4"
        return Tool(self._http, "GitLab", url, {"PRIVATE-TOKEN": str(job.config["token"])}, self._call_timeout_s)


def _project(job: AgentJob) -> str:
    return f"/projects/{part(job.config['project'])}"


def _seen(pipeline: Mapping[str, Any]) -> Observation:
    """A pipeline as GitLab shows it."""
    said = str(pipeline.get("status"))
    status = _ENDS.get(said, JobStatus.ACTION_REQUIRED if said == "manual" else JobStatus.IN_PROGRESS)
    ended = pipeline.get("finished_at") or pipeline.get("updated_at")
    finished_at = datetime.fromisoformat(str(ended)) if status.terminal and ended else None
    links = {"Pipeline": str(pipeline["web_url"])} if pipeline.get("web_url") else {}
    metadata = {"gitlab/sha": str(pipeline["sha"])} if pipeline.get("sha") else {}
    message = f"The pipeline is {said.replace('_', ' ')}."
    return Observation(status, message, str(pipeline["id"]), links, metadata, finished_at=finished_at)
