"""Variables reach the releases of those targets, and only those, that they concern.

Source: core.md sections 2 and 4; reference-behaviour.md section 6.
"""

import asyncio
import sys
from datetime import timedelta

import pytest

from interlock.model.errors import Conflict, NotFound
from interlock.model.event import Actor
from interlock.model.ids import new_id
from interlock.store import targets
from interlock.store.deletions import delete_deployment
from interlock.store.deployments import save_deployment
from interlock.store.providers import save_provider
from interlock.store.relationships import delete_rule, save_rule
from interlock.store.resources import ResourceContent, replace_variables, save_resource
from interlock.store.syncs import Offered, set_resources
from interlock.store.variable_sets import SetContent, change_set, create_set, delete_set
from interlock.store.variables import delete_value, delete_variable, save_value, save_variable
from tests.store.fleet import Fleet, Stepper, a_deployment, a_fleet, commit, load

GOLD = 'resource.metadata["tier"] == "gold"'


@pytest.fixture
def stepper(store, tmp_path):
    return Stepper(store, tmp_path)


class Shelf:
    """Writes variables of a fleet by name, and reads what became of them."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.ids: dict[str, str] = {}

    def id_of(self, name: str) -> str:
        return self.ids.setdefault(name, new_id())

    async def declare(self, key: str, *, deployment_id: str | None = None, variable: str | None = None) -> None:
        async with self.fleet.tx() as tx:
            await save_variable(
                tx,
                self.fleet.workspace_id,
                variable_id=self.id_of(variable or key),
                deployment_id=deployment_id or self.fleet.deployment_id,
                key=key,
                description=None,
            )

    async def value(self, key: str, name: str, value: object, *, priority: int = 0, selector: str | None = None):
        async with self.fleet.tx() as tx:
            return await save_value(
                tx,
                self.fleet.workspace_id,
                value_id=self.id_of(name),
                variable_id=self.id_of(key),
                priority=priority,
                resource_selector=selector,
                value=value,
            )

    async def set(self, name: str, selector: str = "true", *, priority: int = 0, **values: object) -> None:
        content = SetContent(
            name, "", selector, priority, [{"key": key, "value": each} for key, each in values.items()]
        )
        async with self.fleet.tx() as tx:
            write = change_set if name in self.ids else create_set
            await write(tx, self.fleet.workspace_id, set_id=self.id_of(name), content=content)

    async def relate(self, name: str, cel: str) -> None:
        async with self.fleet.tx() as tx:
            await save_rule(
                tx,
                self.fleet.workspace_id,
                rule_id=self.id_of(name),
                name=name,
                description=None,
                reference=name,
                cel=cel,
                metadata={},
            )

    async def network(self, name: str, cidr: str | None) -> None:
        config = {"cidr": cidr} if cidr else {}
        content = ResourceContent(name, name, "Network", "v1", config, {"net": name})
        async with self.fleet.tx() as tx:
            await save_resource(tx, self.fleet.workspace_id, content=content, variables=None)

    async def own(self, resource: str, **values: object) -> None:
        async with self.fleet.tx() as tx:
            await replace_variables(tx, self.fleet.workspace_id, identifier=resource, variables=values)

    async def resolved(self, deployment_id: str | None = None) -> dict[str, dict[str, object]]:
        """Resource name -> the variables that its target would run with."""
        async with self.fleet.store.read() as conn:
            rows = await conn.fetch(
                "SELECT r.name, c.body -> 'variables' AS variables FROM target t "
                "JOIN resource r ON r.id = t.resource_id JOIN resolved_config c ON c.digest = t.config_digest "
                "WHERE t.deployment_id = $1 AND t.state = 'attached'",
                deployment_id or self.fleet.deployment_id,
            )
        return {row["name"]: row["variables"] for row in rows}

    async def origins(self) -> dict[str, dict[str, object]]:
        """Resource name -> where its variables came from."""
        async with self.fleet.store.read() as conn:
            rows = await conn.fetch(
                "SELECT r.name, o.body FROM target t JOIN resource r ON r.id = t.resource_id "
                "JOIN variable_origin o ON o.digest = t.origin_digest WHERE t.deployment_id = $1",
                self.fleet.deployment_id,
            )
        return {row["name"]: row["body"] for row in rows}

    async def generation(self, deployment_id: str | None = None) -> int:
        async with self.fleet.store.read() as conn:
            return await conn.fetchval(
                "SELECT generation FROM deployment WHERE id = $1", deployment_id or self.fleet.deployment_id
            )


async def a_shelf(store, hosts=None) -> Shelf:
    return Shelf(await a_fleet(store, hosts or {"one": "prod", "two": "prod"}))


# What a write reaches -------------------------------------------------------------------------------------------------


async def test_a_value_is_resolved_when_the_write_is_committed(store):
    shelf = await a_shelf(store)
    assert await shelf.resolved() == {"one": {}, "two": {}}
    await shelf.declare("replicas")
    assert await shelf.resolved() == {"one": {}, "two": {}}
    await shelf.value("replicas", "default", 1)
    await shelf.value("replicas", "gold", 5, priority=1, selector='resource.name == "one"')
    assert await shelf.resolved() == {"one": {"replicas": 5}, "two": {"replicas": 1}}
    async with shelf.fleet.tx() as tx:
        await delete_value(tx, shelf.fleet.workspace_id, value_id=shelf.ids["gold"])
    assert await shelf.resolved() == {"one": {"replicas": 1}, "two": {"replicas": 1}}
    async with shelf.fleet.tx() as tx:
        await delete_variable(tx, shelf.fleet.workspace_id, variable_id=shelf.ids["replicas"])
    assert await shelf.resolved() == {"one": {}, "two": {}}
    told = [kind for kind in await shelf.fleet.told() if kind.startswith("deployment_variable")]
    assert told == [f"deployment_variable.{word}" for word in ("created", "changed", "changed", "changed", "deleted")]


async def test_null_and_objects_are_values_and_lists_stay_lists(store):
    shelf = await a_shelf(store, {"one": "prod"})
    for key, value in {"null": None, "object": {"object": {"a": [1, None]}}, "list": [1, "x"], "false": False}.items():
        await shelf.declare(key)
        await shelf.value(key, f"{key} value", value)
    assert await shelf.resolved() == {
        "one": {"null": None, "object": {"a": [1, None]}, "list": [1, "x"], "false": False}
    }


async def test_what_a_resource_says_of_itself_comes_first(store):
    shelf = await a_shelf(store)
    await shelf.declare("port")
    await shelf.value("port", "default", 80)
    await shelf.own("one", port=8080, unknown="never seen")
    assert await shelf.resolved() == {"one": {"port": 8080}, "two": {"port": 80}}
    await shelf.own("one")
    assert await shelf.resolved() == {"one": {"port": 80}, "two": {"port": 80}}


async def test_a_set_reaches_the_deployments_that_declare_its_keys_and_no_other(store):
    shelf = await a_shelf(store)
    other = await shelf.fleet.deployment("web")
    await shelf.declare("region")
    before = await shelf.generation(other)
    await shelf.set("eu", 'environment.name == "prod"', region="eu", more=1)
    assert await shelf.resolved() == {"one": {"region": "eu"}, "two": {"region": "eu"}}
    await shelf.set("eu", 'resource.name == "two"', region="eu", more=1)
    assert await shelf.resolved() == {"one": {}, "two": {"region": "eu"}}
    async with shelf.fleet.tx() as tx:
        await delete_set(tx, shelf.fleet.workspace_id, set_id=shelf.ids["eu"])
    assert await shelf.resolved() == {"one": {}, "two": {}}
    assert await shelf.resolved(other) == {"one": {}, "two": {}}
    assert await shelf.generation(other) == before


async def test_a_new_target_has_its_variables_at_once(store):
    shelf = await a_shelf(store)
    await shelf.declare("tier")
    await shelf.value("tier", "gold", "gold", selector=GOLD)
    await shelf.fleet.resource("three", env="prod", tier="gold")
    assert (await shelf.resolved())["three"] == {"tier": "gold"}


async def test_a_write_that_changes_no_value_says_nothing_to_the_deployment(store):
    shelf = await a_shelf(store)
    await shelf.declare("region")
    await shelf.value("region", "default", "eu")
    before = await shelf.generation()
    await shelf.value("region", "default", "eu")
    await shelf.set("unused", region="us")
    await shelf.value("region", "other", "us", selector='resource.name == "nobody"')
    assert await shelf.generation() == before
    await shelf.own("one", region="eu")
    assert await shelf.generation() == before, "the same value from elsewhere is no other config"
    assert (await shelf.origins())["one"] == {"variables": {"region": {"from": "resource"}}}, "but that is told"
    await shelf.value("region", "default", "us")
    assert await shelf.generation() == before + 1


async def test_true_is_not_one(store):
    shelf = await a_shelf(store, {"one": "prod"})
    await shelf.declare("flag")
    await shelf.value("flag", "default", 1)
    before = await shelf.generation()
    await shelf.value("flag", "default", True)
    assert (await shelf.resolved())["one"]["flag"] is True
    assert await shelf.generation() == before + 1


async def test_a_deleted_deployment_takes_its_variables_along(store):
    shelf = await a_shelf(store)
    await shelf.declare("k")
    async with shelf.fleet.tx() as tx:
        await delete_deployment(tx, shelf.fleet.workspace_id, deployment_id=shelf.fleet.deployment_id)
    with pytest.raises(NotFound):
        await shelf.value("k", "v", 1)
    with pytest.raises(NotFound):
        await shelf.declare("l")


async def test_a_variable_may_go_to_another_deployment_with_its_values(store):
    shelf = await a_shelf(store, {"one": "prod"})
    other = await shelf.fleet.deployment("web")
    await shelf.declare("k")
    await shelf.value("k", "v", 1)
    await shelf.declare("renamed", deployment_id=other, variable="k")
    assert await shelf.resolved() == {"one": {}}
    assert await shelf.resolved(other) == {"one": {"renamed": 1}}


async def test_an_id_of_another_variable_or_workspace_is_refused(store):
    shelf, elsewhere = await a_shelf(store), await a_shelf(store)
    await shelf.declare("a")
    await shelf.declare("b")
    await shelf.value("a", "v", 1)
    with pytest.raises(Conflict):
        await shelf.value("b", "v", 2)
    elsewhere.ids = dict(shelf.ids)
    with pytest.raises(Conflict):
        await elsewhere.declare("a")
    with pytest.raises(NotFound):
        await elsewhere.value("a", "v", 2)


async def test_values_that_overlap_at_one_priority_are_named_in_the_answer(store):
    shelf = await a_shelf(store)
    await shelf.declare("k")
    assert await shelf.value("k", "first", 1, selector='resource.name.startsWith("o")') == ()
    (overlap,) = await shelf.value("k", "second", 2)
    assert set(overlap.value_ids) == {shelf.ids["first"], shelf.ids["second"]}
    assert (overlap.resources, overlap.example) == (1, "one")
    assert await shelf.value("k", "second", 2, priority=1) == ()
    assert await shelf.value("k", "third", 3, selector='resource.name == "two"') == ()


# References -----------------------------------------------------------------------------------------------------------

SAME_NET = "from.metadata.net == to.metadata.net && to.kind == 'Network'"
CIDR = {"reference": "network", "path": ["config", "cidr"]}


async def a_referring_shelf(store) -> Shelf:
    """One host in network a, one in b; their deployment takes the network's range, or a default."""
    shelf = await a_shelf(store, {"none": "prod"})
    for host, net in {"one": "a", "two": "b"}.items():
        await shelf.fleet.resource(host, env="prod", net=net)
    await shelf.declare("cidr")
    await shelf.value("cidr", "default", "default", priority=-1)
    await shelf.value("cidr", "network", CIDR)
    await shelf.relate("network", SAME_NET)
    for net in ("a", "b"):
        await shelf.network(net, f"10.{net}")
    return shelf


async def test_a_reference_follows_its_rule_and_what_it_leads_to(store, stepper):
    shelf = await a_referring_shelf(store)
    await stepper.run(kinds=["match"])
    assert await shelf.resolved() == {"none": {"cidr": "default"}, "one": {"cidr": "10.a"}, "two": {"cidr": "10.b"}}
    passed = (await shelf.origins())["none"]["passedOver"]
    assert [one["why"] for one in passed] == ["nothing is related to this resource by the reference network"]

    await shelf.network("a", "10.9")
    await stepper.run(kinds=["match"])
    assert (await shelf.resolved())["one"] == {"cidr": "10.9"}
    await shelf.network("a", None)
    await stepper.run(kinds=["match"])
    assert (await shelf.resolved())["one"] == {"cidr": "default"}
    assert (await shelf.origins())["one"]["passedOver"][0]["why"] == "resource a has nothing at config.cidr"

    await shelf.fleet.resource("none", env="prod", net="b")
    assert (await shelf.resolved())["none"] == {"cidr": "10.b"}, "its own target follows at once"
    async with shelf.fleet.tx() as tx:
        await delete_rule(tx, shelf.fleet.workspace_id, rule_id=shelf.ids["network"])
    assert await shelf.resolved() == {host: {"cidr": "default"} for host in ("none", "one", "two")}


async def test_a_change_of_what_is_referred_to_wakes_only_those_who_refer(store, stepper):
    shelf = await a_referring_shelf(store)
    other = await shelf.fleet.deployment("web")
    await stepper.run(kinds=["match"])
    mine, theirs = await shelf.generation(), await shelf.generation(other)
    await shelf.network("b", "10.7")
    await stepper.run(kinds=["match"])
    assert (await shelf.generation(), await shelf.generation(other)) == (mine + 1, theirs)
    async with shelf.fleet.tx() as tx:
        content = ResourceContent("two", "two", "Host", "v1", {"port": 2}, {"env": "prod", "net": "b"})
        await save_resource(tx, shelf.fleet.workspace_id, content=content, variables=None)
    await stepper.run(kinds=["match"])
    assert (await shelf.generation(), await shelf.generation(other)) == (mine + 1, theirs)


@pytest.mark.parametrize("place", ["resource", "set"])
async def test_a_reference_may_stand_in_a_resource_and_in_a_set(store, stepper, place):
    shelf = await a_shelf(store, {"none": "prod"})
    await shelf.fleet.resource("one", env="prod", net="a")
    await shelf.declare("cidr")
    await shelf.relate("network", SAME_NET)
    if place == "resource":
        await shelf.own("one", cidr=CIDR)
    else:
        await shelf.set("networks", cidr=CIDR)
    await shelf.network("a", "10.1")
    await stepper.run(kinds=["match"])
    assert await shelf.resolved() == {"none": {}, "one": {"cidr": "10.1"}}


async def test_a_reference_may_lead_to_a_deployment_or_an_environment(store, stepper):
    shelf = await a_shelf(store, {"one": "prod"})
    for key, cel in {
        "environment": 'to.type == "environment" && from.metadata.env == to.name',
        "deployment": 'from.type == "deployment" && to.type == "resource"',
    }.items():
        await shelf.declare(key)
        await shelf.relate(key, cel)
        await shelf.value(key, f"{key} value", {"reference": key, "path": ["name"]})
    assert await shelf.resolved() == {"one": {"environment": "prod", "deployment": "shop-api"}}
    async with shelf.fleet.tx() as tx:
        renamed = a_deployment(shelf.fleet.deployment_id, "renamed")
        await save_deployment(tx, shelf.fleet.workspace_id, **renamed)
    await stepper.run(kinds=["match"])
    assert (await shelf.resolved())["one"]["deployment"] == "renamed"


async def test_a_reference_and_what_it_leads_to_that_were_written_at_once_meet(store, stepper):
    shelf = await a_shelf(store, {"none": "prod"})
    await shelf.fleet.resource("one", env="prod", net="a")
    await shelf.network("a", "old")
    await shelf.declare("cidr")
    await shelf.relate("network", SAME_NET)
    await stepper.run(kinds=["match"])
    content = ResourceContent("a", "a", "Network", "v1", {"cidr": "new"}, {"net": "a"})
    async with shelf.fleet.tx() as slow:
        await save_resource(slow, shelf.fleet.workspace_id, content=content, variables=None)
        await shelf.value("cidr", "network", CIDR)
        await stepper.run(kinds=["match"])
        assert (await shelf.resolved())["one"] == {"cidr": "old"}, "even its second look cannot see the other"
    await stepper.run(kinds=["match"])
    assert (await shelf.resolved())["one"] == {"cidr": "new"}


async def test_two_values_that_were_written_at_once_meet(store, stepper):
    shelf = await a_shelf(store, {"one": "prod"})
    await shelf.declare("a")
    content = SetContent("set", "", "true", 0, [{"key": "a", "value": "set"}])
    async with shelf.fleet.tx() as slow:
        await create_set(slow, shelf.fleet.workspace_id, set_id=new_id(), content=content)
        writing = asyncio.create_task(shelf.value("a", "value", "value"))
        await asyncio.sleep(0.1)
    await writing
    await stepper.run(kinds=["match"])
    assert await shelf.resolved() == {"one": {"a": "value"}}


# Many targets ---------------------------------------------------------------------------------------------------------


async def test_a_large_workspace_follows_a_set_and_a_rule_by_the_second_look(store, stepper, monkeypatch):
    monkeypatch.setattr(targets, "AT_ONCE_MAX", 1)
    shelf = await a_shelf(store)
    await shelf.declare("region")
    await shelf.set("eu", region="eu")
    assert await shelf.resolved() == {"one": {}, "two": {}}
    await stepper.run(kinds=["match"])
    assert await shelf.resolved() == {"one": {"region": "eu"}, "two": {"region": "eu"}}


async def test_a_match_with_variables_costs_as_many_statements_for_many_targets(store):
    counts = []
    for hosts in (1, 40):
        shelf = await a_shelf(store, {f"host-{number}": "prod" for number in range(hosts)})
        await shelf.declare("region")
        await shelf.relate("network", SAME_NET)
        await shelf.value("region", "net", CIDR)
        async with store.counting() as count:
            await shelf.value("region", "default", "eu", priority=-1)
        counts.append(len(count))
    assert counts[0] == counts[1]


# What a release freezes -----------------------------------------------------------------------------------------------


async def releases_of(shelf: Shelf) -> list[tuple[str, object]]:
    """(kind of move, the variables that its release froze), in order."""
    async with shelf.fleet.store.read() as conn:
        rows = await conn.fetch(
            "SELECT m.kind, r.snapshot -> 'variables' AS variables FROM move m "
            "JOIN release r ON r.id = m.to_release_id ORDER BY m.admitted_at, m.id"
        )
    return [(row["kind"], row["variables"]) for row in rows]


async def test_a_changed_variable_makes_a_new_release_of_the_same_version(store, stepper):
    shelf = await a_shelf(store, {"one": "prod"})
    await shelf.declare("replicas")
    await shelf.value("replicas", "default", 1)
    await shelf.fleet.version("1.0.0")
    await stepper.run()
    await shelf.value("replicas", "default", 2)
    await stepper.run()
    assert await releases_of(shelf) == [("forward", {"replicas": 1}), ("config", {"replicas": 2})]
    async with store.read() as conn:
        rows = await conn.fetch("SELECT kind, state FROM rollout ORDER BY opened_at")
        snapshot = await conn.fetchval("SELECT snapshot FROM release ORDER BY created_at DESC LIMIT 1")
    assert [(row["kind"], row["state"]) for row in rows][1:] == [("config", "complete")]
    assert snapshot["variableOrigins"]["replicas"]["valueId"] == shelf.ids["default"]


async def test_a_changed_agent_config_of_the_deployment_is_the_same_kind_of_change(store, stepper):
    shelf = await a_shelf(store, {"one": "prod"})
    await shelf.fleet.version("1.0.0")
    await stepper.run()
    async with shelf.fleet.tx() as tx:
        changed = {**a_deployment(shelf.fleet.deployment_id, "shop-api"), "job_agent_config": {"message": "hello"}}
        await save_deployment(tx, shelf.fleet.workspace_id, **changed)
    await stepper.run()
    assert [kind for kind, _ in await releases_of(shelf)] == ["forward", "config"]


async def test_a_rollback_after_a_variable_changed_takes_the_old_variables(store, stepper):
    shelf = await a_shelf(store, {"one": "prod"})
    await shelf.fleet.policy("back", [{"rollback": {"onJobStatuses": ["failure"]}}])
    await shelf.declare("replicas")
    await shelf.value("replicas", "default", 1)
    await shelf.fleet.version("1.0.0")
    await stepper.run()
    await shelf.fleet.version("2.0.0", config={"delaySeconds": 0, "status": "failure"})
    await shelf.value("replicas", "default", 2)
    await stepper.run()
    kinds = await releases_of(shelf)
    assert kinds == [("forward", {"replicas": 1}), ("forward", {"replicas": 2}), ("rollback", {"replicas": 1})]
    assert await shelf.fleet.where() == {"one": "1.0.0"}
    facts = (await load(store, shelf.fleet.deployment_id)).facts
    assert [one.version_id for one in facts.quarantines] == [shelf.fleet.versions["2.0.0"]]


async def test_a_config_that_fails_is_quarantined_by_its_digest_and_undone(store, stepper):
    shelf = await a_shelf(store, {"one": "prod"})
    await shelf.fleet.policy("back", [{"rollback": {"onJobStatuses": ["failure"]}}])
    await shelf.fleet.version("1.0.0")
    await stepper.run()
    async with shelf.fleet.tx() as tx:
        changed = {**a_deployment(shelf.fleet.deployment_id, "shop-api"), "job_agent_config": {"status": "failure"}}
        await save_deployment(tx, shelf.fleet.workspace_id, **changed)
    await stepper.run()
    assert [kind for kind, _ in await releases_of(shelf)] == ["forward", "config", "rollback"]
    facts = (await load(store, shelf.fleet.deployment_id)).facts
    (target,) = facts.targets.values()
    assert [one.config_digest for one in facts.quarantines] == [target.config_digest]
    assert target.current != target.config_digest


# A change goes out through the pace -----------------------------------------------------------------------------------


async def test_500_targets_get_one_config_rollout_through_the_pace(store, stepper):
    fleet = await a_fleet(store, {"host-0": "prod"})
    async with fleet.tx() as tx:
        provider = await save_provider(tx, fleet.workspace_id, name="fleet", wanted_id=None, metadata={})
    hosts = [ResourceContent(f"h-{n}", f"h-{n}", "Host", "v1", {}, {"env": "prod"}) for n in range(499)]
    offered = [Offered(one.identifier, one.kind, one.said) for one in hosts]
    await set_resources(store, fleet.tx, fleet.workspace_id, provider_id=provider.id, offered=offered, remove_max=100)
    shelf = Shelf(fleet)
    await shelf.declare("replicas")
    await shelf.value("replicas", "default", 1)
    await fleet.version("1.0.0")
    await everything_lands(store, fleet)
    await fleet.policy("slowly", [{"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60}}])
    await shelf.value("replicas", "default", 2)
    loaded = await load(store, fleet.deployment_id)
    plan = (await commit(store, loaded)).plan
    assert [(one.kind, one.targets_at_open) for one in plan.rollouts] == [("config", 500)]
    assert len(plan.jobs) == 1
    assert loaded.now + timedelta(seconds=60) == plan.wake_at
    assert not (await commit(store, await load(store, fleet.deployment_id))).plan.moves
    async with store.read() as conn:
        assert await conn.fetchval("SELECT count(*) FROM job WHERE status = 'pending'") == 1


async def everything_lands(store, fleet) -> None:
    """Every target runs the version that it goes for, without 500 hand-overs."""
    await commit(store, await load(store, fleet.deployment_id))
    async with store.tx(actor=Actor("system", "worker"), cause="test", workspace_id=fleet.workspace_id) as tx:
        await tx.conn.execute("ALTER TABLE job DISABLE TRIGGER USER")
        await tx.conn.execute("UPDATE job SET status = 'successful', handover = 'started', completed_at = now()")
        await tx.conn.execute("ALTER TABLE job ENABLE TRIGGER USER")
        await tx.conn.execute("UPDATE target t SET mark_version_id = m.version_id FROM move m WHERE m.target_id = t.id")
    await commit(store, await load(store, fleet.deployment_id))


async def test_a_command_gets_the_variables_in_its_templates_and_its_context(store, stepper):
    told = "import json, os, sys; print(sys.argv[1:], json.load(open(os.environ['INTERLOCK_CONTEXT']))['variables'])"
    command = [sys.executable, "-c", told, "{{ variables.replicas }}", "{{.variables.db.host}}"]
    fleet = await a_fleet(store, {"one": "prod"}, agent_type="exec", agent_config={"command": command})
    shelf = Shelf(fleet)
    await shelf.declare("replicas")
    await shelf.declare("db")
    await shelf.value("replicas", "default", 3)
    await shelf.value("db", "db default", {"object": {"host": "db.local"}})
    await fleet.version("1.0.0")
    await stepper.run()
    job = await fleet.one_job()
    assert job["status"] == "successful", job["message"]
    assert job["output"].strip() == "['3', 'db.local'] {'db': {'host': 'db.local'}, 'replicas': 3}"
