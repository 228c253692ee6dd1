"""A claimed job has one owner at most, whose word counts, and never none for longer than its lease.

Source: core.md section 5; decision record 0031.
"""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from interlock.model.errors import Conflict
from interlock.model.job import JobStatus, Observation
from interlock.store.jobs import ask_cancel, claim_job, find_flow_job
from interlock.store.leases import heartbeat, report
from interlock.store.tx import Store
from tests.store.fleet import Stepper, a_fleet

LEASED = {"leaseSeconds": 60}
OFFERED = {"leaseSeconds": 60, "onLeaseEnd": "offer", "attemptsMax": 3}


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.at = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)

    def __call__(self):
        self.at += timedelta(microseconds=1)
        return self.at

    def forward(self, seconds):
        self.at += timedelta(seconds=seconds)


class Place:
    """A fleet with one job of a pull agent, a clock, and a worker that takes steps."""

    def __init__(self, store, clock, stepper, fleet):
        self.store, self.clock, self.stepper, self.fleet = store, clock, stepper, fleet

    async def job(self):
        return await self.fleet.one_job()

    async def settle(self):
        await self.stepper.run(patience_s=0)

    async def claim(self, **asked):
        job = await self.job()
        async with self.fleet.tx() as tx:
            claimed = await claim_job(
                tx, workspace_id=self.fleet.workspace_id, agent_id=self.fleet.agent_id, job_id=job["id"], **asked
            )
        return claimed.attempt

    async def heartbeat(self, attempt, **more):
        job = await self.job()
        async with self.fleet.tx() as tx:
            return await heartbeat(tx, job["id"], attempt=attempt, **more)

    async def report(self, status, attempt):
        job_id = (await self.job())["id"]
        async with self.fleet.tx() as tx:
            job = await find_flow_job(tx.conn, job_id)
            return await report(tx, job, Observation(JobStatus(status)), attempt=attempt, source="api")

    async def pass_time(self, seconds):
        self.clock.forward(seconds)
        await self.settle()

    async def cancel(self):
        job_id = (await self.job())["id"]
        async with self.fleet.tx() as tx:
            assert await ask_cancel(tx, await find_flow_job(tx.conn, job_id), reason="enough")


@pytest.fixture
async def place_of(database_url, tmp_path):
    clock = Clock()
    store = await Store.open(database_url, clock=clock)

    async def make(config):
        stepper = Stepper(store, tmp_path)
        fleet = await a_fleet(store, {"one": "prod"}, agent_type="http-pull", agent_config=config)
        await fleet.version("1.0.0")
        place = Place(store, clock, stepper, fleet)
        await place.settle()
        assert (await place.job())["status"] == "queued"
        return place

    yield make
    await store.close()


async def test_whoever_sends_heartbeats_keeps_the_job_and_ends_it(place_of):
    place = await place_of(LEASED)
    attempt = await place.claim(holder="west-1")
    for _ in range(5):
        await place.pass_time(45)
        assert (await place.heartbeat(attempt)).refused is None
    job = await place.job()
    assert (job["status"], job["held_by"], job["leases_ended"]) == ("inProgress", "west-1", 0)
    assert job["leased_until"] - job["heard_at"] == timedelta(seconds=60)
    assert (await place.report("successful", attempt)).status is JobStatus.SUCCESSFUL
    await place.settle()
    assert await place.fleet.where() == {"one": "1.0.0"}


async def test_a_heartbeat_writes_no_ledger_row_and_no_work_row(place_of):
    place = await place_of(LEASED)
    attempt = await place.claim()
    await place.settle()
    told = await place.fleet.told()
    async with place.store.read() as conn:
        before = await conn.fetch("SELECT kind, key, ready_at FROM work ORDER BY 1, 2")
        place.clock.forward(30)
        await place.heartbeat(attempt)
        assert await conn.fetch("SELECT kind, key, ready_at FROM work ORDER BY 1, 2") == before
    assert await place.fleet.told() == told
    assert [row["kind"] for row in before] == ["observe"], "the look at the lease's end"


async def test_a_job_whose_lease_ends_fails_where_its_agent_says_nothing_else(place_of):
    place = await place_of(LEASED)
    attempt = await place.claim(holder="west-1")
    await place.pass_time(59)
    assert (await place.job())["status"] == "inProgress"
    await place.pass_time(2)
    job = await place.job()
    assert job["status"] == "failure"
    assert "The lease of attempt 1 ended at 2026-03-09T12:01:00Z: west-1 was not heard of in time" in job["message"]
    assert "job.lease_ended" in await place.fleet.told()
    late = await place.report("successful", attempt)
    assert late.refused is None and late.status is JobStatus.FAILURE, "terminal is final; it is noted"
    assert (await place.heartbeat(attempt)).refused == "The job is over: it is failure."
    assert await place.fleet.where() == {"one": None}


async def test_a_job_whose_lease_ends_is_judged_again_before_it_is_offered_again(place_of):
    place = await place_of(OFFERED)
    await place.claim()
    place.clock.forward(61)
    while (await place.job())["status"] == "inProgress":
        assert await place.stepper.step("observe")
    job = await place.job()
    assert (job["status"], job["handover"], job["held_by"], job["leases_ended"]) == ("pending", "waiting", None, 1)
    with pytest.raises(Conflict):
        await place.claim()
    freeze = await place.fleet.freeze()
    await place.settle()
    assert (await place.job())["status"] == "skipped", "the round judged it, and a freeze holds"
    await place.fleet.thaw(freeze)
    await place.settle()
    first, second = await place.fleet.jobs()
    assert (first["status"], second["status"]) == ("skipped", "queued")


async def test_the_next_owner_has_a_fence_of_its_own_and_the_one_before_is_refused(place_of):
    place = await place_of(OFFERED)
    old = await place.claim()
    await place.pass_time(61)
    assert (await place.job())["status"] == "queued"
    for news in (await place.report("successful", old), await place.heartbeat(old)):
        assert news.refused == "Attempt 1 is over: its lease ended. What it says does not count any more."
    new = await place.claim()
    assert (old, new) == (1, 2)
    assert (await place.report("failure", old)).refused is not None
    assert (await place.heartbeat(old)).refused is not None
    assert (await place.report("successful", 3)).refused == "There was no attempt 3 of this job yet."
    assert (await place.job())["status"] == "inProgress"
    assert (await place.fleet.told()).count("job.noted") == 5
    assert (await place.report("successful", new)).refused is None
    await place.settle()
    assert await place.fleet.where() == {"one": "1.0.0"}


async def test_who_sends_no_attempt_is_believed_until_a_lease_has_ended(place_of):
    place = await place_of(OFFERED)
    await place.claim()
    assert (await place.report("inProgress", None)).refused is None
    await place.pass_time(59)
    assert (await place.report("inProgress", None)).refused is None, "a report is a heartbeat too"
    await place.pass_time(59)
    assert (await place.job())["status"] == "inProgress"
    await place.pass_time(2)
    await place.claim()
    assert "say which attempt" in (await place.report("successful", None)).refused
    assert (await place.job())["status"] == "inProgress"


async def test_who_knows_of_no_lease_and_has_none_keeps_its_job(place_of):
    place = await place_of({})
    await place.claim()
    await place.pass_time(1_000_000)
    assert (await place.job())["status"] == "inProgress"
    assert (await place.report("successful", None)).status is JobStatus.SUCCESSFUL


async def test_a_claim_may_ask_for_a_lease_and_an_agent_says_how_long_at_most(place_of):
    place = await place_of({})
    await place.claim(lease_s=10)
    await place.pass_time(11)
    assert (await place.job())["status"] == "failure"
    short = await place_of(LEASED)
    await short.claim(lease_s=3600)
    job = await short.job()
    assert job["leased_until"] - job["heard_at"] == timedelta(seconds=60)
    await short.heartbeat(1, asked_s=20)
    job = await short.job()
    assert job["leased_until"] - job["heard_at"] == timedelta(seconds=20)
    await short.pass_time(21)
    assert (await short.job())["status"] == "failure", "a shorter lease is looked at in its time"


async def test_a_job_is_offered_so_often_and_then_it_has_failed(place_of):
    place = await place_of(OFFERED)
    for attempt in (1, 2, 3):
        assert await place.claim() == attempt
        await place.pass_time(61)
    job = await place.job()
    assert (job["status"], job["attempt"], job["leases_ended"]) == ("failure", 3, 3)
    assert "it was attempt 3 of 3" in job["message"]


async def test_a_heartbeat_hears_of_a_cancel_and_an_owner_who_is_gone_ends_it(place_of):
    place = await place_of(OFFERED)
    attempt = await place.claim()
    assert not (await place.heartbeat(attempt)).cancel_asked
    await place.cancel()
    await place.settle()
    heard = await place.heartbeat(attempt)
    assert heard.cancel_asked and heard.cancel_reason == "enough"
    assert (await place.job())["status"] == "inProgress", "its agent has not said that it stopped"
    await place.pass_time(61)
    assert (await place.job())["status"] == "cancelled", "nobody is left who could confirm it"


async def test_an_owner_who_does_not_stop_is_waited_for_until_the_cancels_time_is_up(place_of):
    place = await place_of(OFFERED)
    attempt = await place.claim()
    await place.cancel()
    for _ in range(12):
        await place.pass_time(30)
        await place.heartbeat(attempt)
    assert (await place.job())["status"] == "cancelled"


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_comes_late_one_owner_at_most_has_a_word_that_counts(place_of, seed):
    """Owners claim, fall silent, come back late and say anything: what counts is the newest attempt's, in its lease."""
    place, chance = await place_of({**OFFERED, "attemptsMax": 100}), Random(seed)
    known: set[int] = set()
    for _ in range(60):
        job = await place.job() if len(await place.fleet.jobs()) == 1 else None
        if job is None or JobStatus(job["status"]).terminal:
            break
        act = chance.choice(("claim", "beat", "beat", "report", "time", "time", "settle"))
        owner = job["attempt"] if job["handover"] == "started" else None
        attempt = chance.choice(sorted(known)) if known else 1
        if act == "claim":
            try:
                known.add(await place.claim(lease_s=chance.choice((None, 5, 30))))
            except Conflict:
                assert owner is not None or job["status"] != "queued"
            else:
                assert owner is None and job["status"] == "queued", "never two owners"
        elif act == "beat":
            assert ((await place.heartbeat(attempt)).refused is None) == (attempt == owner)
        elif act == "report":
            word = chance.choice(("inProgress", "actionRequired", "inProgress", "successful"))
            news = await place.report(word, attempt)
            assert (news.refused is None) == (attempt == owner)
            after = await place.job()
            assert after["status"] == (word if attempt == owner else job["status"])
        elif act == "time":
            place.clock.forward(chance.choice((1, 10, 40)))
        else:
            await place.settle()
            after = await place.job()
            if owner is not None and after["handover"] == "started":
                assert after["leased_until"] > place.clock.at, "nobody has a job for longer than its lease"
    assert known, "nothing happened: it proves nothing"
