"""How is an attempt, seen from its objects: does it go on, is it done, has it failed?

    all objects are as their kind says       successful, with the digests that now run
    one failed, or time is over              failure, with what its pods say; while a Job of the attempt still runs it
                                             waits for that, because a retry would run beside it
    what is missing is paused or suspended   a person must act
    a Job is not there                       nothing is known: it was deleted before its end was seen
    cancelled                                over when its Jobs are; the rest stays

Source: core.md section 5; `kubernetes_health.py` for one object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from interlock.agents.kubernetes_attempt import Attempt, at_once, counted, first_of
from interlock.agents.kubernetes_cluster import Cluster
from interlock.agents.kubernetes_inventory import Entry, Inventory
from interlock.agents.kubernetes_manifests import SHARED, deleting, is_job, uid_of, written_by
from interlock.agents.kubernetes_pods import digests_in, digests_of, failed_container, selector_of
from interlock.model.job import JobStatus, Observation
from interlock.outside.kubernetes_health import Health, State, condition, health_of

APPLIED_MAX = 200
_LINKS_MAX = 5
_LOG_LINES, _LOG_BYTES_MAX = 50, 16 * 1024
_OVERTIME = timedelta(seconds=60)
"""How long a failure waits for a Job that the cluster should have ended by itself."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One object of the list, and how it is."""

    entry: Entry
    live: Mapping[str, Any] | None
    health: Health

    def __str__(self) -> str:
        return f"{self.entry.ref}: {self.health.said}" if self.health.said else str(self.entry.ref)

    @property
    def works_on(self) -> bool:
        """Whether it is a Job that has not ended."""
        return is_job(self.entry.ref) and self.health.state is State.WORKING


async def state_of(attempt: Attempt, listed: Inventory, *, now: datetime) -> Observation | None:
    """How the attempt's objects are, and with that the job; None where one of its Jobs is not there."""
    if listed.cancelled:
        return await _ended(attempt, listed, now=now)
    seen = await _look(attempt, listed, now=now)
    if any(one.live is None and is_job(one.entry.ref) for one in seen):
        return None
    working = [one for one in seen if one.health.state is State.WORKING]
    failed = [one for one in seen if one.health.state is State.FAILED]
    suspended = [one for one in seen if one.health.state is State.SUSPENDED]
    over_at = listed.at + timedelta(seconds=attempt.wishes.timeout_s)
    if failed or ((working or suspended) and now >= over_at):
        return await _failed(attempt, listed, failed, [*working, *suspended], now=now, over_at=over_at)
    if working:
        ready = len(seen) - len(working) - len(suspended)
        told = f"{ready} of {counted(len(seen))} ready. {first_of(working)}."
        return told_of(listed, JobStatus.IN_PROGRESS, told)
    if suspended:
        return told_of(listed, JobStatus.ACTION_REQUIRED, f"{first_of(suspended)}. A person resumes it.")
    there = [one.live for one in seen if one.live is not None]
    return replace(
        told_of(listed, JobStatus.SUCCESSFUL, f"{counted(len(seen))} applied and ready."),
        artifacts=await digests(attempt.cluster, there),
        links=_addresses(there),
        finished_at=max([listed.at, *(one.health.at for one in seen if one.health.at)]),
    )


async def end_jobs(attempt: Attempt, listed: Inventory) -> None:
    """Ask for the end of the attempt's Jobs that have not ended."""
    for entry in listed.current:
        if is_job(entry.ref):
            live = await attempt.cluster.read(entry.ref, entry.plural)
            if live is not None and _runs(live) and not deleting(live):
                await attempt.cluster.delete(entry.ref, entry.plural, uid=uid_of(live), foreground=True)


async def digests(cluster: Cluster, lives: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The digests of the images that these workloads run, in order."""
    found: set[str] = set()
    for live in lives:
        selector = selector_of(live)
        if selector is not None:
            pods = await cluster.pods(str(live["metadata"].get("namespace") or ""), selector)
            found |= digests_of(pods) or digests_in(live)
    return tuple(sorted(found))


def told_of(listed: Inventory, status: JobStatus, said: str) -> Observation:
    """An observation of an attempt."""
    return Observation(
        status,
        said,
        external_id=external_id(listed),
        metadata={"kubernetes/namespace": listed.namespace, "kubernetes/objects": str(len(listed.current))},
        applied=tuple(entry.ref.path for entry in listed.current[:APPLIED_MAX]),
    )


def external_id(listed: Inventory) -> str:
    """What finds the attempt again: the list's place, and the attempt."""
    return f"{listed.namespace}/{listed.ref.name}/{listed.note}"


async def _look(attempt: Attempt, listed: Inventory, *, now: datetime) -> list[Seen]:
    settled = now >= listed.at + timedelta(seconds=attempt.wishes.condition_s)
    lives = await at_once(listed.current, lambda entry: attempt.cluster.read(entry.ref, entry.plural))
    return [
        Seen(entry, live, _health(entry, live, listed.note, settled=settled))
        for entry, live in zip(listed.current, lives, strict=True)
    ]


def _health(entry: Entry, live: Mapping[str, Any] | None, note: str, *, settled: bool) -> Health:
    if live is None:
        return Health(State.WORKING, "is not there")
    if entry.ref.kind not in SHARED and not written_by(live, note):
        return Health(State.WORKING, "is not as this attempt wrote it")
    return health_of(live, wanted=entry.wait_for, settled=settled)


async def _failed(
    attempt: Attempt,
    listed: Inventory,
    failed: Sequence[Seen],
    open_ones: Sequence[Seen],
    *,
    now: datetime,
    over_at: datetime,
) -> Observation:
    """Something failed, or time is over."""
    running = [one for one in open_ones if one.works_on]
    told = f"{first_of(failed)}." if failed else ""
    if running and now < over_at + _OVERTIME:
        waits = f"{told} " if told else ""
        return told_of(listed, JobStatus.IN_PROGRESS, f"{waits}Still runs: {first_of(running)}.")
    if not failed:
        told = f"Not ready within {attempt.wishes.timeout_s:g} s: {first_of(open_ones)}."
    said, output = await _last_words(attempt.cluster, failed or open_ones)
    found = told_of(listed, JobStatus.FAILURE, f"{told} {said}".strip())
    return replace(
        found, output=output, finished_at=max((one.health.at for one in failed if one.health.at), default=now)
    )


async def _last_words(cluster: Cluster, seen: Iterable[Seen]) -> tuple[str, str | None]:
    """What the pods of the first workload that failed say: why, and what they wrote."""
    for one in seen:
        selector = selector_of(one.live or {})
        if selector is None:
            continue
        namespace = one.entry.ref.namespace
        found = failed_container(await cluster.pods(namespace, selector))
        if found is None:
            continue
        pod, container, told = found
        output = await cluster.log(namespace, pod, container, lines=_LOG_LINES, bytes_max=_LOG_BYTES_MAX)
        return f"Pod {pod}, container {container}: {told}.", output or None
    return "", None


async def _ended(attempt: Attempt, listed: Inventory, *, now: datetime) -> Observation:
    """A cancelled attempt: over once its Jobs are gone or have ended."""
    seen = await _look(attempt, listed, now=now)
    jobs = [one for one in seen if is_job(one.entry.ref)]
    running = [one.entry.ref for one in jobs if one.live is not None and _runs(one.live)]
    if running:
        return told_of(listed, JobStatus.IN_PROGRESS, f"{first_of(running)} is being ended.")
    rest = [one for one in seen if not is_job(one.entry.ref)]
    parts = (
        f"Ended: {first_of(one.entry.ref for one in jobs)}." if jobs else "",
        f"What was applied stays, and nobody waits for it: {first_of(rest)}." if rest else "",
    )
    found = told_of(listed, JobStatus.CANCELLED, " ".join(part for part in parts if part))
    return replace(found, finished_at=now)


def _runs(live: Mapping[str, Any]) -> bool:
    """Whether a Job has not ended."""
    return not any(condition(live, kind).get("status") == "True" for kind in ("Complete", "Failed"))


def _addresses(lives: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Where people reach what was applied: the hosts of Ingresses."""
    found: dict[str, str] = {}
    for live in lives:
        if live.get("kind") != "Ingress":
            continue
        spec: Mapping[str, Any] = live.get("spec") or {}
        secure = {host for one in spec.get("tls") or [] for host in one.get("hosts") or []}
        for rule in spec.get("rules") or []:
            host = rule.get("host")
            if host and "*" not in host:
                found[f"Ingress {host}"] = f"{'https' if host in secure else 'http'}://{host}"
    return dict(sorted(found.items())[:_LINKS_MAX])
