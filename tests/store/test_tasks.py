"""A job that people do ends exactly once, by whom it asks, and only while it may be done.

Source: core.md section 5; issue 5, "manual".
"""

import asyncio
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

import pytest

from interlock.agents import close_agents
from interlock.model.errors import Conflict, Forbidden, Invalid, NotFound
from interlock.model.event import Actor
from interlock.store.groups import save_group
from interlock.store.jobs import cancel_job, find_job
from interlock.store.tasks import answer_task, comment_task, find_task, list_comments, list_tasks, take_task
from interlock.store.tx import Store
from tests.store.fleet import Fleet, Stepper, a_fleet, a_member

ASKS = {
    "instructions": "Send {{ .resource.name }} to {{ .version.tag }}.",
    "group": "duty",
    "evidence": [{"name": "ticket", "type": "url", "required": True}, {"name": "note", "type": "text"}],
}
DONE = {"ticket": "https://tickets.example.com/7", "note": "Ada watched it"}


class Clock:
    def __init__(self):
        self.at = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)

    def __call__(self):
        return self.at


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def timed(database_url, clock):
    opened = await Store.open(database_url, clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
async def stepper(timed, tmp_path):
    made = Stepper(timed, tmp_path)
    yield made
    await close_agents(made.flow.agents)


@dataclass(slots=True)
class Asked(Fleet):
    """A fleet with people."""

    ada: str = ""
    bob: str = ""
    eve: str = ""


async def asked(stepper, config=ASKS, *, hosts=1):
    """A fleet whose jobs wait for Ada or Bob of the group `duty`; Eve is in it not."""
    names = {f"host-{n}": "prod" for n in range(hosts)}
    made = await a_fleet(stepper.store, names, agent_type="manual", agent_config=config)
    fleet = Asked(**{each.name: getattr(made, each.name) for each in fields(made)})
    fleet.ada, fleet.bob, fleet.eve = [await a_member(fleet, name) for name in ("ada", "bob", "eve")]
    async with fleet.tx() as tx:
        await save_group(tx, fleet.workspace_id, name="duty", members={fleet.ada: "ada", fleet.bob: "bob"})
    await fleet.version("1.0.0")
    await stepper.run(patience_s=0)
    return fleet


def as_person(fleet, principal_id):
    return fleet.store.tx(actor=Actor("user", principal_id), cause="test", workspace_id=fleet.workspace_id)


async def answer(fleet, who, job_id=None, *, with_="completed", evidence=DONE, comment=None):
    job_id = job_id or (await fleet.one_job())["id"]
    async with as_person(fleet, who) as tx:
        return await answer_task(
            tx,
            fleet.workspace_id,
            job_id=job_id,
            principal_id=who,
            by="somebody",
            answer=with_,
            evidence=evidence if with_ == "completed" else {},
            comment=comment,
        )


async def take(fleet, who):
    async with as_person(fleet, who) as tx:
        await take_task(tx, fleet.workspace_id, job_id=(await fleet.one_job())["id"], principal_id=who)


async def the_task(fleet, who=None):
    async with fleet.store.read() as conn:
        return await find_task(conn, fleet.workspace_id, job_id=(await fleet.one_job())["id"], principal_id=who)


async def test_a_job_waits_for_its_people_and_its_target_moves_when_it_is_completed(stepper):
    fleet = await asked(stepper)
    assert (await fleet.one_job())["status"] == "queued"
    task = await the_task(fleet, fleet.ada)
    assert (task.instructions, task.who, task.is_asked, task.open) == (
        "Send host-0 to 1.0.0.",
        "the group duty",
        True,
        True,
    )
    assert not (await the_task(fleet, fleet.eve)).is_asked
    assert await answer(fleet, fleet.ada, comment="quiet") == "successful"
    await stepper.run(patience_s=0)
    assert await fleet.where() == {"host-0": "1.0.0"}
    task = await the_task(fleet)
    assert (task.answer, task.given, task.comment, task.open) == ("completed", DONE, "quiet", False)
    told = await fleet.told()
    assert [kind for kind in told if kind.startswith("job.")] == [
        *("job.created", "job.status_changed", "job.asked"),
        *("job.claimed", "job.handed_over", "job.status_changed", "job.answered", "job.status_changed"),
    ]
    async with fleet.store.read() as conn:
        body = str(await conn.fetchval("SELECT body FROM ledger WHERE kind = 'job.answered'"))
    assert "tickets.example.com/7" in body
    assert "Ada" not in body, "free text stays out of the ledger"


async def test_somebody_whom_it_does_not_ask_is_refused_and_told_whom_it_asks(stepper):
    fleet = await asked(stepper)
    for who in (fleet.eve, fleet.admin_id):
        for do in (answer(fleet, who), answer(fleet, who, with_="rejected"), take(fleet, who)):
            with pytest.raises(Forbidden, match="asks the group duty"):
                await do
    async with fleet.tx() as tx:
        await save_group(tx, fleet.workspace_id, name="duty", members={fleet.eve: "eve"})
    await stepper.run(patience_s=0)
    with pytest.raises(Forbidden):
        await answer(fleet, fleet.ada)
    assert await answer(fleet, fleet.eve) == "successful", "who is in the group now counts"


async def test_of_two_who_answer_at_once_one_is_first_and_the_other_hears_so(stepper):
    fleet = await asked(stepper)
    answers = await asyncio.gather(
        *(answer(fleet, who, with_=word) for who in (fleet.ada, fleet.bob) for word in ("completed", "rejected")),
        return_exceptions=True,
    )
    assert sum(isinstance(each, Conflict) for each in answers) == 3, answers
    assert (await fleet.told()).count("job.answered") == 1
    with pytest.raises(Conflict, match="it at 2026-03-09"):
        await answer(fleet, fleet.bob)


async def test_of_many_who_take_it_one_has_it_and_a_colleague_may_still_answer(stepper):
    fleet = await asked(stepper)
    taken = await asyncio.gather(*(take(fleet, who) for who in (fleet.ada, fleet.bob) * 3), return_exceptions=True)
    assert sum(isinstance(each, Conflict) for each in taken) == 5, taken
    assert (await fleet.one_job())["status"] == "inProgress"
    assert await answer(fleet, fleet.bob) == "successful", "whoever took it may have gone home"
    assert (await fleet.one_job())["attempt"] == 1


async def test_evidence_that_is_missing_or_wrong_ends_nothing(stepper):
    fleet = await asked(stepper)
    for evidence, path in (
        ({}, "evidence.ticket"),
        ({**DONE, "ticket": "soon"}, "evidence.ticket"),
        ({**DONE, "x": 1}, "evidence.x"),
    ):
        with pytest.raises(Invalid) as refused:
            await answer(fleet, fleet.ada, evidence=evidence)
        assert path in [each.path for each in refused.value.fields]
    job = await fleet.one_job()
    assert (job["status"], job["handover"], job["attempt"]) == ("queued", "waiting", 0)


async def test_a_freeze_takes_back_what_nobody_took_and_leaves_what_somebody_has(stepper, clock):
    fleet = await asked(stepper)
    freeze_id = await fleet.freeze()
    with pytest.raises(Conflict, match="being decided again"):
        await answer(fleet, fleet.ada)  # before any round has seen the freeze
    await stepper.run(patience_s=0)
    assert (await fleet.one_job())["status"] == "skipped"
    with pytest.raises(Conflict, match="taken back"):
        await answer(fleet, fleet.ada)
    assert not (await the_task(fleet)).open
    clock.at += timedelta(minutes=1)
    await fleet.thaw(freeze_id)
    await stepper.run(patience_s=0)
    again = (await fleet.jobs())[-1]
    assert again["status"] == "queued"
    async with as_person(fleet, fleet.ada) as tx:
        await take_task(tx, fleet.workspace_id, job_id=again["id"], principal_id=fleet.ada)
    await fleet.freeze()
    await stepper.run(patience_s=0)
    assert await answer(fleet, fleet.ada, again["id"]) == "successful", "what is under way is not undone by a freeze"


async def test_a_rejection_fails_the_job_with_its_reason(stepper):
    fleet = await asked(stepper)
    assert await answer(fleet, fleet.ada, with_="rejected", comment="the portal is down") == "failure"
    assert (await fleet.one_job())["message"] == "Rejected by somebody: the portal is down"
    await stepper.run(patience_s=0)
    assert await fleet.where() == {"host-0": None}


async def test_a_cancel_waits_for_whoever_has_it_and_a_rejection_confirms_it(stepper):
    fleet = await asked(stepper)
    await take(fleet, fleet.ada)
    async with fleet.tx() as tx:
        await cancel_job(tx, (await fleet.one_job())["id"], reason="wrong host")
    await stepper.run(patience_s=0)
    assert (await fleet.one_job())["status"] == "inProgress"
    assert await answer(fleet, fleet.ada, with_="rejected", comment="stopped") == "cancelled"


async def test_a_cancel_of_what_nobody_took_ends_it_at_once(stepper):
    fleet = await asked(stepper)
    async with fleet.tx() as tx:
        await cancel_job(tx, (await fleet.one_job())["id"], reason="wrong host")
    await stepper.run(patience_s=0)
    assert (await fleet.one_job())["status"] == "cancelled"
    with pytest.raises(Conflict):
        await answer(fleet, fleet.ada)


@pytest.mark.parametrize(("then", "status"), [("wait", "queued"), ("fail", "failure")])
async def test_what_is_overdue_is_noted_once_and_fails_where_it_is_to(stepper, clock, then, status):
    fleet = await asked(stepper, {**ASKS, "dueInMinutes": 30, "onOverdue": then})
    assert (await the_task(fleet)).due_at == clock.at + timedelta(minutes=30)
    clock.at += timedelta(minutes=29)
    await stepper.run(patience_s=0)
    assert "job.overdue" not in await fleet.told()
    clock.at += timedelta(minutes=2)
    await stepper.run(patience_s=0)
    assert (await fleet.told()).count("job.overdue") == 1
    assert (await fleet.jobs())[0]["status"] == status
    clock.at += timedelta(hours=2)
    await stepper.run(patience_s=0)
    assert (await fleet.told()).count("job.overdue") == 1
    if then == "wait":
        assert await answer(fleet, fleet.ada) == "successful"


async def test_what_was_answered_in_time_is_never_overdue(stepper, clock):
    fleet = await asked(stepper, {**ASKS, "dueInMinutes": 30})
    await answer(fleet, fleet.ada)
    clock.at += timedelta(hours=1)
    await stepper.run(patience_s=0)
    assert "job.overdue" not in await fleet.told()


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ({"group": "nobody"}, "invalidJobAgent", "no group named nobody"),
        ({"assignee": "nobody"}, "invalidJobAgent", "no member named nobody"),
        ({"instructions": '{{ fail "no" }}'}, "failure", "config.instructions"),
    ],
)
async def test_what_cannot_be_asked_is_a_job_that_says_why(stepper, more, status, said):
    fleet = await asked(stepper, {**ASKS, **more})
    job = await fleet.one_job()
    assert job["status"] == status
    assert said in job["message"]


async def test_a_list_of_ones_own_tasks_holds_those_that_ask_oneself(stepper, clock):
    fleet = await asked(stepper, hosts=3)
    first = (await fleet.jobs())[0]["id"]
    await answer(fleet, fleet.ada, first)

    async def seen(who, **narrow):
        async with fleet.store.read() as conn:
            found = await list_tasks(conn, fleet.workspace_id, principal_id=who, limit=10, offset=0, **narrow)
        return {each.job_id for each in found[0]}, found[1]

    assert (await seen(fleet.bob, mine=True, state="open"))[1] == 2
    assert await seen(fleet.bob, mine=True, state="over") == ({first}, 1)
    assert (await seen(fleet.eve, mine=True, state="any"))[1] == 0
    assert (await seen(fleet.eve, mine=False, state="any"))[1] == 3


async def test_comments_stand_beside_the_job_and_never_in_the_ledger(stepper, clock):
    fleet = await asked(stepper)
    job_id = (await fleet.one_job())["id"]
    for who, text in ((fleet.eve, "The portal is slow."), (fleet.ada, "I begin at noon.")):
        async with as_person(fleet, who) as tx:
            await comment_task(tx, fleet.workspace_id, job_id=job_id, text=text)
        clock.at += timedelta(seconds=1)
    async with fleet.store.read() as conn:
        assert [each.text for each in await list_comments(conn, job_id)] == ["The portal is slow.", "I begin at noon."]
        assert not await conn.fetchval("SELECT count(*) FROM ledger WHERE body::text LIKE '%portal%'")
    async with as_person(fleet, fleet.ada) as tx:
        with pytest.raises(Invalid):
            await comment_task(tx, fleet.workspace_id, job_id=job_id, text="  ")


async def test_a_job_of_another_agent_asks_nobody(timed, tmp_path):
    fleet = await a_fleet(timed, {"one": "prod"})
    await fleet.version("1.0.0")
    await Stepper(timed, tmp_path).run(kinds=["round"], patience_s=0)
    with pytest.raises(NotFound, match="no person does it"):
        await answer(fleet, fleet.admin_id)


async def test_the_age_of_what_is_known_moves_with_every_look_and_not_with_our_own_conclusions(timed, clock, tmp_path):
    fleet = await a_fleet(timed, {"one": "prod"}, agent_config={"delaySeconds": 600})
    stepper = Stepper(timed, tmp_path)
    stepper.flow.agents["test-runner"]._now = clock
    await fleet.version("1.0.0")
    await stepper.run(patience_s=0)
    before = await fleet.one_job()
    assert before["observed_at"] == clock.at
    told = len(await fleet.told())
    clock.at += timedelta(seconds=60)
    await stepper.run(patience_s=0)
    after = await fleet.one_job()
    assert (after["observed_at"], after["updated_at"]) == (clock.at, before["updated_at"]), "looked at; nothing is new"
    assert len(await fleet.told()) == told
    async with timed.read() as conn:
        assert (await find_job(conn, fleet.workspace_id, job_id=after["id"])).observed_at == clock.at
