"""Do the pages that look ahead say when targets could start, and what a policy would change?"""

from __future__ import annotations

from interlock.store.tx import Store
from interlock.store.work import claim_work
from interlock.workers.what_if import WhatIfs


async def answer_all(store: Store) -> None:
    async with store.read() as conn:
        claims = await claim_work(conn, ["what_if"], items_max=10, owner="test", lease_s=30.0)
    for claim in claims:
        await WhatIfs(store, 50_000).answer(claim)


async def test_the_forecast_draws_each_target_and_says_what_keeps_it(visitor, world):
    ada = await visitor("ada", "admin")
    page = await ada.get(world.at("deployments", "shop-api", "forecast"))
    assert page.status_code == 200
    assert "Forecast of" in page.text and "1.1.0" in page.text
    assert "Taken as answered: It has 0 of 1 approvals" in page.text
    assert "prod-eu-1" in page.text and "runs it already" in page.text and '<svg class="bar"' in page.text
    assert world.at("deployments", "shop-api", "forecast") in (await ada.get(world.at("deployments", "shop-api"))).text
    none = await ada.get(world.at("deployments", "shop-api", "forecast") + "?version=9")
    assert "There is no version to forecast" in none.text


async def test_what_a_policy_would_change_is_asked_and_answered(visitor, world, store):
    ada = await visitor("ada", "admin")
    form = await ada.get(world.at("what-if"))
    assert "careful" in form.text
    text = "name: careful\nselector: environment.name == 'production'\nrules: []\n"
    sent = await ada.send(world.at("what-if"), world.at("what-if"), text=text)
    page = await ada.get(sent.headers["location"])
    assert page.headers["refresh"] == "1" and "being worked out" in page.text
    await answer_all(store)
    page = await ada.get(sent.headers["location"])
    assert "refresh" not in page.headers
    assert "2 targets of 3 in 1 deployment would stand elsewhere" in page.text
    assert "would start" in page.text and "0 of 1 approvals" in page.text


async def test_text_of_a_policy_can_be_begun_with_and_a_wrong_one_is_shown_again(visitor, world):
    ada = await visitor("ada", "admin")
    form = await ada.get(world.at("what-if"))
    policy_id = form.text.split("?policy=")[1].split('"')[0]
    begun = await ada.get(world.at("what-if") + f"?policy={policy_id}")
    assert "minApprovals: 1" in begun.text and "policyId" not in begun.text
    for text, said in (
        ("name: x\nrules: [{retry: {maxRetries: no}}]", "must be a whole number"),
        ("name: x\nselector: 'x =='", "selector"),
        ("a: &a [1]\nb: *a", "without anchors"),
        ("[", "neither YAML nor JSON"),
    ):
        again = await ada.send(world.at("what-if"), world.at("what-if"), text=text)
        assert again.status_code == 400 and said in again.text, again.text[-2000:]


async def test_who_may_not_write_policies_may_not_ask(visitor, world):
    vera = await visitor("vera", "viewer")
    assert (await vera.get(world.at("what-if"))).status_code == 403
    assert (await vera.get(world.at("deployments", "shop-api", "forecast"))).status_code == 200
