"""What does an answer say of an objective? Asked over every window, each when it is due, of a provider on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from interlock.agents.loopback import Answer, Call, LoopbackServer, serving
from interlock.judge.budget import BudgetClass, read_budget
from interlock.judge.slo import parse_slo, window_word
from interlock.metrics import build_metrics
from interlock.metrics.objectives import Answer as Answered
from interlock.metrics.objectives import ask_objective, due_windows
from interlock.outside.http import Http

NOW = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
WORDS = ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"]
NOTHING = Answered()


class Told(LoopbackServer):
    """Says of each query what `told` has: a number as text, None for no series, or a status and a body."""

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[str, Any] = {}
        self.asked: list[str] = []
        self.on("POST", "/api/v1/query", self.prometheus)
        self.on("GET", "/slo", self.http)

    def prometheus(self, call: Call) -> Answer:
        query = parse_qs(call.raw.decode())["query"][0]
        self.asked.append(query)
        said = self.told.get(query, self.told.get(query.partition("[")[0]))
        if isinstance(said, tuple):
            return said
        result = [] if said is None else [{"metric": {}, "value": [1, said]}]
        return 200, {"status": "success", "data": {"resultType": "vector", "result": result}}

    def http(self, call: Call) -> Answer:
        self.asked.append(call.query["w"])
        return 200, {"good": 990, "total": 1000}


@pytest.fixture
async def told() -> AsyncIterator[Told]:
    async with serving(Told()) as server:
        yield server


async def ask(told: Told, before: Answered = NOTHING, *, now: datetime = NOW, **spec: Any) -> Answered:
    body = {"target": 99, "provider": {"type": "prometheus", "address": told.url}, "total": "t[{{.window}}]"}
    body |= {"bad": "b[{{ window }}]"} | spec
    async with Http(allow_private_addresses=True) as http:
        return await ask_objective(
            parse_slo({key: value for key, value in body.items() if value is not None}),
            before,
            name="checkout",
            metrics=build_metrics(http),
            now=now,
            timeout_s=5,
        )


async def test_every_window_is_asked_once_a_side_and_the_burn_follows(told):
    told.told = {"t": "1000", "b": "20"}
    answer = await ask(told)
    assert sorted(told.asked) == sorted(f"{side}[{word}]" for side in "tb" for word in WORDS)
    assert answer.error is None and answer.newest_at == NOW
    assert {window_word(window) for window in answer.asked} == set(WORDS)
    spec = parse_slo({"target": 99, "provider": {"type": "http"}, "total": "1", "good": "1"})
    budget = read_budget(spec.objective, answer.reading, now=NOW)
    assert budget.kind is BudgetClass.EXHAUSTED and budget.burn[timedelta(hours=1)] == pytest.approx(2)


async def test_good_events_are_counted_as_well_and_one_answer_may_hold_both(told):
    told.told = {"t": "1000", "b": "980"}
    answer = await ask(told, bad=None, good="b[{{.window}}]")
    assert {one.events.bad for one in answer.asked.values()} == {20}
    told.asked.clear()
    provider = {"type": "http", "url": f"{told.url}/slo?w={{{{.windowSeconds}}}}"}
    answer = await ask(told, provider=provider, bad=None, total="result.json.total", good="result.json.good")
    assert answer.error is None and {one.events.bad for one in answer.asked.values()} == {10}
    assert sorted(map(int, told.asked)) == [300, 1800, 3600, 7200, 21600, 86400, 259200, 2592000]


async def test_long_windows_are_asked_again_when_a_hundredth_has_passed_and_a_quarter_of_an_hour_at_most(told):
    told.told = {"t": "1000", "b": "0"}
    first = await ask(told)
    spec = parse_slo({"target": 99, "provider": {"type": "http"}, "total": "1", "good": "1"})
    due = {minutes: due_windows(spec, first.asked, NOW + timedelta(minutes=minutes)) for minutes in (0, 1, 4, 14, 15)}
    assert {minutes: len(windows) for minutes, windows in due.items()} == {0: 0, 1: 3, 4: 5, 14: 5, 15: 8}
    told.asked.clear()
    again = await ask(told, first, now=NOW + timedelta(minutes=1))
    assert sorted(told.asked) == sorted(f"{side}[{word}]" for side in "tb" for word in WORDS[:3])
    assert again.newest_at == NOW + timedelta(minutes=1) and len(again.asked) == len(WORDS)


async def test_no_traffic_in_the_shortest_window_leaves_the_newest_sample_where_it_was(told):
    told.told = {"t": "1000", "b": "0", "t[5m]": None}
    before = Answered(newest_at=NOW - timedelta(minutes=4))
    answer = await ask(told, before)
    assert answer.error is None and answer.newest_at == NOW - timedelta(minutes=4)
    assert "b[5m]" not in told.asked, "nobody is asked what was bad of nothing"
    assert (await ask(told)).newest_at is None


ERRORS = [
    ("no bad series", {"t": "1000"}, "no number of bad events; where there may be none, write `or vector(0)`"),
    ("not a number", {"t": "1000", "b": "NaN"}, "no number of bad events"),
    ("more bad than all", {"t": "1000", "b": "2000"}, "2000 bad events of 1000 cannot be"),
    ("below nothing", {"t": "1000", "b": "-1"}, "is below 0"),
    ("a refusal", {"t": (400, {"status": "error", "error": "parse error"})}, "parse error"),
    ("an outage", {"t": (503, b"gone")}, "503"),
    ("no JSON", {"t": (200, b"<html>")}, "200"),
]


@pytest.mark.parametrize(("said", "error"), [one[1:] for one in ERRORS], ids=[one[0] for one in ERRORS])
async def test_what_cannot_be_told_is_an_error_and_never_a_healthy_reading(told, said, error):
    told.told = said
    answer = await ask(told, Answered(newest_at=NOW))
    assert error in (answer.error or ""), answer.error
    spec = parse_slo({"target": 99, "provider": {"type": "http"}, "total": "1", "good": "1"})
    assert read_budget(spec.objective, answer.reading, now=NOW).kind is BudgetClass.UNKNOWN


async def test_a_provider_that_is_not_there_is_an_error_with_its_reason(told):
    answer = await ask(told, provider={"type": "prometheus", "address": "http://127.0.0.1:9"})
    assert answer.error
