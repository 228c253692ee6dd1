"""Are the pages of a filtered list right, whoever chooses and however many rows there are?"""

from __future__ import annotations

from typing import Any

from interlock.store.tx import Store

MANY = 100_000


async def test_pages_and_total_of_a_filter_are_right_over_a_hundred_thousand_resources(api: Any, store: Store) -> None:
    async with store.read() as conn:
        await conn.execute(
            "INSERT INTO resource (workspace_id, identifier, name, kind, version, metadata, created_at) "
            "SELECT $1, 'r-' || i, 'r-' || i, CASE WHEN i % 2 = 0 THEN 'Host' ELSE 'Pod' END, 'v', "
            "jsonb_build_object('zone', 'z' || i % 10), timestamptz '2026-01-01' + i * interval '1 second' "
            f"FROM generate_series(1, {MANY}) AS i",
            api.workspace,
        )
        await conn.execute("ANALYZE resource")

    async def page(cel: str, **more: int) -> tuple[list[str], int]:
        async with store.counting() as statements:
            answer = (await api.get("/resources", params={"cel": cel, **more})).json()
        assert all(
            "LIMIT $2 OFFSET $3" in text
            for text in statements.texts
            if "FROM resource r" in text and "count(" not in text
        )
        return [item["identifier"] for item in answer["items"]], answer["total"]

    assert (await api.get("/resources", params={"limit": 1})).json()["total"] == MANY
    even = "resource.kind == 'Host' && resource.metadata['zone'] == 'z4'"
    assert await page(even, limit=2) == (["r-4", "r-14"], MANY // 10)
    assert await page(even, limit=3, offset=MANY // 10 - 2) == ([f"r-{MANY - 16}", f"r-{MANY - 6}"], MANY // 10)
    assert await page(even, limit=3, offset=MANY // 10) == ([], MANY // 10)
    assert (await page("!(resource.metadata['zone'] in ['z1', 'z2'])", limit=1))[1] == MANY * 8 // 10
    assert await page("resource.identifier.endsWith('-99999')") == (["r-99999"], 1)
    assert await page("resource.metadata['none'] == 'x'", limit=1) == ([], 0)
    found = await api.post("/resources/search", {"kinds": ["Pod"], "metadata": {"zone": "z3"}, "limit": 2, "offset": 1})
    assert ([item["identifier"] for item in found.json()["items"]], found.json()["total"]) == (["r-13", "r-23"], 10_000)


async def test_postgresql_and_python_choose_the_same_versions(api: Any, store: Store) -> None:
    deployment = (await api.post("/deployments", {"name": "d", "slug": "d"})).json()["id"]
    path = f"/deployments/{deployment}/versions"
    for number in range(6):
        body = {
            "tag": f"v{number}",
            "name": "" if number % 2 else f"Build {number}",
            "status": "ready" if number < 4 else "rejected",
            "metadata": {"branch": "main"} if number % 3 else {},
            "config": {"n": number, "deep": {"x": "y"}},
            "createdAt": f"2026-06-0{number + 1}T00:00:00Z",
        }
        if number == 5:
            body["message"] = "broken by #7"
        assert (await api.post(path, body)).status_code == 200

    async def tags(cel: str, **more: Any) -> tuple[list[str], int]:
        answer = await api.get(path, params={"cel": cel, **more})
        assert answer.status_code == 200, answer.text
        return [item["tag"] for item in answer.json()["items"]], answer.json()["total"]

    python_only = " && [1, 2].exists(x, x == 1)"
    for cel, expected in (
        ("version.metadata['branch'] == 'main'", ["v5", "v4", "v2", "v1"]),
        ("!(version.metadata['branch'] == 'main')", []),
        ("version.status == 'ready' && version.tag != 'v3'", ["v2", "v1", "v0"]),
        ("version.message.contains('#7')", ["v5"]),
        ("version.message == ''", ["v4", "v3", "v2", "v1", "v0"]),
        ("version.name == 'v1' || version.name.startsWith('Build 2')", ["v2", "v1"]),
        ("version.config.deep.x == 'y' && version.config.n == 4", ["v4"]),
        ("timestamp(version.createdAt) < timestamp('2026-06-03T00:00:00Z')", ["v1", "v0"]),
        (f"version.deploymentId == '{deployment}'", ["v5", "v4", "v3", "v2", "v1", "v0"]),
    ):
        assert await tags(cel) == (expected, len(expected)), cel
        assert await tags(f"({cel}){python_only}") == (expected, len(expected)), f"Python: {cel}"
    assert await tags("version.status == 'ready'", limit=1, offset=1, order="asc") == (["v1"], 4)
    async with store.counting() as statements:
        await tags("version.status == 'ready'", limit=1)
    assert any("v.status = $4" in text for text in statements.texts), "it is PostgreSQL that chooses"


async def test_postgresql_and_python_choose_the_same_deployments(api: Any, store: Store) -> None:
    for number in range(5):
        body: dict[str, Any] = {"name": f"d{number}", "slug": "x", "metadata": {"team": "a"} if number % 2 else {}}
        if number == 4:
            body |= {"description": "the last", "resourceSelector": "true", "jobAgentConfig": {"repo": "r"}}
        await api.post("/deployments", body)

    async def names(cel: str, **more: Any) -> tuple[list[str], int]:
        answer = await api.get("/deployments", params={"cel": cel, **more})
        assert answer.status_code == 200, answer.text
        return [item["deployment"]["name"] for item in answer.json()["items"]], answer.json()["total"]

    python_only = " && [1, 2].exists(x, x == 1)"
    for cel, expected in (
        ("deployment.metadata.team == 'a'", ["d1", "d3"]),
        ("deployment.slug == 'd2' || deployment.description == 'the last'", ["d2", "d4"]),
        ("deployment.description == ''", ["d0", "d1", "d2", "d3"]),
        ("deployment.resourceSelector == 'true'", ["d4"]),
        ("deployment.jobAgentConfig.repo == 'r'", ["d4"]),
    ):
        assert await names(cel) == (expected, len(expected)), cel
        assert await names(f"({cel}){python_only}") == (expected, len(expected)), f"Python: {cel}"
    assert await names("deployment.metadata.team == 'a'", limit=1, offset=1) == (["d3"], 2)
    async with store.counting() as statements:
        await names("deployment.name == 'd1'")
    assert any("d.name = $4" in text for text in statements.texts), "it is PostgreSQL that chooses"
