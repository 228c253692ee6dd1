"""Which attempt is it, in which cluster and for which target, and what does its config wish?

Every step of the agent (`kubernetes_apply.py`, `kubernetes_state.py`) works with these values, and with the target's
list in the cluster (`kubernetes_inventory.py`), read and written here.

Source: core.md section 5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from interlock.agents.kubernetes_cluster import Cluster
from interlock.agents.kubernetes_inventory import Inventory, place_of, read_inventory
from interlock.agents.kubernetes_manifests import Ref
from interlock.agents.rest import Clash
from interlock.model.errors import AgentUnavailable
from interlock.model.job import AgentJob
from interlock.outside.kubernetes_access import Access

T = TypeVar("T")
R = TypeVar("R")

MANAGER = "interlock"
TIMEOUT_S = 600.0
CONDITION_S = 10.0
TOLD_MAX = 3
AT_ONCE_MAX = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Which cluster, where in it the target's list stands, and which attempt it is.

    Takes: `note` is `<job>/<attempt>`.
    """

    access: Access
    namespace: str
    owner: str
    note: str

    @property
    def ref(self) -> Ref:
        """The target's list."""
        return place_of(self.owner, self.namespace)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a job's config asks for, beside the objects."""

    manager: str = MANAGER
    force: bool = False
    prune: bool = False
    timeout_s: float = TIMEOUT_S
    condition_s: float = CONDITION_S


def wishes_of(job: AgentJob) -> Wishes:
    """The wishes of a job's config."""
    condition_s = job.config.get("conditionSeconds", CONDITION_S)
    return Wishes(
        manager=str(job.config.get("fieldManager") or MANAGER),
        force=job.config.get("forceConflicts") is True,
        prune=job.config.get("prune") is True,
        timeout_s=job.timeout_s or TIMEOUT_S,
        condition_s=float(condition_s) if isinstance(condition_s, int | float) else CONDITION_S,
    )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, with its cluster within reach: as long as one verb."""

    cluster: Cluster
    place: Place
    wishes: Wishes

    async def read_list(self) -> Inventory | None:
        """The target's list, whoever wrote it last; None where there is none yet."""
        live = await self.cluster.read(self.place.ref, "configmaps")
        return None if live is None else read_inventory(live, owner=self.place.owner)

    async def write_list(self, listed: Inventory) -> None:
        """Fails: `AgentUnavailable` where somebody else wrote it since it was read."""
        write = self.cluster.replace if listed.version else self.cluster.create
        try:
            await write(listed.config_map(), listed.ref, "configmaps")
        except Clash as faster:
            raise AgentUnavailable(f"{listed.ref} was written by somebody else: {faster.message}") from faster


async def at_once(things: Iterable[T], ask: Callable[[T], Awaitable[R]]) -> list[R]:
    """Ask for each thing, a few at a time; the first error in order, once all have ended."""
    few = asyncio.Semaphore(AT_ONCE_MAX)

    async def one(thing: T) -> R:
        async with few:
            return await ask(thing)

    answers = await asyncio.gather(*(one(thing) for thing in things), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if not isinstance(answer, BaseException)]


def counted(count: int) -> str:
    """So many objects, in words."""
    return "1 object" if count == 1 else f"{count} objects"


def first_of(things: Iterable[object]) -> str:
    """The first few of them, and how many more there are."""
    told = [str(one) for one in things]
    more = f" and {len(told) - TOLD_MAX} more" if len(told) > TOLD_MAX else ""
    return "; ".join(told[:TOLD_MAX]) + more
