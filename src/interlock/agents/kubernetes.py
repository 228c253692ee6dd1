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
import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar
from weakref import WeakValueDictionary

from interlock.agents.keys import Flag, Key, Number, Secret, Template, Text, lacking, wrong_keys
from interlock.agents.kubernetes_access import Access, OwnPod, read_kubeconfig
from interlock.agents.kubernetes_cluster import Cluster, Gone, Kind, reached
from interlock.agents.kubernetes_compare import bare, differences, shown
from interlock.agents.kubernetes_health import Health, State, condition, health_of
from interlock.agents.kubernetes_inventory import Entry, Inventory, begun, place_of, read_inventory
from interlock.agents.kubernetes_manifests import (
    NOTE,
    PRUNE,
    SHARED,
    TARGET,
    Ref,
    conditions_wanted,
    fit_namespace,
    owned,
    owner_of,
    parse_manifests,
    rank,
    ref_of,
)
from interlock.agents.kubernetes_pods import digests_in, digests_of, failed_container, selector_of
from interlock.agents.rest import TIMEOUT_S, Clash
from interlock.clock import utc_now
from interlock.model.errors import AgentUnavailable, FieldError, Invalid, Rejected
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
from interlock.model.secret import is_masked
from interlock.outside.go_templates import GoTemplates, check_template
from interlock.outside.http import Http
from interlock.outside.templates import render_text

T = TypeVar("T")
R = TypeVar("R")

MANAGER = "interlock"
_TIMEOUT_S, _TIMEOUT_MAX_S = 600.0, 86_400.0
_SETTLE_S, _SETTLE_MAX_S = 10.0, 600.0
_OVERTIME = timedelta(seconds=60)
"""How long a failure waits for a Job that the cluster should have ended by itself."""
_AT_ONCE_MAX = 8
_ESTABLISH_TRIES, _ESTABLISH_EVERY_S = 20, 0.25
"""A definition is established within a second; what needs it waits that long."""
_SAID_MAX = 3
_APPLIED_MAX, _LINKS_MAX = 200, 5
_LOG_LINES, _LOG_BYTES_MAX = 50, 16 * 1024
_DELETED_AGAIN_S = 5.0
_KEPT = SHARED | {"PersistentVolume", "PersistentVolumeClaim"}
"""Kinds that are never deleted: what lies in them may be somebody else's, or the only copy."""

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
        "settleSeconds",
        Number(0, _SETTLE_MAX_S),
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
        Number(0, _TIMEOUT_MAX_S, above=True),
        "then what is not ready is a failure",
        default=600,
    ),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Which cluster, where in it the target's list stands, and which attempt it is."""

    access: Access
    namespace: str
    owner: str
    note: str

    @property
    def ref(self) -> Ref:
        """The target's list."""
        return place_of(self.owner, self.namespace)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object as an attempt wants it. `live` is what is there; None for nothing."""

    manifest: Mapping[str, Any]
    ref: Ref
    plural: str
    live: Mapping[str, Any] | None = None

    @property
    def entry(self) -> Entry:
        """Its line of the list."""
        return Entry(self.ref, self.plural, wait_for=conditions_wanted(self.manifest))


@dataclass(frozen=True, slots=True)
class Seen:
    """One object of the list, and how it is."""

    entry: Entry
    live: Mapping[str, Any] | None
    health: Health

    def __str__(self) -> str:
        return f"{self.entry.ref}: {self.health.said}" if self.health.said else str(self.entry.ref)


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
        async with self._starting.setdefault(key, asyncio.Lock()), self._reached(place) as cluster:
            return await self._start(job, cluster, place)

    async def _start(self, job: AgentJob, cluster: Cluster, place: Place) -> Observation:
        before = await _read_list(cluster, place)
        again = before is not None and before.note == place.note
        if before is not None and again and before.cancelled:
            return await self._ended(cluster, before)
        shared, own = await self._examined(job, cluster, place)
        await self._apply_shared(job, cluster, shared)
        left, gone = await _left(job, cluster, place, before, (*shared, *own))
        made = Inventory(place.owner, place.namespace, place.note, before.at if before and again else self._now())
        listed = begun(made, [one.entry for one in (*shared, *own)], before=before, gone=gone)
        if before is None or listed != before:
            await _write_list(cluster, listed)
        await self._apply(job, cluster, [one for one in own if not is_job(one.ref)])
        for entry, uid in left:
            await cluster.delete(entry.ref, entry.plural, uid=uid)
        await self._apply_jobs(job, cluster, [one for one in own if is_job(one.ref)])
        told = f"{_counted(len(listed.current))} applied"
        told += (
            f", {_counted(len(left))} of earlier releases deleted: {_first(e.ref for e, _ in left)}." if left else "."
        )
        return self._found(listed, JobStatus.IN_PROGRESS, told)

    async def find(self, job: AgentJob) -> Observation | None:
        """How the attempt's objects are; None where the target's newest attempt is another, or its Jobs not there."""
        return await self.observe(job)

    async def observe(self, job: AgentJob) -> Observation | None:
        """How the objects are."""
        place = await self._place(job)
        async with self._reached(place) as cluster:
            listed = await _read_list(cluster, place)
            if listed is None or listed.note != place.note:
                return None
            return await self._ended(cluster, listed) if listed.cancelled else await self._look(job, cluster, listed)

    async def cancel(self, job: AgentJob) -> Observation | None:
        """Delete the attempt's Jobs that have not ended; wait for nothing else any more."""
        place = await self._place(job)
        async with self._reached(place) as cluster:
            listed = await _read_list(cluster, place)
            if listed is None or listed.note != place.note:
                return None
            if not listed.cancelled:
                seen = await self._look(job, cluster, listed)
                if seen is not None and seen.status is not None and seen.status.terminal:
                    return seen
                listed = replace(listed, cancelled=True)
                await _write_list(cluster, listed)
            for entry in filter(_is_job_entry, listed.current):
                live = await cluster.read(entry.ref, entry.plural)
                if live is not None and _runs(live) and not _deleting(live):
                    await cluster.delete(entry.ref, entry.plural, uid=_uid(live), foreground=True)
            return await self._ended(cluster, listed)

    async def plan(self, job: AgentJob, current: Mapping[str, object] | None) -> Planned:
        """What the server would make of both versions. A Job is shown as it is written: it runs anew each time."""
        place = await self._place(job)
        async with self._reached(place) as cluster:
            wanted = await self._wanted(job, cluster, place, job.context)
            then = await self._would_be(job, cluster, wanted)
            now: dict[Ref, dict[str, Any]] = {}
            if current is not None:
                there = await self._wanted(job, cluster, place, current)
                now = then if there == wanted else await self._would_be(job, cluster, there)
        refs = sorted({*now, *then}, key=lambda ref: (rank(ref.kind), ref))
        texts = shown([(now.get(ref), then.get(ref)) for ref in refs])
        return Planned(*texts, has_changes=now != then)

    async def inspect(self, job: AgentJob) -> Inspected:
        """What lives on the target now, against what this job's template wants."""
        place = await self._place(job)
        async with self._reached(place) as cluster:
            listed = await _read_list(cluster, place)
            wanted = await self._wanted(job, cluster, place, job.context)
            lasting = [one for one in wanted if not is_job(one.ref)]
            lives = await _at_once(lasting, lambda one: cluster.read(one.ref, one.plural))
            drift = await _at_once(
                zip(lasting, lives, strict=True), lambda pair: self._drift(job, cluster, pair[0], pair[1])
            )
            there = [live for live in lives if live is not None]
            artifacts = await self._digests(cluster, there)
        return Inspected(
            at=self._now(),
            external_id=_external_id(listed) if listed else None,
            applied=tuple(one.ref.path for one, live in zip(lasting, lives, strict=True) if live is not None),
            artifacts=artifacts,
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

    def _reached(self, place: Place) -> AbstractAsyncContextManager[Cluster]:
        return reached(self._http, place.access, timeout_s=self._call_timeout_s)

    # What is wanted ---------------------------------------------------------------------------------------------------

    async def _wanted(
        self, job: AgentJob, cluster: Cluster, place: Place, context: Mapping[str, object], *, note: str = ""
    ) -> list[Wanted]:
        """The template filled, each object with its place and its marks, in order.

        Takes: `note` gives Jobs their attempt's name; without one they keep their own.
        Fails: `Rejected` for what is no manifest, for a kind that the server has not, for what is there twice.
        """
        field = "config.template"
        rendered = parse_manifests(
            await self._templates.render(str(job.config["template"]), context, field=field), field=field
        )
        defined = _defined(rendered)
        found: dict[Ref, Wanted] = {}
        for manifest in rendered:
            made = owned(manifest, owner=place.owner, note=note)
            if note and is_job(ref_of(made)):
                _bound(made, seconds=int(_timeout_s(job)))
            ref = ref_of(made)
            kind = defined.get((ref.group, ref.kind)) or await cluster.kind(ref)
            if kind is None:
                raise Rejected(f"{field}: the server has no kind {ref.kind} of {ref.api_version}.")
            ref = replace(ref, namespace=(ref.namespace or place.namespace) if kind.namespaced else "")
            made["metadata"] = {key: value for key, value in made["metadata"].items() if key != "namespace"}
            if ref.namespace:
                made["metadata"]["namespace"] = ref.namespace
            if ref in found:
                raise Rejected(f"{field}: {ref} is there twice.")
            if ref == place.ref:
                raise Rejected(f"{field}: {ref} is Interlock's own.")
            found[ref] = Wanted(made, ref, kind.plural)
        return sorted(found.values(), key=lambda one: (rank(one.ref.kind), one.ref))

    async def _examined(self, job: AgentJob, cluster: Cluster, place: Place) -> tuple[list[Wanted], list[Wanted]]:
        """What is wanted, with what is there of it: what several targets share, and the target's own. All of it can be
        applied, as far as the server can tell before the namespaces and definitions among it are there.
        """
        wanted = await self._wanted(job, cluster, place, job.context, note=place.note)
        shared = await _at_once(
            (one for one in wanted if one.ref.kind in SHARED), lambda one: self._examine(job, cluster, place, one)
        )
        to_come = {one.ref.name for one in shared if one.ref.kind == "Namespace" and one.live is None}
        fresh = {key for one in shared if one.live is None for key in _defined([one.manifest])}

        async def examine(one: Wanted) -> Wanted:
            if one.ref.namespace in to_come or (one.ref.group, one.ref.kind) in fresh:
                return one
            return await self._examine(job, cluster, place, one)

        return shared, await _at_once((one for one in wanted if one.ref.kind not in SHARED), examine)

    async def _examine(self, job: AgentJob, cluster: Cluster, place: Place, one: Wanted) -> Wanted:
        """Look at an object, and try what it would become.

        Fails: `Rejected` for what the server would refuse, and for what belongs to another target; `AgentUnavailable`
               while one of its name is being deleted.
        """
        live = await cluster.read(one.ref, one.plural)
        if live is not None:
            if _deleting(live):
                raise AgentUnavailable(f"{one.ref} is being deleted.", retry_after_s=_DELETED_AGAIN_S)
            whose = _labels(live).get(TARGET)
            if whose not in {None, place.owner} and job.config.get("forceConflicts") is not True:
                raise Rejected(
                    f"{one.ref} belongs to another target (label {TARGET}={whose}). "
                    "Set forceConflicts: true to take it over."
                )
            if _written(live, place.note):
                return replace(one, live=live)
        await self._apply_one(job, cluster, one, dry_run=True)
        return replace(one, live=live)

    async def _would_be(self, job: AgentJob, cluster: Cluster, wanted: Sequence[Wanted]) -> dict[Ref, dict[str, Any]]:
        """What the server would make of each object, without what it adds by itself."""
        defined = _defined([one.manifest for one in wanted])

        async def ask(one: Wanted) -> dict[str, Any]:
            if is_job(one.ref) or (one.ref.group, one.ref.kind) in defined:
                return bare(one.manifest)
            try:
                made = await cluster.apply(
                    one.manifest, one.ref, one.plural, manager=_manager(job), force=True, dry_run=True
                )
            except Gone:
                return bare(one.manifest)  # its namespace is to come
            return bare(made)

        return dict(zip([one.ref for one in wanted], await _at_once(wanted, ask), strict=True))

    async def _drift(
        self, job: AgentJob, cluster: Cluster, one: Wanted, live: Mapping[str, Any] | None
    ) -> Drift | None:
        if live is None:
            return Drift(one.ref.path, missing=True)
        made = await cluster.apply(one.manifest, one.ref, one.plural, manager=_manager(job), force=True, dry_run=True)
        fields = differences(live, made)
        return Drift(one.ref.path, fields=fields) if fields else None

    # What is done -----------------------------------------------------------------------------------------------------

    async def _apply_shared(self, job: AgentJob, cluster: Cluster, wanted: Sequence[Wanted]) -> None:
        """Namespaces and definitions, and wait until what needs these may come."""
        await self._apply(job, cluster, wanted)
        for one in wanted:
            if one.ref.kind != "CustomResourceDefinition" or one.live is not None:
                continue
            for _ in range(_ESTABLISH_TRIES):
                live = await cluster.read(one.ref, one.plural)
                if live is not None and health_of(live).state is not State.WORKING:
                    break
                await asyncio.sleep(_ESTABLISH_EVERY_S)
            else:
                raise AgentUnavailable(f"{one.ref} is not established yet.", retry_after_s=_DELETED_AGAIN_S)

    async def _apply(self, job: AgentJob, cluster: Cluster, wanted: Sequence[Wanted]) -> None:
        """Apply objects, those of one kind at once; what this attempt has written already is left out."""
        note = f"{job.id}/{job.attempt}"
        for _, group in itertools.groupby(wanted, key=lambda one: rank(one.ref.kind)):
            todo = [one for one in group if one.live is None or not _written(one.live, note)]
            await _at_once(todo, lambda one: self._apply_one(job, cluster, one))

    async def _apply_jobs(self, job: AgentJob, cluster: Cluster, wanted: Sequence[Wanted]) -> None:
        """Make the attempt's Jobs, as the very last. One that is refused ends those before it: the job has failed."""
        made: list[tuple[Wanted, str]] = []
        for one in wanted:
            if one.live is not None:
                continue  # it runs, or has run
            try:
                made.append((one, _uid(await self._apply_one(job, cluster, one))))
            except Rejected:
                for earlier, uid in made:
                    await cluster.delete(earlier.ref, earlier.plural, uid=uid)
                raise

    async def _apply_one(
        self, job: AgentJob, cluster: Cluster, one: Wanted, *, dry_run: bool = False
    ) -> Mapping[str, Any]:
        force = job.config.get("forceConflicts") is True
        return await cluster.apply(
            one.manifest, one.ref, one.plural, manager=_manager(job), force=force, dry_run=dry_run
        )

    # What is seen -----------------------------------------------------------------------------------------------------

    async def _look(self, job: AgentJob, cluster: Cluster, listed: Inventory) -> Observation | None:
        """How the attempt's objects are, and with that the job; None where one of its Jobs is not there."""
        settled = self._now() >= listed.at + timedelta(seconds=_settle_s(job))
        lives = await _at_once(listed.current, lambda entry: cluster.read(entry.ref, entry.plural))
        seen = [
            Seen(entry, live, _health(entry, live, listed.note, settled=settled))
            for entry, live in zip(listed.current, lives, strict=True)
        ]
        if any(one.live is None and is_job(one.entry.ref) for one in seen):
            return None
        working = [one for one in seen if one.health.state is State.WORKING]
        failed = [one for one in seen if one.health.state is State.FAILED]
        suspended = [one for one in seen if one.health.state is State.SUSPENDED]
        over_at = listed.at + timedelta(seconds=_timeout_s(job))
        if failed or ((working or suspended) and self._now() >= over_at):
            return await self._failed(job, cluster, listed, failed, [*working, *suspended], over_at)
        if working:
            ready = len(seen) - len(working) - len(suspended)
            told = f"{ready} of {_counted(len(seen))} ready. {_first(working)}."
            return self._found(listed, JobStatus.IN_PROGRESS, told)
        if suspended:
            return self._found(listed, JobStatus.ACTION_REQUIRED, f"{_first(suspended)}. A person resumes it.")
        found = self._found(listed, JobStatus.SUCCESSFUL, f"{_counted(len(seen))} applied and ready.")
        there = [one.live for one in seen if one.live is not None]
        return replace(
            found,
            artifacts=await self._digests(cluster, there),
            links=_addresses(there),
            finished_at=max([listed.at, *(one.health.at for one in seen if one.health.at)]),
        )

    async def _failed(
        self,
        job: AgentJob,
        cluster: Cluster,
        listed: Inventory,
        failed: Sequence[Seen],
        open_ones: Sequence[Seen],
        over_at: datetime,
    ) -> Observation:
        """Something failed, or time is over. The attempt is not over while one of its Jobs runs: a retry would run
        beside it.
        """
        running = [one for one in open_ones if is_job(one.entry.ref) and one.health.state is State.WORKING]
        told = f"{_first(failed)}." if failed else ""
        if running and self._now() < over_at + _OVERTIME:
            waits = f"{told} " if told else ""
            return self._found(listed, JobStatus.IN_PROGRESS, f"{waits}Still runs: {_first(running)}.")
        if not failed:
            told = f"Not ready within {_timeout_s(job):g} s: {_first(open_ones)}."
        said, output = await self._last_words(cluster, failed or open_ones)
        found = self._found(listed, JobStatus.FAILURE, f"{told} {said}".strip())
        ended_at = max((one.health.at for one in failed if one.health.at), default=self._now())
        return replace(found, output=output, finished_at=ended_at)

    async def _last_words(self, cluster: Cluster, seen: Iterable[Seen]) -> tuple[str, str | None]:
        """What the pods of the first workload that failed say: why, and what they wrote."""
        for one in seen:
            selector = selector_of(one.live or {})
            if selector is None:
                continue
            found = failed_container(await cluster.pods(one.entry.ref.namespace, selector))
            if found is None:
                continue
            pod, container, told = found
            output = await cluster.log(
                one.entry.ref.namespace, pod, container, lines=_LOG_LINES, bytes_max=_LOG_BYTES_MAX
            )
            return f"Pod {pod}, container {container}: {told}.", output or None
        return "", None

    async def _ended(self, cluster: Cluster, listed: Inventory) -> Observation:
        """A cancelled attempt: over once its Jobs are gone or have ended."""
        jobs = [entry for entry in listed.current if is_job(entry.ref)]
        lives = await _at_once(jobs, lambda entry: cluster.read(entry.ref, entry.plural))
        running = [entry for entry, live in zip(jobs, lives, strict=True) if live is not None and _runs(live)]
        if running:
            told = f"{_first(entry.ref for entry in running)} is being ended."
            return self._found(listed, JobStatus.IN_PROGRESS, told)
        rest = [entry.ref for entry in listed.current if not is_job(entry.ref)]
        parts = (
            f"Ended: {_first(entry.ref for entry in jobs)}." if jobs else "",
            f"What was applied stays, and nobody waits for it: {_first(rest)}." if rest else "",
        )
        found = self._found(listed, JobStatus.CANCELLED, " ".join(part for part in parts if part))
        return replace(found, finished_at=self._now())

    async def _digests(self, cluster: Cluster, lives: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """The digests of the images that these workloads run, in order."""
        found: set[str] = set()
        for live in lives:
            selector = selector_of(live)
            if selector is None:
                continue
            pods = await cluster.pods(str(live["metadata"].get("namespace") or ""), selector)
            found |= digests_of(pods) or digests_in(live)
        return tuple(sorted(found))

    def _found(self, listed: Inventory, status: JobStatus, said: str) -> Observation:
        return Observation(
            status,
            said,
            external_id=_external_id(listed),
            metadata={"kubernetes/namespace": listed.namespace, "kubernetes/objects": str(len(listed.current))},
            applied=tuple(entry.ref.path for entry in listed.current[:_APPLIED_MAX]),
        )


# The list in the cluster ----------------------------------------------------------------------------------------------


async def _read_list(cluster: Cluster, place: Place) -> Inventory | None:
    live = await cluster.read(place.ref, "configmaps")
    return None if live is None else read_inventory(live, owner=place.owner)


async def _write_list(cluster: Cluster, listed: Inventory) -> None:
    """Fails: `AgentUnavailable` where somebody else wrote it since it was read."""
    write = cluster.replace if listed.version else cluster.create
    try:
        await write(listed.config_map(), listed.ref, "configmaps")
    except Clash as faster:
        raise AgentUnavailable(f"{listed.ref} was written by somebody else: {faster.message}") from faster


async def _left(
    job: AgentJob, cluster: Cluster, place: Place, before: Inventory | None, wanted: Sequence[Wanted]
) -> tuple[list[tuple[Entry, str]], frozenset[Ref]]:
    """What earlier releases made and this one does not want: what is to be deleted, with the uid of each, and what is
    there no more or is the target's no more. Nothing of both where nobody asks for a prune.
    """
    if before is None or job.config.get("prune") is not True:
        return [], frozenset()
    known = {one.ref for one in wanted}
    namespaces = {"", place.namespace, *(ref.namespace for ref in known)}
    old = [entry for entry in before.entries if entry.ref not in known and entry.ref.kind not in _KEPT]
    lives = await _at_once(old, lambda entry: cluster.read(entry.ref, entry.plural))
    found, gone = [], set()
    for entry, live in zip(old, lives, strict=True):
        if live is None or _labels(live).get(TARGET) != place.owner:
            gone.add(entry.ref)
        elif entry.ref.namespace in namespaces and not _deleting(live) and _annotations(live).get(PRUNE) != "false":
            found.append((entry, _uid(live)))
    return sorted(found, key=lambda pair: -rank(pair[0].ref.kind)), frozenset(gone)


def _external_id(listed: Inventory) -> str:
    return f"{listed.namespace}/{listed.ref.name}/{listed.note}"


# Objects --------------------------------------------------------------------------------------------------------------


def is_job(ref: Ref) -> bool:
    """Whether an object is a piece of work that ends: made once an attempt, under a name of its own."""
    return ref.kind == "Job" and ref.group == "batch"


def _is_job_entry(entry: Entry) -> bool:
    return is_job(entry.ref)


def _health(entry: Entry, live: Mapping[str, Any] | None, note: str, *, settled: bool) -> Health:
    if live is None:
        return Health(State.WORKING, "is not there")
    if entry.ref.kind not in SHARED and not _written(live, note):
        return Health(State.WORKING, "is not as this attempt wrote it")
    return health_of(live, wanted=entry.wait_for, settled=settled)


def _bound(manifest: dict[str, Any], *, seconds: int) -> None:
    """Let the cluster end a Job when the job's time is over, and keep it until that is seen."""
    spec = manifest.setdefault("spec", {})
    if not isinstance(spec, dict):
        return
    spec.setdefault("activeDeadlineSeconds", max(seconds, 1))
    ttl = spec.get("ttlSecondsAfterFinished")
    if isinstance(ttl, int) and ttl < seconds:
        spec["ttlSecondsAfterFinished"] = seconds


def _defined(manifests: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Kind]:
    """The kinds that the definitions among some manifests bring, by group and kind."""
    found = {}
    for manifest in manifests:
        spec = manifest.get("spec")
        if manifest["kind"] != "CustomResourceDefinition" or not isinstance(spec, Mapping):
            continue
        names = spec.get("names")
        if not isinstance(names, Mapping):
            continue
        plural = str(names.get("plural"))
        if plural.isalnum():
            kind = Kind(plural, spec.get("scope") == "Namespaced")
            found[str(spec.get("group")), str(names.get("kind"))] = kind
    return found


def _addresses(lives: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Where people reach what was applied: the hosts of Ingresses."""
    found = {}
    for live in lives:
        if live.get("kind") != "Ingress":
            continue
        spec: Mapping[str, Any] = live.get("spec") or {}
        secure: set[str] = {host for one in spec.get("tls") or [] for host in one.get("hosts") or []}
        for rule in spec.get("rules") or ():
            host = rule.get("host")
            if host and "*" not in host:
                found[f"Ingress {host}"] = f"{'https' if host in secure else 'http'}://{host}"
    return dict(sorted(found.items())[:_LINKS_MAX])


def _labels(live: Mapping[str, Any]) -> Mapping[str, Any]:
    return (live.get("metadata") or {}).get("labels") or {}


def _annotations(live: Mapping[str, Any]) -> Mapping[str, Any]:
    return (live.get("metadata") or {}).get("annotations") or {}


def _written(live: Mapping[str, Any], note: str) -> bool:
    return bool(_annotations(live).get(NOTE) == note)


def _deleting(live: Mapping[str, Any]) -> bool:
    return bool((live.get("metadata") or {}).get("deletionTimestamp"))


def _runs(live: Mapping[str, Any]) -> bool:
    """Whether a Job has not ended."""
    return not any(condition(live, kind).get("status") == "True" for kind in ("Complete", "Failed"))


def _uid(live: Mapping[str, Any]) -> str:
    return str((live.get("metadata") or {}).get("uid") or "")


# Config ---------------------------------------------------------------------------------------------------------------


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


def _manager(job: AgentJob) -> str:
    return str(job.config.get("fieldManager") or MANAGER)


def _settle_s(job: AgentJob) -> float:
    found = job.config.get("settleSeconds", _SETTLE_S)
    return float(found) if isinstance(found, int | float) else _SETTLE_S


def _timeout_s(job: AgentJob) -> float:
    return job.timeout_s or _TIMEOUT_S


# Words and many at once -----------------------------------------------------------------------------------------------


def _counted(count: int) -> str:
    return "1 object" if count == 1 else f"{count} objects"


def _first(things: Iterable[object]) -> str:
    """The first few of them, and how many more there are."""
    told = [str(one) for one in things]
    more = f" and {len(told) - _SAID_MAX} more" if len(told) > _SAID_MAX else ""
    return "; ".join(told[:_SAID_MAX]) + more


async def _at_once(things: Iterable[T], ask: Callable[[T], Awaitable[R]]) -> list[R]:
    """Ask for each thing, a few at a time; the first error in order, once all have ended."""
    few = asyncio.Semaphore(_AT_ONCE_MAX)

    async def one(thing: T) -> R:
        async with few:
            return await ask(thing)

    answers = await asyncio.gather(*(one(thing) for thing in things), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if not isinstance(answer, BaseException)]
