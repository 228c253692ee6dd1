"""REST for slot groups: how many of each may be in flight, how many are, who they are, and how many wait.

Source: core.md section 1, "slot". This path is ours.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.paths import W, noun_router
from interlock.api.rendering import Wire
from interlock.store import slots
from interlock.store.slots import Holder, SlotGroup
from interlock.web.answers import instant
from interlock.web.paging import Paging
from interlock.web.shapes import Id, Instant, Named, page_of
from interlock.web.sign_in import InWorkspace

router = noun_router("slots")


class HolderAnswer(TypedDict):
    """A move that holds a slot."""

    moveId: Id
    kind: str
    state: str
    weight: int
    takenAt: Instant
    targetId: Id
    resource: str
    environment: str
    deployment: Named
    version: str | None


class SlotGroupAnswer(TypedDict):
    """A slot group: its limit, its size, who holds it and how many wait."""

    key: str
    group: str | None
    policy: Named
    ruleId: str
    limit: Any
    size: int
    held: int
    waiting: int
    holders: list[HolderAnswer]


@router.get(W + "/slots", response_model=page_of(SlotGroupAnswer))
async def list_slots(here: InWorkspace, page: Paging) -> Response:
    """List the slot groups with their limit, size and holders: those that somebody waits for first."""
    here.require(Permission.READ)
    async with here.read() as conn:
        items, total = await slots.list_slot_groups(conn, here.id, limit=page.limit, offset=page.offset)
    return page.answer([render_group(group) for group in items], total)


def render_group(group: SlotGroup) -> Wire:
    """A slot group on the wire."""
    return {
        "key": group.key,
        "group": group.group,
        "policy": {"id": group.policy_id, "name": group.policy},
        "ruleId": group.rule_id,
        "limit": group.limit,
        "size": group.size,
        "held": group.held,
        "waiting": group.waiting,
        "holders": [render_holder(holder) for holder in group.holders],
    }


def render_holder(holder: Holder) -> Wire:
    """A move that holds a slot."""
    return {
        "moveId": holder.move_id,
        "kind": holder.kind,
        "state": holder.state,
        "weight": holder.weight,
        "takenAt": instant(holder.taken_at),
        "targetId": holder.target_id,
        "resource": holder.resource,
        "environment": holder.environment,
        "deployment": {"id": holder.deployment_id, "name": holder.deployment},
        "version": holder.tag,
    }
