"""Kubernetes: a job applies manifests on the server's side, and follows them until they run.

For clusters that Interlock may call itself. The template is what `kubectl apply` would be given: YAML with any number
of objects, as a Go template over the job's context.

```yaml
type: JobAgent
name: prod-eu
agentType: kubernetes
config:
  kubeconfig: {secretRef: {provider: env, path: PROD_EU_KUBECONFIG}}
  namespace: shop
  prune: true
  template: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec:
      replicas: {{ .variables.replicas }}
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec:
          containers:
            - {name: web, image: "registry.example.com/web:{{ .version.tag }}"}
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: web}
    spec: {selector: {app: web}, ports: [{port: 80}]}
```

{keys}

`kubeconfig` and `namespace` may be Go templates too, so that one agent serves many clusters:
`server: {{ .resource.config.server }}`. A kubeconfig is read on Interlock's machine; what would run a program there
(`exec`, `auth-provider`), names a file of it or leads past its address guard (`proxy-url`) is refused. Make one with a
token, or with certificates: `kubectl config view --raw --flatten --minify`. A cluster on a private address needs
`INTERLOCK_ALLOW_PRIVATE_ADDRESSES=1`, as for every agent. `inCluster: true` uses the service account of Interlock's own
pod, where the operator allows that with `INTERLOCK_KUBERNETES_IN_CLUSTER=1`: whoever may write a deployment could
otherwise do in the cluster what Interlock may.

**What a start does.** It fills the template, asks the server what each object would become (a dry run), so that what
cannot be applied fails before anything is; notes in the ConfigMap `interlock-<target>` of the namespace what it is
about to write; then applies namespaces and definitions first, rights, configuration and services next, workloads, and
Jobs last. Each object gets the label `interlock/target` and the annotation `interlock/job`. A field that another
manager owns is a failure that names field and owner, unless `forceConflicts`. So is an object of another target.

A **Job** of the template runs once an attempt: its name becomes `<name>-<job>-<attempt>`. Where it has none, its
`activeDeadlineSeconds` becomes the job's time, so that the cluster ends it even when nobody looks;
`ttlSecondsAfterFinished` is raised to that time, so that its end is seen. What its last failed pod wrote is shown.

**Prune** deletes what an earlier release of the same target made and this one does not want: only objects that stand
in its list, carry its label, and lie in a namespace that this release writes to. Never deleted: namespaces,
definitions, volumes and their claims, and what is annotated `interlock/prune: "false"`.

**Statuses**: inProgress until everything is as its kind says: a Deployment, StatefulSet or DaemonSet is rolled out, a
Job complete, a Pod ready, a definition established; any other kind shows Ready, Available and Synced as True where it
shows them (a Crossplane claim, a certificate). The annotation `interlock/wait-for: Programmed` on a manifest names the
conditions instead, `none` waits for nothing. actionRequired while all that is missing is paused or suspended.
failure when a rollout passes its progress deadline, a Job or Pod fails, a kind says that it is stalled, or
`timeoutSeconds` are over; the message names the objects and what they say. While a Job of the attempt still runs, the
failure of something else waits for its end. externalRunNotFound when a Job is deleted before its end was seen.

**Cancel** deletes the attempt's Jobs that have not ended, with their pods, and waits until they are gone. Everything
else that was applied stays as it is; its rollout goes on, and nobody waits for it.

**Plan**: the objects as the server would make them of both versions, by a dry run. **Inspect**: what lives on the
target now, the digests of its images, and each field in which it differs from what was applied. The values of a Secret
are shown in neither.

**Permissions**: in each namespace that the template writes to, get, create and patch of its kinds; delete for `prune`
and of Jobs for cancel. `pods` and `pods/log` are optional: for digests and for what a failed Job said.

```yaml
apiVersion: v1
kind: ServiceAccount
metadata: {name: interlock, namespace: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: interlock}
rules:
  - {apiGroups: [""], resources: [configmaps], verbs: [get, create, update, patch, delete]}
  - {apiGroups: [""], resources: [services, secrets, serviceaccounts], verbs: [get, create, patch, delete]}
  - {apiGroups: [apps], resources: [deployments, statefulsets, daemonsets], verbs: [get, create, patch, delete]}
  - {apiGroups: [batch], resources: [jobs, cronjobs], verbs: [get, create, patch, delete]}
  - {apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [get, create, patch, delete]}
  - {apiGroups: [""], resources: [pods], verbs: [list]}
  - {apiGroups: [""], resources: [pods/log], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: interlock, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: interlock}
subjects: [{kind: ServiceAccount, name: interlock, namespace: shop}]
---
apiVersion: v1
kind: Secret
metadata: {name: interlock-token, namespace: shop, annotations: {kubernetes.io/service-account.name: interlock}}
type: kubernetes.io/service-account-token
```

Take out what the template does not use; add a line for each other kind. For kinds that stand in no namespace bind a
ClusterRole with them by a ClusterRoleBinding; there, `patch` of namespaces and definitions is never with `delete`.

**Class**: keyed. Applying the same again changes nothing, and the server refuses a second Job of a name: a start that
was not answered is made again, and is one run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import ClassVar
from weakref import WeakValueDictionary

from interlock.agents.keys import Flag, Key, Number, Secret, Template, Text, lacking, wrong_keys
from interlock.agents.kubernetes_apply import (
    FIELD,
    Wanted,
    apply_in_order,
    apply_shared,
    drift_of,
    examine,
    find_left,
    make_jobs,
    resolve,
    would_be,
)
from interlock.agents.kubernetes_attempt import MANAGER, Attempt, Place, at_once, counted, first_of, wishes_of
from interlock.agents.kubernetes_cluster import reached
from interlock.agents.kubernetes_compare import shown
from interlock.agents.kubernetes_inventory import Inventory, begun
from interlock.agents.kubernetes_manifests import fit_namespace, is_job, owner_of, rank
from interlock.agents.kubernetes_state import digests, end_jobs, external_id, state_of, told_of
from interlock.agents.rest import TIMEOUT_S
from interlock.clock import utc_now
from interlock.model.conduct import RUN_S_MAX
from interlock.model.errors import FieldError, Invalid, Rejected
from interlock.model.job import AgentClass, AgentJob, Authorization, Inspected, JobStatus, Observation, Planned
from interlock.model.secret import is_masked
from interlock.outside.go_templates import GoTemplates, check_template
from interlock.outside.http import Http
from interlock.outside.kubernetes_access import Access, OwnPod, read_kubeconfig
from interlock.outside.templates import render_text

_NOT_ALLOWED = (
    "Interlock's own service account may not be used. "
    "Start Interlock with INTERLOCK_KUBERNETES_IN_CLUSTER=1 to allow it."
)

KEYS = (
    Key("template", Template(), "the objects, as YAML and a Go template with Sprig's functions", needed="job"),
    Key("kubeconfig", Secret(), "a kubeconfig with everything in it; sealed. This or `inCluster`"),
    Key("context", Text(), "the kubeconfig's context", shown_default="its current one"),
    Key("inCluster", Flag(), "use the service account of Interlock's own pod", default=False),
    Key(
        "namespace",
        Text(empty=False),
        "where objects stand that name none",
        shown_default="the context's, or `default`",
    ),
    Key("fieldManager", Text(empty=False), "who the fields belong to that the template sets", default=MANAGER),
    Key("forceConflicts", Flag(), "take over fields of other managers, and objects of other targets", default=False),
    Key("prune", Flag(), "delete what an earlier release made and this one does not want", default=False),
    Key(
        "conditionSeconds",
        Number(0, 600),
        "how long a kind's controller has to see a change, where its conditions do not say what they are about",
        default=10,
    ),
    Key("insecureSkipTlsVerify", Flag(), "let the kubeconfig leave the server's certificate unchecked", default=False),
    Key(
        "dashboardUrl",
        Text(filled=True),
        "a link for people, with placeholders (`https://k8s.example.com/{{ resource.name }}`)",
    ),
    Key(
        "timeoutSeconds",
        Number(0, RUN_S_MAX, above=True),
        "then what is not ready is a failure",
        default=600,
    ),
)


class KubernetesAgent:
    """A set of objects a target, an apply a job."""

    kind: ClassVar[str] = "kubernetes"
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
        own_pod: OwnPod | None = None,
        now: Callable[[], datetime] = utc_now,
        call_timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._http, self._templates, self._own_pod = http, templates, own_pod
        self._now, self._call_timeout_s = now, call_timeout_s
        self._starting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def check_config(self, config: Mapping[str, object]) -> None:
        """Refuse unknown keys, wrong types, a template that cannot be read, a kubeconfig that may not be used."""
        wrong = wrong_keys(config, self.keys)
        known = {one.path for one in wrong}
        for name, check in (("kubeconfig", self._check_kubeconfig), ("namespace", _check_namespace)):
            text = config.get(name)
            if not isinstance(text, str) or not text or is_masked(text) or f"config.{name}" in known:
                continue
            try:
                check(text, config)
            except Rejected as no:
                wrong.append(FieldError(f"config.{name}", no.message))
            except Invalid as no:
                wrong += no.fields
        if config.get("inCluster") is True and self._own_pod is None:
            wrong.append(FieldError("config.inCluster", _NOT_ALLOWED))
        if wrong:
            raise Invalid(f"{wrong[0].path}: {wrong[0].message}", fields=wrong)

    async def start(self, job: AgentJob, authorization: Authorization) -> Observation:
        """Apply what the template wants, in order; delete what it no longer wants, where that is asked."""
        _ = authorization
        place = await self._place(job)
        key = f"{place.access.server} {place.ref}"
        async with self._starting.setdefault(key, asyncio.Lock()), self._attempt(job, place) as attempt:
            return await self._start(job, attempt)

    async def _start(self, job: AgentJob, attempt: Attempt) -> Observation:
        place, before = attempt.place, await attempt.read_list()
        again = before is not None and before.note == place.note
        if before is not None and again and before.cancelled:
            return await state_of(attempt, before, now=self._now()) or told_of(before, JobStatus.CANCELLED, "")
        shared, own = await examine(attempt, await self._wanted(job, attempt, job.context, named=True))
        await apply_shared(attempt, shared)
        left, gone = await find_left(attempt, before, (*shared, *own))
        made = Inventory(place.owner, place.namespace, place.note, before.at if before and again else self._now())
        listed = begun(made, [one.entry for one in (*shared, *own)], before=before, gone=gone)
        if listed != before:
            await attempt.write_list(listed)
        await apply_in_order(attempt, (one for one in own if not is_job(one.ref)))
        for entry, uid in left:
            await attempt.cluster.delete(entry.ref, entry.plural, uid=uid)
        await make_jobs(attempt, (one for one in own if is_job(one.ref)))
        deleted = f", {counted(len(left))} of earlier releases deleted: {first_of(e.ref for e, _ in left)}"
        told = f"{counted(len(listed.current))} applied{deleted if left else ''}."
        return told_of(listed, JobStatus.IN_PROGRESS, told)

    async def find(self, job: AgentJob) -> Observation | None:
        """How the attempt's objects are; None where the target's newest attempt is another, or its Jobs not there."""
        return await self.observe(job)

    async def observe(self, job: AgentJob) -> Observation | None:
        """How the objects are."""
        async with self._attempt(job, await self._place(job)) as attempt:
            listed = await attempt.read_list()
            if listed is None or listed.note != attempt.place.note:
                return None
            return await state_of(attempt, listed, now=self._now())

    async def cancel(self, job: AgentJob) -> Observation | None:
        """Delete the attempt's Jobs that have not ended; wait for nothing else any more."""
        async with self._attempt(job, await self._place(job)) as attempt:
            listed = await attempt.read_list()
            if listed is None or listed.note != attempt.place.note:
                return None
            if not listed.cancelled:
                seen = await state_of(attempt, listed, now=self._now())
                if seen is not None and seen.status is not None and seen.status.terminal:
                    return seen
                listed = replace(listed, cancelled=True)
                await attempt.write_list(listed)
            await end_jobs(attempt, listed)
            return await state_of(attempt, listed, now=self._now())

    async def plan(self, job: AgentJob, current: Mapping[str, object] | None) -> Planned:
        """What the server would make of both versions. A Job is shown as it is written: it runs anew each time."""
        async with self._attempt(job, await self._place(job)) as attempt:
            wanted = await self._wanted(job, attempt, job.context)
            then = await would_be(attempt, wanted)
            now = {}
            if current is not None:
                there = await self._wanted(job, attempt, current)
                now = then if there == wanted else await would_be(attempt, there)
        refs = sorted({*now, *then}, key=lambda ref: (rank(ref.kind), ref))
        texts = shown([(now.get(ref), then.get(ref)) for ref in refs])
        return Planned(*texts, has_changes=now != then)

    async def inspect(self, job: AgentJob) -> Inspected:
        """What lives on the target now, against what this job's template wants. Jobs are work that was done, and left
        out.
        """
        async with self._attempt(job, await self._place(job)) as attempt:
            listed = await attempt.read_list()
            wanted = [one for one in await self._wanted(job, attempt, job.context) if not is_job(one.ref)]
            lives = await at_once(wanted, lambda one: attempt.cluster.read(one.ref, one.plural))
            found = [replace(one, live=live) for one, live in zip(wanted, lives, strict=True)]
            drift = await at_once(found, lambda one: drift_of(attempt, one))
            return Inspected(
                at=self._now(),
                external_id=external_id(listed) if listed else None,
                applied=tuple(one.ref.path for one in found if one.live is not None),
                artifacts=await digests(attempt.cluster, (live for live in lives if live is not None)),
                drift=tuple(one for one in drift if one is not None),
            )

    def links(self, job: AgentJob, observation: Observation) -> Mapping[str, str]:
        """The dashboard, where the config names one."""
        text = job.config.get("dashboardUrl")
        if not isinstance(text, str) or not text:
            return {}
        try:
            url = render_text(text, job.context, field="config.dashboardUrl")
        except Rejected:
            return {}  # a link is no reason to fail
        return {"Dashboard": url} if url.startswith(("https://", "http://")) else {}

    # Where ------------------------------------------------------------------------------------------------------------

    def _check_kubeconfig(self, text: str, config: Mapping[str, object]) -> None:
        if "{{" in text:
            check_template(text, field="config.kubeconfig")
            return
        wrong = self._http.check_url(_access(text, config).server)
        if wrong:
            raise Rejected(f"kubeconfig: {wrong}")

    async def _place(self, job: AgentJob) -> Place:
        """Fails: `Rejected` for a config that lacks something, or says what it may not."""
        missing = lacking(job.config, self.keys)
        if missing:
            raise Rejected(missing)
        access, note = await self._access(job), f"{job.id}/{job.attempt}"
        namespace, slash, rest = (job.external_id or "").partition("/")
        if slash and rest.endswith(f"/{note}"):
            return Place(access, namespace, rest.partition("/")[0].removeprefix("interlock-"), note)
        namespace = str(job.config.get("namespace") or access.namespace)
        if "{{" in namespace:
            namespace = (await self._templates.render(namespace, job.context, field="config.namespace")).strip()
        if not fit_namespace(namespace):
            raise Rejected(f"config.namespace: `{namespace}` is no name that Kubernetes takes for a namespace.")
        return Place(access, namespace, owner_of(job.context, agent_id=job.agent_id), note)

    async def _access(self, job: AgentJob) -> Access:
        text = job.config.get("kubeconfig")
        if job.config.get("inCluster") is True:
            if self._own_pod is None:
                raise Rejected(_NOT_ALLOWED)
            if text:
                raise Rejected("The job's config has both kubeconfig and inCluster.")
            return self._own_pod.access()
        if not isinstance(text, str) or not text:
            raise Rejected("The job's config lacks kubeconfig; or inCluster: true for Interlock's own cluster.")
        if "{{" in text:
            text = await self._templates.render(text, job.context, field="config.kubeconfig")
        return _access(text, job.config)

    @asynccontextmanager
    async def _attempt(self, job: AgentJob, place: Place) -> AsyncIterator[Attempt]:
        """The attempt, with its cluster within reach for as long as the block."""
        async with reached(self._http, place.access, timeout_s=self._call_timeout_s) as cluster:
            yield Attempt(cluster, place, wishes_of(job))

    async def _wanted(
        self, job: AgentJob, attempt: Attempt, context: Mapping[str, object], *, named: bool = False
    ) -> list[Wanted]:
        rendered = await self._templates.render(str(job.config["template"]), context, field=FIELD)
        return await resolve(attempt, rendered, named=named)


def _access(text: str, config: Mapping[str, object]) -> Access:
    context = config.get("context")
    return read_kubeconfig(
        text,
        context=str(context) if context else None,
        insecure=config.get("insecureSkipTlsVerify") is True,
    )


def _check_namespace(text: str, config: Mapping[str, object]) -> None:
    _ = config
    if "{{" in text:
        check_template(text, field="config.namespace")
    elif not fit_namespace(text):
        raise Rejected("Must be a name that Kubernetes takes for a namespace, or a Go template of one.")
