"""Who may do what, and why? Roles, what binds them to people, tokens of agents, and the question itself. It is ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from interlock.client.calls import Wire
from interlock.client.reach import Reach

if TYPE_CHECKING:
    from interlock.client.shapes import Accepted, AgentToken, Binding, NewAgentToken, Permission, Role


class Access(Reach):
    """Roles, bindings and tokens."""

    def list_permissions(self) -> Iterator[Permission]:
        """Every permission, with its sentence."""
        return self._list("permissions")

    def list_roles(self) -> Iterator[Role]:
        """The built-in roles, then the workspace's own by name."""
        return self._list("roles")

    def find_role(self, name: str) -> Role | None:
        """The role of this name."""
        return cast("Role | None", self._found("roles", name))

    def put_role(self, name: str, permissions: Sequence[str], *, description: str = "") -> Role:
        """Make a role of one's own, or say anew what it may do."""
        body = {"permissions": list(permissions), "description": description}
        return cast("Role", self._write("PUT", "roles", name, body=body))

    def delete_role(self, name: str) -> Wire:
        """End a role that nobody has: the answer is `{name, message}`."""
        return cast("Wire", self._delete("roles", name))

    def list_role_bindings(
        self, *, user: str | None = None, group: str | None = None, role: str | None = None
    ) -> Iterator[Binding]:
        """Who has which role over what."""
        return self._list("role-bindings", query={"user": user, "group": group, "role": role})

    def create_role_binding(self, body: Wire) -> Binding:
        """Give a user, a group or a key a role, as in `{"role": "approver", "group": "sre", "scope": {...}}`."""
        return cast("Binding", self._write("POST", "role-bindings", body=body))

    def delete_role_binding(self, binding_id: str) -> Accepted:
        """Take a role back."""
        return cast("Accepted", self._delete("role-bindings", binding_id))

    def get_access(self) -> Wire:
        """What the caller may do here."""
        return cast("Wire", self._get("access"))

    def explain_access(
        self,
        permission: str,
        *,
        user: str | None = None,
        system: str | None = None,
        deployment: str | None = None,
        environment: str | None = None,
    ) -> Wire:
        """Whether somebody may do something, and which binding says so."""
        query = {
            "permission": permission,
            "user": user,
            "system": system,
            "deployment": deployment,
            "environment": environment,
        }
        return cast("Wire", self._get("access", "explain", query=query))

    def list_agent_tokens(self, agent_id: str) -> Iterator[AgentToken]:
        """The tokens of a job agent. Never their text."""
        return self._list("job-agents", agent_id, "tokens")

    def create_agent_token(self, agent_id: str, *, name: str = "", expires_at: str | None = None) -> NewAgentToken:
        """Make a token that can only claim and report the agent's own jobs: `token` is shown this once."""
        body = {"name": name} if expires_at is None else {"name": name, "expiresAt": expires_at}
        return cast("NewAgentToken", self._write("POST", "job-agents", agent_id, "tokens", body=body))

    def revoke_agent_token(self, agent_id: str, token_id: str) -> Accepted:
        """End a token."""
        return cast("Accepted", self._delete("job-agents", agent_id, "tokens", token_id))
