"""Who is told what happens, and what became of it? Subscriptions and their deliveries. All of it is ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from interlock.client.calls import Wire
from interlock.client.reach import Reach

if TYPE_CHECKING:
    from interlock.client.shapes import Accepted, Delivery, Subscription


class Subscriptions(Reach):
    """Being told."""

    def list_subscriptions(self) -> Iterator[Subscription]:
        """Who is told what happens, by name; secrets are marks."""
        return self._list("subscriptions")

    def get_subscription(self, subscription_id: str) -> Subscription:
        """One subscription, with its secrets for one who may write it."""
        return cast("Subscription", self._get("subscriptions", subscription_id))

    def create_subscription(self, body: Wire) -> Subscription:
        """Tell somebody what happens from now on."""
        return cast("Subscription", self._write("POST", "subscriptions", body=body))

    def put_subscription(self, subscription_id: str, body: Wire) -> Subscription:
        """Change a subscription. A secret that is left out is kept."""
        return cast("Subscription", self._write("PUT", "subscriptions", subscription_id, body=body))

    def delete_subscription(self, subscription_id: str) -> Accepted:
        """End a subscription."""
        return cast("Accepted", self._delete("subscriptions", subscription_id))

    def pause_subscription(self, subscription_id: str, *, reason: str = "") -> Subscription:
        """Tell nothing until it is resumed."""
        body = {"reason": reason}
        return cast("Subscription", self._write("POST", "subscriptions", subscription_id, "pause", body=body))

    def resume_subscription(self, subscription_id: str, *, from_now: bool = False) -> Subscription:
        """Tell again; `from_now` leaves out what happened meanwhile."""
        body = {"fromNow": from_now}
        return cast("Subscription", self._write("POST", "subscriptions", subscription_id, "resume", body=body))

    def rotate_subscription_secret(self, subscription_id: str, *, overlap_hours: float = 24.0) -> Subscription:
        """Sign with a new secret; for so long the one before signs too."""
        body = {"overlapHours": overlap_hours}
        return cast("Subscription", self._write("POST", "subscriptions", subscription_id, "rotate-secret", body=body))

    def test_subscription(self, subscription_id: str) -> Delivery:
        """Send a test; `get_delivery` says what became of it."""
        return cast("Delivery", self._write("POST", "subscriptions", subscription_id, "test", body={}))

    def list_deliveries(
        self, subscription_id: str, *, state: str | None = None, items_max: int | None = None
    ) -> Iterator[Delivery]:
        """What was sent, newest first."""
        query = {"state": state}
        return self._list("subscriptions", subscription_id, "deliveries", query=query, items_max=items_max)

    def get_delivery(self, subscription_id: str, delivery_id: str) -> Delivery:
        """One delivery."""
        return cast("Delivery", self._get("subscriptions", subscription_id, "deliveries", delivery_id))

    def redeliver(self, subscription_id: str, delivery_id: str) -> Delivery:
        """Send a delivery again, under its id; one that waits is tried now."""
        target = ("subscriptions", subscription_id, "deliveries", delivery_id, "redeliver")
        return cast("Delivery", self._write("POST", *target, body={}))

    def park_delivery(self, subscription_id: str, delivery_id: str) -> Delivery:
        """Give a delivery up, so that what comes after it may go."""
        target = ("subscriptions", subscription_id, "deliveries", delivery_id, "park")
        return cast("Delivery", self._write("POST", *target, body={}))
