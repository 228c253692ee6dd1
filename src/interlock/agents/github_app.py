"""GitHub Actions: a job runs a workflow by `workflow_dispatch`, and follows its run.

The workflow gets the input `job_id`, and asks Interlock for everything else (the job's context), with the action
`get-job-inputs` or a plain call of `GET …/jobs/<job_id>`. Its run's name must hold the job's id: by it the run is found
when a webhook comes, and after a crash.

```yaml
# .github/workflows/deploy.yml
run-name: Deploy ${{ inputs.job_id }}
on:
  workflow_dispatch:
    inputs:
      job_id: {type: string, required: true}
```

```yaml
type: JobAgent
name: actions
agentType: github-app
config:
  installationId: 4711
  owner: example
  repo: shop
  workflowId: 123456        # or deploy.yml; usually in the deployment's jobAgentConfig
  ref: main
  inputs:
    environment: "{{ environment.name }}"
```

{keys}

The App of the server's settings is `INTERLOCK_GITHUB_APP_ID` with `INTERLOCK_GITHUB_APP_KEY_FILE` (its private key,
PEM). Whoever may write an agent can use every installation of that App: where workspaces do not trust each other, give
each agent its own.

**Permissions** of the App or token: repository permission *Actions*, read and write. For the webhook: subscribe the App
to *Workflow run*, its address is `https://INTERLOCK/api/github/webhook`. Without a webhook the run is asked for.

**Statuses**: inProgress while it is queued or runs; actionRequired while it waits for a reviewer; then by its
conclusion: success is successful; cancelled is cancelled; neutral and skipped are skipped; all others are failure,
with the jobs and steps that failed.

**Class**: findable. A dispatch that was not answered is looked for by the run's name for a minute; a workflow without
the job's id in its run's name cannot be found, so it may have run where the job says `externalRunNotFound`.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from interlock.agents.keys import (
    Address,
    Flag,
    Key,
    NumberOrName,
    Secret,
    Text,
    TextMap,
    check_keys,
    lacking,
)
from interlock.agents.rest import TIMEOUT_S, Clash, Tool, part
from interlock.clock import utc_now
from interlock.model.errors import AgentUnavailable, Rejected
from interlock.model.job import AgentClass, AgentJob, Authorization, JobStatus, Observation
from interlock.outside.http import Http
from interlock.outside.templates import render_text

API = "https://api.github.com"
APPEAR_S = 300.0
"""How long a run may take to show up in the list after its dispatch was answered."""

_INPUTS_MAX = 24
KEYS = (
    Key("owner", Text(empty=False), "whose repository", needed="job"),
    Key("repo", Text(empty=False), "the repository", needed="job"),
    Key("workflowId", NumberOrName(), "the workflow's number, or its file's name", needed="job"),
    Key("ref", Text(), "the branch or tag whose workflow runs", default="main"),
    Key("installationId", NumberOrName(), "the installation of the GitHub App whose token is used"),
    Key("appId", NumberOrName(), "which App", shown_default="that of the server's settings"),
    Key("privateKey", Secret(), "the App's key, PEM; sealed", shown_default="that of the server's settings"),
    Key("token", Secret(), "a token to use in place of an App's; sealed"),
    Key(
        "inputs",
        TextMap(_INPUTS_MAX, reserved=(("job_id", "Is the job's own."),)),
        "more inputs, with placeholders (`{{ version.tag }}`); at most 24",
    ),
    Key("apiUrl", Address(), "GitHub Enterprise Server's address: `https://HOST/api/v3`", default=API),
    Key("repeatUncertain", Flag(), "start again when a start was not answered and no run is found", default=False),
    Key(
        "webhookSecret",
        Secret(),
        "what webhooks of this repository are signed with; sealed",
        shown_default="that of the server's settings",
    ),
    Key("organizationId", NumberOrName(), "an older client's word; not read"),
)
_PAGES_MAX = 5
_FAILED, _FAILED_MAX = frozenset({"failure", "timed_out", "startup_failure"}), 5
_PAGE = 100
_TOKEN_SPARE = timedelta(minutes=5)
_LOOK_BACK = timedelta(days=1)
_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_CONCLUSIONS: Mapping[str, JobStatus] = {
    "success": JobStatus.SUCCESSFUL,
    "cancelled": JobStatus.CANCELLED,
    "neutral": JobStatus.SKIPPED,
    "skipped": JobStatus.SKIPPED,
    "action_required": JobStatus.ACTION_REQUIRED,
}


@dataclass(frozen=True, slots=True)
class App:
    """A GitHub App: its number and its private key (PEM)."""

    id: str
    private_key: str


class GitHubAgent:
    """A run of a workflow a job."""

    kind: ClassVar[str] = "github-app"
    klass: ClassVar[AgentClass] = AgentClass.FINDABLE
    capabilities: ClassVar[frozenset[str]] = frozenset()
    observe_every_s: ClassVar[float | None] = 10.0
    keys: ClassVar[tuple[Key, ...]] = KEYS
    open_ended: ClassVar[bool] = False

    def __init__(
        self,
        http: Http,
        *,
        app: App | None = None,
        now: Callable[[], datetime] = utc_now,
        call_timeout_s: float = TIMEOUT_S,
        appear_s: float = APPEAR_S,
    ) -> None:
        self._http, self._app, self._now = http, app, now
        self._call_timeout_s, self._appear_s = call_timeout_s, appear_s
        self._tokens: dict[tuple[str, ...], tuple[str, datetime]] = {}

    def check_config(self, config: Mapping[str, object]) -> None:
        """Refuse unknown keys, wrong types, an address that is none, malformed placeholders."""
        check_keys(config, self.keys, check_url=self._http.check_url)

    async def start(self, job: AgentJob, authorization: Authorization) -> Observation:
        """Dispatch the workflow. GitHub answers with the run where it can; else the run is found by its name."""
        _ = authorization
        if missing := lacking(job.config, KEYS):
            raise Rejected(missing)
        inputs = {"job_id": job.id, **_inputs(job)}
        body = {"ref": str(job.config.get("ref") or "main"), "inputs": inputs, "return_run_details": True}
        tool, path = await self._tool(job), f"{_workflow(job)}/dispatches"
        try:
            made = await tool.call("POST", path, body=body)
        except Rejected as no:
            if "return_run_details" not in no.message:
                raise
            made = await tool.call("POST", path, body={"ref": body["ref"], "inputs": inputs})  # an older server
        run_id = made.get("workflow_run_id") if isinstance(made, dict) else None
        links = {"Run": str(made["html_url"])} if run_id and made.get("html_url") else {}
        external_id = None if run_id is None else str(run_id)
        return Observation(JobStatus.IN_PROGRESS, "The workflow was dispatched.", external_id, links)

    async def find(self, job: AgentJob) -> Observation | None:
        """The run whose name holds the job's id, among those of the last day; of several the newest."""
        if not all(job.config.get(key) for key in ("owner", "repo", "workflowId")):
            return None
        tool = await self._tool(job)
        since = (job.started_at or self._now()) - _LOOK_BACK
        query = {"event": "workflow_dispatch", "created": f">={since:%Y-%m-%dT%H:%M:%SZ}", "per_page": _PAGE}
        for page in range(1, _PAGES_MAX + 1):
            found = await tool.call("GET", f"{_workflow(job)}/runs", query={**query, "page": page}, may_miss=True)
            runs = (found or {}).get("workflow_runs") or []
            for run in runs:
                if job.id in f"{run.get('name')} {run.get('display_title')}":
                    return _seen(run)
            if len(runs) < _PAGE:
                break
        return None

    async def observe(self, job: AgentJob) -> Observation | None:
        """How the run goes. One that nobody has seen yet is waited for, then given up."""
        if job.external_id:
            tool = await self._tool(job)
            run = await tool.call("GET", f"{_repository(job)}/actions/runs/{part(job.external_id)}", may_miss=True)
            return await self._with_reason(tool, job, _seen(run)) if run else None
        found = await self.find(job)
        if found is not None:
            return await self._with_reason(await self._tool(job), job, found)
        if job.started_at is None:
            return None
        if self._now() < job.started_at + timedelta(seconds=self._appear_s):
            return Observation(None, "The run has not shown up yet.")
        hint = "No run's name holds the job's id. Set run-name to include ${{ inputs.job_id }}."
        return Observation(JobStatus.EXTERNAL_RUN_NOT_FOUND, hint, finished_at=self._now())

    async def _with_reason(self, tool: Tool, job: AgentJob, seen: Observation) -> Observation:
        """A run that failed, with the names of the jobs and steps that did, where GitHub tells them."""
        if seen.status is not JobStatus.FAILURE:
            return seen
        path = f"{_repository(job)}/actions/runs/{part(seen.external_id)}/jobs"
        with contextlib.suppress(AgentUnavailable, Rejected):  # that it failed is known without
            found = await tool.call("GET", path, query={"filter": "latest", "per_page": _PAGE}, may_miss=True)
            failed = _failed_jobs((found or {}).get("jobs") or [])
            return replace(seen, message=f"{seen.message} Failed: {failed}.") if failed else seen
        return seen

    async def cancel(self, job: AgentJob) -> Observation | None:
        """Ask GitHub to cancel the run; one that is over stays as it ended."""
        seen = await (self.observe(job) if job.external_id else self.find(job))
        if seen is None or seen.external_id is None or (seen.status is not None and seen.status.terminal):
            return seen
        tool = await self._tool(job)
        path = f"{_repository(job)}/actions/runs/{part(seen.external_id)}"
        with contextlib.suppress(Clash):  # it cannot be cancelled any more: it is ending
            await tool.call("POST", f"{path}/cancel", may_miss=True)
        run = await tool.call("GET", path, may_miss=True)
        return _seen(run) if run else None

    def links(self, job: AgentJob, observation: Observation) -> Mapping[str, str]:
        """The run, or the workflow's runs while it is not known."""
        if observation.links or str(job.config.get("apiUrl") or API) != API:
            return {}
        owner, repo = part(job.config.get("owner", "")), part(job.config.get("repo", ""))
        home = f"https://github.com/{owner}/{repo}/actions"
        return {"Actions": f"{home}/runs/{job.external_id}" if job.external_id else home} if owner and repo else {}

    # Who we are -----------------------------------------------------------------------------------------------------

    async def _tool(self, job: AgentJob) -> Tool:
        """GitHub's API, signed in as the config says."""
        config = job.config
        url = str(config.get("apiUrl") or API).rstrip("/")
        if config.get("token"):
            return self._signed_in(url, str(config["token"]))
        app = self._app
        if config.get("appId") and config.get("privateKey"):
            app = App(str(config["appId"]), str(config["privateKey"]))
        installation = config.get("installationId")
        if app is None or not installation:
            raise Rejected(
                "There is nobody to sign in as: give a token, or installationId with an App of the agent's config "
                "(appId, privateKey) or of the server's settings (INTERLOCK_GITHUB_APP_ID with "
                "INTERLOCK_GITHUB_APP_KEY_FILE)."
            )
        return self._signed_in(url, await self._installation_token(url, app, str(installation)))

    def _signed_in(self, url: str, token: str) -> Tool:
        headers = {**_HEADERS, "Authorization": f"Bearer {token}"}
        return Tool(self._http, "GitHub", url, headers, self._call_timeout_s)

    async def _installation_token(self, url: str, app: App, installation: str) -> str:
        """A token of the installation, kept until shortly before its end."""
        proof = hashlib.sha256(app.private_key.encode()).hexdigest()  # who lacks the key gets no token that it made
        key, now = (url, app.id, proof, installation), self._now()
        token, ends_at = self._tokens.get(key, ("", now))
        if now + _TOKEN_SPARE < ends_at:
            return token
        claims = {"iss": app.id, "iat": int(now.timestamp()) - 60, "exp": int(now.timestamp()) + 540}
        try:
            signed = jwt.encode({"alg": "RS256"}, claims, RSAKey.import_key(app.private_key))
        except (JoseError, ValueError, TypeError) as unfit:
            raise Rejected("The private key of the GitHub App is no RSA key in PEM.") from unfit
        made = await self._signed_in(url, signed).call("POST", f"/app/installations/{part(installation)}/access_tokens")
        if not isinstance(made, dict) or not made.get("token"):
            raise AgentUnavailable("GitHub answered without a token.")
        self._tokens[key] = (str(made["token"]), datetime.fromisoformat(str(made["expires_at"])))
        return str(made["token"])


def _repository(job: AgentJob) -> str:
    return f"/repos/{part(job.config.get('owner', ''))}/{part(job.config.get('repo', ''))}"


def _workflow(job: AgentJob) -> str:
    return f"{_repository(job)}/actions/workflows/{part(job.config['workflowId'])}"


def _inputs(job: AgentJob) -> dict[str, str]:
    given = job.config.get("inputs")
    if not isinstance(given, Mapping):
        return {}
    return {
        str(name): render_text(str(text), job.context, field=f"config.inputs.{name}") for name, text in given.items()
    }


def _failed_jobs(jobs: Sequence[Mapping[str, Any]]) -> str:
    """The jobs of a run that failed, each with its first step that did; the first five."""
    told = []
    for one in jobs:
        if one.get("conclusion") not in _FAILED:
            continue
        steps = (str(step.get("name")) for step in one.get("steps") or [] if step.get("conclusion") in _FAILED)
        step = next(steps, "")
        told.append(f"{one.get('name')} ({step})" if step else str(one.get("name")))
    return ", ".join(told[:_FAILED_MAX])


def _seen(run: Mapping[str, Any]) -> Observation:
    """A run as GitHub shows it."""
    status, conclusion = str(run.get("status")), run.get("conclusion")
    finished_at = None
    if status == "completed":
        found = _CONCLUSIONS.get(str(conclusion), JobStatus.FAILURE)
        said = f"The run ended: {conclusion}."
        finished_at = datetime.fromisoformat(str(run["updated_at"])) if found.terminal else None
    elif status in {"waiting", "action_required"}:
        found, said = JobStatus.ACTION_REQUIRED, "The run waits for a reviewer at GitHub."
    else:
        found, said = JobStatus.IN_PROGRESS, f"The run is {status.replace('_', ' ')}."
    links = {"Run": str(run["html_url"])} if run.get("html_url") else {}
    told = {"github/run-attempt": run.get("run_attempt"), "github/head-sha": run.get("head_sha")}
    metadata = {key: str(value) for key, value in told.items() if value}
    return Observation(found, said, str(run["id"]), links, metadata, finished_at=finished_at)
