"""What do a freeze and a subscription count for? The whole workspace, or one system, environment or deployment of it.

Source: core.md section 2; issue 4, "Access control and secrets".
"""

from __future__ import annotations

from typing import Literal

from interlock.access import Place
from interlock.api.deployments import place_of
from interlock.api.paths import found
from interlock.model.errors import Invalid, NotFound
from interlock.model.ids import is_id
from interlock.store import deployments, environments, systems
from interlock.store.queries import Conn
from interlock.web.bodies import ClosedBody
from interlock.web.sign_in import Here

ScopeKind = Literal["workspace", "system", "environment", "deployment"]


class ScopeBody(ClosedBody):
    """A scope as it is sent."""

    kind: ScopeKind
    id: str | None = None


async def find_scope_id(conn: Conn, here: Here, scope: ScopeBody) -> str | None:
    """The id of what a scope names; None for the workspace.

    Fails: `Invalid` where an id is missing or out of place, `NotFound` for one that names nothing here.
    """
    if scope.kind == "workspace":
        if scope.id not in {None, here.id}:
            raise Invalid("The workspace as a whole takes no other id.", field="scope.id")
        return None
    if scope.id is None:
        raise Invalid(f"Say which {scope.kind}: its id.", field="scope.id")
    if not is_id(scope.id):
        raise NotFound(f"There is no {scope.kind} with this id.")
    scope_id = scope.id.lower()
    match scope.kind:
        case "system":
            found(await systems.find_system(conn, here.id, system_id=scope_id), scope.kind)
        case "environment":
            found(await environments.find_environment(conn, here.id, environment_id=scope_id), scope.kind)
        case "deployment":
            found(await deployments.find_deployment(conn, here.id, deployment_id=scope_id), scope.kind)
    return scope_id


async def place_of_scope(here: Here, kind: str, scope_id: str | None) -> Place:
    """Where a role must count to write what has this scope."""
    match kind, scope_id:
        case "system", str():
            return Place(system_ids=frozenset({scope_id}))
        case "environment", str():
            return Place(environment_id=scope_id)
        case "deployment", str():
            return await place_of(here, scope_id)
        case _:
            return Place()
