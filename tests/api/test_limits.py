"""Does everything that a client may send have a limit, and does who reaches one hear which, and when to come back?"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from interlock.api import build_api
from interlock.app import listen, serve, url_of
from interlock.settings import Settings
from interlock.web import heads
from interlock.web.rates import KEPT_MAX, Buckets, Rate, address_of


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


# --- how much --------------------------------------------------------------------------------------------------------


def test_a_bucket_gives_its_burst_at_once_and_then_its_rate() -> None:
    clock = Clock()
    buckets = Buckets(Rate(2.0, 3), now_s=clock)
    assert [buckets.take("ada") for _ in range(3)] == [0.0, 0.0, 0.0]
    assert buckets.take("ada") == 0.5, "seconds until there is one"
    assert buckets.take("bea") == 0.0, "everybody has their own"
    clock.now_s += 0.5
    assert buckets.take("ada") == 0.0 and buckets.take("ada") > 0
    clock.now_s += 1_000
    assert [buckets.take("ada") > 0 for _ in range(4)] == [False, False, False, True], "it holds no more than its burst"


def test_a_refused_request_costs_nothing() -> None:
    clock = Clock()
    buckets = Buckets(Rate(1.0, 1), now_s=clock)
    buckets.take("ada")
    for _ in range(50):
        assert buckets.take("ada") > 0
    clock.now_s += 1.0
    assert buckets.take("ada") == 0.0


def test_a_rate_of_nothing_is_no_limit_and_memory_has_one() -> None:
    assert not any(Buckets(Rate(0.0, 1)).take("ada") for _ in range(100))
    buckets = Buckets(Rate(1.0, 1), now_s=Clock())
    for number in range(KEPT_MAX + 10):
        buckets.take(str(number))
    assert len(buckets._filled) == KEPT_MAX
    assert buckets.take("0") == 0.0, "forgotten, so full again"
    assert buckets.take(str(KEPT_MAX + 9)) > 0


@pytest.mark.parametrize(
    ("client", "counted_as"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::"),
        (("2001:db8:1:2::9", 1), "2001:db8:1:2::"),
        (None, "unknown"),
        (("a name", 1), "a name"),
    ],
)
def test_an_address_of_ipv6_is_counted_by_its_network(client: Any, counted_as: str) -> None:
    assert address_of({"client": client}) == counted_as


@pytest.fixture
def strict(store: Any, tmp_path: Any) -> Any:
    """`strict(rate_per_s=…)`: the app with these rates, which refill too slowly for a test to see it."""

    def make(**more: Any) -> Any:
        slow = {"rate_per_s": 0.0, "stranger_rate_per_s": 0.0, "sign_in_rate_per_s": 0.0}
        return build_api(store, Settings(data=tmp_path, **{**slow, **more}))

    return make


def client(app: Any, key: str | None = None, address: str = "192.0.2.1") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, client=(address, 1))
    headers = {"X-API-Key": key} if key else {}
    return httpx.AsyncClient(transport=transport, base_url="http://interlock.test", headers=headers)


async def test_a_key_that_asks_too_much_hears_when_to_come_back(strict: Any, key_of: Any) -> None:
    app = strict(rate_per_s=0.01, rate_burst=3)
    ada, other, bea = client(app, await key_of("ada")), client(app, await key_of("ada")), client(app, await key_of("b"))
    path = "/api/v1/workspaces"
    assert [(await ada.get(path)).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = await ada.get(path)
    body = refused.json()
    assert body["code"] == "RATE_LIMITED" and body["error"] == body["message"]
    assert 1 <= int(refused.headers["retry-after"]) <= 100 and body["details"]["burst"] == 3
    assert (await other.get(path)).status_code == 200, "another key of hers has its own"
    assert (await bea.get(path)).status_code == 200
    for path in ("/api/healthz", "/api/readyz", "/api/version", "/api/openapi.json"):
        assert (await ada.get(path)).status_code == 200, "who watches is never counted"


async def test_a_user_gets_four_times_a_keys_share_over_all_keys(strict: Any, key_of: Any) -> None:
    app = strict(rate_per_s=0.001, rate_burst=2)
    answered = 0
    for _ in range(6):
        ada = client(app, await key_of("ada"))
        answered += [(await ada.get("/api/v1/workspaces")).status_code for _ in range(3)].count(200)
    # A key that nobody knew yet is let in once, as the stranger that it may be.
    assert 8 <= answered <= 8 + 4


async def test_strangers_are_counted_by_address_and_who_signed_in_is_not_one(strict: Any, key_of: Any) -> None:
    app = strict(stranger_rate_per_s=0.001, stranger_burst=3, rate_per_s=100)
    ada, path = client(app, await key_of("ada")), "/api/v1/workspaces"
    assert (await ada.get(path)).status_code == 200
    stranger, wrong = client(app), client(app, "0" * 16 + "." + "0" * 64)
    assert [(await each.get(path)).status_code for each in (stranger, wrong, wrong, stranger)] == [401, 401, 401, 429]
    assert (await ada.get(path)).status_code == 200, "her key is known at this address"
    assert (await client(app, address="192.0.2.2").get(path)).status_code == 401, "another address has its own"
    late = client(app, await key_of("bea"))
    assert (await late.get(path)).status_code == 429, "a key that was never seen waits with its address"


async def test_sign_ins_have_a_rate_of_their_own(strict: Any) -> None:
    app = strict(sign_in_rate_per_s=0.001, sign_in_burst=2)
    visitor = client(app)
    assert [(await visitor.post("/sign-in")).status_code == 429 for _ in range(3)] == [False, False, True]
    assert (await visitor.post("/api/login", json={})).status_code == 429
    assert (await visitor.get("/sign-in")).status_code != 429, "looking at the form is free"
    assert (await visitor.get("/sign-in/oidc/callback")).status_code == 429


# --- how large -------------------------------------------------------------------------------------------------------


async def test_each_limit_of_a_request_says_what_it_is(api: Any) -> None:
    many = {f"x-{number}": "1" for number in range(120)}
    for answer, status, code in (
        (await api.get("/systems", headers={"x-long": "a" * 40_000}), 431, "HEADERS_TOO_LARGE"),
        (await api.get("/systems", headers=many), 431, "HEADERS_TOO_LARGE"),
        (await api.get("/resources", params={"cel": "a" * 65_500}), 414, "PATH_TOO_LONG"),
        (await api.post("/systems", {"name": "s", "metadata": {"a": "b" * 300_000}}), 413, "TOO_LARGE"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert any(letter.isdigit() for letter in answer.json()["message"]), "it names the limit"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"name": "s", "metadata": {str(number): "" for number in range(1_001)}}, "metadata"),
        ({"name": "s", "metadata": {"k" * 501: ""}}, "metadata"),
        ({"name": "s", "metadata": {"k": "v" * 65_537}}, "metadata"),
        ({"name": "n" * 256}, "name"),
        ({"name": "s", "description": "d" * 20_001}, "description"),
    ],
)
async def test_texts_and_lists_have_limits_too(api: Any, body: Any, path: str) -> None:
    answer = await api.post("/systems", body)
    assert answer.status_code == 400 and answer.json()["details"][0]["path"].startswith(path), answer.text


def nested(levels: int) -> str:
    return '{"name": "n", "jobAgentConfig": ' + '{"a": [' * levels + "]}" * levels + "}"


async def test_what_is_nested_too_deep_is_refused_before_anything_reads_it(api: Any) -> None:
    headers = {"content-type": "application/json"}
    for levels, status in ((31, 202), (32, 400), (500, 400), (20_000, 400)):
        answer = await api.call("POST", "/deployments", content=nested(levels), headers=headers)
        assert answer.status_code == status, (levels, answer.text[:200])


@pytest.mark.parametrize("number", [2**53, -(2**60), 2**64, 5.2070818704876870e16, 1e300])
async def test_a_number_that_cannot_be_read_back_is_refused(api: Any, number: float) -> None:
    for config in ({"a": number}, {"a": [{"b": number}]}):
        answer = await api.post("/deployments", {"name": "d", "slug": "d", "jobAgentConfig": config})
        assert answer.status_code == 400 and "2^53" in answer.json()["message"], answer.text


async def test_a_number_that_can_be_is_kept(api: Any) -> None:
    config = {"a": 2**53 - 1, "b": -1.5, "c": "12345678901234567890", "d": 1e-30, "e1e9": 3.25}
    made = await api.post("/deployments", {"name": "d", "slug": "d", "jobAgentConfig": config})
    assert made.status_code == 202, made.text
    got = (await api.get(f"/deployments/{made.json()['id']}")).json()["deployment"]["jobAgentConfig"]
    assert got == config


async def test_a_head_that_does_not_end_is_hung_up_on(store: Any, settings: Settings) -> None:
    from interlock.app import build_app

    stop, ready = asyncio.Event(), asyncio.Event()
    bound = listen(settings.model_copy(update={"port": 0}))
    host, port = bound.getsockname()[:2]
    serving = asyncio.create_task(serve(build_app(store, settings), bound, stop=stop, on_ready=ready.set))
    try:
        await asyncio.wait_for(ready.wait(), 20)
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /api/healthz HTTP/1.1\r\nhost: x\r\nx-endless: ")
        sent = 0
        try:
            while sent < 4 * heads.HEAD_BYTES_MAX:
                writer.write(b"a" * 16_384)
                await writer.drain()
                sent += 16_384
                if reader.at_eof():
                    break
            answer = await asyncio.wait_for(reader.read(), 20)
        except ConnectionError:
            answer = b""
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431"), "and it did not wait for more"
        writer.close()
        async with httpx.AsyncClient(base_url=url_of(bound)) as plain:
            assert (await plain.get("/api/healthz")).json() == {"status": "ok"}
    finally:
        stop.set()
        await serving
