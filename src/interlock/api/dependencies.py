"""REST for what a version needs of other deployments: list, set one, remove one.

`environments` is ours: absent (or `first`), the version that runs in the target's own environment counts, else one in
any; with `all`, in every environment. Answers carry it only where it is `all`, so that clients that do not know it see
what they expect.

Source: contract.md section c (version dependencies) and e.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from starlette.responses import Response

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.deployments import place_of
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import render_dependency
from interlock.inventory.selector import Scope, parse_selector
from interlock.model.errors import FieldError, Invalid
from interlock.model.ids import is_id
from interlock.model.version import Dependency
from interlock.model.wire import Fields, refusal
from interlock.store import dependencies, versions
from interlock.web.answers import Json, accepted
from interlock.web.bodies import Text, WireBody
from interlock.web.shapes import Accepted
from interlock.web.sign_in import InWorkspace

router = noun_router("versions")

ENVIRONMENTS = ("first", "all")
UNSEEN = frozenset({"version.config", "has_version.config"})
PATH = W + "/deployment-versions/{deploymentVersionId:segment}/dependencies"


class DependencyBody(WireBody):
    """One dependency: the version of the other deployment that must run beside this one."""

    versionSelector: Text
    environments: Literal["first", "all"] | None = None


def dependencies_of(sent: Mapping[str, Any], version_id: str = "") -> tuple[Dependency, ...]:
    """What a client says that a version needs: deployment id -> {versionSelector, environments?}.

    Fails: `Invalid`, naming every fault with its path.
    """
    read: list[Dependency] = []
    errors: list[FieldError] = []
    for key, body in sent.items():
        path = f"dependencies.{key}"
        if not is_id(key):
            errors.append(FieldError(path, "is not the id of a deployment"))
            continue
        fields = Fields(body, path)
        text = fields.parsed("versionSelector", _selector) or ""
        environments = fields.choice("environments", allowed=ENVIRONMENTS, default="first")
        errors.extend(fields.errors)
        read.append(Dependency(version_id, key.lower(), text, environments))
    if errors:
        raise refusal(errors)
    return tuple(read)


def _selector(text: str) -> str:
    selector = parse_selector(text, Scope.VERSION)
    if not UNSEEN.isdisjoint(selector.variables):
        raise Invalid("reads version.config, which is not known of other deployments.")
    return text


@router.get(PATH, response_model=list[shapes.VersionDependency])
async def list_dependencies(here: InWorkspace, deploymentVersionId: str) -> Response:
    """List what a version needs, by the id of the deployment."""
    here.require(Permission.READ)
    version_id = id_of(deploymentVersionId, "version")
    async with here.read() as conn:
        found(await versions.find_version(conn, here.id, version_id=version_id), "version")
        needed = await dependencies.load_dependencies(conn, [version_id])
    return Json([render_dependency(one) for one in needed.get(version_id, ())])


@router.put(PATH + "/{dependencyDeploymentId:segment}", status_code=202, response_model=Accepted)
async def put_dependency(
    here: InWorkspace, deploymentVersionId: str, dependencyDeploymentId: str, body: DependencyBody
) -> Response:
    """Let a version need another deployment, or change what it needs of it."""
    version_id = id_of(deploymentVersionId, "version")
    deployment_id = id_of(dependencyDeploymentId, "deployment")
    wanted = dependencies_of({deployment_id: body.model_dump(exclude_none=True)}, version_id)
    async with here.read() as conn:
        known = found(await versions.find_version(conn, here.id, version_id=version_id), "version")
    place = await place_of(here, known.deployment_id)
    async with here.tx(Permission.VERSION_WRITE, cause="api: put version dependency", place=place) as tx:
        version = found(await versions.lock_version(tx, here.id, version_id=version_id), "version")
        await dependencies.set_dependencies(tx, here.id, version=version, wanted=wanted)
    return accepted(version_id, "The dependency was saved.")


@router.delete(PATH + "/{dependencyDeploymentId:segment}", status_code=202, response_model=Accepted)
async def delete_dependency(here: InWorkspace, deploymentVersionId: str, dependencyDeploymentId: str) -> Response:
    """Let a version need a deployment no longer."""
    version_id = id_of(deploymentVersionId, "version")
    deployment_id = id_of(dependencyDeploymentId, "deployment")
    async with here.read() as conn:
        known = found(await versions.find_version(conn, here.id, version_id=version_id), "version")
    place = await place_of(here, known.deployment_id)
    async with here.tx(Permission.VERSION_WRITE, cause="api: delete version dependency", place=place) as tx:
        version = found(await versions.lock_version(tx, here.id, version_id=version_id), "version")
        await dependencies.remove_dependency(tx, here.id, version=version, deployment_id=deployment_id)
    return accepted(version_id, "The dependency was removed.")
