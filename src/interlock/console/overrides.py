"""What did people set by hand that is in force now? Every pin, skip, bypass, freeze, quarantine and order, and each
rollout that stands still, on one page.

Each says what and where, why, who, since when and until when, and has the button that ends it. What ends soonest is
not sorted to the top: the kinds stand in the order in which they stop things.

Source: DESIGN.md section 4; STYLE.md rule 16; core.md section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from interlock.access import Permission, Place
from interlock.console.freezes import place_of_freeze
from interlock.console.rendering import segment
from interlock.console.visit import Visit, found, number_in_query
from interlock.store import deployments, orders, pages, pins, rollouts, skips
from interlock.store.orders import StoredOrder
from interlock.store.pages import FreezeRow
from interlock.store.pins import StoredPin
from interlock.store.queries import Conn
from interlock.store.rollouts import StoredQuarantine, StoredRollout
from interlock.store.skips import StoredSkip

EACH_MAX = 200
"""Overrides that are shown of a kind; the newest."""

STANDING_STILL = ("paused", "halted")

SAID = {
    "pin": "The pin is in force.",
    "skip": "The skip is in force.",
    "order": "The order is placed: the next round answers it.",
    "extended": "The freeze has a new end.",
    "ended": "It is over.",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One override in force. `note` is what a person must know besides; `ways_out` are (label, path)."""

    mark: str
    word: str
    what: str
    where: str
    path: str | None
    reason: str | None
    by: str | None
    since: datetime
    until: datetime | None
    ends: str
    note: str | None = None
    incident_url: str | None = None
    ways_out: tuple[tuple[str, str], ...] = ()
    environment_id: str | None = None
    resource_id: str | None = None

    def covers(self, *, environment_id: str, resource_id: str) -> bool:
        """Whether it concerns this target of its deployment."""
        return self.environment_id in {None, environment_id} and self.resource_id in {None, resource_id}


@dataclass(frozen=True, slots=True)
class Group:
    """The overrides of one kind. `total` counts those that are not shown as well."""

    title: str
    about: str
    lines: tuple[Line, ...]
    total: int
    stands_still: bool = False


async def show(visit: Visit) -> Response:
    """All overrides in force, of the workspace or of one deployment."""
    here = visit.here
    wanted = visit.request.query_params.get("deployment", "")
    async with here.store.snapshot() as conn:
        only = None
        if wanted:
            only = found(await deployments.resolve_deployment(conn, here.id, text=wanted), "deployment")
        groups = await groups_of(visit, conn, deployment_id=only.id if only else None)
        return await visit.render(
            conn,
            "overrides.html",
            title="Overrides",
            live="follow",
            groups=[group for group in groups if group.total],
            only=only,
            may_steer=visit.may_somewhere(Permission.STEER),
            said=SAID.get(visit.request.query_params.get("said", "")),
            left=number_in_query(visit, "left", otherwise=0),
        )


async def groups_of(visit: Visit, conn: Conn, *, deployment_id: str | None = None) -> list[Group]:
    """The overrides in force by kind; with a deployment those set for it alone, freezes left out."""
    only = deployment_id
    workspace_id = visit.here.id
    frozen = [] if deployment_id else list(await pages.list_freezes(conn, workspace_id))
    standing, standing_total = await rollouts.list_rollouts(
        conn, workspace_id, deployment_id=only, states=STANDING_STILL, limit=EACH_MAX
    )
    pinned, pinned_total = await pins.list_pins(conn, workspace_id, deployment_id=only, limit=EACH_MAX)
    skipped, skipped_total = await skips.list_skips(conn, workspace_id, deployment_id=only, limit=EACH_MAX)
    ordered, ordered_total = await orders.list_orders(
        conn, workspace_id, deployment_id=only, state="open", limit=EACH_MAX
    )
    kept_off, kept_off_total = await rollouts.list_quarantines(conn, workspace_id, deployment_id=only, limit=EACH_MAX)
    places = await _places(conn, deployment_id, standing, pinned, skipped, ordered, kept_off)
    made = _Lines(visit, places)
    return [
        Group("Freezes", "Nothing is handed over there.", tuple(map(made.freeze, frozen)), len(frozen)),
        Group(
            "Rollouts that stand still",
            "They start nothing until a person goes on, or a newer version comes.",
            tuple(map(made.rollout, standing)),
            standing_total,
            stands_still=True,
        ),
        Group("Pins", "These stay at, or go to, one version.", tuple(map(made.pin, pinned)), pinned_total),
        Group(
            "Skips and bypasses",
            "One version passes a rule, or a freeze.",
            tuple(map(made.skip, skipped)),
            skipped_total,
        ),
        Group("Orders", "Asked for, and not answered yet.", tuple(map(made.order, ordered)), ordered_total),
        Group(
            "Quarantines",
            "It failed there or was taken back, and is not taken again by itself.",
            tuple(map(made.quarantine, kept_off)),
            kept_off_total,
        ),
    ]


async def _places(conn: Conn, only: str | None, *found_things: object) -> dict[str, frozenset[str]]:
    """deployment id -> the systems it is in, for what is asked about permissions."""
    ids: set[str] = {only} if only else set()
    for things in found_things:
        ids |= {each.deployment_id for each in things}  # type: ignore[attr-defined]
    return {each: await deployments.load_system_ids(conn, each) for each in sorted(ids)}


class _Lines:
    """Turns what is stored into lines, each with the ways out that this visitor may take."""

    def __init__(self, visit: Visit, systems: dict[str, frozenset[str]]) -> None:
        self.visit = visit
        self.systems = systems

    def freeze(self, freeze: FreezeRow) -> Line:
        what = "Everything in this workspace"
        if freeze.scope_kind != "workspace":
            what = f"{freeze.scope_kind.capitalize()} {freeze.scope_name or freeze.scope_id}"
        ways: tuple[tuple[str, str], ...] = ()
        if self.visit.may(Permission.FREEZE, place=place_of_freeze(freeze)):
            at = self.visit.at
            ways = (("Thaw", at("freezes", freeze.id, "thaw")), ("Move its end", at("freezes", freeze.id, "extend")))
        return Line(
            "frozen",
            "frozen",
            what,
            "",
            None,
            freeze.reason,
            freeze.created_by or "Interlock",
            freeze.created_at,
            freeze.expires_at,
            "until somebody thaws it",
            f"Only where `{freeze.selector}`" if freeze.selector else None,
            freeze.incident_url,
            ways,
        )

    def rollout(self, rollout: StoredRollout) -> Line:
        what = f"Rollout of {rollout.tag or 'a new config'}"
        note = None
        if rollout.state == "halted":
            taken_back = rollout.reason == "rolled_back"
            note = "What it brought is taken back." if taken_back else f"{rollout.failures} of its targets failed."
        return Line(
            rollout.state,
            rollout.state,
            what,
            f"{rollout.deployment} / {rollout.environment}",
            self.visit.at("rollouts", rollout.id),
            None if rollout.state == "halted" else rollout.reason,
            None,
            rollout.state_at,
            None,
            "until somebody resumes or aborts it, or a newer version comes",
            note,
            ways_out=self._ways(rollout, "rollout", ("Resume", "resume"), ("Abort", "abort")),
            environment_id=rollout.environment_id,
        )

    def pin(self, pin: StoredPin) -> Line:
        reach = {"target": "", "environment": f", {pin.targets} targets", "deployment": f", {pin.targets} targets"}
        return Line(
            "paused",
            "pinned",
            f"Pinned to {pin.tag}",
            _where(pin.deployment, pin.environment, pin.resource) + reach[pin.scope],
            self._path(pin.deployment, pin.deployment_id),
            pin.reason,
            pin.created_by or "Interlock",
            pin.created_at,
            pin.expires_at,
            "until somebody unpins it",
            ways_out=self._ways(pin, "pin", ("Unpin", "end")),
            environment_id=pin.environment_id,
            resource_id=pin.resource_id,
        )

    def skip(self, skip: StoredSkip) -> Line:
        if skip.freeze_id is not None:
            what = f"{skip.tag} passes the freeze “{skip.freeze_reason or skip.freeze_id}”"
        elif skip.every_kind is not None:
            what = f"{skip.tag} passes every {skip.every_kind}"
        else:
            what = f"{skip.tag} passes {skip.rule_kind or 'a rule'} ({skip.policy or 'its policy is gone'})"
        gone = "The freeze is over" if skip.freeze_id else "No policy has this rule any more"
        return Line(
            "person",
            "bypass" if skip.freeze_id else "skip",
            what,
            _where(skip.deployment, skip.environment, skip.resource),
            self._path(skip.deployment, skip.deployment_id),
            skip.reason,
            skip.created_by or "Interlock",
            skip.created_at,
            skip.expires_at,
            "until somebody takes it back",
            f"{gone}: it does nothing." if skip.orphaned else None,
            ways_out=self._ways(skip, "skip", ("Take back", "end")),
            environment_id=skip.environment_id,
            resource_id=skip.resource_id,
        )

    def order(self, order: StoredOrder) -> Line:
        waits = "It waits until the target is idle." if order.starts == "idle" else None
        what = {"redeploy": "Redeploy", "force": "Force", "rollback": "Go back to"}.get(order.kind, order.kind)
        return Line(
            "back" if order.kind == "rollback" else "moving",
            order.kind,
            f"{what} {order.tag}",
            _where(order.deployment, order.environment, order.resource),
            self._path(order.deployment, order.deployment_id),
            order.reason,
            order.created_by,
            order.created_at,
            order.expires_at,
            "until it is answered",
            waits,
            ways_out=self._ways(order, "order", ("Withdraw", "end")),
            environment_id=order.environment_id,
            resource_id=order.resource_id,
        )

    def quarantine(self, quarantine: StoredQuarantine) -> Line:
        what = quarantine.tag or f"config {(quarantine.config_digest or '')[:12]}"
        return Line(
            "failed",
            "kept off",
            f"{what} is not taken again",
            _where(quarantine.deployment, quarantine.environment, quarantine.resource),
            self._path(quarantine.deployment, quarantine.deployment_id),
            None,
            None,
            quarantine.set_at,
            None,
            "until somebody clears it, or something newer runs",
            ways_out=self._ways(quarantine, "quarantine", ("Clear", "end")),
            environment_id=quarantine.environment_id,
            resource_id=quarantine.resource_id,
        )

    def _path(self, name: str, deployment_id: str) -> str:
        return self.visit.at("deployments", segment(name, deployment_id))

    def _ways(
        self,
        thing: StoredPin | StoredSkip | StoredOrder | StoredQuarantine | StoredRollout,
        kind: str,
        *steps: tuple[str, str],
    ) -> tuple[tuple[str, str], ...]:
        place = Place(
            system_ids=self.systems.get(thing.deployment_id, frozenset()),
            deployment_id=thing.deployment_id,
            environment_id=thing.environment_id,
        )
        if not self.visit.may(Permission.STEER, place=place):
            return ()
        base = ("rollouts", thing.id) if kind == "rollout" else ("overrides", kind, thing.id)
        return tuple((label, self.visit.at(*base, step)) for label, step in steps)


def _where(*names: str | None) -> str:
    return " / ".join(name for name in names if name)
