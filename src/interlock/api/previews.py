"""REST for previews: where would this resource be deployed to, if it existed, and which versions could a target take?

Upstream ignores the body and lists every linked triple; what the command promises is to match the selectors against
the posted resource, and so it does here.

Eligible versions are worked out over the facts of this instant, like a round that is not committed.

Source: contract.md sections b ("api get release-targets") and e ("resource-preview", "Eligible versions").
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from starlette.responses import Response

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.paths import W, found, noun_router
from interlock.api.rendering import render_deployment, render_environment, render_system, render_version
from interlock.api.selectors import Scope, checked_selector
from interlock.clock import utc_now
from interlock.decide import work_out
from interlock.decide.standing import eligible_versions
from interlock.inventory.selector import parse_selector
from interlock.inventory.to_python import predicate
from interlock.inventory.views import resource_view
from interlock.model.ids import new_id, parse_target_key
from interlock.model.inventory import Resource
from interlock.store import deployments, environments, previews, systems, target_states, versions
from interlock.store.facts import load_facts
from interlock.web.bodies import AnyMap, Name, Text, TextMap, WireBody
from interlock.web.paging import Paging
from interlock.web.shapes import page_of
from interlock.web.sign_in import InWorkspace

router = noun_router("previews")

EXCLUDED_MAX = 1000


class ResourcePreviewBody(WireBody):
    """A resource that does not exist."""

    identifier: Name
    name: Name
    kind: Name
    version: Name
    config: AnyMap
    metadata: TextMap


class EligibleBody(WireBody):
    """Which versions are looked at, and which rules are left out."""

    filter: Text | None = None
    excludeRuleIds: Annotated[list[Text], Field(default_factory=list, max_length=EXCLUDED_MAX)]


@router.post(
    W + "/release-targets/{releaseTargetKey:segment}/eligible-versions",
    response_model=page_of(shapes.DeploymentVersion),
)
async def list_eligible_versions(
    here: InWorkspace, releaseTargetKey: str, page: Paging, body: EligibleBody
) -> Response:
    """List the versions that every rule would let go to a release target, newest first."""
    here.require(Permission.READ)
    written = checked_selector(body.filter, scope=Scope.VERSION, field="filter")
    picks = None if written is None else predicate(parse_selector(written, Scope.VERSION))
    key = parse_target_key(releaseTargetKey)
    async with here.read() as conn:
        known = found(await target_states.find_target(conn, here.id, key=key), "release target")
    async with here.store.snapshot() as conn:
        loaded = await load_facts(conn, known.deployment_id, every=True)
    target = found(None if loaded is None else loaded.facts.targets.get(known.id), "release target")
    assert loaded is not None, "its target was found"
    worked = work_out(loaded.facts, loaded.now, only=frozenset({target.id}))
    eligible = [
        version.id
        for version in eligible_versions(worked, target, excluded=frozenset(body.excludeRuleIds))
        if picks is None or picks({"version": version.view})
    ]
    shown = eligible[page.offset : page.offset + page.limit]
    async with here.read() as conn:
        stored = await versions.load_versions(conn, shown)
    return page.answer([render_version(version) for version in stored], len(eligible))


@router.post(W + "/release-targets/resource-preview", response_model=page_of(shapes.PreviewedTarget))
async def preview_targets(here: InWorkspace, page: Paging, body: ResourcePreviewBody) -> Response:
    """List where a resource like this would become a release target."""
    here.require(Permission.READ)
    now = utc_now()
    view = resource_view(
        Resource(
            id=new_id(),
            workspace_id=here.id,
            provider_id=None,
            identifier=body.identifier,
            name=body.name,
            kind=body.kind,
            version=body.version,
            config=body.config,
            metadata=body.metadata,
            created_at=now,
            updated_at=now,
        )
    )
    async with here.read() as conn:
        triples = await previews.list_triples_of(conn, here.id, resource=view)
        shown = triples[page.offset : page.offset + page.limit]
        by_id = {
            each.id: each
            for each in await deployments.load_deployments(conn, sorted({one.deployment_id for one in shown}))
        }
        environment_ids = sorted({one.environment_id for one in shown})
        places = {each.id: each for each in await environments.load_environments(conn, environment_ids)}
        grouped = await systems.load_systems_of(conn, "deployment", child_ids=sorted(by_id))
        rooms = {system.id: system for group in grouped.values() for system in group}
    return page.answer(
        [
            {
                "system": render_system(rooms[one.system_id]),
                "deployment": render_deployment(by_id[one.deployment_id]),
                "environment": render_environment(places[one.environment_id]),
            }
            for one in shown
        ],
        len(triples),
    )
