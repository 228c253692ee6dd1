"""How is a deployment, an environment, a resource or a system deleted? As a tombstone, with everything that concerns
it ended in the same transaction.

The rows stay, so that the ledger, releases and jobs still name what they were about; the name is free at once. What is
made under the same name is a new object: its `created` event names the one before (`formerly`), and the one before
finds that event in its own history. A deleted deployment's or environment's *id* is never used again, because rounds,
releases and jobs of its first life stand under it.

Source: contract.md section e; `endings.py` for what ends.
"""

from __future__ import annotations

from interlock.model.errors import NotFound
from interlock.model.event import Event, Ref
from interlock.store import deployments, environments, resources, systems, targets
from interlock.store.endings import end_what_concerns
from interlock.store.matching import match_after
from interlock.store.queries import queries
from interlock.store.tx import Change, Tx
from interlock.store.work import OWN_FACTS, WorkRequest

DEPLOYMENT = queries("deployment")
ENVIRONMENT = queries("environment")
RESOURCE = queries("resource")
SYSTEM = queries("system")
VARIABLE = queries("variable")


async def delete_deployment(tx: Tx, workspace_id: str, *, deployment_id: str) -> None:
    """End a deployment, its links and its variables; its targets are taken down, their history stays.

    Fails: `NotFound`.
    """
    known = await deployments.find_deployment(tx.conn, workspace_id, deployment_id=deployment_id)
    if known is None:
        raise NotFound("There is no such deployment.")
    ended = await end_what_concerns(tx, workspace_id, kind="deployment", ids=[deployment_id], name=known.name)
    await tx.record(
        changes=[
            Change(DEPLOYMENT.unlink_deployment, (deployment_id,)),
            Change(DEPLOYMENT.delete_deployment, (deployment_id,)),
            Change(VARIABLE.delete_variables_of_deployment, (deployment_id,)),
            deployments.touch(deployment_id, takes_away=True),
        ],
        events=[Event("deployment.deleted", Ref("deployment", deployment_id), {"name": known.name, **ended})],
        wakes=[WorkRequest("round", deployment_id, workspace_id, None, OWN_FACTS)],
    )
    await match_after(tx, workspace_id, touched=targets.Touched(deployments=(deployment_id,)))


async def delete_environment(tx: Tx, workspace_id: str, *, environment_id: str) -> None:
    """End an environment and its links; its targets are taken down, their history stays.

    Fails: `NotFound`.
    """
    known = await environments.find_environment(tx.conn, workspace_id, environment_id=environment_id)
    if known is None:
        raise NotFound("There is no such environment.")
    ended = await end_what_concerns(tx, workspace_id, kind="environment", ids=[environment_id], name=known.name)
    await tx.record(
        changes=[
            Change(ENVIRONMENT.unlink_environment, (environment_id,)),
            Change(ENVIRONMENT.delete_environment, (environment_id,)),
        ],
        events=[Event("environment.deleted", Ref("environment", environment_id), {"name": known.name, **ended})],
    )
    await match_after(tx, workspace_id, touched=targets.Touched(environments=(environment_id,)))


async def delete_resource(tx: Tx, workspace_id: str, *, identifier: str) -> str:
    """End a resource and its variables, and give its id; its targets are taken down, their history stays.

    Fails: `NotFound`.
    """
    row = await tx.conn.fetchrow(RESOURCE.lock_resource, workspace_id, identifier)
    if row is None:
        raise NotFound("There is no resource with this identifier.")
    resource_id = str(row["id"])
    ended = await end_what_concerns(tx, workspace_id, kind="resource", ids=[resource_id], name=identifier)
    await tx.record(
        changes=[
            Change(RESOURCE.delete_resources, ([resource_id],)),
            Change(RESOURCE.delete_variables, (resource_id, [])),
        ],
        events=[resources.gone(resource_id, identifier, **ended)],
    )
    await match_after(tx, workspace_id, touched=targets.Touched(resources=(resource_id,)))
    return resource_id


async def delete_system(tx: Tx, workspace_id: str, *, system_id: str) -> None:
    """End a system and its links; what it linked stays, and parts where it shared nothing else. A freeze of the
    system ends with it.

    Fails: `NotFound`.
    """
    known = await systems.find_system(tx.conn, workspace_id, system_id=system_id)
    if known is None:
        raise NotFound("There is no such system.")
    deployment_ids, _ = await systems.load_linked_ids(tx.conn, system_id)
    ended = await end_what_concerns(tx, workspace_id, kind="system", ids=[system_id], name=known.name)
    await tx.record(
        changes=[
            Change(SYSTEM.delete_system, (system_id,)),
            Change(SYSTEM.unlink_all_deployments, (system_id,)),
            Change(SYSTEM.unlink_all_environments, (system_id,)),
        ],
        events=[Event("system.deleted", Ref("system", system_id), {"name": known.name, **ended})],
    )
    await match_after(tx, workspace_id, touched=targets.Touched(deployments=deployment_ids))
