"""A rollout is measured as a whole: begun, measured, ended and forgiven in the database, and told in the ledger."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import orjson
import pytest

from interlock.agents.test_runner import TestRunnerAgent
from interlock.decide import decide
from interlock.decide.codec import decode, encode, in_order
from interlock.decide.plan import applied
from interlock.flow import WORKER
from interlock.model.errors import Conflict
from interlock.model.verification import Measurement, MeasurementStatus
from interlock.store.rollouts import list_rollouts, steer_rollout
from interlock.store.verification_words import find_verification, say
from interlock.store.verifications import find_due_metric, record_measurement, record_measurements
from tests.store.fleet import Stepper, a_fleet, commit, load

METRIC = {
    "name": "error-rate",
    "intervalSeconds": 3600,
    "count": 2,
    "successCondition": "result.ok",
    "provider": {"type": "sleep", "durationSeconds": 1},
}
RULES = [
    {"gradualRollout": {"rolloutType": "waves", "waves": [1, "100%"]}},
    {
        "verification": {
            "metrics": [
                {**METRIC, "runs": "betweenWaves"},
                {**METRIC, "name": "saturation", "runs": "whileOpen"},
                {
                    "name": "errors",
                    "runs": "whileOpen",
                    "intervalSeconds": 3600,
                    "provider": {"type": "http", "url": "http://metrics/errors"},
                    "compare": {"bad": "result.json[side].bad", "total": "result.json[side].total"},
                },
            ]
        }
    },
]

METRIC_NAMES = ("error-rate", "saturation")


@pytest.fixture
def stepper(store, tmp_path):
    return Stepper(store, tmp_path, agents={"test-runner": TestRunnerAgent()})


async def go(stepper):
    """Everything but measuring, which the tests do."""
    await stepper.run(kinds=[kind for kind in stepper.steps if kind != "measure"])


async def first_wave_over(store, stepper, rules=RULES):
    """Three hosts run 1.0.0, the first of them 1.1.0; what is measured of the rollout has begun."""
    fleet = await a_fleet(store, dict.fromkeys(("a", "b", "c"), "prod"))
    await fleet.version("1.0.0")
    await go(stepper)
    await fleet.policy("waves", rules)
    await go(stepper)
    await fleet.version("1.1.0")
    await go(stepper)
    return fleet


async def live(fleet):
    async with fleet.store.read() as conn:
        (found,), _ = await list_rollouts(conn, fleet.workspace_id, states=("open", "paused", "halted"))
    return found


async def metrics(fleet):
    """Name -> the id of its newest metric, with what it measures for."""
    async with fleet.store.read() as conn:
        rows = await conn.fetch(
            "SELECT m.id, m.name, m.alpha_share FROM verification_metric m "
            "JOIN verification v ON v.id = m.verification_id "
            "WHERE v.workspace_id = $1 AND v.rollout_id IS NOT NULL ORDER BY v.started_at",
            fleet.workspace_id,
        )
        return {row["name"]: (row["alpha_share"], await find_due_metric(conn, row["id"])) for row in rows}


async def measured(fleet, name, status, times=1):
    for _ in range(times):
        _, due = (await metrics(fleet))[name]
        async with fleet.store.tx(actor=WORKER, cause="measure", workspace_id=fleet.workspace_id) as tx:
            await record_measurement(tx, due, Measurement(MeasurementStatus(status), datetime.now(UTC), "seen"))


async def told(fleet, kind):
    async with fleet.store.read() as conn:
        rows = await conn.fetch(
            "SELECT body FROM ledger WHERE workspace_id = $1 AND kind = $2 ORDER BY at", fleet.workspace_id, kind
        )
    bodies = [orjson.loads(row["body"]) for row in rows]
    return [body for body in bodies if "measured" in body]


async def test_a_wave_is_measured_and_the_next_one_goes_when_it_passed(store, stepper):
    fleet = await first_wave_over(store, stepper)
    found = await metrics(fleet)
    assert set(found) == {"error-rate", "saturation", "errors"}
    assert found["errors"][0] == pytest.approx(0.9), "the one test of the rollout"
    assert found["error-rate"][0] is None
    context = found["error-rate"][1].context
    assert set(context) == {"deployment", "environment", "version", "rollout", "wave"}
    assert (context["version"]["tag"], context["wave"]) == ("1.1.0", {"number": 1})
    assert "wave" not in found["errors"][1].context
    assert sorted((await fleet.where()).values()) == ["1.0.0", "1.0.0", "1.1.0"]
    await measured(fleet, "error-rate", "passed", times=2)
    await go(stepper)
    assert set((await fleet.where()).values()) == {"1.1.0"}
    (passed, ended) = await told(fleet, "verification.passed")
    assert passed["measured"] == "wave 1"
    assert "target" not in passed
    assert ended["message"] == "nothing was found while the rollout was open"


async def test_a_failure_while_it_is_open_halts_it_and_a_person_who_resumes_it_forgives(store, stepper):
    fleet = await first_wave_over(store, stepper)
    await measured(fleet, "saturation", "failed")
    await go(stepper)
    rollout = await live(fleet)
    assert (rollout.state, rollout.reason) == ("halted", "verification_failed")
    facts = (await load(store, fleet.deployment_id)).facts
    proofs = {one.wave: one for each in facts.rollouts for one in each.proofs}
    assert (proofs[None].state, proofs[None].message) == (
        "failed",
        "saturation: 1 of the last 1 measurements failed, 0 tolerated: seen",
    )
    assert decode(dict(encode(facts))) == in_order(facts)
    async with fleet.tx() as tx:
        await steer_rollout(
            tx, fleet.workspace_id, rollout_id=rollout.id, step="resume", reason="known", principal_id=fleet.admin_id
        )
    loaded = await load(store, fleet.deployment_id)
    assert [one.forgiven for each in loaded.facts.rollouts for one in each.proofs if one.state == "failed"] == [True]
    plan = decide(loaded.facts, loaded.now)
    await commit(store, loaded, plan)
    assert [one.proof.wave for one in plan.proofs] == [None], "it begins anew"
    assert [share for one in plan.proofs for share in one.alpha_shares] == [None, pytest.approx(0.05)]
    after = await load(store, fleet.deployment_id)
    world = applied(loaded.facts, plan, loaded.now)
    assert in_order(after.facts).rollouts == in_order(world).rollouts, "the pure twin agrees"
    async with fleet.tx() as tx:
        await steer_rollout(
            tx, fleet.workspace_id, rollout_id=rollout.id, step="abort", reason="no", principal_id=fleet.admin_id
        )
    async with store.read() as conn:
        states = await conn.fetch(
            "SELECT v.state, v.wave FROM verification v WHERE v.rollout_id = $1 ORDER BY v.state", rollout.id
        )
    assert [tuple(row) for row in states] == [("failed", None), ("inconclusive", 0), ("passed", None)]


BY_ONES = [
    {"gradualRollout": {"rolloutType": "waves", "waves": [1, 2, "100%"]}},
    {"verification": {"revokes": True, "metrics": [{**METRIC, "count": 1, "runs": "betweenWaves"}]}},
]


async def test_a_wave_that_passed_is_measured_again_while_its_rollout_lasts(store, stepper):
    fleet = await first_wave_over(store, stepper, BY_ONES)
    _, first = (await metrics(fleet))["error-rate"]

    async def again():
        async with fleet.tx() as tx:
            await say(
                tx,
                fleet.workspace_id,
                verification_id=first.verification_id,
                word="again",
                reason="customers report errors",
                principal_id=fleet.admin_id,
            )

    async def of_first(status):
        async with fleet.store.tx(actor=WORKER, cause="measure", workspace_id=fleet.workspace_id) as tx:
            due = await find_due_metric(tx.conn, first.id)
            await record_measurement(tx, due, Measurement(MeasurementStatus(status), datetime.now(UTC), "seen"))

    await of_first("passed")
    await go(stepper)
    assert sorted((await fleet.where()).values()) == ["1.0.0", "1.1.0", "1.1.0"], "the second wave is measured"
    await again()
    facts = (await load(store, fleet.deployment_id)).facts
    assert {one.wave: one.state for each in facts.rollouts for one in each.proofs} == {0: "passed", 1: "running"}
    await of_first("inconclusive")
    (stands,) = await told(fleet, "verification.stands")
    assert stands["measured"] == "wave 1"
    await again()
    await of_first("failed")
    await go(stepper)
    rollout = await live(fleet)
    assert (rollout.state, rollout.reason) == ("halted", "verification_failed")
    assert len(await told(fleet, "verification.revoked")) == 1


async def test_a_wave_that_is_measured_again_when_its_rollout_ends_has_passed(store, stepper):
    fleet = await first_wave_over(store, stepper, BY_ONES)
    _, first = (await metrics(fleet))["error-rate"]
    words = {"verification_id": first.verification_id, "word": "again", "reason": "", "principal_id": fleet.admin_id}
    await measured(fleet, "error-rate", "passed")
    await go(stepper)
    async with fleet.tx() as tx:
        await say(tx, fleet.workspace_id, **words)
    await measured(fleet, "error-rate", "passed")
    await go(stepper)
    assert set((await fleet.where()).values()) == {"1.1.0"}
    async with store.read() as conn:
        over = await find_verification(conn, fleet.workspace_id, verification_id=first.verification_id)
    assert (over.state, over.run, over.passed_at, over.can) == ("passed", 2, None, ("again",))
    assert len(await told(fleet, "verification.stands")) == 1
    with pytest.raises(Conflict, match="its rollout is over"):
        async with fleet.tx() as tx:
            await say(tx, fleet.workspace_id, **words)


class LetGo(Exception):
    """Ends a transaction, so that the next try begins from the same."""


async def test_what_ends_a_rollout_and_what_measures_it_never_wait_for_each_other(store, stepper):
    fleet = await first_wave_over(store, stepper)
    rollout, found = await live(fleet), await metrics(fleet)
    last = [(found["saturation"][1], Measurement(MeasurementStatus.FAILED, datetime.now(UTC), "seen"))]
    more = [(found[name][1], Measurement(MeasurementStatus.PASSED, datetime.now(UTC))) for name in METRIC_NAMES]

    async def measure(taken):
        async with store.tx(actor=WORKER, cause="measure", workspace_id=fleet.workspace_id) as tx:
            await record_measurements(tx, taken)
            raise LetGo

    async def steer(step):
        async with fleet.tx() as tx:
            await steer_rollout(
                tx, fleet.workspace_id, rollout_id=rollout.id, step=step, reason="no", principal_id=fleet.admin_id
            )
            raise LetGo

    for _ in range(15):
        several = (measure(last), steer("abort"), measure([*more, *last]), measure(more))
        ended = await asyncio.gather(*several, return_exceptions=True)
        assert [type(one) for one in ended] == [LetGo] * len(several)
