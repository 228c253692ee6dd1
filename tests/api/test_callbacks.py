"""Is a job that was told called back, by whoever was told alone, before, in time and too late?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agents.stub_server import serving
from agents.webhook_server import WebhookServer
from api.story import World, until
from interlock.agents import build_agents
from interlock.metrics import build_metrics
from interlock.outside.http import Http
from interlock.outside.secrets import attempt_of, callback_token
from interlock.settings import Settings
from interlock.web.rates import Buckets, Rate
from interlock.workers import run_workers

PUBLIC = "http://interlock.test"


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(data=tmp_path, public_url=f"{PUBLIC}/", allow_private_addresses=True)


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookServer]:
    async with serving(WebhookServer()) as stub:
        yield stub


@pytest.fixture
async def told(api: Any, store: Any, settings: Settings, receiver: WebhookServer) -> AsyncIterator[World]:
    """A world whose agent is the receiver; its workers may call loopback."""
    config = {"url": f"{receiver.url}/jobs", "secret": receiver.secret, "inputs": {"way": "slow"}}
    world = await World(api).build(agent_type="webhook", config=config, rules=[])
    stop = asyncio.Event()
    async with Http(allow_private_addresses=True) as http:
        agents = build_agents(exec_root=settings.data / "exec", exec_enabled=False, http=http)
        running = asyncio.create_task(run_workers(store, agents, build_metrics(http), settings, stop))
        yield world
        stop.set()
        await running


@pytest.fixture
def call_back(client_of: Any) -> Any:
    """`await call_back(data, status="…")`: what the receiver does, with what it was sent."""
    nobody = client_of(None)

    async def post(data: dict[str, Any], *, token: str | None = None, **body: Any) -> Any:
        url, given = data["callback"]["url"], data["callback"]["token"] if token is None else token
        assert url.startswith(f"{PUBLIC}/api/")
        return await nobody.post(url, json=body, headers={"Authorization": f"Bearer {given}"})

    return post


async def posted(receiver: WebhookServer, kind: str = "job.start", *, count: int = 3) -> list[dict[str, Any]]:
    async def enough() -> list[dict[str, Any]]:
        found = [call.body["data"] for call in receiver.calls if call.body["type"] == kind]
        return found if len(found) >= count else []

    return list(await until(enough, f"no {count} of {kind}"))


async def job(api: Any, job_id: str) -> Any:
    return (await api.get(f"/jobs/{job_id}")).json()


async def started(api: Any, job_id: str) -> None:
    async def is_started() -> bool:
        return bool((await job(api, job_id))["status"] == "inProgress")

    await until(is_started, "the start was not recorded")


async def test_whoever_was_told_says_how_it_goes(api: Any, told: World, receiver: Any, call_back: Any) -> None:
    await told.version("1")
    one, other, _ = await posted(receiver)
    await started(api, one["jobId"])
    assert receiver.secret not in str(receiver.calls[0].body), "what signs is no business of who is told"
    assert one["context"]["version"]["tag"] == "1"

    for token in ("", "ilcb_1_x", other["callback"]["token"], one["callback"]["token"] + "x", "ilcb_0_" + "a" * 43):
        assert (await call_back(one, token=token, status="successful")).status_code == 401, token
    for wrong in ({"status": "pending"}, {"status": "ok"}, {"state": "x"}, {"links": {"a": 5}}, {"applied": [5]}):
        assert (await call_back(one, **wrong)).status_code == 400, wrong
    assert (await job(api, one["jobId"]))["status"] == "inProgress"

    links = {"Log": "https://log.test/1", "Bad": "javascript:alert(1)"}
    said = f"step 2 of 3; {receiver.secret} and {one['callback']['token']}"
    news = await call_back(one, message=said, externalId="run-7", links=links, metadata={"region": "eu"}, output="…")
    assert (news.status_code, news.json()["message"]) == (202, "The job is inProgress.")
    asked = await call_back(one, status="actionRequired")
    assert asked.json()["message"] == "The job is actionRequired."
    found = await job(api, one["jobId"])
    assert (found["externalId"], found["links"], found["metadata"]["region"], found["output"]) == (
        "run-7",
        {"Log": "https://log.test/1"},
        "eu",
        "…",
    )
    assert found["message"].startswith("step 2 of 3; ••••")
    assert "ilcb_" not in found["message"], "nor is what it was given kept where it says it back"

    brought = {"applied": ["Service/shop/web"], "artifacts": ["registry.test/web@sha256:1"]}
    assert (await call_back(one, status="successful", **brought)).status_code == 202
    ended = await job(api, one["jobId"])
    assert (ended["status"], ended["applied"]) == ("successful", brought["applied"])
    assert ended["artifacts"] == brought["artifacts"]

    for status, then in (
        ("successful", "The job is successful already."),
        ("failure", "The news was noted and changes nothing: the job is successful already."),
    ):
        late = await call_back(one, status=status)
        assert (late.status_code, late.json()["message"]) == (202, then)
    assert (await job(api, one["jobId"]))["status"] == "successful", "terminal is final"
    entries = await told.ledger(subject=f"job:{one['jobId']}")
    changes = [entry["body"] for entry in entries if entry["kind"] == "job.status_changed"]
    assert [(body["to"], body["source"]) for body in changes] == [
        ("inProgress", "webhook"),
        ("actionRequired", "callback"),
        ("successful", "callback"),
    ]
    assert [entry["body"]["heard"] for entry in entries if entry["kind"] == "job.noted"] == ["failure"]
    assert one["callback"]["token"] not in str(entries)


async def test_news_before_the_answer_to_the_start_is_its_answer(
    api: Any, told: World, receiver: Any, call_back: Any
) -> None:
    answers = asyncio.Event()
    for _ in range(3):
        receiver.next_is(method="POST", held=answers)
    await told.version("1")
    one, two, _ = await posted(receiver)
    assert (await job(api, one["jobId"]))["status"] == "pending"
    assert (await call_back(one, status="successful", message="so fast")).status_code == 202
    assert (await call_back(two, status="actionRequired", message="ask me")).status_code == 202
    assert (await job(api, one["jobId"]))["status"] == "successful"
    answers.set()

    async def answered() -> bool:
        return bool((await job(api, two["jobId"])).get("externalId"))

    await until(answered, "the answer to the start was not recorded")
    for data, status, message in ((one, "successful", "so fast"), (two, "actionRequired", "ask me")):
        found = await job(api, data["jobId"])
        assert (found["status"], found["message"]) == (status, message), "the start's answer is older than the news"
        kinds = [entry["kind"] for entry in await told.ledger(subject=f"job:{data['jobId']}")]
        assert kinds.count("job.handed_over") == 1
        assert "job.noted" not in kinds
    assert receiver.started == 3


async def test_a_cancel_is_told_and_ends_when_it_is_called_back(
    api: Any, told: World, receiver: Any, call_back: Any
) -> None:
    await told.version("1")
    one, *_ = await posted(receiver)
    await started(api, one["jobId"])
    assert (await api.post(f"/jobs/{one['jobId']}/cancel", {"reason": "wrong one"})).status_code == 202
    (end,) = await posted(receiver, "job.cancel", count=1)
    assert (end["jobId"], end["idempotencyKey"]) == (one["jobId"], f"{one['idempotencyKey']}-cancel")
    assert end["callback"] == one["callback"]
    assert (await job(api, one["jobId"]))["status"] == "inProgress", "it is asked for, not assumed"
    assert (await call_back(end, status="cancelled", message="stopped")).status_code == 202
    ended = await job(api, one["jobId"])
    assert (ended["status"], ended["message"]) == ("cancelled", "stopped")


async def test_a_token_opens_nothing_a_day_after_the_jobs_end_nor_for_another_attempt(
    api: Any, told: World, receiver: Any, call_back: Any, store: Any, app: Any
) -> None:
    await told.version("1")
    one, two, _ = await posted(receiver)
    await started(api, one["jobId"])
    async with store.read() as conn:
        second = await store.secrets.callback_token(conn, job_id=one["jobId"], attempt=2)
    early = await call_back(one, token=second, status="failure")
    assert early.json()["message"].endswith("changes nothing: attempt 1 has the job, not attempt 2.")
    assert (await job(api, one["jobId"]))["status"] == "inProgress"

    app.state.callbacks = Buckets(Rate(per_s=0.1, burst=2))
    answers = [await call_back(one, message=str(number)) for number in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert int(answers[2].headers["retry-after"]) <= 10
    assert (await call_back(two)).status_code == 202, "one job's callbacks are not another's"

    app.state.callbacks = Buckets(Rate(per_s=0, burst=0))
    assert (await call_back(one, status="failure")).status_code == 202
    async with store.read() as conn:
        await conn.execute(
            "UPDATE job SET completed_at = completed_at - interval '25 hours' WHERE id = $1", one["jobId"]
        )
    assert (await call_back(one, status="failure")).status_code == 401
    gone = {"callback": {**one["callback"], "url": f"{PUBLIC}/api/jobs/not-an-id/callback"}}
    assert (await call_back(gone, status="failure")).status_code == 404


KEY = b"k" * 32


@pytest.mark.parametrize(
    ("job_id", "key", "attempt", "found"),
    [("a", KEY, 1, 1), ("a", KEY, 12, 12), ("b", KEY, 1, None), ("a", b"o" * 32, 1, None)],
)
def test_a_token_is_of_one_attempt_of_one_job_here(job_id: str, key: bytes, attempt: int, found: int | None) -> None:
    token = callback_token(KEY, job_id="a", attempt=attempt)
    assert attempt_of(key, token, job_id=job_id) == found
    assert attempt_of(KEY, token.replace(f"_{attempt}_", f"_{attempt + 1}_"), job_id="a") is None
