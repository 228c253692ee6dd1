"""What runs where, and what waits and why? Deployments × environments on one page, live.

A cell shows what its targets run, what is on its way there and how far, and the first thing that holds it, with its
instant. Everything comes from seven questions over the whole page, whatever the number of targets.

Source: DESIGN.md section 1 and section 3, `console/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from starlette.responses import Response

from interlock.console.holds import ASKS_A_PERSON, Told, first_hold
from interlock.console.visit import Visit, number_in_query
from interlock.store import pages, target_states
from interlock.store.pages import DeploymentRow, FreezeRow, NewestRequestRow, RolloutRow, RunningRow, WaitingRow
from interlock.store.queries import Conn
from interlock.store.target_states import StoredDecision

DEPLOYMENTS_MAX = 50
"""Deployments a page."""

Place = tuple[str, str]


@dataclass(slots=True)
class Going:
    """A version (or config) on its way into an environment. `waiting` targets are held, first of all by `hold`."""

    tag: str | None
    kind: str = "version"
    rollout: RolloutRow | None = None
    waiting: int = 0
    since: datetime | None = None
    hold: Told | None = None
    request_id: str | None = None

    @property
    def mark(self) -> str:
        """Which mark it gets: the rollout's state where that is news, else what it waits for."""
        if self.rollout is not None and self.rollout.state in {"halted", "paused"}:
            return self.rollout.state
        if self.rollout is not None and self.rollout.in_flight:
            return "moving"
        return self.hold.mark if self.hold is not None else "moving"


@dataclass(slots=True)
class Cell:
    """One deployment in one environment. Without `running` it has no targets there."""

    running: list[RunningRow] = field(default_factory=list)
    going: list[Going] = field(default_factory=list)

    @property
    def targets(self) -> int:
        """How many targets there are."""
        return sum(each.targets for each in self.running)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the page shows."""

    deployments: Sequence[DeploymentRow]
    total: int
    environments: Sequence[pages.EnvironmentRow]
    cells: Mapping[Place, Cell]


async def show(visit: Visit) -> Response:
    """The fleet."""
    offset = number_in_query(visit, "offset", otherwise=0, most=1_000_000)
    async with visit.here.store.snapshot() as conn:
        fleet = await load_fleet(conn, visit.here.id, offset=offset)
        freezes = await pages.list_freezes(conn, visit.here.id)
        return await visit.render(
            conn,
            "fleet.html",
            title="Fleet",
            live="follow",
            fleet=fleet,
            offset=offset,
            page_size=DEPLOYMENTS_MAX,
            frozen=frozen_ids(freezes),
        )


async def load_fleet(conn: Conn, workspace_id: str, *, offset: int) -> Fleet:
    """A page of the fleet."""
    rows, total = await pages.list_deployments(conn, workspace_id, limit=DEPLOYMENTS_MAX, offset=offset)
    ids = [row.id for row in rows]
    environments = await pages.list_environments(conn, ids)
    running = await pages.list_running(conn, ids)
    waiting = await pages.list_waiting(conn, ids)
    rollouts = await pages.list_rollouts(conn, ids)
    requests = await pages.list_newest_requests(conn, workspace_id, deployment_ids=ids)
    decisions = await target_states.load_decisions(conn, [each for row in waiting for each in row.decision_ids])
    return Fleet(rows, total, environments, _cells(running, waiting, rollouts, requests, decisions))


def frozen_ids(freezes: Iterable[FreezeRow]) -> frozenset[str]:
    """The environments and deployments that a freeze in force names."""
    return frozenset(each.scope_id for each in freezes if each.scope_id and each.in_force)


def _cells(
    running: Sequence[RunningRow],
    waiting: Sequence[WaitingRow],
    rollouts: Sequence[RolloutRow],
    requests: Sequence[NewestRequestRow],
    decisions: Mapping[str, StoredDecision],
) -> dict[Place, Cell]:
    cells: dict[Place, Cell] = {}
    on_the_way: dict[tuple[Place, str, str | None], Going] = {}

    def going(place: Place, kind: str, version_id: str | None, tag: str | None) -> Going:
        key = (place, kind, version_id)
        if key not in on_the_way:
            on_the_way[key] = Going(tag, kind)
            cells.setdefault(place, Cell()).going.append(on_the_way[key])
        return on_the_way[key]

    for run in running:
        cells.setdefault((run.deployment_id, run.environment_id), Cell()).running.append(run)
    for rollout in rollouts:
        place = (rollout.deployment_id, rollout.environment_id)
        going(place, rollout.kind, rollout.version_id, rollout.tag).rollout = rollout
    asked = {((each.deployment_id, each.environment_id), each.version_id): each.id for each in requests}
    for wait in waiting:
        place = (wait.deployment_id, wait.environment_id)
        one = going(place, "version", wait.version_id, wait.tag)
        one.waiting = wait.targets
        one.since = wait.since
        one.hold = first_hold(wait.verdicts, wait.decision_ids, decisions)
        one.request_id = (
            asked.get((place, wait.version_id or "")) if one.hold and one.hold.reason == ASKS_A_PERSON else None
        )
    return cells
