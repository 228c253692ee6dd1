"""A fast burn pauses a rollout halfway, and it goes on after the recovery: over REST, with real workers and PostgreSQL.

The same story as examples/scenarios/a-fast-burn.yaml tells on the virtual clock. Here the database's clock is set
forward where the story waits: the objective is read, the rollout's next target is due, and five minutes are clear.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from api.story import World, until, working
from interlock.agents.test_runner import TestRunnerAgent
from interlock.clock import utc_now
from interlock.outside.loopback import Answer, Call, LoopbackServer, serving
from interlock.outside.secrets import Keyring
from interlock.settings import Settings
from interlock.store.tx import Store

TEST_KEY = "t2KcBzF3bXq0i4mWb6u1x6m0b3kqk5e8yVwzH0nq1nE="
SHORT = {"5m", "30m", "1h"}
"""The windows in which a burn of a few minutes shows most."""


class Clock:
    """The time, and so much more."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


class Prometheus:
    """Requests of a service; while it burns, a third of those of the last hour went wrong."""

    def __init__(self) -> None:
        self.burns = False
        self.server = LoopbackServer()
        self.server.on("POST", "/api/v1/query", self.answer)

    def answer(self, call: Call) -> Answer:
        query = parse_qs(call.raw.decode())["query"][0]
        (window,) = re.findall(r"\[(\w+)\]", query)
        part = 1.0 if "bad" not in query else 0.03 if self.burns and window in SHORT else 0.0001
        result = [{"metric": {}, "value": [1, str(1_000_000 * part)]}]
        return 200, {"status": "success", "data": {"resultType": "vector", "result": result}}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(database_url: str, clock: Clock) -> AsyncIterator[Store]:
    opened = await Store.open(database_url, clock=clock, keyring=Keyring([TEST_KEY]))
    yield opened
    await opened.close()


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(
        data=tmp_path,
        rate_per_s=0,
        stranger_rate_per_s=0,
        sign_in_rate_per_s=0,
        allow_private_addresses=True,
        work_poll_s=0.1,
    )


RULES: list[dict[str, Any]] = [
    {"errorBudget": {}},
    {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 600}},
]


class Story:
    """A shop with an objective, and a clock that can be set forward."""

    def __init__(self, world: World, clock: Clock, slo_id: str) -> None:
        self.world, self.clock, self.slo_id = world, clock, slo_id

    async def status(self) -> dict[str, Any]:
        return dict((await self.world.api.get(f"/slos/{self.slo_id}")).json()["status"])

    async def later(self, seconds: float) -> str:
        """Let time pass, and the objective be read after it. Gives its class."""
        self.clock.ahead += timedelta(seconds=seconds)
        passed_at = self.clock()

        async def is_read() -> Any:
            status = await self.status()
            at = datetime.fromisoformat(status["readAt"]) if "readAt" in status else None
            return status if at is not None and at >= passed_at else None

        return str((await until(is_read, "nobody reads the objective"))["budget"])

    async def halfway(self, tag: str) -> str:
        """Wait until one host of production runs a version. Gives the other one."""

        async def found() -> Any:
            running = await self.world.running()
            rest = [name for name in ("p-1", "p-2") if running[name] != tag]
            return rest if len(rest) == 1 else None

        (other,) = await until(found, f"{tag} never begins")
        return str(other)

    async def runs(self, **tags: str) -> None:
        """Wait until the hosts of production run this."""

        async def found() -> bool:
            running = await self.world.running()
            return all(running[name.replace("_", "-")] == tag for name, tag in tags.items())

        await until(found, f"they never run {tags}")


async def test_a_fast_burn_pauses_a_rollout_halfway_and_it_goes_on_after_the_recovery(
    api: Any, store: Store, settings: Settings, clock: Clock
) -> None:
    prometheus, agents = Prometheus(), {"test-runner": TestRunnerAgent(now=clock)}
    async with serving(prometheus.server), working(store, settings, agents=agents):
        world = await World(api).build(agent_type="test-runner", config={"delaySeconds": 0}, rules=[])
        body = {
            "name": "checkout",
            "target": 99.9,
            "windowDays": 30,
            "provider": {"type": "prometheus", "address": prometheus.server.url},
            "total": "sum(increase(requests_total[{{.window}}]))",
            "bad": "sum(increase(bad_total[{{.window}}]))",
            "intervalSeconds": 10,
            "selector": "true",
        }
        made = await api.post("/slos", body)
        assert made.status_code == 201, made.text
        story = Story(world, clock, made.json()["id"])
        assert await story.later(0) == "healthy"
        await world.version("1.0.0")
        await story.runs(p_1="1.0.0", p_2="1.0.0")
        policy = {"name": "careful", "selector": "environment.name == 'production'", "rules": RULES}
        assert (await api.post("/policies", policy)).status_code == 202

        await world.version("1.1.0")
        second = await story.halfway("1.1.0")
        prometheus.burns = True
        assert await story.later(61) == "fast_burn"
        assert [await story.later(240) for _ in range(3)] == ["fast_burn"] * 3  # the second has long been due

        async def held() -> Any:
            listed = (await api.get("/release-targets")).json()["items"]
            found = next(one for one in listed if one["resource"]["name"] == second)
            return "is fast burn" in found.get("reason", "")

        await until(held, "nothing says that it waits for the budget")
        assert (await world.running())[second] == "1.0.0"

        prometheus.burns = False
        assert await story.later(61) == "fast_burn", "it must be clear for five minutes first"
        assert await story.later(200) == "fast_burn"
        assert (await world.running())[second] == "1.0.0"
        assert await story.later(101) == "healthy"
        await story.runs(p_1="1.1.0", p_2="1.1.0")
        told = await world.ledger()
        classes = [one["body"]["to"] for one in told if one["kind"] == "slo.class_changed"]
        assert sorted(classes) == ["fast_burn", "healthy", "healthy"]
        of_rollout = {
            one["kind"] for one in told if one["kind"].startswith("rollout.") and one["body"].get("version") == "1.1.0"
        }
        assert of_rollout == {"rollout.opened", "rollout.completed"}, "nobody had to resume it"
