"""What does a target own in a cluster, and which attempt wrote it last? One ConfigMap a target, beside its objects.

The cluster itself remembers, because an agent holds no state: a start that is repeated after a crash finds what the
first did, and what an earlier release made can be found when a later one no longer wants it.

It is written before anything is made, so nothing is ever there that it does not know; what is there of it, each object
says itself (`interlock/job`). It is replaced as a whole and only where it is still what was read (`resourceVersion`):
of two workers that write at the same time, one loses and reads again.

What is in the list is no proof: somebody may have changed the list. An object is deleted only if it also carries the
target's label, is still the very object that was looked at (`uid`), and stands in a namespace that the newest release
writes to.

Source: ApplySets (KEP-3659) for the idea of a parent object; Kubernetes API conventions, "Concurrency control".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from interlock.agents.kubernetes_manifests import MANAGED_BY, TARGET, Ref, fit_ref
from interlock.model.errors import AgentUnavailable

KEY = "inventory.json"
LEFT_MAX = 500
"""How many objects of earlier releases are remembered, the newest first."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object.

    Takes: `current` where the newest attempt writes it; else it is left of an earlier one. `wait_for` as its manifest
           asks; None lets its kind say.
    """

    ref: Ref
    plural: str
    current: bool = True
    wait_for: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a target owns.

    Takes: `note` is the newest attempt, `<job>/<attempt>`; `at` when it began. `cancelled` where nobody waits for it
           any more. `version` is the ConfigMap's resourceVersion; "" while there is none.
    """

    owner: str
    namespace: str
    note: str
    at: datetime
    cancelled: bool = False
    entries: tuple[Entry, ...] = ()
    version: str = ""

    @property
    def ref(self) -> Ref:
        """Where it stands."""
        return place_of(self.owner, self.namespace)

    @property
    def current(self) -> tuple[Entry, ...]:
        """What the newest attempt writes."""
        return tuple(entry for entry in self.entries if entry.current)

    def config_map(self) -> dict[str, Any]:
        """As the cluster keeps it."""
        value = {
            "job": self.note,
            "at": self.at.isoformat(),
            "cancelled": self.cancelled,
            "objects": [_entry_json(entry) for entry in self.entries],
        }
        metadata: dict[str, Any] = {
            "name": self.ref.name,
            "namespace": self.namespace,
            "labels": {TARGET: self.owner, MANAGED_BY: "interlock"},
        }
        if self.version:
            metadata["resourceVersion"] = self.version
        text = orjson.dumps(value).decode()
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: text}}


def place_of(owner: str, namespace: str) -> Ref:
    """Where a target's ConfigMap stands."""
    return Ref("v1", "ConfigMap", namespace, f"interlock-{owner}")


def read_inventory(live: Mapping[str, Any], *, owner: str) -> Inventory:
    """The inventory that a ConfigMap holds.

    Fails: `AgentUnavailable` where somebody has made it unreadable: what is owned is then unknown, and nothing starts.
    """
    metadata = live.get("metadata") or {}
    try:
        value = orjson.loads((live.get("data") or {})[KEY])
        return Inventory(
            owner=owner,
            namespace=str(metadata["namespace"]),
            note=str(value["job"]),
            at=datetime.fromisoformat(value["at"]),
            cancelled=value.get("cancelled") is True,
            entries=tuple(_entry(one) for one in value["objects"]),
            version=str(metadata["resourceVersion"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as broken:
        at = f"{metadata.get('namespace')}/{metadata.get('name')}"
        raise AgentUnavailable(f"ConfigMap {at} says what is owned, and cannot be read: {broken!r}.") from broken


def begun(
    made: Inventory, wanted: Iterable[Entry], *, before: Inventory | None, gone: Collection[Ref] = ()
) -> Inventory:
    """The inventory as an attempt begins: what it may make, and what is left of earlier ones.

    Takes: `made` says owner, place, attempt and instant; `before` is what was read; `gone` is the target's no more.
    """
    entries = {entry.ref: entry for entry in wanted}
    left = [
        replace(entry, current=False)
        for entry in (before.entries if before else ())
        if entry.ref not in entries and entry.ref not in gone
    ]
    kept = (*entries.values(), *left[:LEFT_MAX])
    return replace(made, entries=kept, version=before.version if before else "")


def _entry_json(entry: Entry) -> dict[str, Any]:
    value = asdict(entry)
    return {**value.pop("ref"), **value}


def _entry(one: Mapping[str, Any]) -> Entry:
    wait_for = one.get("wait_for")
    ref = Ref(str(one["api_version"]), str(one["kind"]), str(one["namespace"]), str(one["name"]))
    if not (fit_ref(ref) and str(one["plural"]).isalnum()):
        raise ValueError(f"no object has the place {ref}")
    return Entry(
        ref,
        str(one["plural"]),
        current=one.get("current") is True,
        wait_for=None if wait_for is None else tuple(map(str, wait_for)),
    )
