"""Argo Workflows: a job submits a Workflow made from a template, and follows it to its end.

The template is a Workflow, written as a Go template over the job's context; `spec.workflowTemplateRef` works as well as
templates of its own.

```yaml
type: JobAgent
name: flows
agentType: argo-workflow
config:
  serverUrl: https://argo.example.com:2746
  apiKey: {secretRef: {provider: env, path: ARGO_TOKEN}}
  webhookSecret: {secretRef: {provider: env, path: ARGO_WEBHOOK_SECRET}}
  name: deploy
  namespace: ci
  template: |
    apiVersion: argoproj.io/v1alpha1
    kind: Workflow
    spec:
      entrypoint: deploy
      arguments:
        parameters:
          - {name: tag, value: "{{ .version.tag }}"}
          - {name: cluster, value: "{{ .resource.name }}"}
      workflowTemplateRef: {name: deploy}
```

{keys}

The Workflow's name is the prefix, the job's id and its attempt; its labels `job-id` and `interlock/attempt` say the
same. A `name` of the template is not used, and labels that Kubernetes would refuse are made fit. Argo's own
placeholders stand in the template as `{{ "{{workflow.status}}" }}`, or a Go template would read them.

**Permissions** of the token, in the namespace, and nothing else (`patch` is for a cancel, which Argo calls terminate):

    kubectl -n ci create role interlock --verb=create,get,patch --resource=workflows.argoproj.io
    kubectl -n ci create serviceaccount interlock
    kubectl -n ci create rolebinding interlock --role=interlock --serviceaccount=ci:interlock
    kubectl -n ci create token interlock --duration=8760h    # the apiKey, with `argo server --auth-mode client`

**Webhook**: without one the Workflow is asked for. To hear of its end at once, let its exit handler tell it. In the
template, with the agent's id and a Kubernetes secret that holds `webhookSecret`:

    spec:
      onExit: tell
      templates:
        - name: tell
          http:
            url: https://INTERLOCK/api/argo/AGENT-ID/webhook
            method: POST
            headers:
              - name: Authorization
                valueFrom: {secretKeyRef: {name: interlock, key: webhookSecret}}
            body: |
              {"workflowName": "{{ "{{workflow.name}}" }}", "namespace": "{{ "{{workflow.namespace}}" }}",
               "phase": "{{ "{{workflow.status}}" }}", "failures": {{ "{{workflow.failures}}" }}}

**Statuses**: inProgress while it is Pending or Running; actionRequired while it is suspended, or waits in a suspend
step that has no duration (a person resumes it in Argo); Succeeded is successful; Failed and Error are failure, with
what the failed steps say; one that was stopped or terminated is cancelled. A Workflow that was deleted before its end
was seen is `externalRunNotFound`, unless Argo's archive has it: let its `ttlStrategy` keep it for an hour.

**Class**: keyed. Kubernetes refuses a second Workflow of the same name, so a start that was not answered is sent again.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

import orjson
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from interlock.agents.argo_cd import NAME_MAX, fit_label, fit_name, server_url
from interlock.agents.keys import Address, Flag, Key, Secret, Template, Text, check_keys, lacking
from interlock.agents.rest import TIMEOUT_S, Clash, Tool, follow_up, part
from interlock.model.errors import AgentUnavailable, Invalid, Rejected
from interlock.model.job import AgentClass, AgentJob, Authorization, JobStatus, Observation
from interlock.outside.go_templates import GoTemplates
from interlock.outside.http import Http
from interlock.outside.templates import render_text

JOB_LABEL, ATTEMPT_LABEL = "job-id", "interlock/attempt"

KEYS = (
    Key("serverUrl", Address(bare=True), "the Argo Server's address; without a scheme, https", needed="agent"),
    Key("template", Template(), "a Workflow, as a Go template with Sprig's functions", needed="job"),
    Key("apiKey", Secret(), "a token; sealed. Without one nothing signs in (`--auth-mode server`)"),
    Key(
        "name", Text(), "what the Workflow's name begins with, where the template has no `generateName`", default="job"
    ),
    Key(
        "namespace",
        Text(filled=True),
        "where the Workflow runs; with placeholders (`{{ resource.name }}`)",
        shown_default="the template's, else `default`",
    ),
    Key(
        "httpInsecure",
        Flag(),
        "take the server's certificate whoever signed it; Argo Server makes itself one at its start",
        default=False,
    ),
    Key("webhookSecret", Secret(), "what the webhook below says who it is by; sealed"),
)
_PREFIX = "job"
_ARGO_HINT = ' Argo\'s own placeholders are written {{ "{{workflow.name}}" }}.'
_FAILED = frozenset({"Failed", "Error"})
_SAID_MAX = 10
_OUTPUTS_MAX, _OUTPUT_CHARS_MAX = 20, 500


class ArgoWorkflowAgent:
    """A Workflow a job."""

    kind: ClassVar[str] = "argo-workflow"
    klass: ClassVar[AgentClass] = AgentClass.KEYED
    capabilities: ClassVar[frozenset[str]] = frozenset()
    observe_every_s: ClassVar[float | None] = 10.0
    keys: ClassVar[tuple[Key, ...]] = KEYS
    open_ended: ClassVar[bool] = False

    def __init__(self, http: Http, templates: GoTemplates, *, call_timeout_s: float = TIMEOUT_S) -> None:
        self._http, self._templates, self._call_timeout_s = http, templates, call_timeout_s

    def check_config(self, config: Mapping[str, object]) -> None:
        """Refuse unknown keys, wrong types, an address that is none, a template that cannot be read."""
        try:
            check_keys(config, self.keys, check_url=self._http.check_url)
        except Invalid as refused:
            if "{{workflow." not in str(config.get("template")).replace(" ", ""):
                raise
            wrong = [
                replace(one, message=one.message + _ARGO_HINT) if one.path == "config.template" else one
                for one in refused.fields
            ]
            raise Invalid(f"{wrong[0].path}: {wrong[0].message}", fields=wrong) from refused

    async def start(self, job: AgentJob, authorization: Authorization) -> Observation:
        """Submit the Workflow. One of this name is this attempt's: an earlier start was not answered."""
        _ = authorization
        tool, workflow = self._tool(job), await self._workflow(job)
        metadata = workflow["metadata"]
        place, name = metadata["namespace"], metadata["name"]
        body = {"namespace": place, "workflow": workflow}
        try:
            there = await tool.call("POST", f"/api/v1/workflows/{part(place)}", body=body)
        except Clash:
            with follow_up():
                there = await tool.call("GET", _path(place, name), may_miss=True)
            if there is None:
                raise AgentUnavailable(f"Argo Workflows has {place}/{name} and does not show it.") from None
        return _seen(there) if _is_workflow(there) else Observation(JobStatus.IN_PROGRESS, None, f"{place}/{name}")

    async def find(self, job: AgentJob) -> Observation | None:
        """The Workflow of the attempt's name, in Argo or its archive."""
        tool = self._tool(job)
        place, name = await self._where(job)
        there = await tool.call("GET", _path(place, name), may_miss=True)
        return _seen(there) if _is_workflow(there) else None

    async def observe(self, job: AgentJob) -> Observation | None:
        """How the Workflow goes."""
        return await self.find(job)

    async def cancel(self, job: AgentJob) -> Observation | None:
        """Terminate the Workflow; one that is over stays as it ended. Its exit handler runs no more."""
        seen = await self.find(job)
        if seen is None or seen.status is None or seen.status.terminal:
            return seen
        place, name = await self._where(job)
        path = f"{_path(place, name)}/terminate"
        try:
            there = await self._tool(job).call("PUT", path, body={"namespace": place, "name": name}, may_miss=True)
        except (AgentUnavailable, Rejected) as no:
            if "completed workflow" not in no.message:
                raise
            return await self.find(job)  # it has ended meanwhile, which Argo answers with 500
        return _seen(there) if _is_workflow(there) else await self.find(job)

    def links(self, job: AgentJob, observation: Observation) -> Mapping[str, str]:
        """The Workflow in Argo's console."""
        place, _, name = (observation.external_id or job.external_id or "").partition("/")
        if not name or not job.config.get("serverUrl"):
            return {}
        return {"Argo Workflow": f"{server_url(job.config)}/workflows/{part(place)}/{part(name)}"}

    # The Workflow -----------------------------------------------------------------------------------------------------

    def _tool(self, job: AgentJob) -> Tool:
        if missing := lacking(job.config, KEYS):
            raise Rejected(missing)
        headers = {"Authorization": f"Bearer {job.config['apiKey']}"} if job.config.get("apiKey") else {}
        return Tool(
            self._http,
            "Argo Workflows",
            server_url(job.config),
            headers,
            self._call_timeout_s,
            verify_tls=job.config.get("httpInsecure") is not True,
        )

    async def _where(self, job: AgentJob) -> tuple[str, str]:
        """Namespace and name of the attempt's Workflow: as they were recorded, else by its template."""
        place, _, name = (job.external_id or "").partition("/")
        if name.endswith(_ending(job)):  # whatever a webhook called it, another attempt's is not looked at
            return place, name
        metadata = (await self._workflow(job))["metadata"]
        return metadata["namespace"], metadata["name"]

    async def _workflow(self, job: AgentJob) -> dict[str, Any]:
        """The template filled, as a Workflow of the attempt's own name.

        Fails: `Rejected` for what cannot be filled, is no YAML or no Workflow.
        """
        source = str(job.config.get("template") or "")
        text = await self._templates.render(source, job.context, field="config.template")
        try:
            found = YAML(typ="safe", pure=True).load(io.StringIO(text))
        except YAMLError as broken:
            said = " ".join(str(broken).split())
            raise Rejected(f"config.template: what it renders to is no YAML: {said}") from broken
        if (
            not isinstance(found, Mapping)
            or found.get("kind") != "Workflow"
            or not isinstance(found.get("spec"), Mapping)
        ):
            raise Rejected("config.template: what it renders to is no Workflow with a spec.")
        workflow: dict[str, Any] = orjson.loads(orjson.dumps(found, default=str, option=orjson.OPT_NON_STR_KEYS))
        metadata = workflow.get("metadata")
        if metadata is not None and not isinstance(metadata, dict):
            raise Rejected("config.template: the Workflow's metadata is no map.")
        metadata = metadata or {}
        labels = metadata.get("labels")
        fit = {key: fit_label(value) for key, value in labels.items()} if isinstance(labels, dict) else {}
        prefix = metadata.pop("generateName", None) or job.config.get("name") or _PREFIX
        workflow["metadata"] = {
            **metadata,
            "name": _name(job, str(prefix)),
            "namespace": self._namespace(job, metadata),
            "labels": {**fit, JOB_LABEL: job.id, ATTEMPT_LABEL: str(job.attempt)},
        }
        return {"apiVersion": "argoproj.io/v1alpha1", **workflow}

    def _namespace(self, job: AgentJob, metadata: Mapping[str, Any]) -> str:
        given = job.config.get("namespace")
        if isinstance(given, str) and given:
            return fit_name(render_text(given, job.context, field="config.namespace")) or "default"
        return fit_name(metadata.get("namespace")) or "default"


def _ending(job: AgentJob) -> str:
    """What the name of the attempt's Workflow ends with."""
    return f"-{job.id}-{job.attempt}"


def _name(job: AgentJob, prefix: str) -> str:
    """A name that no other attempt has. It is the value of a label too, so it has 63 characters at most."""
    ending = _ending(job)
    return f"{fit_name(prefix)[: NAME_MAX - len(ending)].strip('-') or _PREFIX}{ending}"


def _path(place: str, name: str) -> str:
    return f"/api/v1/workflows/{part(place)}/{part(name)}"


# What is seen ---------------------------------------------------------------------------------------------------------


def _is_workflow(there: object) -> bool:
    return isinstance(there, Mapping) and isinstance(there.get("metadata"), Mapping)


def _seen(there: Mapping[str, Any]) -> Observation:
    """A Workflow as Argo shows it."""
    metadata, spec, state = there["metadata"], there.get("spec") or {}, there.get("status") or {}
    phase, said = str(state.get("phase") or ""), str(state.get("message") or "")
    match phase:
        case "Succeeded":
            status, message = JobStatus.SUCCESSFUL, said or "The Workflow succeeded."
        case "Failed" | "Error" if spec.get("shutdown"):
            status, message = JobStatus.CANCELLED, said or f"The Workflow was ended ({spec['shutdown']})."
        case "Failed" | "Error":
            status, message = JobStatus.FAILURE, _why(state) or said or f"The Workflow ended as {phase}."
        case _ if waiting := _waits_for_person(spec, state):
            status, message = JobStatus.ACTION_REQUIRED, f"{waiting}. A person resumes it in Argo."
        case _:
            progress = f", {state['progress']} steps done" if state.get("progress") else ""
            status, message = JobStatus.IN_PROGRESS, f"The Workflow is {phase.lower() or 'submitted'}{progress}."
    told = {
        "argo/phase": phase,
        "argo/progress": state.get("progress"),
        "argo/uid": metadata.get("uid"),
        **_outputs(state),
    }
    return Observation(
        status,
        message,
        external_id=f"{metadata.get('namespace')}/{metadata.get('name')}",
        metadata={key: str(value) for key, value in told.items() if value},
        finished_at=_instant(state.get("finishedAt")) if status.terminal else None,
    )


def _why(state: Mapping[str, Any]) -> str:
    """What the steps that failed say, the innermost first: those above them say only that one below failed."""
    failed = [node for node in _nodes(state) if node.get("phase") in _FAILED]
    own = [node for node in failed if node.get("type") in {"Pod", "HTTP", "Plugin", "Container"}] or failed
    told = [f"{node.get('displayName') or node.get('name')}: {node['message']}" for node in own if node.get("message")]
    more = f" And {len(told) - _SAID_MAX} more." if len(told) > _SAID_MAX else ""
    return "; ".join(dict.fromkeys(told[:_SAID_MAX])) + more


def _waits_for_person(spec: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """What holds it until somebody resumes it; "" where nothing does."""
    if spec.get("suspend") is True:
        return "The Workflow is suspended"
    stored = (state.get("storedWorkflowTemplateSpec") or {}).get("templates") or []
    templates = {one.get("name"): one for one in (*(spec.get("templates") or []), *stored)}
    for node in _nodes(state):
        if node.get("type") != "Suspend" or node.get("phase") != "Running":
            continue
        template = templates.get(node.get("templateName")) or {}
        if not (template.get("suspend") or {}).get("duration"):
            return f"The Workflow waits in {node.get('displayName') or node.get('name')}"
    return ""


def _outputs(state: Mapping[str, Any]) -> dict[str, str]:
    """The Workflow's global output parameters, the first twenty."""
    found = (state.get("outputs") or {}).get("parameters") or []
    return {
        f"argo/output/{one['name']}": str(one["value"])[:_OUTPUT_CHARS_MAX]
        for one in found[:_OUTPUTS_MAX]
        if one.get("name") and one.get("value") is not None
    }


def _nodes(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    nodes = state.get("nodes")
    return list(nodes.values()) if isinstance(nodes, Mapping) else []


def _instant(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None
