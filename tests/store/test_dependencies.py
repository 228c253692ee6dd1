"""Who hears when another deployment lands? Two deployments in a real database, and no sweep anywhere.

Source: core.md section 2, "Facts of others"; reference-behaviour.md 4.7 [BUG], 4.9 [RB].
"""

import pytest

from interlock.decide.facts import Beside, Elsewhere
from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.ids import new_id
from interlock.model.version import Dependency
from interlock.store.dependencies import load_dependencies, remove_dependency, set_dependencies
from interlock.store.versions import lock_version
from interlock.store.work import find_next_ready_s
from tests.store.fleet import Stepper, a_fleet, commit, load
from tests.store.test_plan import many_resources

ON_SCHEMA = {"deploymentDependency": {"dependsOn": 'deployment.name == "schema" && version.tag.startsWith("2.")'}}


@pytest.fixture
def stepper(store, tmp_path):
    return Stepper(store, tmp_path)


async def two_deployments(store, *, hosts=None, schema_on="true"):
    """shop-api and schema on the same hosts."""
    fleet = await a_fleet(store, hosts or {"one": "prod", "two": "prod"})
    schema = await fleet.deployment("schema", selector=schema_on)
    return fleet, schema


async def depend(fleet, tag, needs):
    async with fleet.tx() as tx:
        version = await lock_version(tx, fleet.workspace_id, version_id=fleet.versions[tag])
        wanted = [Dependency(version.id, *one) for one in needs.items()]
        await set_dependencies(tx, fleet.workspace_id, version=version, wanted=wanted)


async def asked_for(store, kind):
    async with store.read() as conn:
        return {row["key"] for row in await conn.fetch("SELECT key FROM work WHERE kind = $1", kind)}


# Waking ---------------------------------------------------------------------------------------------------------------


async def test_a_landing_lets_what_waits_for_it_go(store, stepper):
    fleet, schema = await two_deployments(store)
    await fleet.policy("after schema", [ON_SCHEMA], selector='deployment.name == "shop-api"')
    await fleet.version("2.0", deployment_id=schema, status="building")
    await fleet.version("1.0")
    await stepper.run()
    assert await fleet.where() == {"one": None, "two": None}
    await fleet.status("2.0", "ready")
    await stepper.run()
    assert await fleet.where(schema) == {"one": "2.0", "two": "2.0"}
    assert await fleet.where() == {"one": "1.0", "two": "1.0"}


async def test_only_the_resource_on_which_it_landed_goes(store, stepper):
    fleet, schema = await two_deployments(store, schema_on='resource.name == "one"')
    await fleet.policy("after schema", [ON_SCHEMA], selector='deployment.name == "shop-api"')
    await fleet.version("1.0")
    await fleet.version("2.0", deployment_id=schema)
    await stepper.run()
    assert await fleet.where() == {"one": "1.0", "two": None}


async def test_in_the_same_environment_any_resource_will_do(store, stepper):
    hosts = {"one": "prod", "two": "prod", "three": "staging"}
    fleet, schema = await two_deployments(store, hosts=hosts, schema_on='resource.name == "one"')
    rule = {"deploymentDependency": {**ON_SCHEMA["deploymentDependency"], "scope": "sameEnvironment"}}
    await fleet.policy("after schema", [rule], selector='deployment.name == "shop-api"')
    await fleet.version("1.0")
    await stepper.run()
    await fleet.version("2.0", deployment_id=schema)
    await stepper.run()
    assert await fleet.where() == {"one": "1.0", "two": "1.0", "three": None}


async def test_a_version_goes_when_what_it_needs_has_landed(store, stepper):
    fleet, schema = await two_deployments(store)
    await fleet.version("1.0", needs={schema: 'version.tag == "2.0"'})
    await stepper.run()
    assert await fleet.where() == {"one": None, "two": None}
    await fleet.version("1.9", deployment_id=schema)
    await stepper.run()
    assert await fleet.where() == {"one": None, "two": None}
    await fleet.version("2.0", deployment_id=schema)
    await stepper.run()
    assert await fleet.where() == {"one": "1.0", "two": "1.0"}


async def test_a_dependency_that_is_removed_or_met_by_an_edit_lets_the_version_go(store, stepper):
    fleet, schema = await two_deployments(store)
    await fleet.version("1.9", deployment_id=schema)
    await fleet.version("1.0", needs={schema: 'version.tag == "2.0"'})
    await stepper.run()
    assert await fleet.where() == {"one": None, "two": None}
    async with fleet.tx() as tx:
        version = await lock_version(tx, fleet.workspace_id, version_id=fleet.versions["1.0"])
        await remove_dependency(tx, fleet.workspace_id, version=version, deployment_id=schema)
    await stepper.run()
    assert await fleet.where() == {"one": "1.0", "two": "1.0"}


async def test_an_edit_of_the_version_that_runs_elsewhere_is_heard(store, stepper):
    fleet, schema = await two_deployments(store)
    await fleet.version("2.0", deployment_id=schema)
    await fleet.version("1.0", needs={schema: 'version.metadata["proven"] == "yes"'})
    await stepper.run()
    assert await fleet.where() == {"one": None, "two": None}
    await fleet.version("2.0", deployment_id=schema, metadata={"proven": "yes"})
    await stepper.run()
    assert await fleet.where() == {"one": "1.0", "two": "1.0"}


async def test_a_neighbour_that_leaves_is_heard(store, stepper):
    fleet, schema = await two_deployments(store, schema_on='resource.metadata["schema"] == "yes"')
    await fleet.resource("one", env="prod", schema="yes")
    await fleet.version("1.9", deployment_id=schema)
    cache = await fleet.deployment("cache")
    await fleet.version("cache-1", deployment_id=cache)
    rule = {"deploymentDependency": {"dependsOn": 'version.tag != "1.9"', "require": "all"}}
    await fleet.policy("nothing old beside it", [rule], selector='deployment.name == "shop-api"')
    await stepper.run()
    await fleet.version("1.0")
    await stepper.run()
    assert await fleet.where() == {"one": None, "two": "1.0"}
    await fleet.resource("one", env="prod")
    await stepper.run()
    assert await fleet.where() == {"one": "1.0", "two": "1.0"}


async def test_a_new_dependency_withdraws_a_job_that_waits(store, stepper):
    fleet, schema = await two_deployments(store)
    await fleet.version("1.0")
    await stepper.run(kinds=["round", "wake", "match"])
    assert {job["status"] for job in await fleet.jobs()} == {"pending"}
    await depend(fleet, "1.0", {schema: "true"})
    await stepper.run()
    assert {job["status"] for job in await fleet.jobs()} == {"skipped"}


async def test_nobody_is_asked_where_nobody_depends(store, stepper):
    fleet, schema = await two_deployments(store)
    await fleet.version("1.0")
    await fleet.version("2.0", deployment_id=schema)
    await stepper.run(kinds=["round", "dispatch", "observe", "match", "measure"])
    assert await fleet.where(schema) == {"one": "2.0", "two": "2.0"}
    assert await asked_for(store, "wake") == set()


async def test_a_landing_asks_for_those_alone_who_depend_on_it(store, stepper):
    fleet, schema = await two_deployments(store)
    other = await fleet.deployment("other")
    await fleet.version("1.0", needs={schema: 'version.tag == "3.0"'})
    await stepper.run()
    await fleet.version("2.0", deployment_id=schema)
    await stepper.run(kinds=["round", "dispatch", "observe", "match"])
    assert await asked_for(store, "wake") == {f"runs:{schema}"}
    await stepper.run(kinds=["wake"])
    assert await fleet.is_due("round", fleet.deployment_id)
    assert not await fleet.is_due("round", other)


# Loading --------------------------------------------------------------------------------------------------------------


async def test_nothing_of_others_is_loaded_where_nothing_asks(store, stepper):
    fleet, schema = await two_deployments(store)
    await fleet.version("2.0", deployment_id=schema)
    await fleet.version("1.0")
    await stepper.run()
    assert (await load(store, fleet.deployment_id)).facts.elsewhere == Elsewhere()


async def test_what_runs_beside_comes_with_the_views_of_both(store, stepper):
    fleet, schema = await two_deployments(store)
    await fleet.version("2.0", deployment_id=schema, metadata={"team": "data"})
    await fleet.version("1.0", needs={schema: "false"})
    await stepper.run()
    elsewhere = (await load(store, fleet.deployment_id)).facts.elsewhere
    runs = (Beside(fleet.environments["prod"], schema, fleet.versions["2.0"]),)
    assert elsewhere.by_resource == {fleet.resources["one"]: runs, fleet.resources["two"]: runs}
    assert elsewhere.deployments[schema]["name"] == "schema"
    assert elsewhere.versions[fleet.versions["2.0"]]["metadata"] == {"team": "data"}


async def test_facts_after_a_commit_are_the_facts_before_it_with_the_plan(store, stepper):
    """Law 9 with neighbours: what others run is not changed by what a round of ours writes."""
    fleet, schema = await two_deployments(store)
    await fleet.policy("after schema", [ON_SCHEMA], selector='deployment.name == "shop-api"')
    await fleet.version("2.0", deployment_id=schema)
    await stepper.run()
    await fleet.version("1.0")
    before = await load(store, fleet.deployment_id)
    committed = await commit(store, before)
    assert len(committed.plan.moves) == 2
    assert (await load(store, fleet.deployment_id)).facts.elsewhere == before.facts.elsewhere


async def test_a_round_asks_as_often_about_many_neighbours_as_about_few(store, stepper):
    counts = {}
    for targets in (10, 300):
        fleet, schema = await two_deployments(store, hosts={"canary": "prod"})
        rule = {"deploymentDependency": {**ON_SCHEMA["deploymentDependency"], "scope": "sameEnvironment"}}
        await fleet.policy("after schema", [ON_SCHEMA, rule], selector='deployment.name == "shop-api"')
        await many_resources(fleet, targets, env="prod")
        await fleet.version(f"2.{targets}", deployment_id=schema)
        await commit(store, await load(store, schema))
        await fleet.version(f"1.{targets}", needs={schema: "true"})
        async with store.counting() as count:
            await commit(store, await load(store, fleet.deployment_id))
        counts[targets] = len(count)
    assert counts[10] == counts[300] <= 40


# Writing --------------------------------------------------------------------------------------------------------------


async def test_dependencies_that_lead_back_are_refused_with_the_way(store):
    fleet, schema = await two_deployments(store)
    cache = await fleet.deployment("cache")
    await fleet.version("s1", deployment_id=schema, needs={cache: "true"})
    await fleet.version("c1", deployment_id=cache, needs={fleet.deployment_id: "true"})
    with pytest.raises(Conflict, match="shop-api -> schema -> cache -> shop-api"):
        await fleet.version("1.0", needs={schema: "true"})
    async with store.read() as conn:
        assert await conn.fetchval("SELECT count(*) FROM version WHERE tag = '1.0'") == 0, "nothing is left behind"
    await fleet.version("c2", deployment_id=cache)  # needs nothing any more
    await fleet.version("1.0", needs={schema: "true"})


async def test_its_own_deployment_and_one_that_is_not_there_are_refused(store):
    fleet, schema = await two_deployments(store)
    with pytest.raises(Invalid, match="own deployment"):
        await fleet.version("1.0", needs={fleet.deployment_id: "true"})
    gone = new_id()
    with pytest.raises(NotFound, match=gone):
        await fleet.version("1.0", needs={gone: "true"})
    await fleet.version("1.0", needs={schema: "true"})


async def test_a_version_that_comes_again_keeps_or_replaces_what_it_needs(store):
    fleet, schema = await two_deployments(store)
    cache = await fleet.deployment("cache")

    async def needs():
        async with store.read() as conn:
            found = await load_dependencies(conn, [fleet.versions["1.0"]])
        return {one.deployment_id for one in found.get(fleet.versions["1.0"], ())}

    await fleet.version("1.0", needs={schema: "true"})
    await fleet.version("1.0")
    assert await needs() == {schema}
    await fleet.version("1.0", needs={cache: "true"})
    assert await needs() == {cache}
    await fleet.version("1.0", needs={})
    assert await needs() == set()


async def test_the_same_dependency_again_writes_nothing(store, stepper):
    fleet, schema = await two_deployments(store)
    await fleet.version("1.0", needs={schema: "true"})
    await stepper.run()
    told = await fleet.told()
    await depend(fleet, "1.0", {schema: "true"})
    assert await fleet.told() == told
    async with store.read() as conn:
        assert await find_next_ready_s(conn, ["round"]) is None
    await depend(fleet, "1.0", {schema: "false"})
    assert (await fleet.told())[-1] == "version.dependencies_changed"
