"""What is on its way to a subscription, and how did each try end?

One delivery of a subscription is tried at a time, in the feed's order: the next waits until the receiver took the one
before, or until that was given up. How a try ended is written after it, in a transaction of its own, so a process that
dies in between sends it again under the same id: at least once, and the receiver can tell.

Source: model/subscription.py; Standard Webhooks specification 1.0.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from interlock.model.errors import Conflict
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.model.subscription import Attempt, Delivery, Subscription, given_up, wait_after
from interlock.store.ledger import FeedEntry, entry_of
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one
from interlock.store.subscriptions import Q as SUBSCRIPTION
from interlock.store.subscriptions import deliver
from interlock.store.tx import Change, Tx

Q = queries("subscription_delivery")

TEST_KIND = "interlock.test"
ERROR_MAX = 500


async def list_deliveries(
    conn: Conn, subscription_id: str, *, state: str | None = None, limit: int, offset: int = 0
) -> tuple[tuple[Delivery, ...], int]:
    """A page of a subscription's deliveries, newest first, and how many there are."""
    rows = await conn.fetch(Q.list_deliveries, subscription_id, state, limit, offset)
    return many(Delivery, rows), int(await conn.fetchval(Q.count_deliveries, subscription_id, state))


async def find_delivery(conn: Conn, subscription_id: str, *, delivery_id: str) -> Delivery | None:
    """A delivery by id."""
    return one(Delivery, await conn.fetchrow(Q.find_delivery, delivery_id, subscription_id))


async def find_next_delivery(conn: Conn, subscription: Subscription) -> Delivery | None:
    """What is to be sent next; of a subscription that is not active, tests alone."""
    return one(Delivery, await conn.fetchrow(Q.find_next_delivery, subscription.id, subscription.state != "active"))


async def find_next_reminder_at(conn: Conn, subscription_id: str) -> datetime | None:
    """When the next reminder is due."""
    at: datetime | None = await conn.fetchval(Q.find_next_reminder, subscription_id)
    return at


async def find_entry(conn: Conn, event_id: str) -> FeedEntry | None:
    """The entry of the ledger that a delivery tells."""
    row = await conn.fetchrow(Q.find_entry, event_id)
    return None if row is None else entry_of(row)


async def add_test(tx: Tx, subscription: Subscription) -> str:
    """Send a message that says that it is a test, once, also to a paused receiver. Gives the delivery's id."""
    delivery_id = new_id()
    columns = ([delivery_id], [subscription.id], ["test"], [None], [None], [TEST_KIND], [None])
    await tx.record(
        changes=[Change(Q.insert_deliveries, columns)], wakes=[deliver(subscription.id, subscription.workspace_id)]
    )
    return delivery_id


async def redeliver(tx: Tx, subscription: Subscription, delivery: Delivery) -> None:
    """Send a delivery again, under its id; one that waits is tried now.

    Fails: `Conflict` when the subscription is not active.
    """
    if subscription.state != "active":
        raise Conflict(f"The subscription is {subscription.state}. Resume it first.", code="NOT_ACTIVE")
    await tx.record(
        changes=[Change(Q.redeliver, (delivery.id,))], wakes=[deliver(subscription.id, subscription.workspace_id)]
    )


async def park_delivery(tx: Tx, subscription: Subscription, delivery: Delivery) -> None:
    """Give a delivery up, so that what comes after it may go.

    Fails: `Conflict` when it does not wait.
    """
    if delivery.state != "pending":
        raise Conflict(f"This delivery is {delivery.state}.", code="NOT_PENDING")
    await tx.record(
        changes=[Change(Q.park_delivery, (delivery.id,))], wakes=[deliver(subscription.id, subscription.workspace_id)]
    )


async def note_attempt(
    tx: Tx, subscription: Subscription, delivery: Delivery, attempt: Attempt, *, chance: float, failing_max: timedelta
) -> datetime | None:
    """Write down how a try ended.

    Takes: `failing_max`: a receiver that failed for longer is not tried any more.
    Gives: when the delivery is tried again; None when it is over.
    """
    before = await tx.conn.fetchrow(SUBSCRIPTION.lock_subscription, subscription.id)
    if before is None:
        return None  # deleted meanwhile, its deliveries too
    now: datetime = await tx.conn.fetchval(Q.now)
    error = attempt.error[:ERROR_MAX] or None
    seen = (attempt.status, error, attempt.took_ms)
    test = delivery.purpose == "test"
    attempts = delivery.attempts + 1
    if attempt.outcome in {"delivered", "skipped"}:
        changes = [Change(Q.end_delivery, (delivery.id, attempt.outcome, *seen))]
        events: list[Event] = []
        if attempt.outcome == "delivered" and not test:
            changes.append(Change(SUBSCRIPTION.note_success, (subscription.id,)))
            if before["failing_since"] is not None:
                since = before["failing_since"].isoformat()
                events.append(_event("subscription.recovered", subscription, failingSince=since))
        await tx.record(changes=changes, events=events)
        return None
    over = test or given_up(attempt, attempts)
    again_at = None if over else now + wait_after(attempts, chance=chance, asked_s=attempt.retry_after_s)
    changes = [
        Change(Q.end_delivery, (delivery.id, "parked", *seen))
        if over
        else Change(Q.postpone_delivery, (delivery.id, again_at, *seen))
    ]
    if test:
        await tx.record(changes=changes)
        return None
    changes.append(Change(SUBSCRIPTION.note_failure, (subscription.id, error)))
    events = []
    said = {"status": attempt.status} if attempt.status is not None else {}
    if before["failing_since"] is None:
        events.append(_event("subscription.failing", subscription, error=_untold(attempt, subscription), **said))
    reason = _disabling(attempt, failing_since=before["failing_since"] or now, now=now, failing_max=failing_max)
    if reason and before["state"] == "active":
        changes.append(Change(SUBSCRIPTION.set_state, (subscription.id, "disabled", reason)))
        events.append(_event("subscription.disabled", subscription, reason=reason, **said))
    await tx.record(changes=changes, events=events)
    return again_at


def _disabling(attempt: Attempt, *, failing_since: datetime, now: datetime, failing_max: timedelta) -> str:
    if attempt.outcome == "gone":
        return attempt.error
    if now - failing_since >= failing_max:
        return f"It failed for more than {failing_max.days} days."
    return ""


def _untold(attempt: Attempt, subscription: Subscription) -> str:
    """What failed, without the addresses of people: those never stand in the ledger."""
    return "The letter could not be handed over." if subscription.channel == "email" else attempt.error[:ERROR_MAX]


def _event(kind: str, subscription: Subscription, **body: object) -> Event:
    return Event(
        kind,
        Ref("subscription", subscription.id),
        {"name": subscription.name, "channel": subscription.channel, **body},
    )
