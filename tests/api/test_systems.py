from __future__ import annotations

import uuid
from typing import Any


async def test_a_system_is_created_read_listed_changed_and_deleted(api: Any) -> None:
    made = await api.post("/systems", {"name": "shop", "metadata": {"team": "a"}})
    assert made.status_code == 202
    system_id = made.json()["id"]
    assert uuid.UUID(system_id).version == 4 and isinstance(made.json()["message"], str)

    read = await api.get(f"/systems/{system_id}")
    assert read.status_code == 200
    assert read.json() == {
        "id": system_id,
        "workspaceId": api.workspace,
        "name": "shop",
        "slug": "shop",
        "metadata": {"team": "a"},
        "deployments": [],
        "environments": [],
    }
    page = (await api.get("/systems")).json()
    assert (page["total"], page["limit"], page["offset"]) == (1, 50, 0)
    assert [item["id"] for item in page["items"]] == [system_id]

    changed = await api.put(f"/systems/{system_id}", {"name": "store", "description": "all of it"})
    assert changed.status_code == 202 and changed.json()["id"] == system_id
    read = (await api.get(f"/systems/{system_id}")).json()
    assert (read["name"], read["description"], read["metadata"]) == ("store", "all of it", {})

    assert (await api.delete(f"/systems/{system_id}")).status_code == 202
    assert (await api.get(f"/systems/{system_id}")).status_code == 404
    assert (await api.delete(f"/systems/{system_id}")).status_code == 404


async def test_a_put_creates_by_the_id_that_the_client_chose(api: Any) -> None:
    system_id = str(uuid.uuid4())
    assert (await api.put(f"/systems/{system_id}", {"name": "x"})).status_code == 202
    assert (await api.get(f"/systems/{system_id}")).json()["name"] == "x"
