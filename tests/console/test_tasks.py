"""A person does a job in the console: reads it, takes it, hands in the evidence, comments. And the list of all jobs."""

import re

import pytest

from interlock.access import Role
from interlock.agents import close_agents
from interlock.model.ids import new_id
from interlock.store.agents import save_agent
from interlock.store.deployments import save_deployment
from interlock.store.groups import save_group
from interlock.store.ledger import sequence_ledger
from interlock.store.systems import link
from tests.console.conftest import HOSTILE
from tests.store.fleet import Fleet, Stepper, a_deployment

CONFIG = {
    "instructions": "Send {{ .resource.name }} over: https://portal.example.com/x\n" + HOSTILE,
    "group": "duty",
    "dueInMinutes": 90,
    "evidence": [
        {"name": "ticket", "type": "url", "required": True},
        {"name": "rate", "type": "number", "minimum": 0, "label": HOSTILE},
        {"name": "path", "type": "choice", "options": ["primary", HOSTILE]},
        {"name": "watched", "type": "boolean", "required": True},
        {"name": "note", "type": "text"},
    ],
}
GIVEN = {
    "evidence.ticket": "https://tickets.example.com/7",
    "evidence.rate": "0.5",
    "evidence.path": "primary",
    "evidence.watched": "yes",
    "evidence.note": HOSTILE,
}


@pytest.fixture
async def asked(store, world, tmp_path, visitor):
    """A task on staging-1 for the group `duty`, in which Dora is; its job's id, and Dora."""
    fleet = Fleet(store, world.workspace_id, world.maker_id, "", new_id(), new_id())
    dora = await visitor("dora", "developer")
    async with store.read() as conn:
        person = await conn.fetchval("SELECT id FROM principal WHERE name = 'dora'")
        fleet.system_id = await conn.fetchval("SELECT id FROM system WHERE workspace_id = $1", world.workspace_id)
    async with fleet.tx() as tx:
        await save_group(tx, fleet.workspace_id, name="duty", members={person: "dora"})
        await save_agent(
            tx, fleet.workspace_id, agent_id=fleet.agent_id, name="hands", kind="manual", config=CONFIG, metadata={}
        )
        plain = a_deployment(fleet.deployment_id, "edge", selector='resource.name == "staging-1"')
        await save_deployment(tx, fleet.workspace_id, **{**plain, "job_agent_selector": 'jobAgent.name == "hands"'})
        await link(
            tx, fleet.workspace_id, system_id=fleet.system_id, child_kind="deployment", child_id=fleet.deployment_id
        )
    await fleet.version("2.0.0")
    stepper = Stepper(store, tmp_path)
    await stepper.run(patience_s=0)
    await close_agents(stepper.flow.agents)
    async with store.read() as conn:
        job = await conn.fetchrow("SELECT id, status FROM job WHERE agent_id = $1", fleet.agent_id)
    assert job["status"] == "queued"
    return job["id"], dora


async def test_somebody_takes_it_hands_in_the_evidence_and_everybody_reads_it(asked, world, visitor, store):
    job_id, dora = asked
    page, step = world.at("jobs", job_id), lambda word: world.at("jobs", job_id, "task", word)
    listed = (await dora.get(world.at("jobs"))).text
    assert "Waiting for you" in listed
    shown = (await dora.get(page)).text
    assert "Send staging-1 over:" in shown
    assert '<a href="https://portal.example.com/x" rel="noopener noreferrer">' in shown
    assert HOSTILE not in shown
    assert 'data-live="tell"' in shown, "a form must not change under a person's hands"

    assert (await dora.send(page, step("take"))).status_code == 303
    wrong = await dora.send(page, step("complete"), **{**GIVEN, "evidence.rate": "-1", "evidence.ticket": "soon"})
    assert wrong.status_code == 400
    assert "evidence.rate</b>: Must be a number of at least 0." in wrong.text
    assert 'value="soon"' in wrong.text, "what was typed is still there"
    assert len(re.findall(r'aria-invalid="true"', wrong.text)) == 2
    unsaid = await dora.client.post(step("reject"), data={"csrf": await dora.csrf()})
    assert (unsaid.status_code, "Say why it was not done." in unsaid.text) == (400, True)

    assert (await dora.send(page, step("comment"), text=f"Slow portal {HOSTILE}")).status_code == 303
    assert (await dora.send(page, step("complete"), **GIVEN, comment="quiet")).status_code == 303
    async with store.read() as conn:
        while await sequence_ledger(conn):
            pass
    after = (await (await visitor("vera")).get(page)).text
    for said in ("completed it", "quiet", "Slow portal", "https://tickets.example.com/7", "Job answered"):
        assert said in after, said
    assert HOSTILE not in after
    assert "Take it" not in after
    late = await dora.client.post(step("complete"), data={**GIVEN, "csrf": await dora.csrf()})
    assert (late.status_code, "dora completed it" in late.text) == (409, True)


async def test_somebody_whom_it_does_not_ask_sees_whom_it_asks(asked, world, visitor):
    job_id, _ = asked
    page = world.at("jobs", job_id)
    erin, vera = await visitor("erin", "admin"), await visitor("vera")
    for who in (erin, vera):
        shown = (await who.get(page)).text
        assert "It asks the group duty" in shown
        assert "task/complete" not in shown
        answer = await who.client.post(
            world.at("jobs", job_id, "task", "complete"), data={**GIVEN, "csrf": await who.csrf()}
        )
        assert answer.status_code == 403
    assert "asks the group duty" in answer.text or "task:answer" in answer.text
    assert (await erin.send(page, world.at("jobs", job_id, "task", "comment"), text="hello")).status_code == 303
    assert (await erin.client.post(world.at("jobs", job_id, "task", "take"), data={})).status_code == 403, "no token"
    assert (await erin.send(page, world.at("jobs", job_id, "task", "comment"), text="x")).status_code == 303
    nothing = await erin.client.post(world.at("jobs", job_id, "task", "dance"), data={"csrf": await erin.csrf()})
    assert nothing.status_code == 404


async def test_the_list_is_narrowed_and_says_how_old_it_is(asked, world, visitor):
    job_id, _ = asked
    vera = await visitor("vera")

    async def rows(query):
        text = (await vera.get(f"{world.at('jobs')}?{query}")).text
        return re.findall(r'<th role="rowheader" scope="row"><a href="[^"]*/jobs/([0-9a-f-]{36})"', text), text

    everything, text = await rows("")
    assert len(everything) == 5
    assert 'hx-trigger="news from:#stream, every 15s"' in text
    assert "not begun" in text
    assert "final" in text
    assert (await rows("status=open"))[0] == [job_id]
    assert (await rows("type=manual"))[0] == [job_id]
    assert (await rows("q=2.0.0"))[0] == [job_id]
    assert (await rows("version=1.0.0&status=over&kind=forward&since=30d"))[0] == [
        each for each in everything if each in (await rows("version=1.0.0"))[0]
    ]
    none, text = await rows("status=failed&q=" + HOSTILE.replace(" ", "+"))
    assert (none, "No job like that" in text, HOSTILE in text) == ([], True, False)
    assert len((await rows("status=nonsense&agent=nonsense&since=ever"))[0]) == 5
    assert len((await rows(f"resource={world.resources['staging-1']}"))[0]) == 3


async def test_the_page_of_a_job_says_who_has_it_what_it_brought_and_what_happened(world, visitor, store):
    async with store.read() as conn:
        await conn.execute(
            "UPDATE job SET held_by = 'west-7', applied = $2, artifacts = $3, links = $4 WHERE id = $1",
            world.job_id,
            ["apps/v1/Deployment/shop/api"],
            ["sha256:00ff"],
            {"Argo CD": "https://argocd.example.com/a", "evil": "javascript:alert(1)"},
        )
    shown = (await (await visitor("vera")).get(world.at("jobs", world.job_id))).text
    for said in (
        "west-7",
        "apps/v1/Deployment/shop/api",
        "sha256:00ff",
        "https://argocd.example.com/a",
        "Job handed over",
        "Last heard",
    ):
        assert said in shown, said
    assert "javascript:" not in shown


def test_the_roles_that_answer_tasks():
    from interlock.access import PERMISSIONS, Permission

    may = {role for role, carried in PERMISSIONS.items() if Permission.TASK_ANSWER in carried}
    assert may == {Role.DEVELOPER, Role.APPROVER, Role.OPERATOR, Role.ADMIN}
