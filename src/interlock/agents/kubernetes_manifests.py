"""What does a rendered template want to be in the cluster, under which names, in which order, and whose is it?

Pure: a text in, objects out. `outside/kubernetes_yaml.py` reads the YAML.

**Whose.** Each object carries the label `interlock/target`, the digest of deployment, environment and resource, and the
annotation `interlock/job`, the job and its attempt. Namespaces and definitions of kinds carry neither: several
targets write the same ones, and none ever deletes them.

**Names.** A Job gets the attempt into its name, `migrate-1f0c2a9e4b7d-1`: the cluster refuses a second of that name, so
an attempt runs it once; and a Job cannot be changed, so the next attempt needs another.

**Order.** What others need comes first: namespaces, definitions, accounts and rights, configuration, storage, services,
workloads, and at last what has no place here. What is deleted goes the other way round.

Source: Kubernetes API conventions (names, labels); Helm's order of kinds for what depends on what.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.model.errors import Rejected
from interlock.outside.kubernetes_yaml import read_yaml

TARGET = "interlock/target"
"""The label that says whose an object is."""
NOTE = "interlock/job"
"""The annotation that says which attempt wrote it last."""
WAIT_FOR = "interlock/wait-for"
"""An annotation of a manifest: the conditions that must be True, with commas between them; `none` waits for nothing."""
PRUNE = "interlock/prune"
"""An annotation of a manifest: `false` keeps the object for ever."""
MANAGED_BY = "app.kubernetes.io/managed-by"

OBJECTS_MAX = 500
NAME_MAX = 63

SHARED = frozenset({"Namespace", "CustomResourceDefinition"})
"""Kinds that several targets may write: nobody's own. Deleting one deletes what others put into it."""

_ORDER = (
    "Namespace",
    "CustomResourceDefinition",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PriorityClass",
    "StorageClass",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Secret",
    "ConfigMap",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
    "Pod",
    "DaemonSet",
    "ReplicaSet",
    "Deployment",
    "StatefulSet",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
)
_RANK = {kind: rank for rank, kind in enumerate(_ORDER)}
_LAST = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
"""They may stop what comes after them."""

_API_VERSION = re.compile(r"(?:[a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[a-z0-9]+")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """An object's place. `namespace` is "" for one that stands in none."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def path(self) -> str:
        """As observations list what was applied: `Deployment/shop/web`."""
        return f"{self.kind}/{self.namespace}/{self.name}"

    @property
    def group(self) -> str:
        """The API group, "" for the core's."""
        group, slash, _ = self.api_version.partition("/")
        return group if slash else ""


def parse_manifests(text: str, *, field: str) -> list[dict[str, Any]]:
    """The objects that a rendered template holds; a List is what it holds.

    Fails: `Rejected` naming the document, for what is no object, for too many, and for one that stands there twice.
    """
    found: list[dict[str, Any]] = []
    for number, document in enumerate(read_yaml(text, field=field), 1):
        if document is None:
            continue
        at = f"{field}: document {number}"
        found += [_checked(one, at) for one in _listed(document)]
    if not found:
        raise Rejected(f"{field}: what it renders to holds no object.")
    if len(found) > OBJECTS_MAX:
        raise Rejected(f"{field}: what it renders to holds more than {OBJECTS_MAX} objects.")
    return found


def _listed(document: Any) -> Sequence[Any]:
    if isinstance(document, Mapping) and str(document.get("kind", "")).endswith("List"):
        items = document.get("items")
        if isinstance(items, list):
            return items
    return [document]


def _checked(one: Any, at: str) -> dict[str, Any]:
    if not isinstance(one, dict):
        raise Rejected(f"{at}: it is no object with apiVersion, kind and metadata.")
    version, kind, metadata = one.get("apiVersion"), one.get("kind"), one.get("metadata")
    if not isinstance(version, str) or not _API_VERSION.fullmatch(version):
        raise Rejected(f"{at}: apiVersion must be a text like apps/v1.")
    if not isinstance(kind, str) or not kind.isalnum():
        raise Rejected(f"{at}: kind must be a text like Deployment.")
    if not isinstance(metadata, dict):
        raise Rejected(f"{at}: the {kind} has no metadata.")
    name = metadata.get("name")
    if name is None and kind == "Job" and isinstance(metadata.get("generateName"), str):
        name = metadata["name"] = metadata.pop("generateName").rstrip("-")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 253:
        raise Rejected(f"{at}: the {kind}'s metadata.name must be a name that Kubernetes takes.")
    namespace = metadata.get("namespace")
    if namespace is not None and not fit_namespace(namespace):
        raise Rejected(f"{at}: the namespace of {kind} {name} is none that Kubernetes takes.")
    for key in ("labels", "annotations"):
        if not isinstance(metadata.get(key) or {}, dict):
            raise Rejected(f"{at}: metadata.{key} of {kind} {name} must be a map.")
    for key in ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink"):
        metadata.pop(key, None)
    one.pop("status", None)
    return one


def fit_namespace(text: object) -> bool:
    """Whether a text may be a namespace's name."""
    return isinstance(text, str) and _NAMESPACE.fullmatch(text) is not None


def fit_ref(ref: Ref) -> bool:
    """Whether an object may have this place: each part goes into an address."""
    return (
        _API_VERSION.fullmatch(ref.api_version) is not None
        and ref.kind.isalnum()
        and (not ref.namespace or fit_namespace(ref.namespace))
        and _NAME.fullmatch(ref.name) is not None
    )


def owner_of(context: Mapping[str, Any], *, agent_id: str) -> str:
    """The digest that stands for a job's target: deployment, environment and resource by id; for a workflow's job the
    workflow and the resource. It is a label's value.
    """
    parts = [_id_of(context, key) for key in ("deployment", "environment", "resource", "workflow")]
    return hashlib.sha256("\n".join((agent_id if not any(parts[:2]) else "", *parts)).encode()).hexdigest()[:20]


def _id_of(context: Mapping[str, Any], key: str) -> str:
    found = context.get(key)
    return str(found.get("id") or found.get("name") or "") if isinstance(found, Mapping) else ""


def ref_of(manifest: Mapping[str, Any]) -> Ref:
    """Where an object stands."""
    metadata = manifest["metadata"]
    return Ref(manifest["apiVersion"], manifest["kind"], str(metadata.get("namespace") or ""), metadata["name"])


def owned(manifest: Mapping[str, Any], *, owner: str, note: str, named: bool) -> dict[str, Any]:
    """A manifest with its marks of ownership; a Job, where `named`, with its attempt's name.

    Takes: `note` is `<job>/<attempt>`.
    """
    made = copy.deepcopy(dict(manifest))
    metadata = made["metadata"]
    if named and is_job(ref_of(made)):
        metadata["name"] = job_name(metadata["name"], note)
    if made["kind"] in SHARED:
        return made
    metadata["labels"] = {**(metadata.get("labels") or {}), TARGET: owner}
    metadata["labels"].setdefault(MANAGED_BY, "interlock")
    metadata["annotations"] = {**(metadata.get("annotations") or {}), NOTE: note}
    return made


def job_name(name: str, note: str) -> str:
    """A Job's name for one attempt, at most 63 characters: it becomes a label of its pods."""
    job, _, attempt = note.partition("/")
    ending = f"-{hashlib.sha256(job.encode()).hexdigest()[:12]}-{attempt}"
    return name[: NAME_MAX - len(ending)].rstrip("-.") + ending


def rank(kind: str) -> int:
    """A kind's place in the order; unknown kinds come behind all that they may need."""
    if kind in _LAST:
        return len(_ORDER) + 1
    return _RANK.get(kind, len(_ORDER))


def conditions_wanted(manifest: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The conditions that the manifest's annotation asks for; None where it has none: its kind says."""
    text = (manifest["metadata"].get("annotations") or {}).get(WAIT_FOR)
    if text is None:
        return None
    found = tuple(one.strip() for one in str(text).split(",") if one.strip())
    return () if found == ("none",) else found


# What a live object says ----------------------------------------------------------------------------------------------


def is_job(ref: Ref) -> bool:
    """Whether an object is a piece of work that ends: made once an attempt, under a name of its own."""
    return ref.kind == "Job" and ref.group == "batch"


def labels_of(live: Mapping[str, Any]) -> Mapping[str, Any]:
    """Its labels."""
    return (live.get("metadata") or {}).get("labels") or {}


def annotations_of(live: Mapping[str, Any]) -> Mapping[str, Any]:
    """Its annotations."""
    return (live.get("metadata") or {}).get("annotations") or {}


def uid_of(live: Mapping[str, Any]) -> str:
    """What tells it from another of its name."""
    return str((live.get("metadata") or {}).get("uid") or "")


def written_by(live: Mapping[str, Any], note: str) -> bool:
    """Whether this attempt wrote it last."""
    return bool(annotations_of(live).get(NOTE) == note)


def deleting(live: Mapping[str, Any]) -> bool:
    """Whether somebody has deleted it, and it is there until others let it go."""
    return bool((live.get("metadata") or {}).get("deletionTimestamp"))
