"""What people can change in the console, and who may not."""

import re

import pytest
from starlette.routing import Route

from interlock.console.visit import in_workspace, see_other
from interlock.model.errors import Stale
from interlock.model.event import Actor
from interlock.model.incident import Report
from interlock.store import incidents, saturations
from interlock.store.saturations import Posted
from tests.console.conftest import hidden_fields
from tests.store.fleet import Fleet


async def words(store, request_id):
    async with store.read() as conn:
        return [
            dict(row)
            for row in await conn.fetch(
                "SELECT a.verdict, a.comment, a.shown_digest, p.name FROM approval a "
                "JOIN principal p ON p.id = a.principal_id WHERE a.request_id = $1 ORDER BY a.given_at, a.id",
                request_id,
            )
        ]


async def freezes(store):
    async with store.read() as conn:
        return [dict(row) for row in await conn.fetch('SELECT * FROM "freeze" ORDER BY created_at')]


async def test_approving_stores_the_digest_of_what_was_shown(visitor, world, store):
    page = world.at("approvals", world.request_id)
    grace = await visitor("grace", "approver")
    shown = re.search(r'name="digest" value="([0-9a-f]{64})"', (await grace.get(page)).text)[1]
    answer = await grace.send(page, page, verdict="approved", comment="looks right")
    assert answer.status_code == 303
    assert await words(store, world.request_id) == [
        {"verdict": "approved", "comment": "looks right", "shown_digest": shown, "name": "grace"}
    ]
    after = (await grace.get(answer.headers["location"])).text
    assert "Noted: you approved this." in after
    assert "Take it back" in after
    assert (await grace.send(page, page, verdict="withdrawn")).status_code == 303
    assert [word["verdict"] for word in await words(store, world.request_id)] == ["approved", "withdrawn"]


async def test_rejecting_is_an_answer_too(visitor, world, store):
    page = world.at("approvals", world.request_id)
    grace = await visitor("grace", "approver")
    assert (await grace.send(page, page, verdict="rejected", comment="not today")).status_code == 303
    assert [word["verdict"] for word in await words(store, world.request_id)] == ["rejected"]


@pytest.mark.parametrize("digest", ["0" * 64, ""])
async def test_what_was_not_shown_cannot_be_approved(visitor, world, store, digest):
    page = world.at("approvals", world.request_id)
    grace = await visitor("grace", "approver")
    answer = await grace.send(page, page, verdict="approved", digest=digest)
    assert answer.status_code == 412
    assert "It is not what you were shown" in answer.text
    assert f'href="{page}"' in answer.text
    assert await words(store, world.request_id) == []


async def test_a_request_that_was_overtaken_meanwhile_cannot_be_approved(visitor, world, store):
    page = world.at("approvals", world.request_id)
    grace = await visitor("grace", "approver")
    loaded = (await grace.get(page)).text
    async with store.read() as conn:
        await conn.execute("SET session_replication_role = replica")
        await conn.execute("UPDATE version SET status = 'paused' WHERE id = $1", world.versions["1.1.0"])
        await conn.execute("SET session_replication_role = origin")
    answer = await grace.client.post(page, data={**hidden_fields(loaded, page), "verdict": "approved"})
    assert answer.status_code == 412
    assert await words(store, world.request_id) == []
    assert "overtaken" in (await grace.get(page)).text


async def test_one_who_may_not_approve_is_offered_no_answer_and_refused(visitor, world, store):
    page = world.at("approvals", world.request_id)
    for name, role in (("vera", "viewer"), ("otto", "operator"), ("dev", "developer")):
        person = await visitor(name, role)
        shown = (await person.get(page)).text
        assert 'value="approved"' not in shown
        assert "not answer it" in shown
        fields = {"csrf": await person.csrf(), "verdict": "approved", "digest": "0" * 64}
        answer = await person.client.post(page, data=fields)
        assert answer.status_code == 403
        assert "lacks the permission approve" in answer.text.replace("&#39;", "'")
    assert await words(store, world.request_id) == []


async def test_a_role_over_another_environment_does_not_answer_for_this_one(visitor, world):
    page = world.at("approvals", world.request_id)
    sam = await visitor("sam", "approver", scope_kind="environment", scope_id=world.environments["staging"])
    assert 'value="approved"' not in (await sam.get(page)).text
    pat = await visitor("pat", "approver", scope_kind="environment", scope_id=world.environments["production"])
    assert 'value="approved"' in (await pat.get(page)).text


async def test_the_author_is_told_that_it_is_their_own_version(visitor, world, store):
    page = world.at("approvals", world.request_id)
    assert "You made this version" not in (await (await visitor("grace", "approver")).get(page)).text
    async with store.read() as conn:
        await conn.execute(
            "UPDATE version SET metadata = metadata || $2 WHERE id = $1",
            world.versions["1.1.0"],
            {"interlock/author": "grace"},
        )
    shown = (await (await visitor("grace", "approver")).get(page)).text
    assert "You made this version. Your own approval counts here" in shown
    fleet = Fleet(store, world.workspace_id, world.maker_id, "", "", world.deployment_id)
    async with store.read() as conn:
        fleet.policies["careful"] = await conn.fetchval("SELECT id FROM policy WHERE name = 'careful'")
    await fleet.policy("careful", [{"anyApproval": {"minApprovals": 1, "allowSelfApproval": False}}])
    assert "does not count its author" in (await (await visitor("grace", "approver")).get(page)).text


async def test_freezing_and_thawing(visitor, world, store):
    otto = await visitor("otto", "operator")
    assert world.at("freezes", "new") in (await otto.get(world.at())).text
    answer = await otto.send(
        world.at("freezes", "new"), world.at("freezes"), scope="workspace", reason="incident 42", hours=""
    )
    assert answer.status_code == 303
    (freeze,) = await freezes(store)
    assert (freeze["scope_kind"], freeze["reason"], freeze["expires_at"]) == ("workspace", "incident 42", None)
    for path in (world.at(), world.at("ledger"), world.at("jobs", world.job_id)):
        page = (await otto.get(path)).text
        assert "Freezes in force" in page
        assert "incident 42" in page
    thaw = world.at("freezes", freeze["id"], "thaw")
    assert thaw in (await otto.get(world.at("freezes"))).text
    assert (await otto.send(thaw, thaw, reason="")).status_code == 400
    assert (await otto.send(thaw, thaw, reason="it is over")).status_code == 303
    (freeze,) = await freezes(store)
    assert freeze["thaw_reason"] == "it is over"
    assert "Freezes in force" not in (await otto.get(world.at())).text
    assert "it is over" in (await otto.get(world.at("freezes"))).text
    assert (await otto.get(thaw)).status_code == 409


async def test_an_incident_is_seen_on_its_deployment_and_resolved(visitor, world, store):
    otto = await visitor("otto", "operator")
    actor = Actor("user", world.maker_id, "maker")
    async with store.tx(actor=actor, cause="test", workspace_id=world.workspace_id) as tx:
        ends_at = await tx.conn.fetchval("SELECT interlock_now() + interval '1 hour'")
        about = frozenset({world.deployment_id})
        links = {"Runbook": "https://runbooks.example.com", "evil": "javascript:alert(1)"}
        report = Report(
            "pager", "7", "<b>checkout</b> answers 500", "critical", True, ends_at, deployment_ids=about, links=links
        )
        (told,) = await incidents.report_incidents(tx, world.workspace_id, [report], author_id=world.maker_id)
        posted = Posted("db-pool", 0.91, 0.8, 0.95, ends_at, ends_at, "collector")
        await saturations.post_saturation(
            tx, world.workspace_id, deployment_id=world.deployment_id, posted=posted, author_id=world.maker_id
        )
    page = (await otto.get(world.at("deployments", world.deployment_id))).text
    assert "&lt;b&gt;checkout&lt;/b&gt; answers 500" in page and "Nothing new starts." in page
    assert "db-pool" in page and "high" in page
    listed = (await otto.get(world.at("incidents"))).text
    assert "https://runbooks.example.com" in listed and "javascript:" not in listed
    resolve = world.at("incidents", told.incident_id, "resolve")
    assert resolve in listed
    assert resolve not in (await (await visitor("vic", "viewer")).get(world.at("incidents"))).text
    assert (await otto.send(resolve, resolve, reason="")).status_code == 400
    assert (await otto.send(resolve, resolve, reason="a larger pool")).status_code == 303
    assert "a larger pool" in (await otto.get(world.at("incidents"))).text
    assert (await otto.get(resolve)).status_code == 409
    assert "Nothing new starts." not in (await otto.get(world.at("deployments", world.deployment_id))).text


async def test_a_freeze_of_one_environment_for_some_hours(visitor, world, store):
    otto = await visitor("otto", "operator")
    scope = f"environment:{world.environments['production']}"
    await otto.send(world.at("freezes", "new"), world.at("freezes"), scope=scope, reason="audit", hours="4")
    (freeze,) = await freezes(store)
    assert (freeze["scope_kind"], freeze["scope_id"]) == ("environment", world.environments["production"])
    assert (freeze["expires_at"] - freeze["created_at"]).total_seconds() == pytest.approx(4 * 3600, abs=5)
    assert "<b>production</b>" in (await otto.get(world.at())).text


@pytest.mark.parametrize(
    ("fields", "status", "told"),
    [
        ({"reason": "  "}, 400, "Say why"),
        ({"reason": "x" * 256}, 400, "At most 255 characters"),
        ({"reason": "nul \x00"}, 400, "NUL"),
        ({"hours": "7"}, 400, "Choose for how long"),
        ({"scope": ""}, 400, "Choose what"),
        ({"scope": "environment:no-id"}, 404, "is gone"),
        ({"scope": "workspace:00000000-0000-0000-0000-000000000000"}, 404, "is gone"),
        ({"scope": "galaxy:1"}, 404, "is gone"),
    ],
)
async def test_a_freeze_that_cannot_be_taken_is_told_and_not_set(visitor, world, store, fields, status, told):
    otto = await visitor("otto", "operator")
    sent = {"scope": "workspace", "reason": "why not", "hours": "", **fields}
    answer = await otto.send(world.at("freezes", "new"), world.at("freezes"), **sent)
    assert answer.status_code == status
    assert told in answer.text
    if status == 400 and "reason" not in fields:
        assert "why not" in answer.text
    assert await freezes(store) == []


async def test_one_who_may_not_freeze_is_offered_nothing_and_refused(visitor, world, store):
    otto = await visitor("otto", "operator")
    await otto.send(world.at("freezes", "new"), world.at("freezes"), scope="workspace", reason="incident", hours="")
    (freeze,) = await freezes(store)
    grace = await visitor("grace", "approver")
    assert world.at("freezes", "new") not in (await grace.get(world.at())).text
    assert "/thaw" not in (await grace.get(world.at("freezes"))).text
    assert (await grace.get(world.at("freezes", "new"))).status_code == 403
    assert (await grace.get(world.at("freezes", freeze["id"], "thaw"))).status_code == 403
    csrf = await grace.csrf()
    sent = {"csrf": csrf, "scope": "workspace", "reason": "mine", "hours": ""}
    assert (await grace.client.post(world.at("freezes"), data=sent)).status_code == 403
    thaw = world.at("freezes", freeze["id"], "thaw")
    assert (await grace.client.post(thaw, data={"csrf": csrf, "reason": "mine"})).status_code == 403
    assert [each["thawed_at"] for each in await freezes(store)] == [None]


async def test_an_operator_of_one_deployment_freezes_that_one_alone(visitor, world, store):
    otto = await visitor("otto", "operator", scope_kind="deployment", scope_id=world.deployment_id)
    form = (await otto.get(world.at("freezes", "new"))).text
    assert f"deployment:{world.deployment_id}" in form
    assert 'value="workspace"' not in form
    sent = {"csrf": await otto.csrf(), "scope": "workspace", "reason": "all", "hours": ""}
    assert (await otto.client.post(world.at("freezes"), data=sent)).status_code == 403
    own = f"deployment:{world.deployment_id}"
    assert (await otto.client.post(world.at("freezes"), data={**sent, "scope": own})).status_code == 303


async def test_no_form_is_taken_without_the_sessions_token(visitor, world, store):
    otto = await visitor("otto", "admin")
    actions = [world.at("freezes"), world.at("approvals", world.request_id), world.at("freezes", world.job_id, "thaw")]
    for action in [*actions, "/sign-out"]:
        for csrf in ({}, {"csrf": ""}, {"csrf": "guessed"}):
            fields = {"scope": "workspace", "reason": "x", "hours": "", "verdict": "approved", "digest": "0", **csrf}
            answer = await otto.client.post(action, data=fields)
            assert answer.status_code == 403, action
            assert "The form is older than this session" in answer.text
    assert await freezes(store) == []
    assert await words(store, world.request_id) == []


async def test_a_form_sent_after_the_session_ended_says_to_sign_in(stranger, world):
    answer = await stranger.client.post(world.at("freezes"), data={"reason": "x"})
    assert answer.status_code == 401
    assert "/sign-in?next=" in answer.text


async def test_pages_that_only_show_take_no_form(visitor, world):
    otto = await visitor("otto", "admin")
    assert (await otto.client.post(world.at("ledger"), data={"csrf": await otto.csrf()})).status_code == 405


async def test_what_lost_a_race_is_tried_again_and_then_told(app, visitor, world):
    tries = []

    async def race(visit):
        tries.append(visit)
        if len(tries) < 3 or "for-ever" in visit.request.url.path:
            raise Stale("somebody was faster")
        return see_other("/")

    console = app.routes[-1].app
    for path in ("race", "for-ever"):
        console.router.routes.insert(0, Route("/w/{workspace:segment}/" + path, in_workspace(race)))
    vera = await visitor()
    assert (await vera.get(world.at("race"))).status_code == 303
    assert len(tries) == 3
    answer = await vera.get(world.at("for-ever"))
    assert answer.status_code == 409
    assert "Look at it again" in answer.text
