"""How does what a template wants come into the cluster, and what does a plan say that would come?

    wanted      the template filled: objects with their place, marks and order
    examined    each read and tried by a dry run, before anything is written: what is refused is refused as a whole
    shared      namespaces and definitions, that the rest stands on
    left        what an earlier release made and this one does not want
    applied     the rest in order, Jobs as the very last: a start that is refused has run none

Everything may be done again: what the attempt wrote already is left out, and a Job of its name is never made twice.

Source: Kubernetes documentation, "Server-Side Apply"; core.md section 5 (keyed).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from interlock.agents.kubernetes_attempt import Attempt, at_once
from interlock.agents.kubernetes_cluster import Gone, Kind
from interlock.agents.kubernetes_compare import bare, differences
from interlock.agents.kubernetes_inventory import Entry, Inventory
from interlock.agents.kubernetes_manifests import (
    PRUNE,
    SHARED,
    TARGET,
    Ref,
    annotations_of,
    conditions_wanted,
    deleting,
    is_job,
    labels_of,
    owned,
    parse_manifests,
    rank,
    ref_of,
    uid_of,
    written_by,
)
from interlock.model.errors import AgentUnavailable, Rejected
from interlock.model.job import Drift
from interlock.outside.kubernetes_health import State, health_of

FIELD = "config.template"

_ESTABLISH_TRIES, _ESTABLISH_EVERY_S = 20, 0.25
"""A definition is established within a second; what needs it waits that long."""
_AGAIN_S = 5.0
_KEPT = SHARED | {"PersistentVolume", "PersistentVolumeClaim"}
"""Kinds that are never deleted: what lies in them may be somebody else's, or the only copy."""


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


async def resolve(attempt: Attempt, rendered: str, *, named: bool) -> list[Wanted]:
    """What a filled template wants, each object with its place and its marks, in order.

    Takes: `named` gives Jobs their attempt's name; else they keep their own.
    Fails: `Rejected` for what is no manifest, for a kind that the server has not, for what is there twice.
    """
    place, manifests = attempt.place, parse_manifests(rendered, field=FIELD)
    defined = _defined(manifests)
    found: dict[Ref, Wanted] = {}
    for manifest in manifests:
        made = owned(manifest, owner=place.owner, note=place.note, named=named)
        ref = ref_of(made)
        if named and is_job(ref):
            _bound(made, seconds=int(attempt.wishes.timeout_s))
        kind = defined.get((ref.group, ref.kind)) or await attempt.cluster.kind(ref)
        if kind is None:
            raise Rejected(f"{FIELD}: the server has no kind {ref.kind} of {ref.api_version}.")
        ref = replace(ref, namespace=(ref.namespace or place.namespace) if kind.namespaced else "")
        made["metadata"] = {key: value for key, value in made["metadata"].items() if key != "namespace"}
        if ref.namespace:
            made["metadata"]["namespace"] = ref.namespace
        if ref in found:
            raise Rejected(f"{FIELD}: {ref} is there twice.")
        if ref == place.ref:
            raise Rejected(f"{FIELD}: {ref} is Interlock's own.")
        found[ref] = Wanted(made, ref, kind.plural)
    return sorted(found.values(), key=lambda one: (rank(one.ref.kind), one.ref))


async def examine(attempt: Attempt, wanted: Sequence[Wanted]) -> tuple[list[Wanted], list[Wanted]]:
    """What is wanted, with what is there of it: what several targets share, and the target's own. All of it can be
    applied, as far as the server can tell before the namespaces and definitions among it are there.
    """
    shared = await at_once((one for one in wanted if one.ref.kind in SHARED), lambda one: _examine_one(attempt, one))
    fresh = [one for one in shared if one.live is None]
    namespaces = {one.ref.name for one in fresh if one.ref.kind == "Namespace"}
    kinds = _defined(one.manifest for one in fresh)

    async def look(one: Wanted) -> Wanted:
        if one.ref.namespace in namespaces or (one.ref.group, one.ref.kind) in kinds:
            return one
        return await _examine_one(attempt, one)

    return shared, await at_once((one for one in wanted if one.ref.kind not in SHARED), look)


async def _examine_one(attempt: Attempt, one: Wanted) -> Wanted:
    """Look at an object, and try what it would become.

    Fails: `Rejected` for what the server would refuse, and for what belongs to another target; `AgentUnavailable`
           while one of its name is being deleted.
    """
    live = await attempt.cluster.read(one.ref, one.plural)
    if live is not None:
        if deleting(live):
            raise AgentUnavailable(f"{one.ref} is being deleted.", retry_after_s=_AGAIN_S)
        whose = labels_of(live).get(TARGET)
        if whose not in {None, attempt.place.owner} and not attempt.wishes.force:
            raise Rejected(
                f"{one.ref} belongs to another target (label {TARGET}={whose}). "
                "Set forceConflicts: true to take it over."
            )
        if written_by(live, attempt.place.note):
            return replace(one, live=live)
    await _apply_one(attempt, one, dry_run=True)
    return replace(one, live=live)


async def apply_shared(attempt: Attempt, wanted: Sequence[Wanted]) -> None:
    """Namespaces and definitions, and wait until what needs these may come."""
    await apply_in_order(attempt, wanted)
    for one in wanted:
        if one.ref.kind != "CustomResourceDefinition" or one.live is not None:
            continue
        for _ in range(_ESTABLISH_TRIES):
            live = await attempt.cluster.read(one.ref, one.plural)
            if live is not None and health_of(live).state is not State.WORKING:
                break
            await asyncio.sleep(_ESTABLISH_EVERY_S)
        else:
            raise AgentUnavailable(f"{one.ref} is not established yet.", retry_after_s=_AGAIN_S)


async def apply_in_order(attempt: Attempt, wanted: Iterable[Wanted]) -> None:
    """Apply objects, those of one kind at once; what this attempt has written already is left out."""
    for _, group in itertools.groupby(wanted, key=lambda one: rank(one.ref.kind)):
        todo = [one for one in group if one.live is None or not written_by(one.live, attempt.place.note)]
        await at_once(todo, lambda one: _apply_one(attempt, one))


async def make_jobs(attempt: Attempt, wanted: Iterable[Wanted]) -> None:
    """Make the attempt's Jobs, as the very last. One that is refused ends those before it: the job has failed."""
    made: list[tuple[Wanted, str]] = []
    for one in wanted:
        if one.live is not None:
            continue  # it runs, or has run
        try:
            made.append((one, uid_of(await _apply_one(attempt, one))))
        except Rejected:
            for earlier, uid in made:
                await attempt.cluster.delete(earlier.ref, earlier.plural, uid=uid)
            raise


async def _apply_one(attempt: Attempt, one: Wanted, *, dry_run: bool = False) -> Mapping[str, Any]:
    wishes = attempt.wishes
    return await attempt.cluster.apply(
        one.manifest, one.ref, one.plural, manager=wishes.manager, force=wishes.force, dry_run=dry_run
    )


# What an earlier release left ----------------------------------------------------------------------------------------


async def find_left(
    attempt: Attempt, before: Inventory | None, wanted: Iterable[Wanted]
) -> tuple[list[tuple[Entry, str]], frozenset[Ref]]:
    """What earlier releases made and this one does not want: what is to be deleted, with the uid of each, and what is
    there no more or is the target's no more. Nothing of both where nobody asks for a prune.
    """
    if before is None or not attempt.wishes.prune:
        return [], frozenset()
    place, known = attempt.place, {one.ref for one in wanted}
    namespaces = {"", place.namespace, *(ref.namespace for ref in known)}
    old = [entry for entry in before.entries if entry.ref not in known and entry.ref.kind not in _KEPT]
    lives = await at_once(old, lambda entry: attempt.cluster.read(entry.ref, entry.plural))
    found, gone = [], set()
    for entry, live in zip(old, lives, strict=True):
        if live is None or labels_of(live).get(TARGET) != place.owner:
            gone.add(entry.ref)
        elif entry.ref.namespace in namespaces and not deleting(live) and annotations_of(live).get(PRUNE) != "false":
            found.append((entry, uid_of(live)))
    return sorted(found, key=lambda pair: -rank(pair[0].ref.kind)), frozenset(gone)


# What would come ------------------------------------------------------------------------------------------------------


async def would_be(attempt: Attempt, wanted: Sequence[Wanted]) -> dict[Ref, dict[str, Any]]:
    """What the server would make of each object, without what it adds by itself. A Job is shown as it is written: it is
    made anew each time.
    """
    defined = _defined(one.manifest for one in wanted)

    async def ask(one: Wanted) -> dict[str, Any]:
        if is_job(one.ref) or (one.ref.group, one.ref.kind) in defined:
            return bare(one.manifest)
        try:
            return bare(await _forced(attempt, one))
        except Gone:
            return bare(one.manifest)  # its namespace is to come

    return dict(zip([one.ref for one in wanted], await at_once(wanted, ask), strict=True))


async def drift_of(attempt: Attempt, one: Wanted) -> Drift | None:
    """Where an object that lives differs from what applying it again would make of it; None where it does not."""
    if one.live is None:
        return Drift(one.ref.path, missing=True)
    fields = differences(one.live, await _forced(attempt, one))
    return Drift(one.ref.path, fields=fields) if fields else None


async def _forced(attempt: Attempt, one: Wanted) -> Mapping[str, Any]:
    """A dry run that stops at nobody's fields."""
    return await attempt.cluster.apply(
        one.manifest, one.ref, one.plural, manager=attempt.wishes.manager, force=True, dry_run=True
    )


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
            found[str(spec.get("group")), str(names.get("kind"))] = Kind(plural, spec.get("scope") == "Namespaced")
    return found
