"""The error budget on a deployment's page: its class with a word, what is left, how fast it burns, how old that is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson

from interlock.console.budget import budget_of
from interlock.store.slos import SloReading, StoredSlo
from tests.console.conftest import OURS

NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
SPEC = {
    "target": 99.9,
    "windowDays": 30,
    "provider": {"type": "prometheus", "address": "http://prometheus"},
    "total": "requests[{{.window}}]",
    "bad": "errors[{{.window}}]",
    "intervalSeconds": 60,
    "minEvents": 20,
}
BURN = {"1h": 19.4, "5m": 22.0, "6h": 6.2, "30m": 20.0, "1d": 2.1, "2h": 11.0, "3d": 0.9}
SLO = StoredSlo(
    id="5c1f7a3e-0000-4000-8000-000000000001",
    workspace_id="5c1f7a3e-0000-4000-8000-000000000002",
    name="availability",
    description=None,
    spec=SPEC,
    interval_s=60,
    deployment_ids=(),
    selector=None,
    revision=1,
    created_at=NOW,
    updated_at=NOW,
    budget="fast_burn",
    why="It burns 19.4 times as fast as it may.",
    since=NOW,
    observed_at=NOW - timedelta(seconds=40),
    fresh_until=NOW + timedelta(minutes=2),
    remaining=0.38,
    burn=BURN,
    firing=("page, fast",),
    empty_at=NOW + timedelta(hours=14),
    read_at=NOW,
    next_at=NOW,
)


def readings(*budgets):
    begun = NOW - timedelta(hours=len(budgets))
    return [
        SloReading(begun + timedelta(hours=number), budget, remaining, {"1h": 1.0, "3d": 0.5}, None)
        for number, (budget, remaining) in enumerate(budgets)
    ]


def test_a_burning_budget_says_what_is_left_and_which_windows_fire():
    shown = budget_of(SLO, readings(("healthy", 0.7), ("unknown", None), ("fast_burn", 0.38)), now=NOW)
    assert (shown.mark, shown.word, shown.left, shown.age) == ("halted", "fast burn", "38 %", "40 s")
    assert [(pair.windows, pair.fires, pair.makes) for pair in shown.pairs[:2]] == [
        ("1h, 5m", True, "fast burn"),
        ("6h, 30m", False, "fast burn"),
    ]
    assert shown.pairs[0].burns == [19.4, 22.0]
    left, burn = (orjson.loads(chart.series) for chart in shown.charts)
    assert left["lines"][0]["values"] == [0.7, None, 0.38]
    assert left["status"] == ["passed", "errored", "passed"]
    assert burn["lines"][0]["values"] == [1.0, None, 1.0]


def test_a_signal_that_is_too_old_is_unknown_whatever_it_said():
    late = NOW + timedelta(hours=3)
    shown = budget_of(replace(SLO, budget="healthy"), readings(("healthy", 0.9)), now=late)
    assert (shown.mark, shown.word, shown.left, shown.stale) == ("unknown", "unknown", None, True)
    assert all(burn is None for pair in shown.pairs for burn in pair.burns)
    assert orjson.loads(shown.charts[0].series)["lines"][0]["values"] == [0.9, None]


def test_what_was_never_read_has_no_chart():
    shown = budget_of(replace(SLO, budget="unknown", remaining=None, burn={}, observed_at=None), [], now=NOW)
    assert (shown.word, shown.left, shown.age, shown.charts) == ("unknown", None, None, [])


def test_a_budget_that_is_overspent_is_drawn_with_the_line_where_it_ended():
    shown = budget_of(replace(SLO, budget="exhausted", remaining=-0.2), readings(("exhausted", -0.2)), now=NOW)
    assert (shown.word, shown.left) == ("exhausted", "-20 %")
    assert orjson.loads(shown.charts[0].series)["thresholds"] == [{"value": 0.0, "says": "exhausted", "good": False}]


async def test_a_deployment_shows_the_budgets_of_its_objectives(visitor, world, store):
    async with store.tx(actor=OURS, cause="test", workspace_id=world.workspace_id) as tx:
        await tx.conn.execute(
            "INSERT INTO slo (id, workspace_id, name, spec, interval_s, budget, why, remaining, burn, observed_at, "
            "fresh_until) VALUES ($1, $2, 'availability <b>', $3, 60, 'low', 'Little is left.', 0.08, $4, now(), "
            "now() + interval '1 h')",
            SLO.id,
            world.workspace_id,
            SPEC,
            BURN,
        )
        await tx.conn.execute("INSERT INTO slo_cover VALUES ($1, $2)", SLO.id, world.deployment_id)
        await tx.conn.execute(
            "INSERT INTO slo_reading (slo_id, at, budget, remaining, burn) VALUES ($1, now(), 'low', 0.08, $2)",
            SLO.id,
            BURN,
        )
    page = (await (await visitor()).get(world.at("deployments", "shop-api"))).text
    assert "availability &lt;b&gt;" in page
    assert '<b class="left">8 %</b> of the budget is left' in page
    assert "Little is left." in page
    assert page.count("<metric-chart") == 2
    async with store.tx(actor=OURS, cause="test", workspace_id=world.workspace_id) as tx:
        await tx.conn.execute(
            "UPDATE slo SET budget = 'exhausted', remaining = -1, empty_at = now(), why = 'Spent.' WHERE id = $1",
            SLO.id,
        )
    spent = (await (await visitor("vic")).get(world.at("deployments", "shop-api"))).text
    assert '<b class="left">Nothing</b> of the budget is left' in spent
    assert "at this pace" not in spent, "what is used up already is not used up later"
