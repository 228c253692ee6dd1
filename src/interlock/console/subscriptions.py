"""Who is told what happens here, and does it arrive? Every subscription, what waits for it, and why it fails.

Source: issue 4, "Being told"; model/subscription.py.
"""

from __future__ import annotations

from starlette.responses import Response

from interlock.access import Permission
from interlock.console.visit import Visit, number_in_query
from interlock.model.subscription import Subscription
from interlock.store import subscriptions
from interlock.store.subscriptions import shown_url

PAGE = 50


async def show(visit: Visit) -> Response:
    """The subscriptions."""
    offset = number_in_query(visit, "offset", otherwise=0, most=1_000_000)
    async with visit.here.store.snapshot() as conn:
        rows, total = await subscriptions.list_subscriptions(conn, visit.here.id, limit=PAGE, offset=offset)
        return await visit.render(
            conn,
            "subscriptions.html",
            title="Subscriptions",
            live="follow",
            rows=rows,
            total=total,
            offset=offset,
            page_size=PAGE,
            standing=standing,
            goes_to=goes_to,
            may_write=visit.may_somewhere(Permission.SUBSCRIPTION_WRITE),
            said={"deleted": "The subscription is gone."}.get(visit.request.query_params.get("said", "")),
        )


def standing(one: Subscription) -> tuple[str, str]:
    """How a subscription fares: its mark and its word."""
    match one.state:
        case "paused":
            return "paused", "paused"
        case "disabled":
            return "halted", "disabled"
        case _ if one.failing:
            return "failed", "failing"
        case _ if one.last_delivered_at is None:
            return "idle", "told nothing yet"
        case _:
            return "pass", "works"


def goes_to(one: Subscription) -> str:
    """Where it tells, as everybody may see it."""
    return shown_url(one) or ", ".join(one.to)
