"""Subscriptions in the console: made by a form, seen failing, tried again, ended; and who may not."""

from __future__ import annotations

import re

from interlock.model.event import Actor
from interlock.model.subscription import Attempt
from interlock.store import subscription_deliveries as deliveries
from interlock.store import subscriptions
from interlock.store.subscriptions import Wanted

WORKER = Actor("system", "worker")


async def failing(store, world) -> tuple[str, str]:
    """A subscription with a delivery that failed once. Gives both ids."""
    from datetime import timedelta

    async with store.tx(actor=WORKER, cause="test", workspace_id=world.workspace_id) as tx:
        wanted = Wanted("ci <b>", "webhook", ("rollout.*",), url="https://ci.example.org/hook")
        made = await subscriptions.create_subscription(tx, world.workspace_id, wanted, author_id=None)
    async with store.read() as conn:
        event_id, seq = await conn.fetchrow("SELECT event_id, seq FROM ledger_order ORDER BY seq LIMIT 1")
        row = ([made], [made], ["event"], [seq], [event_id], ["rollout.opened"], [None])
        await conn.execute(deliveries.Q.insert_deliveries, *row)
        one = await subscriptions.find_subscription(conn, world.workspace_id, subscription_id=made)
        delivery = await deliveries.find_next_delivery(conn, one)
    attempt = Attempt("failed", 503, "The receiver answered 503.", 12)
    async with store.tx(actor=WORKER, cause="test", workspace_id=world.workspace_id) as tx:
        await deliveries.note_attempt(tx, one, delivery, attempt, chance=0.5, failing_max=timedelta(days=5))
    return made, delivery.id


async def test_a_failing_subscription_shows_its_answer_its_next_try_and_what_one_can_do(visitor, world, store):
    made, delivery = await failing(store, world)
    olga = await visitor("olga", "operator")
    listed = (await olga.get(world.at("subscriptions"))).text
    assert "ci &lt;b&gt;" in listed and "failing" in listed and "The receiver answered 503." in listed
    page = world.at("subscriptions", made)
    shown = (await olga.get(page)).text
    for words in ("The receiver answered 503.", "The next try is", "rollout.opened", "12 ms", "Try now", "Give up"):
        assert words in shown, words
    assert "First in line is" in shown and "after 1 try" in shown
    for step, then in (("park", "parked"), ("redeliver", "pending")):
        sent = await olga.send(page, world.at("subscriptions", made, "deliveries", delivery, step))
        assert (sent.status_code, sent.headers["location"]) == (303, f"{page}?said={step}")
        assert f"<span>{then}</span>" in (await olga.get(page)).text
    for step in ("test", "pause", "resume"):
        assert (await olga.send(page, world.at("subscriptions", made, step))).status_code == 303
    vera = await visitor("vera", "viewer")
    seen = (await vera.get(page)).text
    assert "rollout.opened" in seen and "Pause" not in seen and "Give up" not in seen
    csrf = await vera.csrf()
    refused = await vera.client.post(world.at("subscriptions", made, "delete"), data={"csrf": csrf})
    assert refused.status_code == 403
    ended = await olga.send(page, world.at("subscriptions", made, "delete"))
    assert ended.headers["location"] == world.at("subscriptions") + "?said=deleted"
    assert (await olga.get(page)).status_code == 404


async def test_a_subscription_is_made_by_a_form_that_keeps_what_was_typed(visitor, world, store):
    olga = await visitor("olga", "operator")
    form, to = world.at("subscriptions", "new"), world.at("subscriptions")
    offered = (await olga.get(form)).text
    assert "rollout.halted" in offered and "approval.requested" in offered
    fields = {"name": "chat", "channel": "slack", "where": "https://hooks.slack.com/services/T/B/x", "filter": ""}
    wrong = await olga.send(form, to, **fields, kinds="rollout.halted\nnothing.*")
    assert wrong.status_code == 400 and "No event is called `nothing.*`" in wrong.text and "T/B/x" in wrong.text
    private = await olga.send(form, to, **{**fields, "where": "http://127.0.0.1/"}, kinds="*")
    assert private.status_code == 400 and "not an address of the public internet" in private.text
    made = await olga.send(form, to, **fields, kinds="rollout.halted\nfreeze.*")
    assert made.status_code == 303
    shown = (await olga.get(made.headers["location"])).text
    assert "https://hooks.slack.com/••••" in shown and "T/B/x" not in shown
    assert re.search(r"<code>freeze\.\*</code>", shown)
    letters = await olga.send(
        form, to, name="mail", channel="email", where="group:leads, a@example.org", kinds="*", filter=""
    )
    assert "group:leads, a@example.org" in (await olga.get(letters.headers["location"])).text
    vera = await visitor("vera", "viewer")
    assert (await vera.get(form)).status_code == 403
