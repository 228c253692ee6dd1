"""What differs from target to target? Variables of deployments, variable sets, and the rules that relate resources.

Source: contract.md section d, "Deployment variables", "Variable sets", "Relationship rules".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from interlock.client.calls import Wire
from interlock.client.reach import Reach

if TYPE_CHECKING:
    from interlock.client.shapes import Accepted, RelationshipRule, VariableSet, VariableValue, VariableWithValues


class Variables(Reach):
    """Variables and where they come from."""

    def list_deployment_variables(self, deployment_id: str) -> Iterator[VariableWithValues]:
        """A deployment's variables: items `{variable, values}`."""
        return self._list("deployments", deployment_id, "variables")

    def put_deployment_variables(self, deployment_id: str, body: Wire) -> Wire:
        """Make a deployment's variables exactly these, as one change: `{variables: [{key, description?, values}]}`."""
        return cast("Wire", self._write("PUT", "deployments", deployment_id, "variables", body=body))

    def get_deployment_variable(self, variable_id: str) -> VariableWithValues:
        """One declared key with its values."""
        return cast("VariableWithValues", self._get("deployment-variables", variable_id))

    def put_deployment_variable(self, variable_id: str, body: Wire) -> Accepted:
        """Declare a key, or change what is said of it."""
        return cast("Accepted", self._write("PUT", "deployment-variables", variable_id, body=body))

    def delete_deployment_variable(self, variable_id: str) -> Accepted:
        """End a key with its values."""
        return cast("Accepted", self._delete("deployment-variables", variable_id))

    def get_deployment_variable_value(self, value_id: str) -> VariableValue:
        """One value of a declared key."""
        return cast("VariableValue", self._get("deployment-variable-values", value_id))

    def put_deployment_variable_value(self, value_id: str, body: Wire) -> Accepted:
        """Create or replace a value of a declared key."""
        return cast("Accepted", self._write("PUT", "deployment-variable-values", value_id, body=body))

    def delete_deployment_variable_value(self, value_id: str) -> Accepted:
        """End a value of a declared key."""
        return cast("Accepted", self._delete("deployment-variable-values", value_id))

    def list_variable_sets(self, *, items_max: int | None = None) -> Iterator[VariableSet]:
        """Every variable set, in the order in which they are tried."""
        return self._list("variable-sets", items_max=items_max)

    def get_variable_set(self, set_id: str) -> VariableSet:
        """One variable set."""
        return cast("VariableSet", self._get("variable-sets", set_id))

    def create_variable_set(self, body: Wire) -> VariableSet:
        """Create a variable set; the server chooses its id."""
        return cast("VariableSet", self._write("POST", "variable-sets", body=body))

    def put_variable_set(self, set_id: str, body: Wire) -> VariableSet:
        """Change a variable set."""
        return cast("VariableSet", self._write("PUT", "variable-sets", set_id, body=body))

    def delete_variable_set(self, set_id: str) -> VariableSet:
        """End a variable set: the answer is what it was."""
        return cast("VariableSet", self._delete("variable-sets", set_id))

    def list_relationship_rules(self, *, items_max: int | None = None) -> Iterator[RelationshipRule]:
        """Every relationship rule."""
        return self._list("relationship-rules", items_max=items_max)

    def get_relationship_rule(self, rule_id: str) -> RelationshipRule:
        """One relationship rule."""
        return cast("RelationshipRule", self._get("relationship-rules", rule_id))

    def create_relationship_rule(self, body: Wire) -> RelationshipRule:
        """Create a relationship rule; the server chooses its id."""
        return cast("RelationshipRule", self._write("POST", "relationship-rules", body=body))

    def put_relationship_rule(self, rule_id: str, body: Wire) -> Wire:
        """Create or replace a relationship rule by id."""
        return cast("Wire", self._write("PUT", "relationship-rules", rule_id, body=body))

    def delete_relationship_rule(self, rule_id: str) -> RelationshipRule:
        """End a relationship rule: the answer is what it was."""
        return cast("RelationshipRule", self._delete("relationship-rules", rule_id))
