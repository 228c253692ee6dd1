"""Steering by hand in the console: one page that shows it all, forms without script, and who may not."""

from __future__ import annotations

import re

from interlock.store import orders, pins, rollouts, skips
from tests.store.fleet import Fleet


async def in_force(store, world):
    async with store.read() as conn:
        return (
            (await pins.list_pins(conn, world.workspace_id))[0],
            (await skips.list_skips(conn, world.workspace_id))[0],
        )


async def test_a_target_is_pinned_from_its_deployments_page_and_unpinned_from_the_list(visitor, world, store):
    olga = await visitor("olga", "operator")
    page = (await olga.get(world.at("deployments", "shop-api"))).text
    link = re.search(r'href="([^"]+)">Steer<span class="hidden"> prod-eu-1', page)[1].replace("&amp;", "&")
    form = world.at("overrides", "new", "pin")
    assert link.startswith(form) and "prod-eu-1 (runs 1.0.0)" in (await olga.get(link)).text
    chosen = re.search(r"place=([^&]+)", link)[1]
    fields = {"place": chosen, "version": world.versions["1.0.0"], "reason": "the canary <stays>", "hours": "24"}
    answer = await olga.send(link, form, **fields)
    assert (answer.status_code, answer.headers["location"]) == (303, world.at("overrides") + "?said=pin")
    ((pin,), ()) = await in_force(store, world)
    assert (pin.resource, pin.tag, pin.created_by) == ("prod-eu-1", "1.0.0", "olga") and pin.expires_at is not None

    listed = (await olga.get(answer.headers["location"])).text
    for words in ("Pinned to 1.0.0", "shop-api / production / prod-eu-1", "the canary &lt;stays&gt;", "by olga, since"):
        assert words in listed, words
    assert "Overrides here" in (await olga.get(world.at("deployments", "shop-api"))).text
    end = world.at("overrides", "pin", pin.id, "end")
    assert f'href="{end}"' in listed
    assert "go on to whatever is newer" in (await olga.get(end)).text
    missing = await olga.send(end, end, reason=" ")
    assert missing.status_code == 400 and "Say why" in missing.text
    assert (await olga.send(end, end, reason="enough")).status_code == 303
    assert await in_force(store, world) == ((), ())
    assert (await olga.get(end)).status_code == 409
    assert "Nothing is set by hand" in (await olga.get(world.at("overrides"))).text


async def test_a_rule_is_skipped_and_what_is_wrong_keeps_what_was_typed(visitor, world, store):
    olga = await visitor("olga", "operator")
    form = world.at("overrides", "new", "skip")
    assert "shop-api" in (await olga.get(form)).text, "without a deployment it is chosen first"
    page = f"{form}?deployment={world.deployment_id}"
    shown = (await olga.get(page)).text
    assert "anyApproval of careful" in shown and "every anyApproval" in shown
    fields = {"place": f"environment:{world.environments['production']}", "version": world.versions["1.1.0"]}
    wrong = await olga.send(page, form, **fields, reason="sev-1 <now>", hours="1", rule="kind:gradualRollout")
    assert wrong.status_code == 400 and "promote the rollout" in wrong.text
    assert "sev-1 &lt;now&gt;" in wrong.text and "Nothing was changed" in wrong.text
    assert (await olga.send(page, form, **fields, rule="kind:anyApproval", hours="1")).status_code == 400
    done = await olga.send(page, form, **fields, reason="sev-1", hours="1", rule="kind:anyApproval")
    assert done.status_code == 303
    ((), (skip,)) = await in_force(store, world)
    assert (skip.every_kind, skip.environment, skip.reason) == ("anyApproval", "production", "sev-1")
    assert "1.1.0 passes every anyApproval" in (await olga.get(world.at("overrides"))).text
    end = world.at("overrides", "skip", skip.id, "end")
    assert (await olga.send(end, end, reason="enough")).status_code == 303


async def test_a_freeze_with_selector_and_incident_is_extended_and_bypassed_by_who_may(visitor, world, store):
    ada, olga = await visitor("ada", "admin"), await visitor("olga", "operator")
    new = world.at("freezes", "new")
    fields = {"scope": "workspace", "reason": "zone b burns", "hours": "1"}
    bad = await olga.send(new, world.at("freezes"), **fields, selector="resource.")
    assert bad.status_code == 400 and "Nothing is frozen yet" in bad.text
    bad = await olga.send(new, world.at("freezes"), **fields, incident="javascript:alert(1)")
    assert bad.status_code == 400
    fields |= {"selector": 'resource.name == "prod-eu-1"', "incident": "https://incidents.example/7"}
    assert (await olga.send(new, world.at("freezes"), **fields)).status_code == 303
    shown = (await olga.get(world.at("overrides"))).text
    assert "zone b burns" in shown and "https://incidents.example/7" in shown and "Only where" in shown
    async with store.read() as conn:
        freeze_id = await conn.fetchval('SELECT id FROM "freeze"')
        before = await conn.fetchval('SELECT expires_at FROM "freeze"')
    extend = world.at("freezes", str(freeze_id), "extend")
    assert (await olga.send(extend, extend, hours="24")).status_code == 303
    async with store.read() as conn:
        assert await conn.fetchval('SELECT expires_at FROM "freeze"') > before

    form = world.at("overrides", "new", "bypass")
    page = f"{form}?deployment={world.deployment_id}"
    assert (await olga.get(page)).status_code == 403
    assert "zone b burns" in (await ada.get(page)).text
    fields = {"place": "deployment", "version": world.versions["1.1.0"], "reason": "the fix", "freeze": str(freeze_id)}
    assert (await ada.send(page, form, **fields, hours="")).status_code == 400
    assert (await ada.send(page, form, **fields, hours="1")).status_code == 303
    assert "passes the freeze “zone b burns”" in (await ada.get(world.at("overrides"))).text


async def test_a_redeploy_is_ordered_shown_and_withdrawn(visitor, world, store):
    olga = await visitor("olga", "operator")
    form = world.at("overrides", "new", "redeploy")
    page = f"{form}?deployment={world.deployment_id}"
    fields = {"place": f"environment:{world.environments['staging']}", "reason": "the disk is new", "hours": ""}
    assert (await olga.send(page, form, **fields, when="idle")).status_code == 303
    shown = (await olga.get(world.at("overrides"))).text
    assert "Redeploy 1.1.0" in shown and "It waits until the target is idle." in shown
    async with store.read() as conn:
        ((order,), _) = await orders.list_orders(conn, world.workspace_id, state="open")
    end = world.at("overrides", "order", order.id, "end")
    assert (await olga.send(end, end, reason="not needed")).status_code == 303
    assert (await olga.get(end)).status_code == 409
    refused = await olga.get(f"{world.at('overrides', 'new', 'force')}?deployment={world.deployment_id}")
    assert refused.status_code == 403


async def test_a_quarantine_is_cleared_and_a_halted_rollout_resumed(visitor, world, store):
    olga = await visitor("olga", "operator")
    async with store.read() as conn:
        await conn.execute("SET session_replication_role = replica")
        await conn.execute(
            "INSERT INTO quarantine (workspace_id, deployment_id, target_id, version_id, move_id) "
            "SELECT m.workspace_id, m.deployment_id, m.target_id, m.version_id, m.id FROM move m LIMIT 1"
        )
        await conn.execute(
            "UPDATE rollout SET state = 'halted' WHERE id = (SELECT id FROM rollout ORDER BY opened_at DESC LIMIT 1)"
        )
        await conn.execute("SET session_replication_role = origin")
        ((one,), _) = await rollouts.list_quarantines(conn, world.workspace_id)
        ((rollout,), _) = await rollouts.list_rollouts(conn, world.workspace_id, states=("halted",))
    shown = (await olga.get(world.at("overrides"))).text
    assert "Rollouts that stand still" in shown and f"{one.tag} is not taken again" in shown
    clear = world.at("overrides", "quarantine", one.id, "end")
    assert (await olga.send(clear, clear, reason="the disk was full")).status_code == 303
    resume = world.at("rollouts", rollout.id, "resume")
    assert f'href="{resume}"' in shown
    assert (await olga.send(resume, resume, reason="fixed")).status_code == 303
    assert "Nothing is set by hand" in (await olga.get(world.at("overrides"))).text


async def test_who_only_looks_is_offered_nothing_and_refused(visitor, world, store):
    vera = await visitor("vera", "viewer")
    fleet = Fleet(store, world.workspace_id, world.maker_id, "", "", world.deployment_id)
    async with fleet.tx() as tx:
        pin, _ = await pins.set_pin(
            tx,
            world.workspace_id,
            deployment_id=world.deployment_id,
            version_id=world.versions["1.0.0"],
            environment_id=None,
            target_id=None,
            reason="we look",
            expires_at=None,
            author_id=world.maker_id,
        )
    shown = (await vera.get(world.at("overrides"))).text
    assert "we look" in shown and "Unpin" not in shown and "Steer by hand" not in shown
    assert "Steer" not in (await vera.get(world.at("deployments", "shop-api"))).text
    assert (await vera.get(world.at("overrides", "pin", pin.id, "end"))).status_code == 403
    form = world.at("overrides", "new", "pin")
    assert (await vera.get(f"{form}?deployment={world.deployment_id}")).status_code == 403
    fields = {"deployment": world.deployment_id, "place": "deployment", "version": world.versions["1.0.0"]}
    sent = {**fields, "reason": "r", "hours": "", "csrf": await vera.csrf()}
    assert (await vera.client.post(form, data=sent)).status_code == 403
    assert (await vera.client.post(form, data={**sent, "csrf": "x"})).status_code == 403
    for path in (("overrides", "moon", pin.id, "end"), ("overrides", "pin", "x", "end"), ("overrides", "new", "moon")):
        assert (await vera.get(world.at(*path))).status_code == 404


async def test_jobs_are_listed_filtered_and_a_running_one_is_cancelled(visitor, world, store):
    olga, vera = await visitor("olga", "operator"), await visitor("vera", "viewer")
    every = (await olga.get(world.at("jobs"))).text
    assert world.job_id in every and "prod-eu-1" in every
    assert "No job like that" in (await olga.get(world.at("jobs") + "?status=queued")).text
    assert (
        world.job_id in (await olga.get(f"{world.at('jobs')}?status=successful&deployment={world.deployment_id}")).text
    )
    assert (await olga.get(world.at("jobs") + "?status=moon&deployment=moon&offset=x")).status_code == 200
    cancel = world.at("jobs", world.job_id, "cancel")
    assert (await olga.get(cancel)).status_code == 409, "it is over"
    async with store.read() as conn:
        await conn.execute("SET session_replication_role = replica")
        await conn.execute("UPDATE job SET status = 'inProgress', completed_at = NULL WHERE id = $1", world.job_id)
        await conn.execute("SET session_replication_role = origin")
    assert "Cancel this job" in (await olga.get(world.at("jobs", world.job_id))).text
    assert "Cancel this job" not in (await vera.get(world.at("jobs", world.job_id))).text
    assert "asked to stop it" in (await olga.get(cancel)).text
    assert (await olga.send(cancel, cancel, reason="wrong flags")).status_code == 303
    after = (await olga.get(world.at("jobs", world.job_id))).text
    assert "wrong flags" in after and "Cancel this job" not in after
