"""A provider's set on the wire: what it answers, refuses and names."""

from __future__ import annotations

from typing import Any


def item(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "identifier": name, "kind": "K", "version": "v", "config": {}, "metadata": {}, **more}


async def a_provider(api: Any, name: str) -> str:
    return f"/resource-providers/{(await api.put('/resource-providers', {'name': name})).json()['id']}/set"


async def test_the_answer_names_what_another_provider_owns(api: Any) -> None:
    ours, theirs = await a_provider(api, "ours"), await a_provider(api, "theirs")
    await api.put(theirs, {"resources": [item("x")]})
    answer = await api.put(ours, {"resources": [item("x"), item("y")]})
    assert answer.status_code == 202
    assert answer.json() == {
        "ok": True,
        "method": "direct",
        "contested": [{"identifier": "x", "providerId": theirs.split("/")[2], "provider": "theirs"}],
        "contestedTotal": 1,
    }
    plain = await api.put(theirs, {"resources": [item("x")]})
    assert plain.json() == {"ok": True, "method": "direct"}


async def test_a_mass_removal_is_refused_unless_the_header_says_that_it_is_meant(api: Any) -> None:
    path = await a_provider(api, "cloud")
    await api.put(path, {"resources": [item(f"h-{n}") for n in range(101)]})
    no = await api.put(path, {"resources": []})
    assert no.status_code == 409
    assert no.json()["code"] == "MASS_REMOVAL" and no.json()["details"]["removed"] == 101
    assert no.json()["error"] == no.json()["message"]
    assert (await api.get("/resource-providers/name/cloud/resources")).json()["total"] == 101
    assert (await api.put(path, {"resources": []}, headers={"X-Interlock-Allow-Removal": "false"})).status_code == 409
    meant = await api.put(path, {"resources": []}, headers={"X-Interlock-Allow-Removal": "true"})
    assert meant.status_code == 202
    assert (await api.get("/resource-providers/name/cloud/resources")).json()["total"] == 0


async def test_a_workspace_has_its_own_number(api: Any) -> None:
    path = await a_provider(api, "cloud")
    assert "syncRemoveMax" not in (await api.get("")).json()
    changed = await api.call("PATCH", "", json={"syncRemoveMax": 2})
    assert changed.json()["syncRemoveMax"] == 2
    await api.put(path, {"resources": [item(f"h-{n}") for n in range(4)]})
    assert (await api.put(path, {"resources": [item("h-0")]})).status_code == 409
    assert (await api.put(path, {"resources": [item("h-0"), item("h-1")]})).status_code == 202


async def test_a_fault_names_its_place_in_the_whole_set_and_nothing_is_written(api: Any) -> None:
    path = await a_provider(api, "cloud")
    wrong = [item(f"h-{n}") for n in range(700)] + [{"identifier": "x", "kind": 5}]
    no = await api.put(path, {"resources": wrong})
    assert no.status_code == 400 and no.json()["code"] == "VALIDATION_ERROR"
    paths = {fault["path"] for fault in no.json()["details"]}
    assert {"resources[700].name", "resources[700].kind"} <= paths
    for bad in ({}, {"resources": None}, {"resources": {}}, {"resources": ["x"]}, {"resources": [None]}):
        assert (await api.put(path, bad)).status_code == 400, bad
    assert (await api.get("/resource-providers/name/cloud/resources")).json()["total"] == 0
