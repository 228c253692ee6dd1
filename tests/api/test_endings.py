"""Deleting on the wire: what would end, what is gone, and what still answers."""

from __future__ import annotations

from typing import Any


async def test_what_is_deleted_answers_404_leaves_the_lists_and_stays_in_the_ledger(api: Any) -> None:
    nouns = {
        "deployment": ("/deployments", {"name": "shop", "slug": "shop", "resourceSelector": "true"}),
        "environment": ("/environments", {"name": "prod", "resourceSelector": "true"}),
        "system": ("/systems", {"name": "core", "slug": "core"}),
    }
    ids = {kind: (await api.post(path, body)).json()["id"] for kind, (path, body) in nouns.items()}
    await api.put("/resources/identifier/host%2F1", {"name": "h", "kind": "Host", "version": "v"})
    for child in ("deployment", "environment"):
        await api.put(f"/systems/{ids['system']}/{child}s/{ids[child]}")

    for kind, (path, body) in nouns.items():
        for named in (body["name"], ids[kind]):
            told = (await api.get(f"/endings/{kind}/{named}")).json()
            assert (told["kind"], told["id"], told["name"]) == (kind, ids[kind], body["name"])
        assert told["ends"]["targets"] == (1 if kind == "deployment" else 0)
        gone = await api.delete(f"{path}/{ids[kind]}")
        assert gone.status_code == 202 and gone.json()["id"] == ids[kind]
        assert (await api.get(f"{path}/{ids[kind]}")).status_code == 404
        assert (await api.delete(f"{path}/{ids[kind]}")).status_code == 404
        assert (await api.get(f"/endings/{kind}/{body['name']}")).status_code == 404
        assert (await api.get(path)).json()["total"] == 0
        for subject in (f"{kind}:{ids[kind]}", f"{kind}:{body['name']}", body["name"]):
            kinds = {each["kind"] for each in await ledger(api, subject)}
            assert {f"{kind}.created", f"{kind}.deleted"} <= kinds, subject
        again = await api.post(path, body)
        assert again.status_code == 202 and again.json()["id"] != ids[kind], "the name is free"
    assert (await api.delete("/resources/identifier/host%2F1")).status_code == 200
    assert {"resource.created", "resource.deleted"} <= {each["kind"] for each in await ledger(api, "resource:host/1")}


async def ledger(api: Any, subject: str) -> list[Any]:
    """The entries about something; the feed follows its writes by a moment."""
    items: list[Any] = []
    for _ in range(200):
        items = (await api.get("/ledger", params={"subject": subject})).json()["items"]
        if any(each["kind"].endswith(".deleted") for each in items):
            return items
        await sequence(api)
    return items


async def sequence(api: Any) -> None:
    """Give what was written its place, as a worker does."""
    from interlock.store.ledger import sequence_ledger

    store = api.raw._transport.app.state.store
    async with store.read() as conn:
        await sequence_ledger(conn)


async def test_the_id_of_something_deleted_is_not_used_again(api: Any) -> None:
    body = {"name": "shop", "slug": "shop", "resourceSelector": "true"}
    made = (await api.post("/deployments", body)).json()["id"]
    await api.delete(f"/deployments/{made}")
    no = await api.put(f"/deployments/{made}", body)
    assert no.status_code == 409 and no.json()["code"] == "ID_WAS_DELETED"
