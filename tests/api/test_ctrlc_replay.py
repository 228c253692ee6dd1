"""Does `ctrlc` work, call for call? `api upsert version`, `apply` with and without a provider, `get`, `delete`, `sync`.

Source: contract.md section b.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest

ARN = "arn:aws:eks:eu-west-1:1234:cluster/prod"
ARN_ESCAPED = "arn:aws:eks:eu-west-1:1234:cluster%2Fprod"
AZURE_ESCAPED = "%2Fsubscriptions%2Fx%2FresourceGroups%2Fy"


@pytest.fixture
async def deployment_id(api: Any) -> str:
    return str((await api.post("/deployments", {"name": "shop-api", "slug": "shop-api"})).json()["id"])


def version(tag: str, **more: Any) -> dict[str, Any]:
    return {"tag": tag, "name": "", "status": "ready", "metadata": {"k": "v"}, "config": {"a": {"b": 1}}, **more}


async def test_upsert_version_twice_gives_the_same_version_brought_up_to_date(api: Any, deployment_id: str) -> None:
    path = f"/deployments/{deployment_id}/versions"
    first = await api.post(path, version("1.0.0", createdAt="2026-06-10T18:21:33Z"))
    assert first.status_code == 200, first.text
    made = first.json()
    assert made["name"] == "1.0.0" and made["deploymentId"] == deployment_id and made["jobAgentConfig"] == {}
    assert made["createdAt"] == "2026-06-10T18:21:33Z" and made["config"] == {"a": {"b": 1}}
    assert "message" not in made and "dependencies" not in made

    again = await api.post(path, version("1.0.0", status="building", name="Build #7", message="m"))
    assert again.status_code == 200
    assert again.json() == {**made, "status": "building", "name": "Build #7", "message": "m"}

    listed = (await api.get(path)).json()
    assert listed["total"] == 1 and listed["items"][0]["dependencies"] == {}


async def test_versions_come_newest_first_and_by_selector(api: Any, deployment_id: str) -> None:
    path = f"/deployments/{deployment_id}/versions"
    for day, tag in ((2, "b"), (1, "a"), (3, "c")):
        body = version(tag, createdAt=f"2026-06-0{day}T00:00:00Z", metadata={"even": str(day % 2 == 0).lower()})
        assert (await api.post(path, body)).status_code == 200
    tags = lambda page: [item["tag"] for item in page.json()["items"]]
    assert tags(await api.get(path)) == ["c", "b", "a"]
    assert tags(await api.get(path, params={"order": "asc", "limit": 2})) == ["a", "b"]
    odd = await api.get(path, params={"cel": "version.metadata['even'] == 'false'", "limit": 1})
    assert tags(odd) == ["c"] and odd.json()["total"] == 2
    assert (await api.get(path, params={"order": "up"})).status_code == 400


async def test_a_deployment_may_be_named_instead(api: Any, deployment_id: str) -> None:
    made = await api.post("/deployments/shop-api/versions", version("1"))
    assert made.status_code == 200 and made.json()["deploymentId"] == deployment_id
    unknown = await api.post(f"/deployments/{uuid.uuid4()}/versions", version("1"))
    assert unknown.status_code == 404 and isinstance(unknown.json(), dict)


async def test_a_version_is_renamed_rejected_and_made_ready(api: Any, deployment_id: str) -> None:
    made = (await api.post(f"/deployments/{deployment_id}/versions", version("1"))).json()
    for spelling in ("deployment-versions", "deploymentversions"):
        answer = await api.patch(f"/{spelling}/{made['id']}", {"status": "rejected", "name": spelling})
        assert answer.status_code == 202
        assert (answer.json()["status"], answer.json()["name"], answer.json()["tag"]) == ("rejected", spelling, "1")
    assert (await api.get(f"/deployment-versions/{made['id']}")).json()["status"] == "rejected"
    bogus = await api.patch(f"/deployment-versions/{made['id']}", {"status": "bogus"})
    assert bogus.status_code == 400


async def test_apply_without_provider(api: Any) -> None:
    for escaped, plain in (
        (ARN_ESCAPED, ARN),
        (AZURE_ESCAPED, "/subscriptions/x/resourceGroups/y"),
        ("a%20b%25", "a b%"),
    ):
        path = f"/resources/identifier/{escaped}"
        body = {"name": "prod", "kind": "Cluster", "version": "v1", "config": {"n": 1}, "metadata": {"env": "prod"}}
        put = await api.put(path, body)
        assert put.status_code == 202 and uuid.UUID(put.json()["id"])
        patch = await api.patch(f"{path}/variables", {"replicas": 3, "on": True, "o": {"x": 1}, "s": "t"})
        assert patch.status_code == 202
        read = (await api.get(path)).json()
        assert read["identifier"] == plain and {key: read[key] for key in body} == body
        assert "providerId" not in read
        variables = (await api.get(f"{path}/variables")).json()
        assert {item["key"]: item["value"] for item in variables["items"]} == {
            "on": True,
            "replicas": 3,
            "s": "t",
            "o": {"object": {"x": 1}},
        }
        assert (await api.patch(f"{path}/variables", {})).status_code == 202
        assert (await api.get(f"{path}/variables")).json()["total"] == 0
    missing = await api.patch("/resources/identifier/none/variables", {})
    assert missing.status_code == 404


async def test_null_config_and_metadata_mean_empty(api: Any) -> None:
    body = {"name": "n", "kind": "K", "version": "v", "config": None, "metadata": None}
    assert (await api.put("/resources/identifier/x", body)).status_code == 202
    read = (await api.get("/resources/identifier/x")).json()
    assert read["config"] == {} and read["metadata"] == {}


async def test_an_empty_identifier_is_no_resource_and_no_failure(api: Any) -> None:
    assert (await api.get("/resources/identifier/")).status_code == 404
    assert (await api.get("/resources/identifier//variables")).status_code == 404
    body = {"name": "n", "kind": "K", "version": "v"}
    assert (await api.put("/resources/identifier/", body)).status_code == 400
    assert (await api.put("/resource-providers//set", {"resources": []})).status_code == 404


async def test_apply_and_sync_with_a_provider(api: Any) -> None:
    assert (await api.get("/resource-providers/name/k8s")).status_code == 404
    made = await api.put("/resource-providers", {"id": "", "name": "k8s"})
    assert made.status_code == 202 and uuid.UUID(made.json()["id"])
    assert made.json()["workspaceId"] == api.workspace and made.json()["createdAt"].endswith("Z")

    resource = {
        "name": "prod",
        "identifier": ARN,
        "kind": "Cluster",
        "version": "v1",
        "config": None,
        "metadata": {},
        "createdAt": "0001-01-01T00:00:00Z",
    }
    path = f"/resource-providers/{made.json()['id']}/set"
    answer = await api.put(path, {"resources": [resource]})
    assert answer.status_code == 202 and answer.json() == {"ok": True, "method": "direct"}
    assert (await api.get(f"/resources/identifier/{ARN_ESCAPED}")).json()["providerId"] == made.json()["id"]
    again = await api.put("/resource-providers", {"id": "", "name": "k8s"})
    assert again.json() == made.json()


async def test_a_set_adopts_skips_changes_and_deletes_and_records_only_what_changed(api: Any, store: Any) -> None:
    def item(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "identifier": name, "kind": "K", "version": "v", "config": {}, "metadata": {}, **more}

    async def events() -> list[str]:
        async with store.read() as conn:
            rows = await conn.fetch("SELECT kind FROM ledger WHERE kind LIKE 'resource.%' ORDER BY id")
        return [row["kind"] for row in rows]

    ours = (await api.put("/resource-providers", {"name": "ours"})).json()["id"]
    theirs = (await api.put("/resource-providers", {"name": "theirs"})).json()["id"]
    await api.put("/resources/identifier/free", {"name": "free", "kind": "K", "version": "v"})
    await api.put(f"/resource-providers/{theirs}/set", {"resources": [item("theirs")]})
    await api.put(f"/resource-providers/{ours}/set", {"resources": [item("a"), item("b")]})
    before = await events()

    wanted = [item("b"), item("a", metadata={"x": "y"}), item("theirs", kind="Stolen"), item("free"), item("new")]
    assert (await api.put(f"/resource-providers/{ours}/set", {"resources": wanted})).status_code == 202
    assert sorted((await events())[len(before) :]) == ["resource.adopted", "resource.changed", "resource.created"]
    listed = (await api.get("/resource-providers/name/ours/resources")).json()["items"]
    assert [each["name"] for each in listed] == ["b", "a", "free", "new"]
    assert (await api.get("/resources/identifier/theirs")).json()["kind"] == "K"

    count = len(await events())
    await api.put(f"/resource-providers/{ours}/set", {"resources": wanted})
    assert len(await events()) == count, "a set that changes nothing records nothing"

    await api.put(f"/resource-providers/{ours}/set", {"resources": []})
    assert (await events())[count:] == ["resource.deleted"] * 4
    assert [each["name"] for each in (await api.get("/resources")).json()["items"]] == ["theirs"]

    busy = await api.delete("/resource-providers/name/theirs")
    assert busy.status_code == 400
    gone = await api.delete("/resource-providers/name/ours")
    assert gone.status_code == 202 and gone.json()["id"] == ours
    assert (await api.delete("/resource-providers/name/ours")).status_code == 404


async def test_delete_answers_each_client_as_it_expects(api: Any) -> None:
    body = {"name": "n", "kind": "K", "version": "v"}
    await api.put("/resources/identifier/x", body)
    gone = await api.delete("/resources/identifier/x")
    assert gone.status_code == 200 and set(gone.json()) == {"id", "message"}
    await api.put("/resources/identifier/x", body)
    gone = await api.delete("/resources/identifier/x", headers={"User-Agent": "Go-http-client/2.0"})
    assert gone.status_code == 202


async def test_get_resources_by_cel_even_when_it_is_encoded_twice(api: Any) -> None:
    for name, kind in (("a+b", "X"), ("100% Complete", "X"), ("x=y", "Y")):
        body = {"name": name, "kind": kind, "version": "v", "metadata": {"env": "prod"}}
        await api.put(f"/resources/identifier/{name.replace('%', '%25')}", body)

    async def names(query: str) -> list[str]:
        answer = await api.raw.get(f"/api/v1/workspaces/{api.workspace}/resources?{query}")
        assert answer.status_code == 200, answer.text
        return sorted(item["name"] for item in answer.json()["items"])

    assert await names("cel=resource.kind%20%3D%3D%20%22X%22") == ["100% Complete", "a+b"]
    assert await names("limit=50&offset=0&cel=resource.kind%2B%253D%253D%2B%2522X%2522") == ["100% Complete", "a+b"]
    assert await names("cel=resource.name%20%3D%3D%20%22a%2Bb%22") == ["a+b"]
    assert await names("cel=resource.name%20%3D%3D%20%22100%25%20Complete%22") == ["100% Complete"]
    assert await names("cel=resource.name.contains('x%3Dy')") == ["x=y"]
    assert await names("cel=resource.metadata%5B%22missing%22%5D%20%3D%3D%20%22x%22") == []
    bad = await api.raw.get(f"/api/v1/workspaces/{api.workspace}/resources?cel=this is not valid cel ===!!!")
    assert bad.status_code == 400 and bad.json()["error"]


async def test_search(api: Any) -> None:
    for name, kind, env in (("a_1", "X", "prod"), ("a%2", "Y", "prod"), ("B3", "X", "dev")):
        body = {"name": name, "kind": kind, "version": "v", "metadata": {"env": env}}
        await api.put(f"/resources/identifier/{name.replace('%', '%25')}", body)

    async def found(body: dict[str, Any], query: str = "") -> tuple[list[str], int]:
        answer = await api.post(f"/resources/search{query}", body)
        assert answer.status_code == 200, answer.text
        return [item["name"] for item in answer.json()["items"]], answer.json()["total"]

    assert await found({"kinds": ["X"], "sortBy": "name"}) == (["B3", "a_1"], 2)
    assert await found({"metadata": {"env": "prod"}, "sortBy": "name", "order": "desc"}) == (["a_1", "a%2"], 2)
    assert await found({"query": "a_"}) == (["a_1"], 1)
    assert await found({"query": "b"}) == (["B3"], 1)
    assert await found({"limit": 1, "offset": 1, "sortBy": "name"}) == (["a%2"], 3)
    assert await found({"kinds": ["X"], "versions": ["v2"]}) == ([], 0)
    assert (await found({"identifiers": ["B3", "a_1"], "sortBy": "createdAt"}))[1] == 2
    assert (await api.post("/resources/search", {"limit": 0})).status_code == 400


async def test_pages_by_selector_are_the_same_whether_postgresql_or_python_chooses(api: Any, store: Any) -> None:
    for number in range(7):
        env = "prod" if number % 2 else "dev"
        body = {"name": f"r{number}", "kind": "X", "version": "v", "metadata": {"env": env, "n": str(number)}}
        await api.put(f"/resources/identifier/r{number}", body)

    async def page(cel: str, **more: int) -> tuple[list[str], int]:
        answer = (await api.get("/resources", params={"cel": cel, **more})).json()
        return [item["name"] for item in answer["items"]], answer["total"]

    in_sql, in_python = "resource.metadata['env'] == 'prod'", "resource.metadata['env'].matches('^pr.d$')"
    assert await page(in_sql) == await page(in_python) == (["r1", "r3", "r5"], 3)
    assert await page(in_sql, limit=1, offset=1) == await page(in_python, limit=1, offset=1) == (["r3"], 3)
    assert await page(in_sql, offset=9) == await page(in_python, offset=9) == ([], 3)
    both = "resource.metadata['env'] == 'prod' && resource.kind in ['X', 'Y'] && resource.metadata['n'] != '3'"
    assert await page(both) == (["r1", "r5"], 2)
    assert (await page("true"))[1] == 7 and await page("false") == ([], 0)
    async with store.counting() as statements:
        await page(in_sql, limit=1)
    assert any("LIMIT $2 OFFSET $3" in text and "metadata @>" in text for text in statements.texts), statements.texts


async def test_a_set_may_be_larger_than_other_bodies(api: Any) -> None:
    provider_id = (await api.put("/resource-providers", {"name": "large"})).json()["id"]
    hosts = [
        {"name": f"h{number}", "identifier": f"h{number}", "kind": "Host", "version": "v", "metadata": {"x": "y" * 500}}
        for number in range(600)
    ]
    assert (await api.put(f"/resource-providers/{provider_id}/set", {"resources": hosts})).status_code == 202
    assert (await api.get("/resources", params={"limit": 1})).json()["total"] == 600
    assert (await api.post("/systems", {"name": "x", "metadata": {"x": "y" * 300_000}})).status_code == 413


async def test_variables_of_a_resource_come_back_as_they_mean(api: Any) -> None:
    path = "/resources/identifier/arn%3Aa%2Fb"
    assert (await api.put(path, {"name": "b", "kind": "Host", "version": "v1", "config": None})).status_code == 202
    sent = {
        "text": "x",
        "number": 5,
        "flag": False,
        "null": None,
        "list": [1, "a"],
        "object": {"a": {"b": 1}},
        "wrapped": {"object": {"a": 1}},
        "elsewhere": {"reference": "network", "path": ["config", "cidr"]},
        "no reference": {"reference": "network", "path": ["a"], "more": 1},
    }
    assert (await api.patch(f"{path}/variables", sent)).status_code == 202
    listed = (await api.get(f"{path}/variables")).json()
    read = {each["key"]: each["value"] for each in listed["items"]}
    for key in ("object", "no reference"):
        sent[key] = {"object": sent[key]}
    assert read == sent and listed["total"] == len(sent)
    assert {each["resourceId"] for each in listed["items"]} == {(await api.get(path)).json()["id"]}
    assert (await api.patch(f"{path}/variables", {})).status_code == 202
    assert (await api.get(f"{path}/variables")).json()["items"] == []
    bad = await api.patch(f"{path}/variables", {"a": {"reference": "network", "path": "config.cidr"}})
    assert bad.status_code == 400 and bad.json()["details"][0]["path"] == "variables.a.path"
