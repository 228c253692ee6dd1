"""Is an object of the cluster as its manifest wants it, and what is missing? A pure function of what the server shows.

    Deployment, ReplicaSet      seen by its controller; all replicas updated and available, no old ones left.
                                Failed when its progress deadline passed. Suspended while it is paused
    StatefulSet, DaemonSet      seen; updated up to the partition, ready. With `OnDelete`: seen is enough
    Job                         Complete. Failed with the condition's reason and message. Suspended while it is
    Pod                         Ready, or Succeeded. Failed when its phase says so
    CustomResourceDefinition    Established. Failed when its names are taken
    others                      what their conditions say, see below

**Conditions** of a kind that has no line above: Ready, Available and Synced must be True where they are shown, as
Crossplane, cert-manager, Flux and many others show them; `Stalled` is a failure, `Reconciling` is work under way. An
annotation of the manifest names others, which must then be there.

A controller needs a moment to see an object, and until then a new one shows no condition and a changed one the old
ones. Where conditions or status name the generation that they are about, that is compared. Where they do not, what an
object of a kind that is not Kubernetes' own shows is believed after `settled`.

Source: `kubectl rollout status`; kstatus of SIG CLI; Kubernetes API conventions ("Typical status properties");
Crossplane's conditions Ready and Synced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

JUDGED = ("Ready", "Available", "Synced")
"""The conditions that count wherever they are shown."""

_OWN_GROUPS = frozenset({"", "apps", "batch", "autoscaling", "policy", "extensions"})
_OWN_SUFFIXES = (
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
)


class State(StrEnum):
    """How an object is."""

    READY = "ready"
    WORKING = "working"
    SUSPENDED = "suspended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Health:
    """How an object is, and why it is not ready. `at` is when it became so, where the object says."""

    state: State
    said: str = ""
    at: datetime | None = None


def health_of(live: Mapping[str, Any], *, wanted: Sequence[str] | None = None, settled: bool = True) -> Health:
    """How a live object is.

    Takes: `wanted` are the conditions that its manifest asks for; () asks for nothing, None lets its kind say.
    """
    metadata = live.get("metadata") or {}
    if metadata.get("deletionTimestamp"):
        return Health(State.WORKING, "is being deleted")
    if wanted is not None:
        return _by_wanted(live, wanted)
    group, slash, _ = str(live.get("apiVersion")).partition("/")
    group = group if slash else ""
    judge = _KINDS.get((group, str(live.get("kind"))))
    if judge is not None:
        return judge(live)
    if group in _OWN_GROUPS or group in _OWN_SUFFIXES:
        return Health(State.READY)
    return _by_conditions(live, settled=settled)


def _deployment(live: Mapping[str, Any]) -> Health:
    spec, status = live.get("spec") or {}, live.get("status") or {}
    if not _seen(live):
        return Health(State.WORKING, "its controller has not seen the change yet")
    progressing = condition(live, "Progressing")
    if progressing.get("status") == "False" and progressing.get("reason") == "ProgressDeadlineExceeded":
        return Health(State.FAILED, _told(progressing), _at(progressing))
    if spec.get("paused") is True:
        return Health(State.SUSPENDED, "is paused")
    wanted, all_of_it = _count(spec, "replicas", 1), _count(status, "replicas")
    updated, available = _count(status, "updatedReplicas"), _count(status, "availableReplicas")
    failing = condition(live, "ReplicaFailure")
    because = f" ({_told(failing)})" if failing.get("status") == "True" else ""
    if updated < wanted:
        return Health(State.WORKING, f"{updated} of {wanted} replicas are updated{because}")
    if all_of_it > updated:
        return Health(State.WORKING, f"{all_of_it - updated} old replicas are ending")
    if available < updated:
        return Health(State.WORKING, f"{available} of {updated} updated replicas are available{because}")
    return Health(State.READY, at=_latest(live))


def _replica_set(live: Mapping[str, Any]) -> Health:
    if not _seen(live):
        return Health(State.WORKING, "its controller has not seen the change yet")
    wanted, available = _count(live.get("spec"), "replicas", 1), _count(live.get("status"), "availableReplicas")
    if available < wanted:
        return Health(State.WORKING, f"{available} of {wanted} replicas are available")
    return Health(State.READY, at=_latest(live))


def _stateful_set(live: Mapping[str, Any]) -> Health:
    spec, status = live.get("spec") or {}, live.get("status") or {}
    if not _seen(live):
        return Health(State.WORKING, "its controller has not seen the change yet")
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return Health(State.READY, at=_latest(live))
    wanted, ready = _count(spec, "replicas", 1), _count(status, "readyReplicas")
    partition = _count(strategy.get("rollingUpdate"), "partition")
    updated = _count(status, "updatedReplicas")
    if updated < wanted - partition:
        return Health(State.WORKING, f"{updated} of {wanted - partition} replicas are updated")
    if ready < wanted:
        return Health(State.WORKING, f"{ready} of {wanted} replicas are ready")
    if not partition and status.get("currentRevision") != status.get("updateRevision"):
        return Health(State.WORKING, "its controller has not ended the update yet")
    return Health(State.READY, at=_latest(live))


def _daemon_set(live: Mapping[str, Any]) -> Health:
    spec, status = live.get("spec") or {}, live.get("status") or {}
    if not _seen(live):
        return Health(State.WORKING, "its controller has not seen the change yet")
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return Health(State.READY, at=_latest(live))
    wanted = _count(status, "desiredNumberScheduled")
    for key, word in (("updatedNumberScheduled", "updated"), ("numberAvailable", "available")):
        if _count(status, key) < wanted:
            return Health(State.WORKING, f"{_count(status, key)} of {wanted} pods are {word}")
    return Health(State.READY, at=_latest(live))


def _job(live: Mapping[str, Any]) -> Health:
    status = live.get("status") or {}
    failed, complete = condition(live, "Failed"), condition(live, "Complete")
    if failed.get("status") == "True":
        return Health(State.FAILED, _told(failed), _at(failed))
    if complete.get("status") == "True":
        return Health(State.READY, at=_instant(status.get("completionTime")) or _at(complete))
    if (live.get("spec") or {}).get("suspend") is True:
        return Health(State.SUSPENDED, "is suspended")
    active, again = _count(status, "active"), _count(status, "failed")
    return Health(State.WORKING, f"{active} pods run" + (f", {again} failed before" if again else ""))


def _pod(live: Mapping[str, Any]) -> Health:
    status = live.get("status") or {}
    if status.get("phase") == "Failed":
        said = ": ".join(str(status[key]) for key in ("reason", "message") if status.get(key))
        return Health(State.FAILED, said or "its phase is Failed", _latest(live))
    if status.get("phase") == "Succeeded" or condition(live, "Ready").get("status") == "True":
        return Health(State.READY, at=_latest(live))
    return Health(State.WORKING, f"its phase is {status.get('phase') or 'Pending'}")


def _definition(live: Mapping[str, Any]) -> Health:
    names, there = condition(live, "NamesAccepted"), condition(live, "Established")
    if names.get("status") == "False":
        return Health(State.FAILED, _told(names), _at(names))
    if there.get("status") == "True":
        return Health(State.READY, at=_at(there))
    return Health(State.WORKING, "is not established yet")


def _api_service(live: Mapping[str, Any]) -> Health:
    there = condition(live, "Available")
    if there.get("status") == "True":
        return Health(State.READY, at=_at(there))
    return Health(State.WORKING, _told(there) if there else "is not available yet")


def _claim(live: Mapping[str, Any]) -> Health:
    if (live.get("status") or {}).get("phase") == "Lost":
        return Health(State.FAILED, "has lost its volume")
    return Health(State.READY)  # one that waits for its first pod is Pending for good reason


_KINDS: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], Health]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("", "Pod"): _pod,
    ("", "PersistentVolumeClaim"): _claim,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("apiregistration.k8s.io", "APIService"): _api_service,
}


def _by_wanted(live: Mapping[str, Any], wanted: Sequence[str]) -> Health:
    """The conditions that the manifest names, each of which must be there and True."""
    generation = (live.get("metadata") or {}).get("generation", 0)
    latest: datetime | None = None
    for kind in wanted:
        found = condition(live, kind)
        if not found:
            return Health(State.WORKING, f"shows no condition {kind} yet")
        if found.get("status") != "True" or found.get("observedGeneration", generation) < generation:
            return Health(State.WORKING, f"{kind}: {_told(found)}")
        latest = max((at for at in (latest, _at(found)) if at), default=None)
    return Health(State.READY, at=latest)


def _by_conditions(live: Mapping[str, Any], *, settled: bool) -> Health:
    """A kind that Kubernetes does not bring: what its conditions say, once they are about this generation."""
    generation = (live.get("metadata") or {}).get("generation", 0)
    status = live.get("status") or {}
    seen = status.get("observedGeneration") if isinstance(status, Mapping) else None
    if isinstance(seen, int) and seen < generation:
        return Health(State.WORKING, "its controller has not seen the change yet")
    stalled, working = condition(live, "Stalled"), condition(live, "Reconciling")
    if stalled.get("status") == "True":
        return Health(State.FAILED, _told(stalled), _at(stalled))
    shown = [found for kind in JUDGED if (found := condition(live, kind))]
    for found in shown:
        if found.get("observedGeneration", generation) < generation:
            return Health(State.WORKING, "its controller has not seen the change yet")
        if found.get("status") != "True":
            return Health(State.WORKING, f"{found.get('type')}: {_told(found)}")
    if working.get("status") == "True":
        return Health(State.WORKING, _told(working))
    dated = isinstance(seen, int) or (bool(shown) and all("observedGeneration" in found for found in shown))
    if not (dated or settled):
        return Health(State.WORKING, "its controller is given a moment to see it")
    return Health(State.READY, at=max((at for found in shown if (at := _at(found))), default=None))


def condition(live: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """A condition of an object; empty where it shows none of that type."""
    status = live.get("status")
    conditions = status.get("conditions") if isinstance(status, Mapping) else None
    for one in conditions if isinstance(conditions, list) else ():
        if isinstance(one, Mapping) and one.get("type") == kind:
            return one
    return {}


def _told(found: Mapping[str, Any]) -> str:
    said = ": ".join(str(found[key]) for key in ("reason", "message") if found.get(key))
    return said.rstrip(".") or f"{found.get('type')} is {found.get('status')}"


def _seen(live: Mapping[str, Any]) -> bool:
    generation = (live.get("metadata") or {}).get("generation", 0)
    return int((live.get("status") or {}).get("observedGeneration") or 0) >= int(generation)


def _count(part: object, key: str, default: int = 0) -> int:
    found = part.get(key) if isinstance(part, Mapping) else None
    return found if isinstance(found, int) else default


def _at(found: Mapping[str, Any]) -> datetime | None:
    return _instant(found.get("lastUpdateTime")) or _instant(found.get("lastTransitionTime"))


def _latest(live: Mapping[str, Any]) -> datetime | None:
    conditions = (live.get("status") or {}).get("conditions") or []
    return max((at for one in conditions if isinstance(one, Mapping) and (at := _at(one))), default=None)


def _instant(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) and text else None
    except ValueError:
        return None
