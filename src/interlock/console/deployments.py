"""How does one deployment stand? Its environments with rollouts, targets in their order and everything that holds; its
versions; what happened last.

The order of targets is the rollout's own (core.md 4): those attached when it opened by the reference's hash, later ones
behind.

Source: DESIGN.md section 1; STYLE.md rule 16 ("which rule, since when, until when, and who can act").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from starlette.responses import Response

from interlock.console.budget import AGAIN_S, load_budgets
from interlock.console.fleet import frozen_ids
from interlock.console.holds import ASKS_A_PERSON, Hold, gathered, holding, told
from interlock.console.incidents import load_burning, load_saturation
from interlock.console.override import WAYS
from interlock.console.overrides import groups_of
from interlock.console.telling import entries_of
from interlock.console.visit import Visit, found, number_in_query
from interlock.decide.rules.gradual_rollout import order_keys
from interlock.model.ids import TargetKey
from interlock.store import deployments, pages, target_states
from interlock.store.ledger import read_feed_back
from interlock.store.pages import EnvironmentRow, RolloutRow, RunningRow, TargetRow
from interlock.store.target_states import StoredDecision

TARGETS_MAX = 200
"""Targets that are shown of an environment: first those that move, then those that wait."""

VERSIONS_MAX = 20
ENTRIES_MAX = 12
OVERRIDES_MAX = 5
"""Overrides that are shown above everything else; a page of their own has all of them."""


@dataclass(frozen=True, slots=True)
class Line:
    """One target as its environment lists it. `hold` is the first thing that holds it, in a sentence."""

    target: TargetRow
    mark: str
    word: str
    hold: str | None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """One environment of the deployment."""

    environment: EnvironmentRow
    running: Sequence[RunningRow]
    rollouts: Sequence[RolloutRow]
    holds: Sequence[Hold]
    lines: Sequence[Line]
    targets: int
    request_id: str | None

    @property
    def quiet(self) -> bool:
        """Whether nothing goes on here: what there is may be folded away."""
        return not self.rollouts and not self.holds and all(line.mark == "pass" for line in self.lines)


async def show(visit: Visit) -> Response:
    """A deployment."""
    offset = number_in_query(visit, "versions", otherwise=0, most=1_000_000)
    here = visit.here
    async with here.store.snapshot() as conn:
        named = await deployments.resolve_deployment(conn, here.id, text=visit.request.path_params["deployment"])
        deployment = found(
            await pages.find_deployment(conn, here.id, deployment_id=found(named, "deployment").id), "deployment"
        )
        ids = [deployment.id]
        environments = await pages.list_environments(conn, ids)
        running = await pages.list_running(conn, ids)
        rollouts = await pages.list_rollouts(conn, ids)
        targets = await pages.list_targets(conn, deployment.id, each_max=TARGETS_MAX)
        decisions = await target_states.load_decisions(conn, [each for row in targets for each in row.decision_ids])
        requests = await pages.list_newest_requests(conn, here.id, deployment_ids=ids)
        versions, versions_total = await pages.list_versions(conn, deployment.id, limit=VERSIONS_MAX, offset=offset)
        entries = await read_feed_back(conn, here.id, rows_max=ENTRIES_MAX, subject=deployment.id)
        freezes = await pages.list_freezes(conn, here.id)
        asked = {(each.environment_id, each.version_id): each.id for each in requests}
        groups = [each for each in await groups_of(visit, conn, deployment_id=deployment.id) if not each.stands_still]
        overridden = [line for group in groups for line in group.lines]
        budgets, budgets_total = await load_budgets(conn, here.id, deployment_id=deployment.id, now=here.store.now())
        burning, burning_total = await load_burning(conn, here.id, deployment_id=deployment.id)
        return await visit.render(
            conn,
            "deployments.html",
            title=deployment.name,
            live="follow",
            about=[deployment.id],
            again_s=AGAIN_S if budgets else None,
            burning=burning,
            burning_total=burning_total,
            saturation=await load_saturation(conn, deployment.id),
            budgets=budgets,
            budgets_total=budgets_total,
            deployment=deployment,
            stages=[_stage(each, deployment.id, running, rollouts, targets, decisions, asked) for each in environments],
            versions=versions,
            versions_total=versions_total,
            versions_offset=offset,
            page_size=VERSIONS_MAX,
            where=_where(running, environments),
            entries=await entries_of(conn, entries, at=visit.at),
            overridden=overridden[:OVERRIDES_MAX],
            overridden_total=sum(each.total for each in groups),
            ways=[way for way in WAYS.values() if visit.may_somewhere(way.permission) and way.kind != "bypass"],
            frozen=frozen_ids(freezes),
            frozen_all=any(each.scope_kind in {"workspace", "system"} for each in freezes),
        )


def _stage(
    environment: EnvironmentRow,
    deployment_id: str,
    running: Sequence[RunningRow],
    rollouts: Sequence[RolloutRow],
    targets: Sequence[TargetRow],
    decisions: Mapping[str, StoredDecision],
    asked: Mapping[tuple[str, str], str],
) -> Stage:
    mine = [each for each in targets if each.environment_id == environment.id]
    live = [each for each in rollouts if each.environment_id == environment.id]
    ordered = _ordered(mine, deployment_id, live)
    holds = gathered(
        (each.resource, each.wanted_tag, each.since, verdict)
        for each in ordered
        if each.outcome in {"hold", "unknown"} or each.verdicts
        for verdict in holding(each.verdicts, each.decision_ids, decisions)
    )
    wanted = [each.wanted_version_id for each in mine if each.outcome == "hold" and each.wanted_version_id]
    request_id = next((asked[environment.id, each] for each in wanted if (environment.id, each) in asked), None)
    needs_person = any(hold.told.reason == ASKS_A_PERSON for hold in holds)
    return Stage(
        environment=environment,
        running=[each for each in running if each.environment_id == environment.id],
        rollouts=live,
        holds=holds,
        lines=[_keyed(_line(each, decisions), deployment_id) for each in ordered],
        targets=mine[0].total if mine else 0,
        request_id=request_id if needs_person else None,
    )


def _ordered(targets: Sequence[TargetRow], deployment_id: str, rollouts: Sequence[RolloutRow]) -> list[TargetRow]:
    """The targets in the order of the newest live rollout; by name without one."""
    if not rollouts:
        return sorted(targets, key=lambda each: (each.resource, each.id))
    newest = max(rollouts, key=lambda each: (each.opened_at, each.id))
    names = [str(TargetKey(each.resource_id, each.environment_id, deployment_id)) for each in targets]
    keys = order_keys(names, newest.version_id or newest.change_id)
    placed = zip(targets, keys, strict=True)
    ranked = sorted(placed, key=lambda one: (max(one[0].attached_at, newest.opened_at), one[1], one[0].id))
    return [target for target, _ in ranked]


def _keyed(line: Line, deployment_id: str) -> Line:
    """The line with the key of its target's page."""
    target = line.target
    return replace(line, key=str(TargetKey(target.resource_id, target.environment_id, deployment_id)))


def _line(target: TargetRow, decisions: Mapping[str, StoredDecision]) -> Line:
    """One target with its mark and a word for where it stands."""
    if target.move_open:
        word = {"admitted": "starting", "running": "deploying", "verifying": "verifying"}.get(
            target.move_state or "", "moving"
        )
        going = "back to" if target.move_kind == "rollback" else ""
        return Line(target, "moving", " ".join(filter(None, (word, going, target.move_tag))), None)
    bars = holding(target.verdicts, target.decision_ids, decisions)
    first = told(bars[0]) if bars else None
    if target.outcome in {"hold", "unknown"}:
        word = f"waits for {target.wanted_tag}" if target.wanted_tag else "waits"
        return Line(target, first.mark if first else "unknown", word, first.sentence if first else None)
    if target.move_state == "failed":
        return Line(target, "failed", f"{target.move_tag} failed", first.sentence if first else None)
    if target.move_kind == "rollback" and target.move_state == "succeeded":
        return Line(target, "back", "rolled back", first.sentence if first else None)
    if target.outcome is None:
        return Line(target, "unknown", "not decided yet", None)
    if target.current_version_id is None:
        return Line(target, "idle", "nothing to run yet", first.sentence if first else None)
    return Line(target, "pass", "up to date", first.sentence if first else None)


def _where(running: Iterable[RunningRow], environments: Sequence[EnvironmentRow]) -> dict[str, list[tuple[str, int]]]:
    """version id -> (environment's name, targets), in the order of the environments."""
    found_at: dict[str, dict[str, int]] = {}
    for row in running:
        if row.version_id is not None:
            found_at.setdefault(row.version_id, {})[row.environment_id] = row.targets
    return {
        version_id: [(each.name, places[each.id]) for each in environments if each.id in places]
        for version_id, places in found_at.items()
    }
