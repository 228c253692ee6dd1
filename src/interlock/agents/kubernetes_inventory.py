"""What does a target own in a cluster, and which attempt wrote it last? One ConfigMap a target, beside its objects.

The cluster itself remembers, because an agent holds no state: a start that is repeated after a crash finds what the
first did, and what an earlier release made can be found when a later one no longer wants it.

    applying    the attempt begins; all that it may make stands in the list already
    applied     all of it is there
    cancelled   nobody waits for it any more

It is replaced as a whole and only where it is still what was read (`resourceVersion`): of two workers that write at the
same time, one loses and reads again.

What is in the list is no proof: somebody may have changed the list. An object is deleted only if it also carries the
target's label, has the uid that was recorded, and stands in a namespace that the newest release writes to.

Source: ApplySets (KEP-3659) for the idea of a parent object; Kubernetes API conventions, "Concurrency control".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from interlock.agents.kubernetes_manifests import MANAGED_BY, TARGET, Ref, fit_ref
from interlock.model.errors import AgentUnavailable

KEY = "inventory.json"


class Phase(StrEnum):
    """How far the attempt is."""

    APPLYING = "applying"
    APPLIED = "applied"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Entry:
    """One object.

    Takes: `uid` is "" while it is not known to be there. `current` where the newest attempt wrote it; else it is left
           of an earlier one. `wait_for` as the manifest asks.
    """

    ref: Ref
    plural: str
    uid: str = ""
    generation: int = 0
    current: bool = True
    wait_for: tuple[str, ...] | None = None
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a target owns.

    Takes: `version` is the ConfigMap's resourceVersion; "" while there is none.
    """

    owner: str
    namespace: str
    note: str
    phase: Phase
    at: datetime
    entries: tuple[Entry, ...] = ()
    pruned: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    version: str = ""

    @property
    def name(self) -> str:
        return name_of(self.owner)

    @property
    def current(self) -> tuple[Entry, ...]:
        """What the newest attempt wrote."""
        return tuple(entry for entry in self.entries if entry.current)

    def config_map(self) -> dict[str, Any]:
        """As the cluster keeps it."""
        value = {
            "job": self.note,
            "phase": self.phase.value,
            "at": self.at.isoformat(),
            "pruned": self.pruned,
            "left": self.left,
            "objects": [_entry_json(entry) for entry in self.entries],
        }
        metadata: dict[str, Any] = {
            "name": self.name,
            "namespace": self.namespace,
            "labels": {TARGET: self.owner, MANAGED_BY: "interlock"},
        }
        if self.version:
            metadata["resourceVersion"] = self.version
        text = orjson.dumps(value).decode()
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: text}}


def name_of(owner: str) -> str:
    """The ConfigMap's name."""
    return f"interlock-{owner}"


def read_inventory(live: Mapping[str, Any], *, owner: str) -> Inventory:
    """The inventory that a ConfigMap holds.

    Fails: `AgentUnavailable` where somebody has made it unreadable: what is owned is then unknown, and nothing starts.
    """
    metadata = live.get("metadata") or {}
    try:
        value = orjson.loads((live.get("data") or {})[KEY])
        entries = tuple(_entry(one) for one in value["objects"])
        return Inventory(
            owner=owner,
            namespace=str(metadata["namespace"]),
            note=str(value["job"]),
            phase=Phase(value["phase"]),
            at=datetime.fromisoformat(value["at"]),
            entries=entries,
            pruned=tuple(map(str, value.get("pruned", ()))),
            left=tuple(map(str, value.get("left", ()))),
            version=str(metadata["resourceVersion"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as broken:
        at = f"{metadata.get('namespace')}/{metadata.get('name')}"
        raise AgentUnavailable(f"ConfigMap {at} says what is owned, and cannot be read: {broken!r}.") from broken


def begun(before: Inventory | None, wanted: Iterable[Entry], *, made: Inventory) -> Inventory:
    """The inventory as an attempt begins: what it may make, and what is left of earlier ones.

    Takes: `made` says owner, place, attempt and instant.
    """
    known = {entry.ref: entry for entry in (before.entries if before else ())}
    entries = {entry.ref: replace(entry, uid=known[entry.ref].uid if entry.ref in known else "") for entry in wanted}
    for ref, entry in known.items():
        if ref not in entries:
            entries[ref] = replace(entry, current=False)
    return replace(made, entries=tuple(entries.values()), version=before.version if before else "")


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
        uid=str(one.get("uid") or ""),
        generation=int(one.get("generation") or 0),
        current=one.get("current") is True,
        wait_for=None if wait_for is None else tuple(map(str, wait_for)),
        keep=one.get("keep") is True,
    )
