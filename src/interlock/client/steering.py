"""How do people steer? Rollouts, orders, freezes, pins, skips and quarantines. All of it is ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from interlock.client.calls import Wire
from interlock.client.reach import Reach

if TYPE_CHECKING:
    from interlock.client.shapes import (
        Freeze,
        Incident,
        Order,
        Pin,
        PlacedOrders,
        Places,
        PostedSaturation,
        Quarantine,
        ReportedIncident,
        Rollout,
        Saturation,
        Skip,
        ToldAlerts,
    )


class Steering(Reach):
    """What people say, and what it ends."""

    def list_rollouts(
        self, *, state: str | None = "live", deployment_id: str | None = None, items_max: int | None = None
    ) -> Iterator[Rollout]:
        """Rollouts, newest first; `live` are those that are open, paused or halted."""
        return self._list("rollouts", query={"state": state, "deploymentId": deployment_id}, items_max=items_max)

    def get_rollout(self, rollout_id: str) -> Rollout:
        """A rollout, with what people said about it."""
        return cast("Rollout", self._get("rollouts", rollout_id))

    def get_rollout_places(self, rollout_id: str) -> Places:
        """Where each target of a rollout stands, wave by wave."""
        return cast("Places", self._get("rollouts", rollout_id, "places"))

    def steer_rollout(self, rollout_id: str, *, step: str, reason: str, **more: object) -> Rollout:
        """`pause` (perhaps with `expiresAt`), `resume`, `speed-up` (with its fields), `promote` or `abort` one."""
        return cast("Rollout", self._write("POST", "rollouts", rollout_id, step, body={"reason": reason, **more}))

    def place_orders(self, body: Wire) -> PlacedOrders:
        """Ask for a redeploy, a force or a rollback: the answer lists the `orders`, and the targets that `refused`."""
        return cast("PlacedOrders", self._write("POST", "orders", body=body))

    def list_orders(
        self, *, state: str | None = "open", deployment_id: str | None = None, items_max: int | None = None
    ) -> Iterator[Order]:
        """Orders, newest first."""
        return self._list("orders", query={"state": state, "deploymentId": deployment_id}, items_max=items_max)

    def get_order(self, order_id: str) -> Order:
        """One order, also one that is over."""
        return cast("Order", self._get("orders", order_id))

    def withdraw_order(self, order_id: str, *, reason: str) -> Order:
        """Take an open order back."""
        return cast("Order", self._write("POST", "orders", order_id, "withdraw", body={"reason": reason}))

    def list_freezes(self, *, over: bool | None = None) -> Iterator[Freeze]:
        """The freezes in force; with `over` those that ended as well."""
        return self._list("freezes", query={"over": over})

    def freeze(self, body: Wire) -> Freeze:
        """Stop every hand-over in a scope, from the commit of this write on."""
        return cast("Freeze", self._write("POST", "freezes", body=body))

    def thaw(self, freeze_id: str, *, reason: str) -> Freeze:
        """End a freeze."""
        return cast("Freeze", self._write("POST", "freezes", freeze_id, "thaw", body={"reason": reason}))

    def get_freeze(self, freeze_id: str) -> Freeze:
        """One freeze, also one that is over."""
        return cast("Freeze", self._get("freezes", freeze_id))

    def extend_freeze(self, freeze_id: str, *, expires_at: str | None) -> Freeze:
        """Move the end of a freeze; None: until somebody thaws it."""
        return cast("Freeze", self._write("POST", "freezes", freeze_id, "extend", body={"expiresAt": expires_at}))

    def list_incidents(
        self, *, deployment_id: str | None = None, over: bool | None = None, items_max: int | None = None
    ) -> Iterator[Incident]:
        """The open incidents; with `over` those that ended as well."""
        return self._list("incidents", query={"deploymentId": deployment_id, "over": over}, items_max=items_max)

    def report_incident(self, body: Wire) -> ReportedIncident:
        """Open an incident, or say that it goes on: `source` and `externalId` say which one it is."""
        return cast("ReportedIncident", self._write("POST", "incidents", body=body))

    def get_incident(self, incident_id: str) -> Incident:
        """One incident, also one that is over."""
        return cast("Incident", self._get("incidents", incident_id))

    def resolve_incident(self, incident_id: str, *, reason: str) -> Incident:
        """Say that an incident is over, or that it shall hold nobody any longer."""
        return cast("Incident", self._write("POST", "incidents", incident_id, "resolve", body={"reason": reason}))

    def resolve_told(self, *, source: str, external_id: str, reason: str) -> Incident:
        """Resolve an incident by its source and the id that it has there."""
        body = {"source": source, "externalId": external_id, "reason": reason}
        return cast("Incident", self._write("POST", "incidents", "resolve", body=body))

    def receive_alerts(self, body: Wire, **query: str | int) -> ToldAlerts:
        """Hand over a notification of Alertmanager, as its webhook sends it."""
        return cast("ToldAlerts", self._write("POST", "alerts", "alertmanager", body=body, query=query))

    def list_saturations(self, deployment: str) -> list[Saturation]:
        """How full things are that a deployment runs on, by its id or name."""
        return cast("list[Saturation]", self._get("deployments", deployment, "saturation")["items"])

    def post_saturation(self, deployment: str, body: Wire) -> PostedSaturation:
        """Say how full something is: `name`, `value`, perhaps bounds, an environment and how long it counts."""
        return cast("PostedSaturation", self._write("POST", "deployments", deployment, "saturation", body=body))

    def forget_saturation(self, deployment: str, name: str, *, environment: str | None = None) -> Saturation:
        """Forget a signal that nobody reads any more."""
        query = {"environment": environment}
        return cast("Saturation", self._write("DELETE", "deployments", deployment, "saturation", name, query=query))

    def list_pins(self, *, deployment_id: str | None = None, over: bool | None = None) -> Iterator[Pin]:
        """The pins in force; with `over` those that ended as well."""
        return self._list("pins", query={"deploymentId": deployment_id, "over": over})

    def pin(self, body: Wire) -> Pin:
        """Pin a deployment, an environment of it or a target to a version."""
        return cast("Pin", self._write("POST", "pins", body=body))

    def get_pin(self, pin_id: str) -> Pin:
        """One pin, also one that is over."""
        return cast("Pin", self._get("pins", pin_id))

    def remove_pin(self, pin_id: str, *, reason: str) -> Pin:
        """End a pin."""
        return cast("Pin", self._write("POST", "pins", pin_id, "remove", body={"reason": reason}))

    def list_skips(self, *, deployment_id: str | None = None, over: bool | None = None) -> Iterator[Skip]:
        """The skips of rules and freezes in force; with `over` those that ended as well."""
        return self._list("skips", query={"deploymentId": deployment_id, "over": over})

    def skip(self, body: Wire) -> Skip:
        """Let a version pass a rule, every rule of a kind, or a freeze."""
        return cast("Skip", self._write("POST", "skips", body=body))

    def get_skip(self, skip_id: str) -> Skip:
        """One skip, also one that is over."""
        return cast("Skip", self._get("skips", skip_id))

    def remove_skip(self, skip_id: str, *, reason: str) -> Skip:
        """Take a skip back."""
        return cast("Skip", self._write("POST", "skips", skip_id, "remove", body={"reason": reason}))

    def list_quarantines(self, *, deployment_id: str | None = None) -> Iterator[Quarantine]:
        """What targets do not take again by themselves."""
        return self._list("quarantines", query={"deploymentId": deployment_id})

    def get_quarantine(self, quarantine_id: str) -> Quarantine:
        """One of them."""
        return cast("Quarantine", self._get("quarantines", quarantine_id))

    def clear_quarantine(self, quarantine_id: str, *, reason: str) -> Quarantine:
        """Let a target take again what failed on it."""
        return cast("Quarantine", self._write("POST", "quarantines", quarantine_id, "clear", body={"reason": reason}))
