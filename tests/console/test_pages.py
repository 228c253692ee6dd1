"""Every page: what it shows, what it does not have, how much it asks, and how it fails."""

import re
from datetime import UTC, datetime

import pytest

from interlock.model.event import Actor, Event, Ref
from interlock.model.ids import new_id
from interlock.model.workflow import Workflow
from interlock.store.agents import save_agent
from interlock.store.ledger import sequence_ledger
from interlock.store.tx import Change
from interlock.store.workflows import save_workflow, start_run
from tests.store.fleet import Fleet

OURS = Actor("system", "00000000-0000-0000-0000-000000000000", "tests")


def every_page(world):
    return [
        world.at(),
        world.at("deployments", "shop-api"),
        world.at("approvals"),
        world.at("approvals", world.request_id),
        world.at("approvals", world.answered_id),
        world.at("jobs", world.job_id),
        world.at("verifications", world.verification_id),
        world.at("targets", world.target_key("prod-eu-1", "production")),
        world.at("versions", world.versions["1.1.0"]),
        world.at("ledger"),
        world.at("freezes"),
        world.at("freezes", "new"),
        "/workspaces",
    ]


async def test_every_page_comes_with_its_headers_and_without_inline_code(visitor, world):
    otto = await visitor("otto", "operator")
    for path in every_page(world):
        answer = await otto.get(path)
        assert answer.status_code == 200, path
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<script(?![^>]* src=)", answer.text), path
        assert not re.search(r"\s(style|on[a-z]+)=", answer.text), path
        assert answer.text.count("<h1>") == 1, path
        assert "<main" in answer.text
        assert 'class="skip" href="#main"' in answer.text


async def test_the_fleet_says_what_runs_where_and_what_waits_and_why(visitor, world):
    page = (await (await visitor()).get(world.at())).text
    assert "shop-api" in page
    assert re.search(r"1\.1\.0</b>\s*<span class=\"times\">on 1 target", page)
    assert re.search(r"1\.0\.0</b>\s*<span class=\"times\">on 2 targets", page)
    assert "It has 0 of 1 approvals." in page
    assert world.at("approvals", world.request_id) in page
    assert 'hx-sse:connect="' in page


async def test_the_deployment_says_who_can_act_since_when_and_in_which_rule(visitor, world):
    page = (await (await visitor()).get(world.at("deployments", "shop-api"))).text
    assert "anyApproval (careful)" in page
    assert "anybody who may approve" in page
    assert "Since</dt>" in page
    assert "prod-eu-1" in page
    assert "waits for 1.1.0" in page
    assert world.at("approvals", world.request_id) in page
    assert world.at("jobs", world.job_id) in page
    assert "<time datetime=" in page
    by_id = await (await visitor()).get(world.at("deployments", world.deployment_id))
    assert by_id.status_code == 200


async def test_the_target_says_what_holds_who_can_act_and_what_would_let_it_go(visitor, world):
    vera = await visitor()
    page = (await vera.get(world.at("targets", world.target_key("prod-eu-1", "production")))).text
    assert "1.1.0 is held on prod-eu-1 in production by anyApproval (careful)." in page
    assert "What would let it go" in page
    assert "1.1.0 gets 1 more of the 1 approvals for production." in page
    assert re.search(r"<dt>Who can act</dt><dd>anybody who may approve</dd>", page)
    assert "Policy careful" in page and "environmentProgression" in page
    older = await vera.get(world.at("targets", world.target_key("prod-eu-1", "production")) + "?version=1.0.0")
    assert "prod-eu-1 in production runs 1.0.0." in older.text
    assert (await vera.get(world.at("targets", "nothing"))).status_code == 404
    nobody = "-".join(["00000000-0000-0000-0000-000000000000"] * 3)
    assert (await vera.get(world.at("targets", nobody))).status_code == 404


async def test_the_version_shows_its_journey_through_the_environments(visitor, world):
    page = (await (await visitor()).get(world.at("versions", world.versions["1.1.0"]))).text
    assert re.search(
        r"staging</h3>.*1 runs it, proven.*production</h3>.*2 held|production</h3>.*2 held", page, flags=re.DOTALL
    )
    assert "holds 2 targets" in page
    assert world.at("targets", world.target_key("prod-eu-1", "production")) in page
    assert "Version created" in page
    assert (await (await visitor("otto")).get(world.at("versions", "nothing"))).status_code == 404


async def test_a_job_says_where_its_target_stands_and_leads_to_every_rule(visitor, world):
    page = (await (await visitor()).get(world.at("jobs", world.job_id))).text
    assert "staging-1 in staging runs 1.1.0." in page
    assert world.at("targets", world.target_key("staging-1", "staging")) in page


async def test_the_request_shows_what_changes_what_it_proved_and_the_way_back(visitor, world):
    page = (await (await visitor("grace", "approver")).get(world.at("approvals", world.request_id))).text
    assert "What would change" in page
    assert re.search(r"1\.0\.0</b>.*→.*1\.1\.0</b>", page, flags=re.DOTALL)
    assert "2 targets in production: prod-eu-1, prod-us-1" in page
    assert "1 of 1 target succeeded" in page
    assert "careful" in page
    assert "2 targets back to" in page
    assert re.search(r'name="digest" value="[0-9a-f]{64}"', page)


async def test_the_list_of_requests_tells_open_from_answered(visitor, world):
    page = (await (await visitor()).get(world.at("approvals"))).text
    waiting, answered = page.split("Answered or overtaken")
    assert world.request_id in waiting
    assert world.answered_id in answered
    assert "staging was fine" in answered


async def test_the_job_shows_output_links_measurements_and_why_it_was_allowed(visitor, world):
    page = (await (await visitor()).get(world.at("jobs", world.job_id))).text
    assert "pulling\nstarted" in page
    assert 'href="https://ci.example/1"' in page
    assert "javascript:" not in page
    assert '<svg class="spark"' in page
    assert "result.json.errorRate: value from 0 % to 25 %, last 25 %; passes below 5 %" in page
    assert world.at("verifications", world.verification_id) in page
    assert "Why it was allowed" in page
    assert "No freeze is in force here." in page


async def test_a_verification_tells_its_verdict_draws_its_numbers_and_lists_them(visitor, world):
    vera = await visitor()
    page = (await vera.get(world.at("verifications", world.verification_id))).text
    assert "It failed" in page
    assert "passes below 5 %" in page
    assert "<metric-chart" in page
    assert "3 measurements as a table" in page
    assert page.index("25 %</td>") < page.index("1 %</td>")
    assert "text/javascript" not in page
    assert (await vera.get(world.at("verifications", world.job_id))).status_code == 404


async def test_a_target_and_a_rollout_lead_to_their_verifications(visitor, world, store):
    vera = await visitor()
    async with store.read() as conn:
        rollout_id = await conn.fetchval(
            "SELECT rollout_id FROM move m JOIN job j ON j.move_id = m.id WHERE j.id = $1", world.job_id
        )
    for path in (world.at("targets", world.target_key("staging-1", "staging")), world.at("rollouts", str(rollout_id))):
        assert world.at("verifications", world.verification_id) in (await vera.get(path)).text


async def test_the_ledger_is_filtered_by_kind_and_subject_and_paged(visitor, world, store):
    vera = await visitor()
    everything = (await vera.get(world.at("ledger"))).text
    assert "Rollout completed" in everything
    approvals = (await vera.get(world.at("ledger") + "?kind=approval")).text
    assert "Approval given" in approvals
    assert "Rollout completed" not in approvals
    of_job = (await vera.get(world.at("ledger") + f"?subject=job:{world.job_id}")).text
    assert of_job.count('<li class="entry') < everything.count('<li class="entry')
    assert "Job created" in of_job
    older = re.search(r'href="([^"]+before=[^"]+)"', everything)
    if older:
        assert (await vera.get(older[1].replace("&amp;", "&"))).status_code == 200
    assert "This is no id" in (await vera.get(world.at("ledger") + "?subject=everything")).text


async def test_the_ledger_shows_what_a_client_dropped_and_could_not_say(visitor, world, store):
    body = {"number": 3, "sender": "Terraform", "dropped": [{"rule": new_id(), "kind": "retry"}, {"field": "mode"}]}
    async with store.tx(actor=OURS, cause="test", workspace_id=world.workspace_id) as tx:
        await tx.record(events=[Event("policy.changed", Ref("policy", new_id()), body)])
    async with store.read() as conn:
        while await sequence_ledger(conn):
            pass
    page = (await (await visitor()).get(world.at("ledger") + "?kind=policy")).text
    assert "dropped the retry rule, mode, for which Terraform has no words" in page


async def test_a_job_of_a_workflow_has_a_page_without_a_target(visitor, world, store):
    agent_id = new_id()
    otto = await visitor("otto", "operator")
    async with store.tx(actor=OURS, cause="test", workspace_id=world.workspace_id) as tx:
        await save_agent(
            tx, world.workspace_id, agent_id=agent_id, name="sweeper", kind="http-pull", config={}, metadata={}
        )
        entry = {"name": "a", "ref": agent_id, "config": {}, "selector": "true"}
        workflow = await save_workflow(tx, world.workspace_id, Workflow(new_id(), "Vacuum <b>", "vacuum", [], [entry]))
        run = await start_run(
            tx, world.workspace_id, workflow, inputs={"full": True}, now=datetime.now(UTC), asked_by=new_id()
        )
    ((job_id, _),) = run.jobs
    page = await otto.get(world.at("jobs", job_id))
    assert page.status_code == 200 and page.text.count("<h1>") == 1
    for said in ("Vacuum &lt;b&gt;", "No freeze is in force here.", "sweeper", "full", "true"):
        assert said in page.text, said
    assert "Vacuum &lt;b&gt; workflow" in (await otto.get(world.at("jobs"))).text
    assert "A job of the workflow Vacuum &lt;b&gt;" in (await otto.get(world.at("jobs", job_id, "cancel"))).text


async def test_old_entries_are_a_page_away(visitor, world, store):
    async with store.tx(actor=OURS, cause="test", workspace_id=world.workspace_id) as tx:
        await tx.record(events=[Event("resource.changed", Ref("resource", new_id())) for _ in range(70)])
    async with store.read() as conn:
        while await sequence_ledger(conn):
            pass
    vera = await visitor()
    first = (await vera.get(world.at("ledger") + "?kind=resource")).text
    older = re.search(r'href="([^"]+before=[^"]+)"', first)[1].replace("&amp;", "&")
    second = (await vera.get(older)).text
    seen = set(re.findall(r'id="entry-(\d+)"', first))
    assert len(seen) == 50
    assert not seen & set(re.findall(r'id="entry-(\d+)"', second))


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/w/no-such-workspace",
        "/w/{slug}/nothing",
        "/w/{slug}/deployments/no-such",
        "/w/{slug}/deployments/%00",
        "/w/{slug}/jobs/no-id",
        "/w/{slug}/jobs/00000000-0000-0000-0000-000000000000",
        "/w/{slug}/approvals/00000000-0000-0000-0000-000000000000",
        "/w/{slug}/freezes/00000000-0000-0000-0000-000000000000/thaw",
        "/static/nothing.js",
        "/static/../rendering.py",
    ],
)
async def test_what_is_not_there_is_a_page_that_says_so(visitor, world, path):
    otto = await visitor("otto", "operator")
    answer = await otto.get(path.format(slug=world.slug))
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "There is nothing here" in answer.text


async def test_a_workspace_of_others_does_not_exist(visitor, world):
    nobody = await visitor("nobody", None)
    for path in every_page(world)[:-1]:
        assert (await nobody.get(path)).status_code == 404


async def test_paths_of_the_api_stay_the_apis(visitor):
    answer = await (await visitor()).get("/api/v1/nothing")
    assert answer.headers["content-type"] == "application/json"


async def test_a_database_that_is_away_is_told_in_the_same_style(visitor, world, store):
    vera = await visitor()
    await store.close()
    answer = await vera.get(world.at())
    assert answer.status_code == 503
    assert "Interlock cannot reach its database" in answer.text
    assert int(answer.headers["retry-after"]) >= 1


async def test_pages_ask_the_same_number_of_questions_for_few_targets_and_many(visitor, world, store):
    vera = await visitor()
    pages = [world.at(), world.at("deployments", "shop-api"), world.at("approvals"), world.at("ledger")]
    before = [await statements(store, vera, path) for path in pages]
    fleet = Fleet(store, world.workspace_id, world.maker_id, "", "", world.deployment_id)
    for number in range(25):
        await fleet.resource(f"prod-{number}", env="production")
    after = [await statements(store, vera, path) for path in pages]
    assert after == before
    assert max(after) <= 32


async def statements(store, visitor, path):
    async with store.counting() as count:
        assert (await visitor.get(path)).status_code == 200
    return len(count)


async def test_an_empty_workspace_says_the_next_command(visitor, store, world):
    async with store.tx(actor=OURS, cause="test") as tx:
        from interlock.store.principals import save_principal
        from interlock.store.workspaces import create_workspace

        await create_workspace(tx, "Empty", slug="empty", creator_id=await save_principal(tx, "vera"))
    vera = await visitor()
    assert "interlock apply -f" in (await vera.get("/w/empty")).text
    assert "interlock apply -f" in (await vera.get("/w/empty/ledger")).text
    assert "interlock approve" in (await vera.get("/w/empty/approvals")).text
    assert "interlock freeze --reason" in (await vera.get("/w/empty/freezes")).text


async def test_what_was_said_of_a_change_is_shown_where_it_is_judged(visitor, world):
    anybody = await visitor()
    assert "migration, high risk" in (await anybody.get(world.at("deployments", "shop-api"))).text
    asked = (await anybody.get(world.at("approvals", world.request_id))).text
    assert "A change of <b>migration</b>, labelled <b>high</b> risk, pull request shop/api#12." in asked


async def test_a_person_says_in_the_console_what_nothing_could_tell(visitor, world, store):
    vera, otto = await visitor("vera", "viewer"), await visitor("otto", "operator")
    async with store.tx(actor=OURS, cause="test", workspace_id=world.workspace_id) as tx:
        await tx.record(
            [
                Change(
                    "UPDATE verification SET state = 'inconclusive', ended_at = NULL, held_since = now(), "
                    "held_until = now() + interval '1 hour' WHERE id = $1",
                    (world.verification_id,),
                )
            ],
            events=[Event("verification.inconclusive", Ref("verification", world.verification_id), {})],
        )
    page = world.at("verifications", world.verification_id)
    seen = (await otto.get(page)).text
    assert "Nothing could tell, so the target is not promoted" in seen
    assert "when it counts as failed, as its policy says" in seen
    assert f'href="{page}/accept"' in seen
    assert f'href="{page}/accept"' not in (await vera.get(page)).text
    assert (await vera.get(f"{page}/accept")).status_code == 403
    assert "Accept, fail or measure again" in (await otto.get(world.at("jobs", world.job_id))).text
    assert (await otto.get(f"{page}/wait")).status_code == 404
    form = await otto.get(f"{page}/accept")
    assert "It goes on as if it had passed" in form.text
    assert (await otto.send(f"{page}/accept", f"{page}/accept", reason=" ")).status_code == 400
    assert (await otto.send(f"{page}/accept", f"{page}/accept", reason="the graphs are fine")).status_code == 303
    after = (await vera.get(page)).text
    assert "otto accepted it" in after
    assert "the graphs are fine" in after
    assert (await otto.get(f"{page}/fail")).status_code == 409
