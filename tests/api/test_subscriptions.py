"""Is what happens told: to whom it should be, once, in order, signed, and whatever the receiver does?"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import pytest

from api.story import World, until, working
from conftest import TEST_KEY
from interlock.outside.standard_webhooks import signature
from interlock.settings import Settings
from receivers import Receiver, mail_server, receiving


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


LEADS = {"anyApproval": {"minApprovals": 1, "approverGroup": "leads", "expiresAfterHours": 24}}


ANYBODY = {"anyApproval": {"minApprovals": 1}}


@pytest.fixture
def letters() -> Any:
    with mail_server() as box:
        yield box


@pytest.fixture
def mail_settings(settings: Settings, letters: Any) -> Settings:
    return settings.model_copy(
        update={"smtp_host": "127.0.0.1", "smtp_port": letters.port, "smtp_tls": "none", "smtp_from": "il@example.org"}
    )


async def test_a_request_reaches_the_group_that_it_asks_and_its_answer_is_told(
    api: Any, store: Any, mail_settings: Settings, letters: Any, key_of: Any, client_of: Any
) -> None:
    lead = client_of(await key_of("lea", "approver"))
    await key_of("otto", "approver")
    await api.put("/groups/leads", {"members": ["lea"]})
    members = {one["name"]: one["id"] for one in (await api.get("/members")).json()["items"]}
    base = f"/api/v1/workspaces/{api.workspace}"
    own = await lead.put(f"{base}/members/{members['lea']}/address", json={"email": "lea@example.org"})
    assert own.status_code == 200, own.text
    assert (await lead.put(f"{base}/members/{members['otto']}/address", json={"email": "x@y.org"})).status_code == 403
    await api.put(f"/members/{members['otto']}/address", {"email": "otto@example.org"})
    async with receiving() as chat, receiving() as other, working(store, mail_settings):
        about = {"channel": "slack", "kinds": ["approval.*"]}
        await make(api, {**about, "name": "leads-chat", "url": chat.url, "group": "leads"})
        await make(api, {**about, "name": "other-chat", "url": other.url, "group": "others"})
        world = await World(api).build(agent_type="test-runner", config={"delaySeconds": 0}, rules=[LEADS])
        await world.version("1.0.0")

        async def come() -> Any:
            return letters.letters and chat.calls

        await until(come, "nobody was told")
        letter = letters.letters[0]
        assert letters.envelopes[0] == ["lea@example.org"] and letter["To"] == "lea@example.org"
        assert letter["Subject"] == "shop-api 1.0.0 waits for approval in production"
        text = letter.get_body(("plain",)).get_content()
        requests = (await api.get("/approval-requests", params={"status": "open"})).json()["items"]
        request = next(each for each in requests if each["environment"]["name"] == "production")
        page = f"https://interlock.example.org/w/shop/approvals/{request['id']}"
        for said in (page, "Made by: ada", "a yes counts for 24 h", "0 of 1 approval of the group leads", "production"):
            assert said in text, text
        assert f'href="{page}"' in letter.get_body(("html",)).get_content()
        blocks = chat.calls[0].json["blocks"]
        assert blocks[0]["text"]["text"] == "*shop-api 1.0.0 waits for approval in production*"
        assert any(each.get("elements", [{}])[0].get("url") == page for each in blocks)
        answer = {"verdict": "approved", "digest": request["digest"]}
        said = await lead.post(f"{base}/approval-requests/{request['id']}/approvals", json=answer)
        assert said.status_code in {200, 201, 202}, said.text

        async def told() -> Any:
            return len(letters.letters) > 1 and len(chat.calls) > 1

        await until(told, "the answer was not told")
        assert letters.letters[1]["Subject"] == "lea approved shop-api 1.0.0 in production"
        assert other.calls == []
        listed = (await api.get("/subscriptions")).json()["items"]
        first = next(one for one in listed if one["name"] == "approvers")
        shown = (await api.get(f"/subscriptions/{first['id']}/deliveries", params={"state": "pending"})).json()
        assert [each["purpose"] for each in shown["items"]] == ["reminder"]


async def test_a_task_reaches_the_group_and_the_person_that_it_asks_and_the_groups_channel(
    api: Any, store: Any, mail_settings: Settings, letters: Any, key_of: Any
) -> None:
    for name in ("lea", "otto", "eve"):
        await key_of(name, "approver")
    await api.put("/groups/duty", {"members": ["lea"]})
    members = {one["name"]: one["id"] for one in (await api.get("/members")).json()["items"]}
    for name in ("lea", "otto", "eve"):
        await api.put(f"/members/{members[name]}/address", {"email": f"{name}@example.org"})
    async with receiving() as chat, receiving() as other, working(store, mail_settings):
        about = {"channel": "slack", "kinds": ["job.*"]}
        await make(api, {**about, "name": "duty-chat", "url": chat.url, "group": "duty", "kinds": ["job.asked"]})
        await make(api, {**about, "name": "other-chat", "url": other.url, "group": "others", "kinds": ["job.asked"]})
        config = {"instructions": "Turn it.", "group": "duty", "assignee": "otto"}
        world = await World(api).build(agent_type="manual", config=config, rules=[])
        await world.version("1.0.0")

        async def come() -> Any:
            return len(letters.letters) == 3 and len(chat.calls) == 3

        await until(come, "nobody was told")
    assert {tuple(sorted(each)) for each in letters.envelopes} == {("lea@example.org", "otto@example.org")}
    subjects = {letter["Subject"] for letter in letters.letters}
    assert "shop-api 1.0.0 on p-1 in production waits for a person of duty" in subjects
    assert "/jobs/" in letters.letters[0].get_body(("plain",)).get_content(), "it leads to where one answers"
    assert other.calls == []


async def test_a_request_answered_before_its_letter_went_is_not_sent_and_a_reminder_neither(
    api: Any, store: Any, mail_settings: Settings, letters: Any, key_of: Any, client_of: Any
) -> None:
    lead = client_of(await key_of("lea", "approver"))
    members = {one["name"]: one["id"] for one in (await api.get("/members")).json()["items"]}
    await api.put(f"/members/{members['lea']}/address", {"email": "lea@example.org"})
    listed = (await api.get("/subscriptions")).json()["items"]
    first = next(one for one in listed if one["name"] == "approvers")
    body = {key: first[key] for key in ("name", "channel", "kinds", "to")}
    changed = await api.put(f"/subscriptions/{first['id']}", {**body, "remindAfterHours": 0.0002})
    assert changed.status_code == 200, changed.text
    async with working(store, mail_settings):
        world = await World(api).build(agent_type="test-runner", config={"delaySeconds": 0}, rules=[ANYBODY])
        await world.version("1.0.0")

        async def reminded() -> Any:
            return len(letters.letters) == 2

        await until(reminded, "nobody was reminded")
        assert letters.letters[1]["Subject"].startswith("Reminder: shop-api 1.0.0 waits")
        await api.post(f"/subscriptions/{first['id']}/pause", {})
        await world.version("2.0.0")

        async def asked() -> Any:
            items = (await api.get("/approval-requests", params={"status": "open"})).json()["items"]
            return next((each for each in items if each["version"]["tag"] == "2.0.0"), None)

        request = await until(asked, "nobody is asked")
        path = f"/api/v1/workspaces/{api.workspace}/approval-requests/{request['id']}/approvals"
        said = await lead.post(path, json={"verdict": "rejected", "digest": request["digest"]})
        assert said.status_code < 300, said.text
        await api.post(f"/subscriptions/{first['id']}/resume", {})
        skipped = await ended(api, first, "skipped", 2)
        assert all("before this was sent" in each["lastError"] for each in skipped)

        async def told() -> Any:
            return len(letters.letters) == 3

        await until(told, "the answer was not told")
        assert letters.letters[2]["Subject"] == "lea rejected shop-api 2.0.0 in production"


async def test_both_secrets_sign_while_one_is_rotated(api: Any, workers: None) -> None:
    async with receiving() as receiver:
        one = await make(api, hook(receiver))
        rotated = await api.post(f"/subscriptions/{one['id']}/rotate-secret", {})
        assert rotated.status_code == 200 and rotated.json()["secret"] != one["secret"]
        await api.post("/systems", {"name": "a"})
        await ended(api, one, "delivered")
        call = receiver.calls[0]
        stamp = {"message_id": call.headers["webhook-id"], "timestamp": int(call.headers["webhook-timestamp"])}
        fresh = signature(rotated.json()["secret"], body=call.body, **stamp)
        old = signature(one["secret"], body=call.body, **stamp)
        assert call.headers["webhook-signature"] == f"{fresh} {old}"
        assert (await api.post(f"/subscriptions/{one['id']}/rotate-secret", {"overlapHours": 0})).status_code == 200
        await api.post("/systems", {"name": "b"})
        await ended(api, one, "delivered", 2)
        assert " " not in receiver.calls[1].headers["webhook-signature"]


async def test_a_receiver_that_failed_for_days_is_disabled_and_resumed_with_all_that_waited(
    api: Any, store: Any, workers: None, monkeypatch: Any
) -> None:
    monkeypatch.setattr("interlock.model.subscription.WAITS_S", (0.01,) * 11)
    async with receiving() as receiver:
        receiver.answer = lambda call: (503, {})
        one = await make(api, hook(receiver))
        async with store.read() as conn:  # it began to fail six days ago
            await conn.execute(
                "UPDATE subscription SET failing_since = now() - interval '6 days' WHERE id = $1", one["id"]
            )
        await api.post("/systems", {"name": "a"})

        async def disabled() -> Any:
            found = (await api.get(f"/subscriptions/{one['id']}")).json()
            return found if found["state"] == "disabled" else None

        assert "more than 5 days" in (await until(disabled, "it is still called"))["stateReason"]
        await api.post("/systems", {"name": "b"})
        receiver.answer = lambda call: (200, {})
        await api.post(f"/subscriptions/{one['id']}/resume", {})
        await ended(api, one, "delivered", 2)
        assert [call.json["data"]["subject"]["name"] for call in receiver.calls][-2:] == ["a", "b"]


@pytest.mark.e2e
async def test_a_worker_that_is_killed_between_commit_and_answer_loses_nothing(
    api: Any, store: Any, settings: Settings
) -> None:
    """It is killed when the receiver has the event and has not answered; another one sends it again, under its id."""
    came, held = asyncio.Event(), asyncio.Event()

    async def hold(_call: Any) -> None:
        came.set()
        await held.wait()

    async with receiving() as receiver:
        receiver.wait = hold
        one = await make(api, hook(receiver))
        assert (await api.post("/systems", {"name": "before the kill"})).status_code == 202
        words = {"DATABASE_URL": store.url, "DATA": str(settings.data), "SECRET_KEYS": TEST_KEY, "WORK_LEASE_S": "1",
                 "ALLOW_PRIVATE_ADDRESSES": "1"}  # fmt: skip
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "interlock.cli", "worker",
            env={**os.environ, **{f"INTERLOCK_{name}": value for name, value in words.items()}},
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

        async with asyncio.timeout(90):  # a process must start
            await came.wait()
        worker.kill()
        await worker.wait()
        assert (await api.post("/systems", {"name": "after the kill"})).status_code == 202
        held.set()
        async with working(store, settings):
            await ended(api, one, "delivered", 2)
        names = [call.json["data"]["subject"]["name"] for call in receiver.calls]
        assert names == ["before the kill", "before the kill", "after the kill"]
        assert receiver.calls[0].headers["webhook-id"] == receiver.calls[1].headers["webhook-id"]


async def test_letters_reach_a_group_wherever_its_members_are_now(
    api: Any, store: Any, mail_settings: Settings, letters: Any, key_of: Any
) -> None:
    await key_of("lea", "viewer")
    await key_of("otto", "viewer")
    await api.put("/groups/leads", {"members": ["lea", "otto"]})
    about = {"name": "leads", "channel": "email", "kinds": ["system.created"], "to": ["group:leads", "ops@example.org"]}
    one = await make(api, about)
    nobody = await make(api, {**about, "name": "nobody", "to": ["group:others"]})
    members = {each["name"]: each["id"] for each in (await api.get("/members")).json()["items"]}
    assert (await api.put(f"/members/{members['lea']}/address", {"email": "lea@example.org"})).status_code == 200
    assert (await api.put(f"/members/{members['otto']}/address", {"email": "no address"})).status_code == 400
    async with working(store, mail_settings):
        await api.post("/systems", {"name": "shop"})
        await ended(api, one, "delivered")
        skipped = (await ended(api, nobody, "skipped"))[0]
    assert "Nobody to write to" in skipped["lastError"]
    assert [sorted(each) for each in letters.envelopes] == [["lea@example.org", "ops@example.org"]]


async def test_an_address_with_a_query_is_shown_without_it(api: Any, key_of: Any, client_of: Any) -> None:
    url = "https://ci.example.org/hook?token=verysecret"
    one = await make(api, {"name": "ci", "channel": "webhook", "url": url})
    assert one["url"] == url and "rollout.halted" in one["kinds"]
    viewer = client_of(await key_of("vic", "viewer"))
    seen = (await viewer.get(f"/api/v1/workspaces/{api.workspace}/subscriptions/{one['id']}")).json()["url"]
    assert seen.startswith("https://ci.example.org/hook?••••")
    changed = await api.put(f"/subscriptions/{one['id']}", {"name": "ci2", "channel": "webhook", "url": seen})
    assert (changed.json()["name"], changed.json()["url"]) == ("ci2", url)
