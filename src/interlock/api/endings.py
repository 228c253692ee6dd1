"""REST for the question before a deletion: what would it end, and what points at the thing?

Nothing is changed by asking. The answer is of now: what arrives between it and the deletion ends too.

Source: core.md section 4 ("say who can act"); `store/endings.py`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal, NotRequired

from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.paths import W, noun_router
from interlock.inventory.views import deployment_view, environment_view
from interlock.model.errors import NotFound
from interlock.model.ids import is_id
from interlock.store import deployments, environments, resources, systems
from interlock.store.endings import count_endings, find_named, list_pointing
from interlock.store.queries import Conn
from interlock.web.answers import Json, present
from interlock.web.sign_in import InWorkspace

router = noun_router("deletions")

Kind = Literal["deployment", "environment", "resource", "system"]


class Ends(TypedDict):
    """How much of each kind would end."""

    targets: int
    jobsWaiting: int
    jobsRunning: int
    rollouts: int
    orders: int
    pins: int
    skips: int
    freezes: int
    quarantines: int
    variables: int
    links: int


class PointsAtIt(TypedDict):
    """A rule whose selector matches the thing, or a version of another deployment that needs it."""

    kind: str
    policy: NotRequired[str]
    ruleId: NotRequired[str]
    deployment: NotRequired[str]
    version: NotRequired[str]


class Ending(TypedDict):
    """What deleting a thing would end now."""

    kind: Kind
    id: str
    name: str
    ends: Ends
    pointedAtBy: list[PointsAtIt]


@router.get(W + "/endings/{kind}/{name:segment}", response_model=Ending)
async def preview_ending(here: InWorkspace, kind: Kind, name: str) -> Response:
    """Tell what deleting a deployment, environment, resource (by identifier) or system would end now, by name or id."""
    here.require(Permission.READ)
    async with here.read() as conn:
        object_id, title, view = await _live(conn, here.id, kind=kind, name=name)
        ends = await count_endings(conn, here.id, kind=kind, object_id=object_id)
        pointing = await list_pointing(conn, here.id, kind=kind, object_id=object_id, view=view)
    counted = asdict(ends)
    counted["jobsWaiting"], counted["jobsRunning"] = counted.pop("jobs_waiting"), counted.pop("jobs_running")
    points = [
        present(kind=one.kind, policy=one.policy, ruleId=one.rule_id, deployment=one.deployment, version=one.version)
        for one in pointing
    ]
    return Json({"kind": kind, "id": object_id, "name": title, "ends": counted, "pointedAtBy": points})


async def _live(conn: Conn, workspace_id: str, *, kind: Kind, name: str) -> tuple[str, str, dict[str, object]]:
    """The id, the name and the selectors' view of a thing that is there.

    Fails: `NotFound`.
    """
    if kind == "resource":
        resource = await resources.find_resource(conn, workspace_id, identifier=name)
        if resource is not None:
            return resource.id, resource.identifier, {}
    elif kind == "deployment":
        deployment = await deployments.resolve_deployment(conn, workspace_id, text=name)
        if deployment is not None:
            return deployment.id, deployment.name, deployment_view(deployment)
    elif kind == "environment":
        environment = await environments.resolve_environment(conn, workspace_id, text=name)
        if environment is not None:
            return environment.id, environment.name, environment_view(environment)
    else:
        named = None if is_id(name) else await find_named(conn, workspace_id, kind="system", name=name)
        wanted = named.id if named is not None else name.lower()
        system = await systems.find_system(conn, workspace_id, system_id=wanted) if is_id(wanted) else None
        if system is not None:
            return system.id, system.name, {}
    raise NotFound(f"There is no such {kind}.")
