"""Does `ctrlc` work unchanged? Each of its commands, with the requests that it sends, and what it would stumble over.

A command under `ctrlc api` looks at no status code but needs one JSON object; every other one insists on exact codes.

Source: contract.md section b.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from api.contract_rows import SYNC_SOURCES, stands_for
from api.story import World, until
from api.wire_clients import NIL, YEAR_ONE, Ctrlc, escaped, is_instant, texts


@pytest.fixture
async def ctrlc(api: Any) -> Ctrlc:
    client = Ctrlc(api.raw, "")
    client.workspace_id = await client.resolve("shop")
    return client


@pytest.fixture
async def deployment_id(ctrlc: Ctrlc) -> str:
    body = {"name": "shop-api", "slug": "shop-api", "resourceSelector": "true"}
    return await ctrlc.accepted("POST", "/W/deployments", 202, body=body)


def version_body(tag: str, **more: Any) -> dict[str, Any]:
    return {"tag": tag, "name": "", "status": "ready", "metadata": {}, "config": {}, **more}


@stands_for("ctrlc api upsert version")
async def test_api_upsert_version(ctrlc: Ctrlc, deployment_id: str) -> None:
    path = f"/W/deployments/{deployment_id}/versions"
    first = await ctrlc.raw_command("POST", path, version_body("v1"))
    assert first["name"] == "v1" and first["tag"] == "v1" and is_instant(first["createdAt"])
    full = version_body(
        "v1",
        name="first",
        status="building",
        metadata={"ctrlplane/links": '{"CI":"https://ci.test/1"}'},
        config={"a": {"b": 1, "c": True}},
        createdAt="2026-06-10T18:21:33+02:00",
        jobAgentConfig={"k": {"deep": [1]}},
    )
    again = await ctrlc.send("POST", path, full)
    assert again.status_code == 200, "a repeated tag is brought up to date, as the command's name says"
    second = again.json()
    assert second["id"] == first["id"]
    for key in ("name", "status", "metadata", "config", "jobAgentConfig"):
        assert second[key] == full[key], key
    new = await ctrlc.raw_command("POST", path, version_body("v2", createdAt="2026-06-10T18:21:33Z"))
    assert new["createdAt"].startswith("2026-06-10T18:21:33"), "what `-r` gave"
    assert await ctrlc.raw_command("POST", f"/W/deployments/{uuid.uuid4()}/versions", version_body("v1"))
    refused = await ctrlc.raw_command("POST", path, version_body("v3", status="bogus"))
    assert refused["error"] and "createdAt" not in refused
    named = await ctrlc.raw_command("POST", "/W/deployments/shop-api/versions", version_body("v4"))
    assert named["deploymentId"] == deployment_id, "a name in place of the id"


@stands_for("ctrlc api plan version")
async def test_api_plan_version(ctrlc: Ctrlc, deployment_id: str) -> None:
    asked = {"version": {"tag": "v1", "name": "n", "metadata": {}, "config": {}, "jobAgentConfig": {"a": 1}}}
    path = f"/W/deployments/{deployment_id}/plan"
    answer = await ctrlc.send("POST", path, asked)
    assert answer.status_code == 202
    plan = answer.json()
    zero = {"total": 0, "changed": 0, "unchanged": 0, "errored": 0, "unsupported": 0}
    assert (plan["status"], plan["targets"], plan["summary"]) == ("computing", [], zero)
    assert await ctrlc.raw_command("POST", f"/W/deployments/{uuid.uuid4()}/plan", asked)


@stands_for("ctrlc api get resources")
async def test_api_get_resources(ctrlc: Ctrlc) -> None:
    for name, kind in (("a", "X"), ("b", "Y")):
        body = {"name": name, "kind": kind, "version": "v", "config": {}, "metadata": {}}
        await ctrlc.accepted("PUT", f"/W/resources/identifier/{name}", 202, body=body)
    twice = "resource.kind%2B%253D%253D%2B%2522X%2522"
    page = await ctrlc.raw_command("GET", "/W/resources", query=f"?limit=50&offset=0&cel={twice}")
    assert [each["name"] for each in page["items"]] == ["a"] and page["total"] == 1
    every = await ctrlc.raw_command("GET", "/W/resources", query="?limit=50&offset=0")
    assert every["total"] == 2 and (every["limit"], every["offset"]) == (50, 0)
    assert await ctrlc.raw_command("GET", "/W/resources", query="?limit=50&offset=0&cel=%2521%2521%2528")


@stands_for("ctrlc api get release")
async def test_api_get_release(ctrlc: Ctrlc, pulled: World, api: Any) -> None:
    job = (await api.get("/jobs")).json()["items"][0]
    release = await ctrlc.raw_command("GET", f"/W/releases/{job['releaseId']}")
    assert set(release["releaseTarget"]) == {"resourceId", "environmentId", "deploymentId"}
    assert release["version"]["tag"] == "1" and release["encryptedVariables"] == [] and release["variables"] == {}
    assert await ctrlc.raw_command("GET", f"/W/releases/{uuid.uuid4()}")
    assert await ctrlc.raw_command("GET", "/W/releases/not-an-id")


@stands_for("ctrlc api get release-targets")
async def test_api_get_release_targets(ctrlc: Ctrlc, api: Any) -> None:
    await World(api).build(agent_type="http-pull", config={}, rules=[])
    body = {
        "name": "p-9",
        "kind": "Host",
        "version": "v1",
        "identifier": "p-9",
        "config": {"a": {"b": "c"}},
        "metadata": {"env": "production"},
    }
    path = "/W/release-targets/resource-preview"
    page = await ctrlc.raw_command("POST", path, body, query="?limit=50&offset=0")
    (match,) = page["items"]
    assert page["total"] == 1 and match["environment"]["name"] == "production"
    assert match["deployment"]["name"] == "shop-api" and match["system"]["name"] == "shop"
    other = await ctrlc.raw_command("POST", path, {**body, "kind": "Lamp"}, query="?limit=50&offset=0")
    assert other["items"] == []


async def patch_variables(ctrlc: Ctrlc, identifier: str, variables: dict[str, Any]) -> None:
    """What `apply` and `sync pipe` do after a write: 404 would be tried again, anything but 202 fails."""
    path = f"/W/resources/identifier/{escaped(identifier)}/variables"
    await ctrlc.accepted("PATCH", path, 202, body=variables)


@stands_for("ctrlc apply")
async def test_apply(ctrlc: Ctrlc) -> None:
    identifier = "arn:aws:eks:eu-west-1:1:cluster/prod"
    path = f"/W/resources/identifier/{escaped(identifier)}"
    body = {"name": "prod", "kind": "Cluster", "version": "v1", "config": {"n": 1}, "metadata": {"env": "prod"}}
    resource_id = await ctrlc.accepted("PUT", path, 202, body=body)
    await patch_variables(ctrlc, identifier, {"replicas": 3, "o": {"x": 1}})
    variables = await ctrlc.must("GET", f"{path}/variables", 200)
    assert {each["key"]: each["value"] for each in variables["items"]} == {"replicas": 3, "o": {"object": {"x": 1}}}
    await patch_variables(ctrlc, identifier, {})
    assert (await ctrlc.must("GET", f"{path}/variables", 200))["items"] == []
    assert await ctrlc.accepted("PUT", path, 202, body=body) == resource_id, "applied again it is the same"

    assert (await ctrlc.send("GET", "/W/resource-providers/name/tools")).status_code == 404
    provider_id = await ctrlc.accepted("PUT", "/W/resource-providers", 202, body={"id": "", "name": "tools"})
    found = await ctrlc.must("GET", "/W/resource-providers/name/tools", 200)
    assert found["id"] == provider_id and is_instant(found["createdAt"]) and uuid.UUID(found["workspaceId"])
    sent = {**body, "identifier": "x/y", "createdAt": YEAR_ONE}
    await ctrlc.must("PUT", f"/W/resource-providers/{provider_id}/set", 202, body={"resources": [sent]})
    await patch_variables(ctrlc, "x/y", {"a": "b"})
    read = await ctrlc.must("GET", f"/W/resources/identifier/{escaped('x/y')}", 200)
    assert read["providerId"] == provider_id and not read["createdAt"].startswith("0001")
    assert (await ctrlc.send("PATCH", "/W/resources/identifier/none/variables", {})).status_code == 404


@stands_for("ctrlc get resource")
async def test_get_resource(ctrlc: Ctrlc) -> None:
    identifier = "/subscriptions/x/resourceGroups/y"
    path = f"/W/resources/identifier/{escaped(identifier)}"
    assert (await ctrlc.send("GET", path)).status_code == 404
    body = {"name": "n", "kind": "K", "version": "v", "config": None, "metadata": None}
    await ctrlc.accepted("PUT", path, 202, body=body)
    read = await ctrlc.must("GET", path, 200)
    assert read["identifier"] == identifier and read["config"] == {} and texts(read["metadata"]) == {}
    for at in ("createdAt", "updatedAt"):
        assert is_instant(read[at])
    assert not {"deletedAt", "lockedAt", "providerId"} & set(read), "absent, not null"


@stands_for("ctrlc get resources")
async def test_get_resources_follows_every_page(ctrlc: Ctrlc) -> None:
    provider = await ctrlc.accepted("PUT", "/W/resource-providers", 202, body={"id": "", "name": "p"})
    sent = [
        {"name": f"h{n}", "identifier": f"h{n}", "kind": "Host", "version": "v", "metadata": {"even": str(n % 2 == 0)}}
        for n in range(450)
    ]
    await ctrlc.must("PUT", f"/W/resource-providers/{provider}/set", 202, body={"resources": sent})
    found, offset, total = [], 0, 1
    while offset < total:
        asked = {"kinds": ["Host"], "providerIds": [provider], "limit": 200, "offset": offset}
        page = await ctrlc.must("POST", "/W/resources/search", 200, body=asked)
        assert type(page["total"]) is int
        found += [each["identifier"] for each in page["items"]]
        total, offset = page["total"], offset + 200
    assert total == 450 and sorted(found) == sorted(each["identifier"] for each in sent)
    narrow = {"metadata": {"even": "True"}, "versions": ["v"], "limit": 200, "offset": 0}
    assert (await ctrlc.must("POST", "/W/resources/search", 200, body=narrow))["total"] == 225


@stands_for("ctrlc delete resource", "contradiction DELETE resource by identifier")
async def test_delete_resource(ctrlc: Ctrlc) -> None:
    path = f"/W/resources/identifier/{escaped('a/b')}"
    await ctrlc.accepted("PUT", path, 202, body={"name": "n", "kind": "K", "version": "v"})
    read = await ctrlc.must("GET", path, 200)
    gone = await ctrlc.must("DELETE", path, 200, 202)
    assert gone["id"] == read["id"] and isinstance(gone["message"], str)
    assert (await ctrlc.send("GET", path)).status_code == 404


@stands_for("ctrlc ui", "contradiction GET jobs")
async def test_ui(ctrlc: Ctrlc, pulled: World) -> None:
    listed = await ctrlc.must("GET", "/W/deployments", 200, query="?limit=100")
    (shown,) = listed["items"]
    assert shown["deployment"]["slug"] == shown["deployment"]["name"] == "shop-api" and shown["deployment"]["id"]
    assert [each["name"] for each in shown["systems"]] == ["shop"]
    resources = await ctrlc.must("GET", "/W/resources", 200, query="?limit=100")
    assert resources["total"] == 3
    box = "cel=resource.name.contains(%27p-%27)"
    assert (await ctrlc.must("GET", "/W/resources", 200, query=f"?limit=100&{box}"))["total"] == 2
    jobs = await ctrlc.must("GET", "/W/jobs", 200, query="?limit=100")
    assert len(jobs["items"]) == 3
    for item in jobs["items"]:
        assert len(item["job"]["id"]) >= 8 and item["job"]["status"] == "queued"
        assert is_instant(item["job"]["createdAt"]) and is_instant(item["job"]["updatedAt"])
        assert item["deployment"]["id"] == shown["deployment"]["id"]
        assert item["environment"]["name"] and item["resource"]["name"] and item["release"]["version"]["tag"] == "1"
    for item in (await ctrlc.must("GET", "/W/environments", 200, query="?limit=100"))["items"]:
        assert len(item["id"]) >= 8 and is_instant(item["createdAt"])
    path = f"/W/deployments/{shown['deployment']['id']}/versions"
    (version,) = (await ctrlc.must("GET", path, 200, query="?limit=20"))["items"]
    assert version["tag"] == "1" and version["dependencies"] == {}
    (of_resource,) = (await ctrlc.must("GET", "/W/resources/identifier/p-1/deployments", 200))["items"]
    assert of_resource["name"] == "shop-api"


IDENTIFIERS = {
    "aws": "arn:aws:x:eu-west-1:1:thing/a",
    "google-cloud": "https://www.googleapis.com/compute/v1/projects/p/x",
    "azure": "/subscriptions/s/resourceGroups/g/providers/x",
    "tailscale": "tailnet/device id",
    "kubernetes": "cluster-uid/namespace",
    "helm": "cluster-uid/release",
    "vcluster": "cluster-uid/vcluster",
}
CLUSTER_FIRST = {"kubernetes", "helm", "vcluster"}
"""Sources that look for their parent cluster with the workspace as it was written, a slug perhaps."""


@stands_for(*(f"ctrlc sync {source}" for source in SYNC_SOURCES if source != "pipe"))
async def test_sync(ctrlc: Ctrlc) -> None:
    for source in SYNC_SOURCES:
        if source != "pipe":
            await sync(ctrlc, source)


async def sync(ctrlc: Ctrlc, source: str) -> None:
    """What every source sends: its provider, then the whole set; a set that leaves something out removes it."""
    kind = source.split(maxsplit=1)[0]
    if kind in CLUSTER_FIRST:
        by_slug = Ctrlc(ctrlc.raw, "shop")
        for identifier in (f"{kind}-uid", ""):
            assert (await by_slug.send("GET", f"/W/resources/identifier/{identifier}")).status_code == 404
        cluster = {"name": "prod", "kind": "Cluster", "version": "v", "metadata": {"region": "eu"}}
        await by_slug.accepted("PUT", f"/W/resources/identifier/{kind}-uid", 202, body=cluster)
        read = await by_slug.must("GET", f"/W/resources/identifier/{kind}-uid", 200)
        assert (read["name"], read["metadata"]) == ("prod", {"region": "eu"})
    if kind == "salesforce":
        ctrlc = Ctrlc(ctrlc.raw, "shop")  # which sends the workspace as it was written
    base = f"{IDENTIFIERS.get(kind, 'thing')}/{source}"
    provider = {"id": "", "name": f"{source.replace(' ', '-')}-scanner"}
    provider_id = await ctrlc.accepted("PUT", "/W/resource-providers", 202, body=provider)
    assert uuid.UUID(provider_id)
    for count in (2, 1):
        sent = [
            {
                "name": f"n{number}",
                "identifier": f"{base}/{number}",
                "kind": "AmazonElasticKubernetesService",
                "version": "ctrlplane.dev/kubernetes/cluster/v1",
                "config": {"server": {"endpoint": "https://x"}, "n": 1.5},
                "metadata": {"kubernetes/version": "1.30"},
                "createdAt": YEAR_ONE,
            }
            for number in range(count)
        ]
        answer = await ctrlc.must("PUT", f"/W/resource-providers/{provider_id}/set", 202, body={"resources": sent})
        assert (answer["ok"], answer["method"]) == (True, "direct")
    assert (await ctrlc.send("GET", f"/W/resources/identifier/{escaped(f'{base}/1')}")).status_code == 404
    kept = await ctrlc.must("GET", f"/W/resources/identifier/{escaped(f'{base}/0')}", 200)
    assert kept["identifier"] == f"{base}/0" and kept["config"] == sent[0]["config"]
    assert await ctrlc.accepted("PUT", "/W/resource-providers", 202, body=provider) == provider_id


@stands_for("ctrlc sync pipe")
async def test_sync_pipe(ctrlc: Ctrlc) -> None:
    provider_id = await ctrlc.accepted("PUT", "/W/resource-providers", 202, body={"id": "", "name": "piped"})
    bare = {"name": "n", "identifier": "i/1", "kind": "K", "version": "v", "config": None, "metadata": None}
    sent = {"resources": [{**bare, "createdAt": YEAR_ONE}]}
    answer = await ctrlc.must("PUT", f"/W/resource-providers/{provider_id}/set", 202, body=sent)
    assert isinstance(answer, dict) and answer["ok"] is True
    await patch_variables(ctrlc, "i/1", {"text": "a", "number": 1, "flag": False, "map": {"a": [1]}})
    variables = await ctrlc.must("GET", f"/W/resources/identifier/{escaped('i/1')}/variables", 200)
    read = {each["key"]: each["value"] for each in variables["items"]}
    assert read == {"text": "a", "number": 1, "flag": False, "map": {"object": {"a": [1]}}}


@stands_for("access nil workspace")
async def test_a_lookup_that_failed_is_no_failure_of_the_server(ctrlc: Ctrlc) -> None:
    """What `api`, `get`, `delete` and `sync` do with a slug that does not exist: they go on with the nil id."""
    assert (await ctrlc.send("GET", "/v1/workspaces/slug/nobody")).status_code == 404
    lost = Ctrlc(ctrlc.raw, NIL)
    for method, path, body in (
        ("GET", "/W/resources", None),
        ("PUT", "/W/resource-providers", {"id": "", "name": "x"}),
        ("DELETE", "/W/resources/identifier/x", None),
        ("POST", f"/W/deployments/{NIL}/versions", version_body("v")),
    ):
        answer = await lost.send(method, path, body)
        assert answer.status_code == 404 and isinstance(answer.json(), dict)


@stands_for("action get-job-inputs")
async def test_get_job_inputs_tries_every_workspace(ctrlc: Ctrlc, pulled: World, api: Any) -> None:
    """The GitHub action: workspaces, then the job in each until one answers 2xx."""
    made = await api.raw.post("/api/v1/workspaces", json={"name": "Elsewhere", "slug": "elsewhere"})
    assert made.status_code == 201

    async def listed() -> Any:
        return (await ctrlc.must("GET", "/W/jobs", 200))["items"]

    job_id = (await until(listed, "there is no job"))[0]["job"]["id"]
    workspaces = await ctrlc.must("GET", "/v1/workspaces", 200)
    assert workspaces["total"] == 2
    answers = []
    for each in workspaces["workspaces"]:
        assert uuid.UUID(each["id"]) and is_instant(each["createdAt"])
        answers.append(await Ctrlc(ctrlc.raw, each["id"]).send("GET", f"/W/jobs/{job_id}"))
    assert sorted(answer.status_code for answer in answers) == [200, 404]
    job = next(answer.json() for answer in answers if answer.status_code == 200)
    context = job["dispatchContext"]
    assert context["version"]["tag"] == "1" and context["deployment"]["name"] == "shop-api"
    assert context["environment"]["name"] and isinstance(context["resource"]["config"], dict)
    assert isinstance(context["variables"], dict) and texts(job["metadata"]) == {}
