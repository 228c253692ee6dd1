"""How does a reading become a fact? Another class is told to everybody covered, a reading to nobody; on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from interlock.judge.budget import Events, Reading
from interlock.judge.slo import parse_slo
from interlock.model.ids import new_id
from interlock.store.deletions import delete_deployment
from interlock.store.deployments import save_deployment
from interlock.store.replay import replay
from interlock.store.slos import (
    Read,
    SloContent,
    delete_slo,
    find_due_slo,
    list_readings,
    record_reading,
    save_slo,
    thin_readings,
)
from tests.store.fleet import Stepper, a_deployment, a_fleet, load
from worlds import a_fleet as a_world

SPEC = {
    "target": 99.0,
    "windowDays": 30,
    "provider": {"type": "prometheus", "address": "http://127.0.0.1:9"},
    "total": "t",
    "bad": "b",
    "intervalSeconds": 60,
    "minEvents": 100,
}
PAGED = {"5m": 0.2, "1h": 0.2}
MINUTE = timedelta(minutes=1)


def an_slo(**more):
    return SloContent("checkout", None, SPEC, 60, more.pop("deployments", ()), more.pop("selector", None))


async def saved(fleet, **more):
    async with fleet.tx() as tx:
        return await save_slo(tx, fleet.workspace_id, content=an_slo(**more), before=None)


async def read(fleet, slo, *, bad=None, at=None, error=None, newest_at=None):
    """A reading in which each window of `bad` has that part of bad events."""
    async with fleet.store.read() as conn:
        due = await find_due_slo(conn, slo.id)
        now = at or due.next_at
    spec = parse_slo(SPEC)
    words = {"5m": MINUTE * 5, "1h": MINUTE * 60, "30d": timedelta(days=30)}
    events = {window: Events(1000 * (bad or {}).get(word, 0.0), 1000.0) for word, window in words.items()}
    reading = Reading({} if error else events, newest_at or now, error)
    asked = {} if error else {window: (one, now) for window, one in events.items()}
    async with fleet.tx("slo") as tx:
        return await record_reading(tx, due, spec=spec, read=Read(reading, asked), now=now)


async def fences(fleet, deployment_id=None):
    async with fleet.store.read() as conn:
        query = "SELECT generation, fence FROM deployment WHERE id = $1"
        return tuple(await conn.fetchrow(query, deployment_id or fleet.deployment_id))


async def standing(fleet, slo):
    async with fleet.store.read() as conn:
        return await conn.fetchrow("SELECT * FROM slo WHERE id = $1", slo.id)


@pytest.fixture
async def fleet(store):
    made = await a_fleet(store, {"one": "prod"})
    await made.policy("budget", [{"errorBudget": {}}])
    return made


async def test_only_another_class_is_told_to_those_covered(store, fleet, tmp_path):
    other = await fleet.deployment("web")
    slo = await saved(fleet, deployments=["shop-api"])
    before, beside = await fences(fleet), await fences(fleet, other)
    await read(fleet, slo)
    told = await fences(fleet)
    assert told == (before[0] + 1, before[1]), "from unknown to healthy takes nothing away"
    assert await fleet.is_due("round", fleet.deployment_id)
    await read(fleet, slo, bad={"5m": 0.001})
    assert await fences(fleet) == told, "a reading asks for nothing"
    await read(fleet, slo, bad=PAGED)
    assert await fences(fleet) == (told[0] + 1, told[1] + 1)
    assert await fences(fleet, other) == beside
    row = await standing(fleet, slo)
    assert (row["budget"], row["firing"]) == ("fast_burn", ["page, fast", "page, slow"][: len(row["firing"])])
    kinds = [kind for kind in await fleet.told() if kind.startswith("slo.")]
    assert kinds == ["slo.created", "slo.cover_changed", "slo.class_changed", "slo.class_changed"]


async def test_a_reading_after_the_last_one_got_too_old_is_told_though_its_class_is_the_same(store, fleet):
    slo = await saved(fleet, deployments=["shop-api"])
    at = (await standing(fleet, slo))["next_at"] - timedelta(minutes=6)
    await read(fleet, slo, at=at)
    before = await fences(fleet)
    await read(fleet, slo, at=at + timedelta(minutes=6))
    assert await fences(fleet) == (before[0] + 1, before[1]), "whoever saw it unknown meanwhile looks again"
    async with store.read() as conn:
        query = "SELECT body FROM ledger WHERE kind = 'slo.class_changed' ORDER BY id DESC LIMIT 1"
        assert b'"from":"unknown"' in await conn.fetchval(query)
        lane = await conn.fetchval("SELECT lane FROM work WHERE kind = 'slo' AND key = $1", slo.id)
    assert lane == "prometheus http://127.0.0.1:9", "a server that hangs holds up its own alone"


async def test_a_class_is_left_when_it_was_clear_for_its_short_window_also_over_a_gap(store, fleet):
    slo = await saved(fleet, deployments=["shop-api"])
    start = (await standing(fleet, slo))["next_at"]
    await read(fleet, slo, bad=PAGED, at=start)
    await read(fleet, slo, at=start + MINUTE)
    assert (await standing(fleet, slo))["budget"] == "fast_burn"
    await read(fleet, slo, error="gone", at=start + 2 * MINUTE)
    assert (await standing(fleet, slo))["budget"] == "unknown"
    await read(fleet, slo, at=start + 3 * MINUTE)
    assert (await standing(fleet, slo))["budget"] == "fast_burn", "nobody saw that it was clear meanwhile"
    await read(fleet, slo, at=start + 7 * MINUTE)
    assert (await standing(fleet, slo))["budget"] == "fast_burn"
    await read(fleet, slo, at=start + 9 * MINUTE)
    assert (await standing(fleet, slo))["budget"] == "healthy"


async def test_errors_come_later_and_later_on_the_same_grid_and_a_success_ends_that(store, fleet):
    slo = await saved(fleet, deployments=["shop-api"])
    at = (await standing(fleet, slo))["next_at"]
    waits = []
    for _ in range(6):
        again = await read(fleet, slo, error="gone", at=at)
        waits.append((again - at) / MINUTE)
        at = again
    assert waits == [1, 2, 4, 8, 10, 10]
    assert await read(fleet, slo, at=at) == at + MINUTE
    late = at + MINUTE * 3.5
    assert await read(fleet, slo, at=late) == at + 4 * MINUTE, "a late worker does not shift the grid"


async def test_a_reading_of_what_changed_meanwhile_is_dropped(store, fleet):
    slo = await saved(fleet, deployments=["shop-api"])
    async with store.read() as conn:
        due = await find_due_slo(conn, slo.id)
    async with fleet.tx() as tx:
        await save_slo(tx, fleet.workspace_id, content=replace(an_slo(), selector="true"), before=slo)
    async with fleet.tx("slo") as tx:
        late = Read(Reading({}, None, "gone"), {})
        assert await record_reading(tx, due, spec=parse_slo(SPEC), read=late, now=due.next_at) is None
    assert (await standing(fleet, slo))["read_at"] is None


async def test_a_selector_follows_the_deployments_as_they_come_change_and_go(store, fleet, tmp_path):
    stepper = Stepper(store, tmp_path)
    slo = await saved(fleet, selector='deployment.metadata["slo"] == "checkout"')
    labelled = {"metadata": {"slo": "checkout", "interlock/tier": "1"}}

    async def covers():
        await stepper.run(kinds=["match"])
        async with store.read() as conn:
            query = "SELECT d.name FROM slo_cover c JOIN deployment d ON d.id = c.deployment_id WHERE c.slo_id = $1"
            return sorted(row["name"] for row in await conn.fetch(query, slo.id))

    async def write(deployment_id, name, **more):
        async with fleet.tx() as tx:
            await save_deployment(tx, fleet.workspace_id, **{**a_deployment(deployment_id, name), **more})

    assert await covers() == []
    new = new_id()
    await write(new, "web", **labelled)
    assert await covers() == ["web"]
    before = await fences(fleet)
    await write(fleet.deployment_id, "shop-api", **labelled)
    assert await covers() == ["shop-api", "web"]
    assert (await fences(fleet))[1] > before[1], "tier and cover may take something away"
    assert (await load(store, fleet.deployment_id)).facts.tier == "1"
    await write(new, "web")
    assert await covers() == ["shop-api"]
    async with fleet.tx() as tx:
        await delete_deployment(tx, fleet.workspace_id, deployment_id=fleet.deployment_id)
    assert await covers() == []


async def test_what_was_read_is_in_the_facts_of_the_round_and_is_decided_again(store, fleet, tmp_path):
    stepper = Stepper(store, tmp_path)
    slo = await saved(fleet, deployments=["shop-api"])
    await read(fleet, slo, bad=PAGED)
    await fleet.version("1.0.0")
    await stepper.run(kinds=["round", "dispatch", "observe", "match", "wake"])
    assert await fleet.where() == {"one": None}
    (budget,) = (await load(store, fleet.deployment_id)).facts.budgets
    assert (budget.budget, budget.name, budget.burn["1h"]) == ("fast_burn", "checkout", pytest.approx(20))
    assert budget.fresh_until == budget.observed_at + timedelta(minutes=5)
    async with store.read() as conn:
        query = "SELECT id::text FROM decision WHERE deployment_id = $1 ORDER BY at DESC LIMIT 1"
        again = await replay(conn, fleet.workspace_id, wanted_id=await conn.fetchval(query, fleet.deployment_id))
    assert again.agrees and "fast burn" in str(again.decision)


async def test_an_objective_that_goes_is_told_to_those_that_it_covered(store, fleet):
    slo = await saved(fleet, selector="true")
    await read(fleet, slo)
    before = await fences(fleet)
    async with fleet.tx() as tx:
        await delete_slo(tx, fleet.workspace_id, slo_id=slo.id)
    assert await fences(fleet) == (before[0] + 1, before[1] + 1)
    assert (await load(store, fleet.deployment_id)).facts.budgets == ()


async def test_a_month_of_readings_is_thinned_and_changes_of_class_stay(store, fleet):
    slo = await saved(fleet, deployments=["shop-api"])
    async with store.read() as conn:
        await conn.execute(
            "INSERT INTO slo_reading (slo_id, at, budget) SELECT $1, interlock_now() - n * interval '1 minute', "
            "CASE WHEN n BETWEEN 20003 AND 20007 THEN 'fast_burn' ELSE 'healthy' END FROM generate_series(1, 43200) n",
            slo.id,
        )
        thinned = await thin_readings(conn)
        left = 43200 - thinned
        assert 900 < left < 1500, left
        assert await thin_readings(conn) <= 2, "what stays once stays"
        now = await conn.fetchval("SELECT interlock_now()")
        chart = await list_readings(conn, slo.id, since=now - timedelta(days=31), until=now, most=200)
        changes = await conn.fetchval(
            "SELECT count(*) FROM slo_reading WHERE slo_id = $1 AND budget = 'fast_burn'", slo.id
        )
    assert 100 <= len(chart) <= 201 and chart[-1].at > now - 2 * MINUTE
    assert changes >= 1


async def test_the_world_in_memory_hears_of_it_as_the_store_does(store, fleet):
    slo = await saved(fleet, deployments=["shop-api"])
    world = a_world({"production": ["p"]}, {"budget": (["production"], [{"errorBudget": {}}])})
    world.read_budget("checkout", "unknown")
    at = (await standing(fleet, slo))["next_at"]
    for step, bad in enumerate((0, 0, 0.2, "gone", 0.2, 0, 0, "gone", 0, 0, 0.04, 0.04, 0)):
        before, known = await fences(fleet), (world.facts.generation, world.facts.fence)
        at += timedelta(hours=7) if step % 3 == 2 else MINUTE
        gone = bad == "gone"
        part = dict.fromkeys(("5m", "1h"), 0.0 if gone else bad)
        await read(fleet, slo, bad=part, error="gone" if gone else None, at=at)
        (stored,) = (await load(store, fleet.deployment_id)).facts.budgets
        world.now = max(world.now, at)
        world.read_budget("checkout", stored.budget, remaining=stored.remaining, fresh_for=timedelta(days=9))
        after = await fences(fleet)
        said = (after[0] - before[0], after[1] - before[1])
        assert said == (world.facts.generation - known[0], world.facts.fence - known[1]), (step, stored.budget)
        (mine,) = world.snapshot().budgets
        assert (mine.remaining, mine.observed_at is None) == (stored.remaining, stored.observed_at is None)
