"""Do people and clients see what a target runs with, and why? From the declared key to the job that was claimed."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from api.story import World, until


class Shelf:
    """A deployment's variables over REST, by name."""

    def __init__(self, api: Any, deployment_id: str) -> None:
        self.api = api
        self.deployment_id = deployment_id
        self.ids: dict[str, str] = {}

    def id_of(self, name: str) -> str:
        return self.ids.setdefault(name, str(uuid.uuid4()))

    async def declare(self, *keys: str) -> None:
        for key in keys:
            body = {"deploymentId": self.deployment_id, "key": key}
            assert (await self.api.put(f"/deployment-variables/{self.id_of(key)}", body)).status_code == 202

    async def value(self, key: str, name: str, value: Any, **more: Any) -> dict[str, Any]:
        body = {"deploymentVariableId": self.id_of(key), "priority": 0, "value": value, **more}
        answer = await self.api.put(f"/deployment-variable-values/{self.id_of(name)}", body)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    async def target(self, resource: str) -> str:
        listed = (await self.api.get("/release-targets")).json()["items"]
        return str(next(each["key"] for each in listed if each["resource"]["name"] == resource))


@pytest.fixture
async def world(api: Any) -> World:
    return await World(api).build(agent_type="http-pull", config={"pool": "a"}, rules=[])


async def test_a_target_shows_its_variables_with_where_each_came_from(api: Any, world: World) -> None:
    shelf = Shelf(api, world.ids["deployment"])
    await shelf.declare("replicas", "region", "db", "network")
    await shelf.value("replicas", "default", 1)
    await shelf.value("db", "db default", {"object": {"host": "db.local", "port": 5432}})
    await shelf.value("network", "cidr", {"reference": "network", "path": ["config", "cidr"]})
    eu = {"name": "eu", "selector": "environment.name == 'production'", "variables": [{"key": "region", "value": "eu"}]}
    set_id = (await api.post("/variable-sets", eu)).json()["id"]
    await api.patch("/resources/identifier/p-1/variables", {"replicas": 3})
    rule = {
        "name": "net",
        "reference": "network",
        "cel": "to.kind == 'Network' && from.name == to.name",
        "metadata": {},
    }
    assert (await api.post("/relationship-rules", rule)).status_code == 201

    key = await shelf.target("p-1")
    shown = (await api.get(f"/release-targets/{key}/variables")).json()
    assert {each["key"]: each for each in shown["variables"]} == {
        "replicas": {"key": "replicas", "value": 3, "from": "resource"},
        "region": {
            "key": "region",
            "value": "eu",
            "from": "variableSet",
            "setId": set_id,
            "setName": "eu",
            "priority": 0,
        },
        "db": {
            "key": "db",
            "value": {"object": {"host": "db.local", "port": 5432}},
            "from": "deploymentValue",
            "valueId": shelf.ids["db default"],
            "priority": 0,
        },
    }
    (passed,) = shown["passedOver"]
    assert passed["key"] == "network" and passed["valueId"] == shelf.ids["cidr"]
    assert passed["why"] == "nothing is related to this resource by the reference network"
    explained = (await api.get(f"/release-targets/{key}/explain")).json()
    assert explained["variables"] == shown["variables"]
    assert (
        f"Variable network: value {shelf.ids['cidr']} refers to network at config.cidr, but nothing is related to this "
        "resource by the reference network; it is left out."
    ) in explained["sentences"]


async def test_a_release_and_its_job_carry_the_frozen_variables(api: Any, world: World, workers: None) -> None:
    shelf = Shelf(api, world.ids["deployment"])
    await shelf.declare("replicas", "db")
    await shelf.value("replicas", "default", 1)
    await shelf.value("db", "db default", {"object": {"host": "db.local"}})
    await world.version("1")
    path = f"/job-agents/{world.ids['agent']}/jobs?status=queued"

    async def queued() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await api.get(path)).json()["items"]
        return items if len(items) == 3 else []

    job = (await until(queued, "nothing was offered"))[0]
    claimed = (await api.post(f"/job-agents/{world.ids['agent']}/jobs/{job['id']}/claim")).json()
    wanted = {"replicas": 1, "db": {"object": {"host": "db.local"}}}
    assert claimed["dispatchContext"]["variables"] == wanted
    release = (await api.get(f"/releases/{claimed['releaseId']}")).json()
    assert release["variables"] == wanted and release["encryptedVariables"] == []
    assert release["variableOrigins"]["replicas"]["valueId"] == shelf.ids["default"]
    await shelf.value("replicas", "default", 2)
    assert (await api.get(f"/releases/{claimed['releaseId']}")).json()["variables"] == wanted
    again = (await api.get(f"/jobs/{job['id']}")).json()
    assert again["dispatchContext"]["variables"] == wanted


async def test_what_a_target_will_run_shows_its_variables(api: Any, world: World) -> None:
    shelf = Shelf(api, world.ids["deployment"])
    await shelf.declare("replicas")
    await shelf.value("replicas", "default", None)
    key = await shelf.target("p-1")
    assert (await api.get(f"/release-targets/{key}/state")).json() == {}
    shown = (await api.get(f"/release-targets/{key}/variables")).json()["variables"]
    assert [(each["key"], each["value"]) for each in shown] == [("replicas", None)]


async def test_values_that_overlap_are_warned_of_and_explained(api: Any, world: World) -> None:
    shelf = Shelf(api, world.ids["deployment"])
    await shelf.declare("replicas")
    assert "warnings" not in await shelf.value("replicas", "first", 1, resourceSelector="resource.name == 'p-1'")
    (warning,) = (await shelf.value("replicas", "second", 2))["warnings"]
    first, second = sorted((shelf.ids["first"], shelf.ids["second"]))
    assert warning == (
        f"replicas has two values of priority 0 for 1 resource, p-1 for one: {first} and {second}. The first wins "
        "there, because its id is smaller; give one of them another priority."
    )
    key = await shelf.target("p-1")
    said = (await api.get(f"/release-targets/{key}/explain")).json()["sentences"]
    wanted = f"Variable replicas: value {first} has the same priority as {second}; it wins because its id is smaller."
    assert wanted in said
    whole = (await api.get(f"/deployments/{world.ids['deployment']}/explain")).json()["sentences"]
    assert f"{wanted} (1 target)" in whole
    assert not any("replicas" in each for each in (await explained(api, await shelf.target("p-2"))))


async def explained(api: Any, key: str) -> list[str]:
    return list((await api.get(f"/release-targets/{key}/explain")).json()["sentences"])


async def test_who_may_not_write_deployments_may_not_write_variables(
    api: Any, key_of: Any, client_of: Any, world: World
) -> None:
    shelf = Shelf(api, world.ids["deployment"])
    await shelf.declare("replicas")
    await shelf.value("replicas", "default", 1)
    raw = client_of(await key_of("vera", "viewer"))
    viewer = type(api)(raw, api.workspace)
    ids = {name: str(uuid.uuid4()) for name in ("variable", "value", "rule")}
    variable = {"deploymentId": world.ids["deployment"], "key": "k"}
    value = {"deploymentVariableId": shelf.ids["replicas"], "priority": 0, "value": 1}
    rule = {"name": "r", "reference": "r", "cel": "true", "metadata": {}}
    assert [
        (await viewer.put(f"/deployment-variables/{ids['variable']}", variable)).status_code,
        (await viewer.delete(f"/deployment-variables/{shelf.ids['replicas']}")).status_code,
        (await viewer.put(f"/deployment-variable-values/{ids['value']}", value)).status_code,
        (await viewer.delete(f"/deployment-variable-values/{shelf.ids['default']}")).status_code,
        (await viewer.post("/variable-sets", {"name": "s", "selector": "true", "variables": []})).status_code,
        (await viewer.post("/relationship-rules", rule)).status_code,
        (await viewer.put(f"/relationship-rules/{ids['rule']}", rule)).status_code,
    ] == [403] * 7
    assert (await viewer.get(f"/deployment-variables/{shelf.ids['replicas']}")).status_code == 200


async def test_a_role_over_the_system_of_a_deployment_is_enough(
    api: Any, key_of: Any, client_of: Any, world: World
) -> None:
    scope = {"scope_kind": "system", "scope_id": world.ids["system"]}
    raw = client_of(await key_of("dave", "developer", **scope))
    developer = type(api)(raw, api.workspace)
    shelf = Shelf(developer, world.ids["deployment"])
    await shelf.declare("replicas")
    await shelf.value("replicas", "default", 1)
    elsewhere = (await api.post("/deployments", {"name": "other", "slug": "other"})).json()["id"]
    moved = {"deploymentId": elsewhere, "key": "replicas"}
    assert (await developer.put(f"/deployment-variables/{shelf.ids['replicas']}", moved)).status_code == 403
    body = {"name": "s", "selector": "true", "variables": []}
    assert (await developer.post("/variable-sets", body)).status_code == 403


async def test_all_variables_of_a_deployment_are_written_as_one_change(api: Any, world: World, store: Any) -> None:
    path = f"/deployments/{world.ids['deployment']}/variables"
    gold = 'resource.metadata["tier"] == "gold"'
    wanted = [
        {
            "key": "b",
            "description": "d",
            "values": [{"value": 1}, {"value": 2, "priority": 1, "resourceSelector": gold}],
        },
        {"key": "a"},
        {"key": "c", "values": [{"value": {"object": {"x": None}}}]},
    ]
    assert (await api.put(path, {"variables": wanted})).status_code == 202

    async def listed() -> dict[str, Any]:
        items = (await api.get(path)).json()["items"]
        return {each["variable"]["key"]: each for each in items}

    first = await listed()
    assert list(first) == ["a", "b", "c"] and first["b"]["variable"]["description"] == "d"
    assert [each["value"] for each in first["b"]["values"]] == [2, 1]
    generation = "SELECT generation FROM deployment WHERE id = $1"
    async with store.read() as conn:
        before = await conn.fetchval(generation, world.ids["deployment"])
        told = await conn.fetchval("SELECT count(*) FROM ledger")
    assert (await api.put(path, {"variables": wanted})).status_code == 202
    assert await listed() == first
    async with store.read() as conn:
        assert await conn.fetchval("SELECT count(*) FROM ledger") == told, "the same again is no event"

    wanted[0]["values"] = [{"value": 9, "priority": 1, "resourceSelector": gold}, {"value": 1}, {"value": 3}]
    answer = await api.put(path, {"variables": wanted[:2]})
    (warning,) = answer.json()["warnings"]
    assert warning.startswith("b has two values of priority 0 for every resource: ")
    second = await listed()
    assert list(second) == ["a", "b"] and second["a"] == first["a"]
    ids = {each["value"]: each["id"] for each in second["b"]["values"]}
    assert ids[9] == first["b"]["values"][0]["id"] and ids[1] == first["b"]["values"][1]["id"]
    async with store.read() as conn:
        assert await conn.fetchval(generation, world.ids["deployment"]) == before + 1


@pytest.mark.parametrize(
    ("variables", "field"),
    [
        ([{"key": "a"}, {"key": "a"}], "variables[1].key"),
        ([{"key": "a", "values": [{"value": 1, "resourceSelector": "x"}]}], "variables[0].values[0].resourceSelector"),
        ([{"key": "a", "values": [{"value": {"valueHash": 1}}]}], "variables[0].values[0].value.valueHash"),
        ([{"key": "a", "values": [{"priority": 1}]}], "variables[0].values[0].value"),
        ([{"key": "a", "secret": True}], "variables[0].secret"),
    ],
)  # fmt: skip
async def test_a_list_of_variables_that_cannot_be_kept_is_refused_as_a_whole(
    api: Any, world: World, counted: Any, variables: Any, field: str
) -> None:
    before = await counted()
    refused = await api.put(f"/deployments/{world.ids['deployment']}/variables", {"variables": variables})
    assert refused.status_code == 400
    assert [each["path"] for each in refused.json()["details"]] == [field]
    assert await counted() == before
