"""What becomes of measurements: a verdict, a hold where nothing could tell, what people say of it, and a pass that is
taken back.

Source: issue 6, "One state machine"; core.md section 2 (own facts).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

import orjson
import pytest

from interlock.judge.conditions import ResultFields
from interlock.metrics import Metric, Reading
from interlock.model.errors import Conflict, NotFound, ProviderUnavailable
from interlock.model.ids import new_id
from interlock.store.rollouts import list_rollouts
from interlock.store.series import load_series
from interlock.store.standings import explain_target_now
from interlock.store.verification_words import find_verification, list_metric_counts, list_said, list_verifications, say
from tests.store.fleet import Fleet, Stepper, a_fleet, until

ALL = ["round", "dispatch", "observe", "match", "measure"]


class ToldMetric:
    """A provider that answers what the test says: pass, fail, vague, or nothing at all."""

    kind: ClassVar[str] = "told"
    result_fields: ClassVar[ResultFields] = {"says": "string", "rate": "double"}

    def __init__(self) -> None:
        self.says = "pass"
        self.asked = 0

    def check_config(self, config: Mapping[str, object], path: str) -> None:
        """Nothing is wrong."""

    async def measure(
        self,
        config: Mapping[str, object],
        context: Mapping[str, object],
        *,
        due_at: datetime,
        now: datetime,
        timeout_s: float,
    ) -> Reading:
        _ = config, context, due_at, now, timeout_s
        self.asked += 1
        if self.says == "nothing":
            raise ProviderUnavailable("the metrics are away")
        return Reading({"says": self.says, "rate": 1.0})


METRIC = {
    "name": "errors",
    "intervalSeconds": 0.1,
    "count": 1,
    "errorsMax": 0,
    "successCondition": 'result.says == "pass"',
    "failureCondition": 'result.says == "fail"',
    "provider": {"type": "told"},
}
ONE_BY_ONE = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 0}}
ROLLBACK = {"rollback": {"onVerificationFailure": True}}


class Yard:
    """Two hosts, one after the other, each verified by what the test says."""

    def __init__(self, fleet: Fleet, stepper: Stepper, told: ToldMetric) -> None:
        self.fleet, self.stepper, self.told = fleet, stepper, told

    async def run(self) -> None:
        await self.stepper.run(kinds=ALL, patience_s=1.2)

    async def verifications(self, state: str | None = None) -> list[Any]:
        async with self.fleet.store.read() as conn:
            return list((await list_verifications(conn, self.fleet.workspace_id, state=state))[0])

    async def held(self) -> Any:
        (one,) = await self.verifications("held")
        return one

    async def say(self, verification_id: str, word: Any, reason: str | None = "looked") -> None:
        async with self.fleet.tx() as tx:
            await say(
                tx,
                self.fleet.workspace_id,
                verification_id=verification_id,
                word=word,
                reason=reason,
                principal_id=self.fleet.admin_id,
            )

    async def time_is(self, instant: str) -> None:
        """An instant of the held verification is now, and its look is due."""
        async with self.fleet.store.read() as conn:
            await conn.execute(f"UPDATE verification SET {instant} = interlock_now() WHERE ended_at IS NULL")
            await conn.execute("UPDATE work SET ready_at = interlock_now() WHERE kind = 'measure'")

    async def good(self) -> dict[str, str | None]:
        async with self.fleet.store.read() as conn:
            rows = await conn.fetch(
                "SELECT r.name, v.tag FROM target t JOIN resource r ON r.id = t.resource_id "
                "LEFT JOIN release c ON c.id = t.good_release_id LEFT JOIN version v ON v.id = c.version_id"
            )
        return {row["name"]: row["tag"] for row in rows}

    async def bodies(self, kind: str) -> list[dict[str, Any]]:
        async with self.fleet.store.read() as conn:
            rows = await conn.fetch("SELECT body FROM ledger WHERE kind = $1 ORDER BY id", kind)
        return [orjson.loads(row["body"]) for row in rows]


async def a_yard(store, tmp_path, **rule: Any) -> Yard:
    told = ToldMetric()
    stepper = Stepper(store, tmp_path)
    templates = stepper.flow.metrics["sleep"].templates
    stepper.flow.metrics = {**stepper.flow.metrics, "told": Metric(told, templates)}
    fleet = await a_fleet(store, {"one": "prod", "two": "prod"})
    proof = {"verification": {"metrics": [METRIC], **rule}}
    await fleet.policy("verify", [proof, ONE_BY_ONE, ROLLBACK])
    yard = Yard(fleet, stepper, told)
    await fleet.version("1.0.0")
    await yard.run()
    assert await yard.good() == {"one": "1.0.0", "two": "1.0.0"}
    return yard


@pytest.mark.parametrize("says", ["vague", "nothing"])
async def test_what_could_not_tell_holds_until_a_person_accepts_it(store, tmp_path, says):
    yard = await a_yard(store, tmp_path)
    yard.told.says = says
    await yard.fleet.version("1.1.0")
    await yard.run()
    held = await yard.held()
    where = await yard.fleet.where()
    assert sorted(where.values()) == ["1.0.0", "1.1.0"], "the next one does not start"
    assert set((await yard.good()).values()) == {"1.0.0"}, "what could not be told is not promoted, nor undone"
    (told,) = await yard.bodies("verification.inconclusive")
    (metric,) = told["metrics"]
    assert (metric["name"], metric["state"]) == ("errors", "inconclusive")
    assert metric["measurements"] == {"inconclusive" if says == "vague" else "errored": 1}

    standing = await explain_target_now(store, yard.fleet.deployment_id, target_id=held.target_id)
    assert standing is not None
    (first,) = [one for one in standing["holds"] if one["reason"] == "verification_unclear"]
    assert f"interlock verification again, accept or fail {held.id}" in first["sentence"]
    assert "Who can act: whoever may steer here" in first["sentence"]

    yard.told.says = "pass"
    await yard.say(held.id, "accepted", "the dashboards are fine")
    await yard.say(held.id, "accepted", "the dashboards are fine")
    await yard.run()
    assert await yard.good() == {"one": "1.1.0", "two": "1.1.0"}
    assert len(await yard.bodies("verification.accepted")) == 1
    async with store.read() as conn:
        (said,) = await list_said(conn, [held.id])
    assert (said.word, said.reason) == ("accepted", "the dashboards are fine")
    assert "dashboards" not in str(await yard.bodies("verification.accepted")), "free text has no place in the ledger"
    with pytest.raises(Conflict, match="It passed"):
        await yard.say(held.id, "failed")


async def test_a_person_fails_it_and_what_follows_is_what_follows_a_failure(store, tmp_path):
    yard = await a_yard(store, tmp_path)
    yard.told.says = "vague"
    await yard.fleet.version("1.1.0")
    await yard.run()
    held = await yard.held()
    yard.told.says = "pass"
    await yard.say(held.id, "failed", "customers report errors")
    await yard.run()
    assert set((await yard.fleet.where()).values()) == {"1.0.0"}
    assert "rollback.started" in await yard.fleet.told()
    with pytest.raises(Conflict, match="redeploy"):
        await yard.say(held.id, "again")
    with pytest.raises(NotFound):
        await yard.say(new_id(), "again")


async def test_measured_again_it_passes_and_the_run_before_counts_no_more(store, tmp_path):
    yard = await a_yard(store, tmp_path)
    yard.told.says = "nothing"
    await yard.fleet.version("1.1.0")
    await yard.run()
    held = await yard.held()
    yard.told.says = "pass"
    await yard.say(held.id, "again", None)
    await yard.say(held.id, "again", None)
    await yard.run()
    assert await yard.good() == {"one": "1.1.0", "two": "1.1.0"}
    async with store.read() as conn:
        one = await find_verification(conn, yard.fleet.workspace_id, verification_id=held.id)
        (metric,) = await list_metric_counts(conn, held.id)
        kept = await conn.fetchval(
            "SELECT count(*) FROM measurement s JOIN verification_metric m ON m.id = s.metric_id "
            "WHERE m.verification_id = $1",
            held.id,
        )
    assert one is not None
    assert (one.run, one.state, metric.passed, metric.errored, kept) == (2, "passed", 1, 0, 2)
    assert len(await yard.bodies("verification.again")) == 1


async def test_a_hold_is_measured_again_by_itself_and_ends_by_itself(store, tmp_path):
    yard = await a_yard(
        store, tmp_path, measureAgainSeconds=600, inconclusiveAfterSeconds=7200, inconclusiveThen="pass"
    )
    yard.told.says = "nothing"
    await yard.fleet.version("1.1.0")
    await yard.run()
    held = await yard.held()
    assert (held.held_until - held.held_since, held.again_at - held.held_since) == (
        timedelta(hours=2),
        timedelta(minutes=10),
    )
    await yard.time_is("again_at")
    await yard.run()
    again = await yard.held()
    assert (again.run, again.held_since, again.held_until) == (2, held.held_since, held.held_until)
    assert [one["by"] for one in await yard.bodies("verification.again")] == ["rule"]
    yard.told.says = "pass"
    await yard.time_is("held_until")
    await yard.run()
    assert await yard.good() == {"one": "1.1.0", "two": "1.1.0"}
    (by,) = [one for one in await yard.bodies("verification.passed") if "by" in one]
    assert by["by"] == "policy"
    assert "takes for a pass" in by["message"]


@pytest.mark.parametrize(("revokes", "good"), [(True, "1.0.0"), (False, "1.1.0")])
async def test_a_pass_that_is_measured_again_and_fails_is_taken_back_where_the_rule_says_so(
    store, tmp_path, revokes, good
):
    yard = await a_yard(store, tmp_path, revokes=revokes)
    await yard.fleet.version("1.1.0")
    await yard.run()
    one = next(each for each in await yard.verifications("passed") if each.tag == "1.1.0")
    yard.told.says = "fail"
    await yard.say(one.id, "again")
    await yard.stepper.run(kinds=["measure"], patience_s=0.3)
    yard.told.says = "pass"
    await yard.run()
    assert (await yard.good())[one.resource] == good
    assert (await yard.fleet.where())[one.resource] == good
    told = await yard.fleet.told()
    assert ("verification.revoked" in told, "verification.stands" in told) == (revokes, not revokes)
    assert ("rollback.started" in told) is revokes
    async with store.read() as conn:
        verified = await conn.fetchval(
            "SELECT verified_at FROM landed WHERE target_id = $1 AND version_id = $2", one.target_id, one.version_id
        )
    assert (verified is None) is revokes


async def test_a_pass_that_is_taken_back_halts_its_rollout_where_nothing_answers_it(store, tmp_path):
    yard = await a_yard(store, tmp_path)
    slowly = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 3600}}
    await yard.fleet.policy("verify", [{"verification": {"metrics": [METRIC], "revokes": True}}, slowly])
    await yard.fleet.version("1.1.0")
    await yard.run()
    one = next(each for each in await yard.verifications("passed") if each.tag == "1.1.0")
    assert sorted((await yard.fleet.where()).values()) == ["1.0.0", "1.1.0"], "the other one has an hour"
    jobs = len(await yard.fleet.jobs())
    yard.told.says = "fail"
    await yard.say(one.id, "again")
    await yard.run()
    async with store.read() as conn:
        (rollout,), _ = await list_rollouts(conn, yard.fleet.workspace_id, states=("open", "paused", "halted"))
    assert (rollout.state, rollout.reason, rollout.failures) == ("halted", "failures", 1)
    assert (await yard.fleet.where())[one.resource] == "1.1.0", "nobody asked for it to go back"
    assert len(await yard.fleet.jobs()) == jobs
    assert set((await yard.good()).values()) == {"1.0.0"}
    told = await yard.fleet.told()
    assert ("verification.revoked" in told, "rollout.halted" in told, "rollback.started" in told) == (True, True, False)
    other = next(each for each in await yard.verifications("passed") if each.resource != one.resource)
    standing = await explain_target_now(store, yard.fleet.deployment_id, target_id=other.target_id)
    assert "rollout_halted" in {hold["reason"] for hold in standing["holds"]}


async def test_what_runs_no_more_is_not_measured_again(store, tmp_path):
    yard = await a_yard(store, tmp_path)
    old = (await yard.verifications("passed"))[0]
    await yard.fleet.version("1.1.0")
    await yard.run()
    with pytest.raises(Conflict, match="runs something else by now"):
        await yard.say(old.id, "again")


async def test_a_measurement_asks_for_no_round_and_a_verdict_does(store, tmp_path):
    slow = {**METRIC, "count": 3, "intervalSeconds": 0.1}
    yard = await a_yard(store, tmp_path, metrics=[slow])
    await yard.fleet.version("1.1.0")
    await yard.stepper.run(kinds=["round", "dispatch", "observe", "match"], patience_s=1.2)
    assert not await yard.fleet.is_due("round", yard.fleet.deployment_id)
    async with store.read() as conn:
        before = await conn.fetchval("SELECT generation FROM deployment WHERE id = $1", yard.fleet.deployment_id)
    asked = yard.told.asked
    rounds_asked = []
    for number in range(3):
        await until(lambda: yard.stepper.step("measure"))
        assert yard.told.asked == asked + number + 1
        async with store.read() as conn:
            generation = await conn.fetchval(
                "SELECT generation FROM deployment WHERE id = $1", yard.fleet.deployment_id
            )
        rounds_asked.append((await yard.fleet.is_due("round", yard.fleet.deployment_id), generation - before))
    assert rounds_asked[:-1] == [(False, 0)] * (len(rounds_asked) - 1)
    assert rounds_asked[-1] == (True, 1)


async def test_of_a_long_verification_few_samples_are_kept_and_every_measurement_counts(store, tmp_path):
    yard = await a_yard(store, tmp_path)
    passes = 'result.says == "pass" && result.rate < 800.0'
    long = {**METRIC, "count": 751, "failureThreshold": 9_999, "successCondition": passes}
    await yard.fleet.policy("verify", [{"verification": {"metrics": [long]}}, ONE_BY_ONE])
    await yard.fleet.version("1.1.0")
    await yard.stepper.run(kinds=["round", "dispatch", "observe", "match"], patience_s=1.2)
    await until(lambda: yard.stepper.step("measure"))
    (one,) = await yard.verifications("running")
    async with store.read() as conn:
        await conn.execute(
            "INSERT INTO measurement (metric_id, number, status, result, measured_at) "
            "SELECT m.id, n, 'passed', jsonb_build_object('rate', n), now() "
            "FROM verification_metric m, generate_series(2, 749) n WHERE m.verification_id = $1",
            one.id,
        )
        await conn.execute(
            "UPDATE verification_metric SET taken = 749, counted_from = 99, progress = progress || '{\"passed\": 749}' "
            "WHERE verification_id = $1",
            one.id,
        )
    yard.told.says = "fail"
    await until(lambda: yard.stepper.step("measure"))
    async with store.read() as conn:
        (counts,) = await list_metric_counts(conn, one.id)
        kept = await conn.fetch(
            "SELECT s.number, (result -> 'thinned' ->> 'of')::int AS of FROM measurement s "
            "JOIN verification_metric m ON m.id = s.metric_id WHERE m.verification_id = $1 ORDER BY number",
            one.id,
        )
    assert (counts.passed, counts.failed, counts.state) == (749, 1, "running")
    assert len(kept) <= 500
    assert sum(row["of"] or 1 for row in kept) == 750
    assert sum(row["of"] or 1 for row in kept if row["number"] <= 99) == 99, "none stands for two runs"
    assert kept[-1]["number"] == 750

    yard.told.says = "pass"
    await until(lambda: yard.stepper.step("measure"))
    async with store.read() as conn:
        (metric,) = await load_series(conn, one.id)
    assert metric.counts == {"passed": 750, "failed": 1, "inconclusive": 0, "errored": 0}
    assert sum(point.of for point in metric.series.points) == 751 - 99
    (panel,) = metric.series.panels
    drawn = {line.name: [value for value in line.values if value is not None] for line in panel.lines}
    assert (min(drawn["lowest"]), max(drawn["highest"])) == (1.0, 749.0)
    told = [body for body in await yard.bodies("verification.passed") if "750" in str(body)]
    assert told[0]["metrics"][0]["measurements"] == {"passed": 750, "failed": 1}
    assert metric.message is not None
    assert metric.message.startswith("750 of 751 measurements passed")


@pytest.mark.parametrize("trigger", ["jobCreated", "jobStarted", "jobSuccess"])
async def test_a_trigger_says_when_measuring_begins_and_the_move_waits_for_it(store, tmp_path, trigger):
    yard = await a_yard(store, tmp_path)
    await yard.fleet.policy("verify", [{"verification": {"metrics": [METRIC], "triggerOn": trigger}}])
    await yard.fleet.version("1.1.0", config={"delaySeconds": 1})
    await yard.run()
    assert set((await yard.good()).values()) == {"1.1.0"}
    async with store.read() as conn:
        rows = await conn.fetch(
            "SELECT v.state, v.started_at < j.completed_at AS beside FROM verification v "
            "JOIN job j ON j.id = v.subject_id JOIN move o ON o.id = v.move_id WHERE o.version_id = $1",
            yard.fleet.versions["1.1.0"],
        )
    assert [row["state"] for row in rows] == ["passed", "passed"]
    assert [row["beside"] for row in rows] == [trigger != "jobSuccess"] * 2


async def test_a_job_that_failed_may_be_measured_and_nothing_waits_for_that(store, tmp_path):
    yard = await a_yard(store, tmp_path)
    yard.told.says = "vague"
    await yard.fleet.policy(
        "verify", [{"verification": {"metrics": [METRIC], "triggerOn": "jobFailure"}}, {"retry": {"maxRetries": 1}}]
    )
    await yard.fleet.version("1.1.0", config={"status": "failure"})
    await yard.run()
    states = {one.state for one in await yard.verifications() if one.tag == "1.1.0"}
    assert states == {"inconclusive"}
    assert not await yard.verifications("held")
    async with store.read() as conn:
        assert not await conn.fetchval("SELECT count(*) FROM move WHERE closed_at IS NULL")
