"""Is what happens told: to whom it should be, once, in order, signed, and whatever the receiver does?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api.story import until
from interlock.settings import Settings
from receivers import Receiver, receiving


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(data=tmp_path, allow_private_addresses=True, public_url="https://interlock.example.org/")


def hook(receiver: Receiver, **more: Any) -> dict[str, Any]:
    return {"name": "ci", "channel": "webhook", "url": receiver.url, "kinds": ["system.*"], **more}


async def make(api: Any, body: dict[str, Any]) -> dict[str, Any]:
    made = await api.post("/subscriptions", body)
    assert made.status_code == 201, made.text
    return dict(made.json())


async def ended(api: Any, one: dict[str, Any], state: str, number: int = 1) -> list[dict[str, Any]]:
    """The deliveries in a state, once there are so many."""

    async def found() -> Any:
        page = (await api.get(f"/subscriptions/{one['id']}/deliveries", params={"state": state})).json()
        return page["items"] if page["total"] >= number else None

    return list(await until(found, f"not {number} {state}"))


async def test_what_happens_is_told_in_order_and_signed(api: Any, workers: None) -> None:
    async with receiving() as receiver:
        one = await make(api, hook(receiver))
        for number in range(5):
            assert (await api.post("/systems", {"name": f"s{number}"})).status_code == 202
        await ended(api, one, "delivered", 5)
        assert [call.json["data"]["subject"]["name"] for call in receiver.calls] == [f"s{n}" for n in range(5)]
        call = receiver.calls[0]
        assert call.json["type"] == "system.created"
        assert call.json["data"]["url"].startswith("https://interlock.example.org/w/shop/")
        assert call.headers["webhook-id"].startswith("msg_")
        assert len({each.headers["webhook-id"] for each in receiver.calls}) == 5


async def test_a_receiver_that_was_down_gets_everything_in_order_once_it_is_up(api: Any, workers: None) -> None:
    async with receiving() as receiver:
        one = await make(api, hook(receiver))
        await receiver.down()
        for number in range(3):
            await api.post("/systems", {"name": f"s{number}"})

        async def failing() -> Any:
            found = (await api.get(f"/subscriptions/{one['id']}")).json()
            return found if "failingSince" in found and found["pending"] == 3 else None

        shown = await until(failing, "nobody says that it fails")
        assert "could not be reached" in shown["lastError"] and shown["nextTryAt"] > shown["failingSince"]
        await receiver.up()
        await api.post(f"/subscriptions/{one['id']}/resume", {})
        await ended(api, one, "delivered", 3)
        assert [call.json["data"]["subject"]["name"] for call in receiver.calls] == ["s0", "s1", "s2"]
        shown = (await api.get(f"/subscriptions/{one['id']}")).json()
        assert "failingSince" not in shown and shown["pending"] == 0

        async def told() -> Any:
            events = (await api.get(f"/ledger?subject=subscription:{one['id']}")).json()["items"]
            kinds = [event["kind"] for event in events]
            return kinds if len(kinds) == 3 else None

        assert await until(told, "the ledger does not tell") == [
            "subscription.created",
            "subscription.failing",
            "subscription.resumed",
        ]


async def test_a_filter_a_scope_and_a_kind_say_what_is_told(api: Any, workers: None) -> None:
    async with receiving() as named, receiving() as scoped, receiving() as other:
        system = (await api.post("/systems", {"name": "first"})).json()["id"]
        by_name = await make(api, hook(named, name="named", filter="event.subject['name'] == 'wanted'"))
        by_scope = await make(api, hook(scoped, name="scoped", kinds=["*"], scope={"kind": "system", "id": system}))
        by_kind = await make(api, hook(other, name="kind", kinds=["environment.created"]))
        for name in ("unwanted", "wanted"):
            assert (await api.post("/systems", {"name": name})).status_code == 202
        await api.post("/environments", {"name": "e", "resourceSelector": "true"})
        assert (await api.put(f"/systems/{system}", {"name": "renamed"})).status_code == 202
        await ended(api, by_name, "delivered")
        await ended(api, by_scope, "delivered")
        await ended(api, by_kind, "delivered")
        assert [call.json["data"]["subject"]["name"] for call in named.calls] == ["wanted"]
        assert scoped.kinds == ["system.changed"]
        assert other.kinds == ["environment.created"]


async def test_a_receiver_that_says_no_is_asked_three_times_and_holds_up_nobody(
    api: Any, workers: None, monkeypatch: Any
) -> None:
    monkeypatch.setattr("interlock.model.subscription.WAITS_S", (0.01,) * 11)
    async with receiving() as receiver:
        receiver.answer = lambda call: (422 if b"unloved" in call.body else 200, {})
        one = await make(api, hook(receiver))
        for name in ("unloved", "loved"):
            await api.post("/systems", {"name": name})
        await ended(api, one, "delivered")
        parked = (await ended(api, one, "parked"))[0]
        assert (parked["attempts"], parked["lastStatus"]) == (3, 422)
        assert len({call.headers["webhook-id"] for call in receiver.calls}) == 2
        receiver.answer = lambda call: (204, {})
        again = await api.post(f"/subscriptions/{one['id']}/deliveries/{parked['id']}/redeliver")
        assert again.status_code == 202 and again.json()["state"] == "pending"
        await ended(api, one, "delivered", 2)
        assert receiver.calls[-1].headers["webhook-id"] == parked["webhookId"]


async def test_a_redirect_is_not_followed_and_gone_is_for_good(api: Any, workers: None, monkeypatch: Any) -> None:
    monkeypatch.setattr("interlock.model.subscription.WAITS_S", (0.01,) * 11)
    async with receiving() as receiver, receiving() as elsewhere:
        receiver.answer = lambda call: (302, {"Location": elsewhere.url})
        one = await make(api, hook(receiver))
        await api.post("/systems", {"name": "a"})
        parked = (await ended(api, one, "parked"))[0]
        assert parked["lastStatus"] == 302 and elsewhere.calls == []
        receiver.answer = lambda call: (410, {})
        await api.post("/systems", {"name": "b"})

        async def disabled() -> Any:
            return (await api.get(f"/subscriptions/{one['id']}")).json()["state"] == "disabled"

        await until(disabled, "it is still called")
        refused = await api.post(f"/subscriptions/{one['id']}/deliveries/{parked['id']}/redeliver")
        assert (refused.status_code, refused.json()["code"]) == (409, "NOT_ACTIVE")
        receiver.answer = lambda call: (200, {})
        resumed = await api.post(f"/subscriptions/{one['id']}/resume", {})
        assert resumed.json()["state"] == "active"
        await ended(api, one, "delivered")
        assert receiver.calls[-1].json["data"]["subject"]["name"] == "b"


async def test_a_slow_receiver_holds_up_nobody_else(api: Any, workers: None) -> None:
    never = asyncio.Event()
    async with receiving() as slow, receiving() as quick:
        slow.wait = lambda call: never.wait()
        await make(api, hook(slow, name="a-slow"))
        one = await make(api, hook(quick, name="b-quick"))
        for number in range(3):
            await api.post("/systems", {"name": f"s{number}"})
        await ended(api, one, "delivered", 3)
        assert len(slow.calls) <= 1
        never.set()


async def test_pausing_keeps_what_happens_for_later_or_leaves_it_out(api: Any, workers: None) -> None:
    async with receiving() as receiver:
        one = await make(api, hook(receiver))
        path = f"/subscriptions/{one['id']}"
        paused = await api.post(f"{path}/pause", {"reason": "maintenance"})
        assert (paused.json()["state"], paused.json()["stateReason"]) == ("paused", "maintenance")
        await api.post("/systems", {"name": "kept"})
        test = await api.post(f"{path}/test")
        assert test.status_code == 202
        await ended(api, one, "delivered")
        assert receiver.kinds == ["interlock.test"]
        await api.post(f"{path}/resume", {})
        await ended(api, one, "delivered", 2)
        assert receiver.calls[-1].json["data"]["subject"]["name"] == "kept"
        await api.post(f"{path}/pause", {})
        await api.post("/systems", {"name": "left out"})

        async def placed() -> Any:
            return any(
                e["body"].get("name") == "left out" for e in (await api.get("/ledger?limit=1000")).json()["items"]
            )

        await until(placed, "it has no place")
        await api.post(f"{path}/resume", {"fromNow": True})
        await api.post("/systems", {"name": "again"})
        await ended(api, one, "delivered", 3)
        assert receiver.calls[-1].json["data"]["subject"]["name"] == "again"


async def test_only_who_may_write_reads_the_secrets(api: Any, key_of: Any, client_of: Any) -> None:
    url = "https://hooks.slack.com/services/T0/B0/verysecret"
    chat = await make(api, {"name": "chat", "channel": "slack", "url": url, "kinds": ["rollout.*"]})
    one = await make(api, {"name": "ci", "channel": "webhook", "url": "https://ci.example.org/x", "kinds": ["*"]})
    assert chat["url"] == url and one["secret"].startswith("whsec_")
    viewer = client_of(await key_of("vic", "viewer"))
    base = f"/api/v1/workspaces/{api.workspace}/subscriptions"
    seen = (await viewer.get(f"{base}/{chat['id']}")).json()
    assert seen["url"].startswith("https://hooks.slack.com/••••") and "verysecret" not in str(seen)
    assert (await viewer.get(f"{base}/{one['id']}")).json()["secret"].startswith("••••")
    assert "verysecret" not in (await api.get("/subscriptions")).text
    for path in ("", "/pause", "/test", "/rotate-secret", "/resume"):
        refused = await viewer.post(f"{base}{path and '/' + one['id']}{path}", json={} if path else
                                    {"name": "x", "channel": "webhook", "url": url, "kinds": ["*"]})  # fmt: skip
        assert refused.status_code == 403, path
    body = {"name": "chat", "channel": "slack", "url": seen["url"], "kinds": ["freeze.*"]}
    changed = await api.put(f"/subscriptions/{chat['id']}", body)
    assert changed.status_code == 200 and changed.json()["url"] == url, changed.text
    body = {"name": "ci", "channel": "webhook", "url": "https://ci.example.org/y", "kinds": ["*"]}
    kept = (await api.put(f"/subscriptions/{one['id']}", body)).json()
    assert (kept["secret"], kept["url"]) == (one["secret"], "https://ci.example.org/y")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kinds": []}, "kinds"),
        ({"kinds": ["rollout.halted", "rolout.*"]}, "kinds[1]"),
        ({"filter": "event.knd == 'x'"}, "filter"),
        ({"filter": "event.kind"}, "filter"),
        ({"url": None}, "url"),
        ({"url": "ftp://x"}, "url"),
        ({"url": "http://user:pw@x/"}, "url"),
        ({"secret": "whsec_short"}, "secret"),
        ({"to": ["ops@example.org"]}, "to"),
        ({"templates": {"rollout.halted": "{{ x() }}"}}, "templates.rollout.halted"),
        ({"templates": {"nothing": "x"}}, "templates.nothing"),
        ({"scope": {"kind": "system"}}, "scope.id"),
        ({"remindAfterHours": 0}, "remindAfterHours"),
        ({"channel": "email", "url": None}, "to"),
        ({"channel": "email", "url": None, "to": ["nobody"]}, "to[0]"),
        ({"channel": "email", "url": None, "to": ["a@b\r\nBcc: c@d"]}, "to[0]"),
    ],
)
async def test_what_is_wrong_is_refused_by_its_field(api: Any, change: dict[str, Any], field: str) -> None:
    body = {"name": "x", "channel": "webhook", "url": "https://x.example.org/", "kinds": ["*"], **change}
    refused = await api.post("/subscriptions", body)
    assert refused.status_code == 400, refused.text
    assert field in str(refused.json().get("details") or refused.text), refused.text
