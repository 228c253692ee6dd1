"""Which images run, by digest, and what did a Job that failed say? Both are read from pods, where they may be listed.

A tag says what was asked for; `imageID` of a container's status says what the node runs. A digest that a manifest
names itself is known without any pod.

Source: Kubernetes API reference (PodStatus, ContainerStatus, LabelSelector).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"})
_SAID_MAX = 300


def selector_of(live: Mapping[str, Any]) -> str | None:
    """The label selector of a workload's pods, as a query says it; None for what has no pods of its own."""
    selector = (live.get("spec") or {}).get("selector")
    if live.get("kind") not in _WORKLOADS or not isinstance(selector, Mapping):
        return None
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for one in selector.get("matchExpressions") or ():
        key, values = one.get("key"), ",".join(map(str, one.get("values") or ()))
        match one.get("operator"):
            case "In":
                terms.append(f"{key} in ({values})")
            case "NotIn":
                terms.append(f"{key} notin ({values})")
            case "Exists":
                terms.append(str(key))
            case "DoesNotExist":
                terms.append(f"!{key}")
    return ",".join(terms) or None


def digests_of(pods: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """`registry/name@sha256:…` of each container that these pods run."""
    found = set()
    for pod in pods:
        if (pod.get("metadata") or {}).get("deletionTimestamp"):
            continue
        for container in _containers(pod):
            image = str(container.get("imageID") or "").rpartition("://")[2]
            if "@sha256:" in image:
                found.add(image)
            elif image.startswith("sha256:") and container.get("image"):
                found.add(f"{_untagged(str(container['image']))}@{image}")
    return frozenset(found)


def digests_in(live: Mapping[str, Any]) -> frozenset[str]:
    """The digests that a workload's own template names."""
    spec = live.get("spec") or {}
    pod = ((spec.get("template") or {}).get("spec") or {}) if live.get("kind") in _WORKLOADS else {}
    containers = [*(pod.get("containers") or ()), *(pod.get("initContainers") or ())]
    return frozenset(str(one.get("image")) for one in containers if "@sha256:" in str(one.get("image")))


def failed_container(pods: Iterable[Mapping[str, Any]]) -> tuple[str, str, str] | None:
    """The pod, its container and what is known of its end, of the newest container that failed."""
    ends = []
    for pod in pods:
        for one in _containers(pod):
            state = one.get("state") or {}
            ended = state.get("terminated") or (one.get("lastState") or {}).get("terminated")
            waiting = state.get("waiting") or {}
            name = str((pod.get("metadata") or {}).get("name"))
            if isinstance(ended, Mapping) and ended.get("exitCode"):
                said = " ".join(str(ended.get("message") or ended.get("reason") or "").split())[:_SAID_MAX]
                told = f"exit status {ended['exitCode']}" + (f": {said}" if said else "")
                ends.append((str(ended.get("finishedAt") or ""), name, str(one.get("name")), told))
            elif waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
                said = " ".join(f"{waiting['reason']}: {waiting.get('message') or ''}".split())[:_SAID_MAX]
                ends.append(("", name, str(one.get("name")), said.rstrip(": ")))
    return max(ends)[1:] if ends else None


def _containers(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    status = pod.get("status") or {}
    for key in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(key) or ()


def _untagged(image: str) -> str:
    """`registry:5000/name:tag` without its tag."""
    head, slash, last = image.partition("@")[0].rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"
