"""Do objectives work over REST: read from a real provider, told in the ledger, and acted on by the rule?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import pytest

from api.story import World, until
from interlock.agents.loopback import Answer, Call, LoopbackServer, serving
from interlock.settings import Settings

BUDGET = {"errorBudget": {}}


class Prometheus:
    """Answers every query at once: so many requests, of which a part is bad."""

    def __init__(self) -> None:
        self.bad_part = 0.0
        self.status = 200
        self.queries: list[str] = []
        self.server = LoopbackServer()
        self.server.on("POST", "/api/v1/query", self.answer)

    def answer(self, call: Call) -> Answer:
        query = parse_qs(call.raw.decode())["query"][0]
        self.queries.append(query)
        number = 1_000_000 * (self.bad_part if "bad" in query else 1.0)
        result = [{"metric": {}, "value": [1, str(number)]}]
        return self.status, {"status": "success", "data": {"resultType": "vector", "result": result}}

    @property
    def url(self) -> str:
        return self.server.url


@pytest.fixture
async def prometheus() -> AsyncIterator[Prometheus]:
    made = Prometheus()
    async with serving(made.server):
        yield made


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(
        data=tmp_path, rate_per_s=0, stranger_rate_per_s=0, sign_in_rate_per_s=0, allow_private_addresses=True
    )


def a_body(prometheus: Prometheus, **more: Any) -> dict[str, Any]:
    return {
        "name": "checkout-availability",
        "target": 99.9,
        "windowDays": 30,
        "provider": {"type": "prometheus", "address": prometheus.url},
        "total": "sum(increase(requests_total[{{.window}}]))",
        "bad": "sum(increase(bad_total[{{ window }}]))",
        "selector": 'deployment.name.startsWith("shop")',
        **more,
    }


async def status_of(api: Any, slo: dict[str, Any]) -> dict[str, Any]:
    answer = await api.get(f"/slos/{slo['id']}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["status"])


async def until_it_is(api: Any, slo: dict[str, Any], budget: str) -> dict[str, Any]:
    async def is_there() -> Any:
        status = await status_of(api, slo)
        return status if status["budget"] == budget and "readAt" in status else None

    return dict(await until(is_there, f"it never is {budget}"))


async def test_an_objective_is_read_and_a_fast_burn_holds_what_is_no_fix(
    api: Any, workers: None, prometheus: Prometheus
) -> None:
    world = await World(api).build(agent_type="test-runner", config={"delaySeconds": 0}, rules=[BUDGET])
    made = await api.post("/slos", a_body(prometheus))
    assert made.status_code == 201, made.text
    slo = made.json()
    assert [each["name"] for each in slo["covers"]] == ["shop-api"]
    assert slo["thresholds"][0] == {
        "name": "page, fast", "long": "1h", "short": "5m", "factor": 14.4, "makes": "fast_burn"
    }  # fmt: skip
    status = await until_it_is(api, slo, "healthy")
    assert status["remaining"] == 1.0 and status["burn"]["5m"] == 0.0 and status["ageSeconds"] >= 0
    assert {"sum(increase(requests_total[30d]))", "sum(increase(bad_total[5m]))"} <= set(prometheus.queries)
    await world.version("1.0.0")

    async def runs(tag: str) -> Any:
        return set((await world.running()).values()) == {tag}

    await until(lambda: runs("1.0.0"), "1.0.0 did not go out")
    prometheus.bad_part = 0.0209
    changed = await api.put(f"/slos/{slo['id']}", a_body(prometheus, minEvents=101))
    assert changed.status_code == 200, changed.text
    await until_it_is(api, slo, "exhausted")
    await world.version("1.1.0")

    async def holds() -> Any:
        listed = (await api.get("/release-targets")).json()["items"]
        found = {each["resource"]["name"]: each for each in listed}
        return "exhausted (2090% used)" in found["p-1"].get("reason", "") and (await world.running())["s-1"] == "1.1.0"

    await until(holds, "nothing holds 1.1.0")
    assert (await world.running())["p-1"] == "1.0.0"
    fix = {"tag": "1.1.1", "status": "ready", "metadata": {"interlock/change-type": "fix"}}
    assert (await api.post(f"/deployments/{world.ids['deployment']}/versions", fix)).status_code == 200
    await until(lambda: runs("1.1.1"), "the fix did not go out")

    async def told() -> Any:
        events = (await api.get(f"/ledger?subject=slo:{slo['id']}")).json()["items"]
        return events if [each["body"]["to"] for each in events if each["kind"] == "slo.class_changed"] else None

    events = await until(told, "the ledger does not tell")
    changes = [each["body"] for each in events if each["kind"] == "slo.class_changed"]
    assert {(one["from"], one["to"]) for one in changes} == {("unknown", "healthy"), ("healthy", "exhausted")}
    chart = (await api.get(f"/slos/{slo['name']}/readings")).json()
    assert next(each["budget"] for each in chart["items"]) == "healthy"
    assert chart["items"][-1]["budget"] == "exhausted" and chart["items"][-1]["burn"]["1h"] == pytest.approx(20.9)
    prometheus.status = 500
    assert (await api.put(f"/slos/{slo['id']}", a_body(prometheus, minEvents=100))).status_code == 200
    status = await until_it_is(api, slo, "unknown")
    assert "500" in status["why"] and "remaining" not in status
    listed = (await api.get("/slos", params={"deploymentId": "shop-api"})).json()
    assert [each["id"] for each in listed["items"]] == [slo["id"]]
    gone = await api.delete(f"/slos/{slo['id']}")
    assert gone.status_code == 200 and (await api.get(f"/slos/{slo['id']}")).status_code == 404


REFUSED = [
    ({"target": 100}, "target"),
    ({"target": 0}, "target"),
    ({"target": 0.999}, "target"),
    ({"target": 99.99999}, "target"),
    ({"windowDays": 3}, "windowDays"),
    ({"windowDays": 365}, "windowDays"),
    ({"windowDays": 28.5}, "windowDays"),
    ({"intervalSeconds": 1}, "intervalSeconds"),
    ({"minEvents": 0}, "minEvents"),
    ({"provider": {"type": "sleep"}}, "provider.type"),
    ({"provider": {"type": "prometheus"}}, "provider.address"),
    ({"provider": {"type": "prometheus", "address": "http://x", "burn": 1}}, "provider.burn"),
    ({"bad": None}, "good"),
    ({"good": "sum(x)"}, "good"),
    ({"total": ""}, "total.query"),
    ({"total": {"query": "sum(x)", "value": "result.value >"}}, "total.value"),
    ({"total": {"query": "sum(x)", "window": "5m"}}, "total.window"),
    ({"bad": "sum(x[{{ window }])"}, "query"),
    ({"bad": {"query": "x", "provider": {"type": "http"}}}, "bad.provider.type"),
    ({"provider": {"type": "http", "url": "http://x/{{.window}}"}, "total": {"provider": {}}}, "total.value"),
    ({"selector": None}, "deployments"),
    ({"selector": "deployment.nam == 'x'"}, "selector"),
    ({"deployments": ["nobody"]}, "deployments[0]"),
    ({"name": " "}, "name"),
    ({"budget": 1}, "budget"),
]


async def test_every_bad_field_is_refused_by_its_name(api: Any, prometheus: Prometheus, counted: Any) -> None:
    before = await counted()
    for wrong, names in REFUSED:
        body = {key: value for key, value in a_body(prometheus, **wrong).items() if value is not None}
        refused = await api.post("/slos", body)
        assert refused.status_code == 400, (wrong, refused.text)
        assert names in refused.text, (wrong, refused.text)
    assert await counted() == before


async def test_who_may_not_write_objectives_may_read_them_without_their_secrets(
    api: Any, prometheus: Prometheus, key_of: Any, client_of: Any
) -> None:
    provider = {"type": "prometheus", "address": prometheus.url, "authentication": {"bearerToken": "hush-hush"}}
    body = a_body(prometheus, provider=provider)
    made = await api.post("/slos", body)
    assert made.status_code == 201 and made.json()["provider"] == provider
    assert (await api.post("/slos", body)).status_code == 409
    developer = client_of(await key_of("dev", "developer"))
    path = f"/api/v1/workspaces/{api.workspace}/slos"
    assert (await developer.post(path, json=body)).status_code == 403
    seen = await developer.get(path)
    assert seen.status_code == 200 and "hush-hush" not in seen.text
    marks = {key: value for key, value in seen.json()["items"][0].items() if key in body}
    kept = await api.put(f"/slos/{made.json()['id']}", {**body, "provider": marks["provider"]})
    assert kept.status_code == 200 and kept.json()["provider"] == provider
