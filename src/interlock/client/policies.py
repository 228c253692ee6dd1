"""Which rules govern what, and what would other rules change? Policies, those in force, what-if, slots.

Source: contract.md section d, "Policies"; the rest is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from interlock.client.calls import Seen, Wire
from interlock.client.reach import Reach

if TYPE_CHECKING:
    from interlock.client.shapes import Policy, SlotGroup


class Policies(Reach):
    """Policies and what they hold."""

    def list_policies(self, *, items_max: int | None = None) -> Iterator[Policy]:
        """Every policy, rules as they were written."""
        return self._list("policies", items_max=items_max)

    def get_policy(self, policy_id: str) -> Policy:
        """One policy."""
        return cast("Policy", self._get("policies", policy_id))

    def create_policy(self, body: Wire) -> Policy:
        """Create a policy; the server chooses its id."""
        return cast("Policy", self._write("POST", "policies", body=body))

    def put_policy(self, policy_id: str, body: Wire) -> Policy:
        """Create or replace a policy by id: the answer is the whole policy."""
        return cast("Policy", self._write("PUT", "policies", policy_id, body=body))

    def delete_policy(self, policy_id: str) -> Policy:
        """End a policy: the answer is what it was. Targets that only its rules held may start at once."""
        return cast("Policy", self._delete("policies", policy_id))

    def list_policies_in_force(
        self, environment: str, *, deployment: str | None = None, resource: str | None = None
    ) -> list[Wire]:
        """Every policy with how many targets of an environment it governs, and why."""
        query = {"deployment": deployment, "resource": resource}
        return list(self._list("environments", environment, "policies", query=query))

    def ask_what_if(self, changes: Sequence[Seen]) -> Wire:
        """Ask what policies would change: {policyId, policy} or {policyId, delete: true} each; answered later."""
        return cast("Wire", self._write("POST", "what-if", body={"changes": list(changes)}))

    def get_what_if(self, what_if_id: str) -> Wire:
        """A question about policies, and its answer when it is there."""
        return cast("Wire", self._get("what-if", what_if_id))

    def list_slots(self, *, items_max: int | None = None) -> Iterator[SlotGroup]:
        """Slot groups with their `holders`: those that somebody waits for first, then the fullest."""
        return self._list("slots", items_max=items_max)
