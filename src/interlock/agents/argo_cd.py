"""Argo CD: a job creates or updates an Application from a template, syncs it, and follows it until it is healthy.

For clusters whose manifests lie in Git. The template is an Application, written as a Go template over the job's
context; a version is usually its `targetRevision`, or an image tag among its parameters.

```yaml
type: JobAgent
name: argo
agentType: argo-cd
config:
  serverUrl: https://argocd.example.com
  apiKey: {secretRef: {provider: env, path: ARGOCD_TOKEN}}
  template: |
    apiVersion: argoproj.io/v1alpha1
    kind: Application
    metadata:
      name: {{ .deployment.name }}-{{ .resource.name }}
    spec:
      project: default
      source:
        repoURL: https://git.example.com/shop.git
        path: deploy
        targetRevision: {{ .version.tag }}
      destination:
        server: {{ .resource.config.server }}
        namespace: shop
```

{keys}

A name or a label that Kubernetes would refuse is made fit: lower case, `-` for what is not a letter or digit, 63
characters. The Application needs no automated sync policy; with one, Argo CD may sync before the job asks.

**Permissions** of the token: `applications, get`, `create`, `update` and `sync` on the project; `applications,
delete` is not needed. In Argo CD's RBAC:

    p, role:interlock, applications, get,    default/*, allow
    p, role:interlock, applications, create, default/*, allow
    p, role:interlock, applications, update, default/*, allow
    p, role:interlock, applications, sync,   default/*, allow

**Statuses**: inProgress while it syncs and becomes healthy; successful when the operation succeeded, Argo CD has
compared and checked since, and the Application is Synced to the revision that was synced, and Healthy; actionRequired
while it is Suspended (a person resumes it in Argo CD); failure with the operation's message, when it stays Degraded, or
when somebody changed the revision that it goes for; cancelled when its operation was terminated.

**What is seen** stands in the job: `argocd/sync`, `argocd/health` and `argocd/revision` in its metadata, the objects
that the sync wrote, and the images that run by digest.

**Inspect**: the objects of the Application, its images, and what drifted: objects that are OutOfSync or missing, and a
revision that somebody changed.

**Plan**: the Application that would be written against the one of the version that runs; and, where Argo CD has it
already, the manifests of both revisions.

**Class**: keyed. The sync carries the job and its attempt, and Argo CD runs one operation of an Application at a time:
a second start of the same attempt finds the first. While a foreign operation runs, the job waits for its end.
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import orjson
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from interlock.agents.keys import Address, Flag, Key, Number, Secret, Template, check_keys
from interlock.agents.rest import SAID_MAX, TIMEOUT_S, Clash, Tool, follow_up, part
from interlock.clock import utc_now
from interlock.model.errors import AgentUnavailable, Rejected
from interlock.model.job import (
    AgentClass,
    AgentJob,
    Authorization,
    Drift,
    Inspected,
    JobStatus,
    Observation,
    Planned,
)
from interlock.outside.go_templates import GoTemplates
from interlock.outside.http import Http

NAME_MAX = 63
NOTE = "interlock/job"
"""The annotation of an Application, and the name of an operation's info, that say whose work it is."""
GOES_FOR = "interlock/target-revision"
"""The annotation that says which revision the job asked for, branch, tag or commit; of several sources all."""

_DEGRADED_S, _DEGRADED_MAX_S = 60.0, 86_400.0
KEYS = (
    Key("serverUrl", Address(bare=True), "the server's address; without a scheme, https", needed="agent"),
    Key("apiKey", Secret(), "a token; sealed", needed="agent"),
    Key("template", Template(), "an Application, as a Go template with Sprig's functions", needed="job"),
    Key("prune", Flag(), "delete what the Application made and Git no longer holds", default=False),
    Key(
        "degradedSeconds",
        Number(0, _DEGRADED_MAX_S),
        "how long it may be Degraded after its sync before the job fails, from 0 to 86400",
        default=60,
    ),
)
_BUSY_S = 10.0
_UNFIT = re.compile(r"[^a-z0-9-]+")
_UNFIT_VALUE = re.compile(r"[^A-Za-z0-9._-]+")
_TERMINATED = "operation terminated"
_APPLIED_MAX = 200


class ArgoCdAgent:
    """An Application a target, a sync a job."""

    kind: ClassVar[str] = "argo-cd"
    klass: ClassVar[AgentClass] = AgentClass.KEYED
    capabilities: ClassVar[frozenset[str]] = frozenset({"plan", "inspect"})
    observe_every_s: ClassVar[float | None] = 5.0
    keys: ClassVar[tuple[Key, ...]] = KEYS
    open_ended: ClassVar[bool] = False

    def __init__(
        self,
        http: Http,
        templates: GoTemplates,
        *,
        now: Callable[[], datetime] = utc_now,
        call_timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._http, self._templates, self._now, self._call_timeout_s = http, templates, now, call_timeout_s
        self._starting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def check_config(self, config: Mapping[str, object]) -> None:
        """Refuse unknown keys, wrong types, an address that is none, a template that cannot be read."""
        check_keys(config, self.keys, check_url=self._http.check_url)

    async def start(self, job: AgentJob, authorization: Authorization) -> Observation:
        """Write the Application, ask for its sync."""
        _ = authorization
        tool, wanted = self._tool(job), await self._application(job, job.context)
        key = f"{tool.base_url}/{wanted['metadata']['name']}"
        async with self._starting.setdefault(key, asyncio.Lock()):  # between look and sync, nobody of ours syncs
            return await self._start(job, tool, wanted)

    async def _start(self, job: AgentJob, tool: Tool, wanted: dict[str, Any]) -> Observation:
        name = wanted["metadata"]["name"]
        there = await self._read(tool, name)
        seen = self._seen(job, there)
        if seen is not None:
            return seen
        if _busy(there):
            raise AgentUnavailable(f"Argo CD runs another operation of {name}.", retry_after_s=_BUSY_S)
        wanted["metadata"].setdefault("annotations", {}).update({NOTE: _key(job), GOES_FOR: _targets(wanted)})
        await tool.call("POST", "/api/v1/applications", query={"upsert": True, "validate": True}, body=wanted)
        request = {
            "name": name,
            "prune": job.config.get("prune") is True,
            "infos": [{"name": NOTE, "value": _key(job)}],
        }
        with follow_up():  # the Application is written
            try:
                there = await tool.call("POST", f"/api/v1/applications/{part(name)}/sync", body=request)
            except Rejected as no:
                if not isinstance(no, Clash) and "operation is already in progress" not in no.message:
                    raise
                there = await self._read(tool, name)
        seen = self._seen(job, there)
        if seen is not None:
            return seen
        raise AgentUnavailable(f"Argo CD runs another operation of {name}.", retry_after_s=_BUSY_S)

    async def find(self, job: AgentJob) -> Observation | None:
        """The attempt's operation; None where the Application has none of it."""
        return self._seen(job, await self._there(job))

    async def observe(self, job: AgentJob) -> Observation | None:
        """How operation, sync and health go. An operation of somebody else may have taken the job's place."""
        there = await self._there(job)
        seen = self._seen(job, there)
        if seen is not None or there is None or _note(there) != _key(job):
            return seen
        if _busy(there):
            return self._found(job, there, JobStatus.IN_PROGRESS, "Another operation took over; it is followed.")
        return self._by_health(job, there)

    async def cancel(self, job: AgentJob) -> Observation | None:
        """Terminate the operation, if it is this attempt's. What it has written stays as it is."""
        there = await self._there(job)
        seen = self._seen(job, there)
        if there is not None and seen is not None and _running(there):
            name = there["metadata"]["name"]
            await self._tool(job).call("DELETE", f"/api/v1/applications/{part(name)}/operation", may_miss=True)
            there = await self._there(job)
            seen = self._seen(job, there)
        if seen is not None and there is not None and seen.status is JobStatus.IN_PROGRESS and not _running(there):
            return self._found(job, there, JobStatus.CANCELLED, "Nobody waits for its health any more.")
        return seen

    async def plan(self, job: AgentJob, current: Mapping[str, object] | None) -> Planned:
        """The Application as it would be, against the one of what runs; with the manifests that Argo CD knows."""
        tool, wanted = self._tool(job), await self._application(job, job.context)
        before = None if current is None else await self._application(job, current)
        there = await self._read(tool, wanted["metadata"]["name"])
        proposed = await self._manifests(tool, there, wanted)
        running = "" if before is None else await self._manifests(tool, there, before)
        return Planned(running, proposed, running != proposed)

    async def inspect(self, job: AgentJob) -> Inspected:
        """What Argo CD says of the Application now: its objects, its images, and what is not as it was applied."""
        there = await self._there(job)
        name = (job.external_id or "").partition("/")[0]
        if there is None:
            return Inspected(self._now(), drift=(Drift(f"Application//{name}", missing=True),))
        status = there.get("status") or {}
        whose = _note(there)
        return Inspected(
            _instant(status.get("reconciledAt")) or self._now(),
            f"{there['metadata']['name']}/{whose}" if whose else None,
            tuple(_object(one) for one in (status.get("resources") or [])[:_APPLIED_MAX]),
            _artifacts(status),
            tuple(_drift(there))[:_APPLIED_MAX],
        )

    def links(self, job: AgentJob, observation: Observation) -> Mapping[str, str]:
        """The Application in Argo CD."""
        name = (observation.external_id or job.external_id or "").partition("/")[0]
        if not name or not job.config.get("serverUrl"):
            return {}
        return {"Argo CD": f"{server_url(job.config)}/applications/{part(name)}"}

    # The Application ------------------------------------------------------------------------------------------------

    def _tool(self, job: AgentJob) -> Tool:
        missing = [key for key in ("serverUrl", "apiKey", "template") if not job.config.get(key)]
        if missing:
            raise Rejected(f"The agent's config lacks {', '.join(missing)}.")
        headers = {"Authorization": f"Bearer {job.config['apiKey']}"}
        return Tool(self._http, "Argo CD", server_url(job.config), headers, self._call_timeout_s)

    async def _application(self, job: AgentJob, context: Mapping[str, object]) -> dict[str, Any]:
        """The template filled, as an Application with a fit name.

        Fails: `Rejected` for what cannot be filled, is no YAML or no Application.
        """
        text = await self._templates.render(str(job.config["template"]), context, field="config.template")
        try:
            found = YAML(typ="safe", pure=True).load(io.StringIO(text))
        except YAMLError as broken:
            raise Rejected(
                f"config.template: what it renders to is no YAML: {' '.join(str(broken).split())}"
            ) from broken
        if not isinstance(found, Mapping) or found.get("kind") != "Application" or "spec" not in found:
            raise Rejected("config.template: what it renders to is no Application with a spec.")
        metadata = found.get("metadata")
        name = fit_name(metadata.get("name") if isinstance(metadata, Mapping) else None)
        if not name:
            raise Rejected("config.template: the Application has no metadata.name.")
        application: dict[str, Any] = orjson.loads(orjson.dumps(found, default=str))
        application["metadata"]["name"] = name
        labels = application["metadata"].get("labels")
        if isinstance(labels, dict):
            application["metadata"]["labels"] = {key: fit_label(value) for key, value in labels.items()}
        return application

    async def _there(self, job: AgentJob) -> dict[str, Any] | None:
        """The job's Application as it is now, found by what the job recorded, else by its template."""
        name = (job.external_id or "").partition("/")[0]
        if not name:
            name = (await self._application(job, job.context))["metadata"]["name"]
        return await self._read(self._tool(job), name)

    async def _read(self, tool: Tool, name: str) -> dict[str, Any] | None:
        try:
            found = await tool.call("GET", f"/api/v1/applications/{part(name)}", may_miss=True)
        except Rejected as no:
            if "403" in no.message and "permission denied" in no.message.lower():
                return None  # Argo CD answers so for an Application that is not there, too
            raise
        return found if isinstance(found, dict) else None

    async def _manifests(self, tool: Tool, there: dict[str, Any] | None, wanted: dict[str, Any]) -> str:
        """An Application as YAML, and what Argo CD makes of its revision where the Application is there already."""
        yaml, text = YAML(typ="safe", pure=True), io.StringIO()
        yaml.default_flow_style, yaml.width = False, 1000
        yaml.dump(wanted, text)
        revision = wanted["spec"].get("source", {}).get("targetRevision")
        if there is None or not revision:
            return text.getvalue()
        path = f"/api/v1/applications/{part(wanted['metadata']['name'])}/manifests"
        made = await tool.call("GET", path, query={"revision": revision}, may_miss=True)
        for manifest in (made or {}).get("manifests", []):
            text.write("---\n")
            yaml.dump(orjson.loads(manifest), text)
        return text.getvalue()

    # What is seen ---------------------------------------------------------------------------------------------------

    def _seen(self, job: AgentJob, there: dict[str, Any] | None) -> Observation | None:
        """The job's own operation and what came of it; None where the Application's last operation is not its own."""
        if there is None:
            return None
        asked = there.get("operation") or {}
        if _whose(asked) == _key(job):
            return self._found(job, there, JobStatus.IN_PROGRESS, "The sync is asked for.")
        state = _state(there)
        if _whose(state.get("operation") or {}) != _key(job):
            return None
        said = str(state.get("message") or "")
        match state.get("phase"):
            case "Running" | "Terminating":
                return self._found(job, there, JobStatus.IN_PROGRESS, said or "Argo CD syncs.")
            case "Succeeded":
                return self._by_health(job, there)
            case _ if said.lower().startswith(_TERMINATED):
                return self._found(job, there, JobStatus.CANCELLED, said, at=_instant(state.get("finishedAt")))
            case phase:
                told = said or f"The operation ended as {phase}."
                return self._found(job, there, JobStatus.FAILURE, told, at=_instant(state.get("finishedAt")))

    def _by_health(self, job: AgentJob, there: dict[str, Any]) -> Observation:
        """After an operation that succeeded: is the Application in sync with it, and healthy?"""
        status, state = there.get("status") or {}, _state(there)
        sync, health = status.get("sync") or {}, status.get("health") or {}
        said = f"Sync {sync.get('status', 'Unknown')}, health {health.get('status', 'Unknown')}"
        if health.get("message"):
            said += f": {health['message']}"
        said += "".join(f". {one}" for one in _errors(status))
        finished_at, reconciled_at = _instant(state.get("finishedAt")), _instant(status.get("reconciledAt"))
        ended_at = finished_at or self._now()
        if finished_at and reconciled_at and reconciled_at < finished_at:
            stale = "The sync is done; Argo CD has not compared and checked since."
            return self._found(job, there, JobStatus.IN_PROGRESS, stale)
        synced, compared = _revisions(state.get("syncResult") or {}), _revisions(sync)
        in_sync = sync.get("status") == "Synced" and (not synced or not compared or synced == compared)
        asked, goes_for = _noted(there, GOES_FOR), _targets(there)
        match health.get("status"):
            case "Healthy" if in_sync and asked is not None and asked != goes_for:
                changed = f"Somebody changed the Application: it goes for {goes_for}, and the job asked for {asked}"
                return self._found(job, there, JobStatus.FAILURE, f"{changed}. {said}", at=ended_at)
            case "Healthy" if in_sync:
                return self._found(job, there, JobStatus.SUCCESSFUL, said, at=ended_at)
            case "Suspended":
                return self._found(job, there, JobStatus.ACTION_REQUIRED, f"{said}. A person resumes it in Argo CD.")
            case "Degraded" if self._now() >= ended_at + timedelta(seconds=_degraded_s(job.config)):
                return self._found(job, there, JobStatus.FAILURE, said, at=self._now())
            case _:
                return self._found(job, there, JobStatus.IN_PROGRESS, said)

    def _found(
        self, job: AgentJob, there: dict[str, Any], status: JobStatus, said: str, *, at: datetime | None = None
    ) -> Observation:
        state, now = _state(there), there.get("status") or {}
        result = state.get("syncResult") or {}
        told = {
            "argocd/sync": (now.get("sync") or {}).get("status"),
            "argocd/health": (now.get("health") or {}).get("status"),
            "argocd/revision": ", ".join(_revisions(result) or _revisions(now.get("sync") or {})),
        }
        return Observation(
            status,
            said,
            external_id=f"{there['metadata']['name']}/{_key(job)}",
            metadata={key: str(value) for key, value in told.items() if value},
            artifacts=_artifacts(now),
            applied=tuple(_object(one) for one in (result.get("resources") or [])[:_APPLIED_MAX]),
            finished_at=at if status.terminal else None,
        )


def server_url(config: Mapping[str, object]) -> str:
    """The server's address without a slash at its end; one without a scheme means https."""
    url = str(config["serverUrl"]).rstrip("/")
    return url if "://" in url else f"https://{url}"


def fit_name(text: object) -> str:
    """A name that Kubernetes takes: lower case, `-` for the rest, 63 characters; "" where nothing is left."""
    return _UNFIT.sub("-", str(text or "").lower())[:NAME_MAX].strip("-")


def fit_label(value: object) -> str:
    """A label's value that Kubernetes takes."""
    return _UNFIT_VALUE.sub("-", "" if value is None else str(value))[:NAME_MAX].strip("-._")


def _key(job: AgentJob) -> str:
    return f"{job.id}/{job.attempt}"


def _state(there: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (there.get("status") or {}).get("operationState") or {}
    return found


def _whose(operation: Mapping[str, Any]) -> str | None:
    infos: Sequence[Mapping[str, Any]] = operation.get("info") or []
    return next((str(one.get("value")) for one in infos if one.get("name") == NOTE), None)


def _note(there: Mapping[str, Any]) -> str | None:
    return _noted(there, NOTE)


def _noted(there: Mapping[str, Any], name: str) -> str | None:
    note = ((there.get("metadata") or {}).get("annotations") or {}).get(name)
    return None if note is None else str(note)


def _targets(application: Mapping[str, Any]) -> str:
    """Which revisions an Application goes for, as it says them: one a source."""
    spec = application.get("spec") or {}
    sources = spec.get("sources") or [spec.get("source") or {}]
    return ", ".join(str(one.get("targetRevision") or "HEAD") for one in sources)


def _revisions(found: Mapping[str, Any]) -> tuple[str, ...]:
    """The commits of a comparison or a sync: one a source; () where it does not say."""
    several = found.get("revisions") or ([found["revision"]] if found.get("revision") else [])
    return tuple(str(one) for one in several)


def _errors(status: Mapping[str, Any]) -> list[str]:
    """What Argo CD says is wrong with the Application itself: a manifest that cannot be made, a missing project."""
    found = [one for one in status.get("conditions") or [] if str(one.get("type", "")).endswith("Error")]
    return [f"{one['type']}: {' '.join(str(one.get('message') or '').split())[:SAID_MAX]}" for one in found[:3]]


def _artifacts(status: Mapping[str, Any]) -> tuple[str, ...]:
    images = (status.get("summary") or {}).get("images") or []
    return tuple(str(image) for image in images if "@sha256:" in str(image))


def _drift(there: Mapping[str, Any]) -> Iterator[Drift]:
    """What is not as Git has it, or as the job asked."""
    asked = _noted(there, GOES_FOR)
    if asked is not None and asked != _targets(there):
        yield Drift(f"Application//{there['metadata']['name']}", ("spec.source.targetRevision",))
    for one in (there.get("status") or {}).get("resources") or []:
        if one.get("status") == "OutOfSync":
            yield Drift(_object(one), missing=(one.get("health") or {}).get("status") == "Missing")


def _running(there: Mapping[str, Any]) -> bool:
    return bool(there.get("operation")) or _state(there).get("phase") in {"Running", "Terminating"}


def _busy(there: Mapping[str, Any] | None) -> bool:
    return there is not None and _running(there)


def _object(resource: Mapping[str, Any]) -> str:
    return "/".join(str(resource.get(key) or "") for key in ("kind", "namespace", "name"))


def _instant(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None


def _degraded_s(config: Mapping[str, object]) -> float:
    found = config.get("degradedSeconds", _DEGRADED_S)
    return float(found) if isinstance(found, int | float) else _DEGRADED_S
