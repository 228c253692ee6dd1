"""How does a hold read to an operator at 3 a.m.? Which rule, since when, until when, who can act."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from decide.test_scenarios import production
from interlock.decide import explain, forecast, gates, orders, rows, standing
from interlock.decide.explain import SENTENCES, sentence, sentences, title
from interlock.decide.rules import RULES
from worlds import set_policies


def said(world) -> dict[str, str]:
    """Rule -> its sentence, in the newest version's tree."""
    plan = world.round()
    return {str(v["rule"]): sentence(v) for one in plan.decisions for v in one.verdicts}


def test_a_freeze():
    world = production(hosts=["prod-1"])
    world.create_version("v1")
    world.freeze("sev-1 in payments", expires_at=world.now + timedelta(hours=2))
    assert said(world)["freeze"] == (
        "Frozen (workspace) by olga since 2026-03-09T08:00:00.000003Z: sev-1 in payments. It ends "
        "2026-03-09T10:00:00.000002Z. Who can act: an operator may thaw it."
    )


def test_a_freeze_without_end():
    world = production(hosts=["prod-1"])
    world.create_version("v1")
    world.freeze("sev-1")
    assert "It has no end." in said(world)["freeze"]


def test_a_window_in_its_own_zone():
    office = {"deploymentWindow": {"rrule": "FREQ=DAILY;BYHOUR=22", "durationMinutes": 60, "timezone": "Europe/Berlin"}}
    world = production(office, hosts=["prod-1"])
    world.create_version("v1")
    assert said(world)["deploymentWindow"] == (
        "Outside the deployment window; it opens at 2026-03-09T22:00 Europe/Berlin. It changes at 2026-03-09T21:00:00Z."
    )


def test_an_approval_says_who_may():
    world = production({"anyApproval": {"minApprovals": 2, "allowSelfApproval": False}}, hosts=["prod-1"])
    world.create_version("v1")
    world.say("bob", "approved", "v1", "production")
    assert said(world)["anyApproval"] == (
        "It has 1 of 2 approvals. Who can act: anybody who may approve, but not the version's author."
    )


def test_a_soak_says_since_and_until():
    soak = {"environmentProgression": {"dependsOnEnvironmentSelector": "true", "minimumSoakTimeMinutes": 5}}
    from worlds import a_fleet, deploy

    world = a_fleet({"staging": ["s"], "production": ["p"]}, {"soak": (["production"], [soak])})
    deploy(world, "v1")
    world.facts = replace(world.facts, decided_by_subject={})
    text = said(world)["environmentProgression"]
    assert text.startswith("It soaks in staging until 2026-03-09T08:05:")
    assert "Since 2026-03-09T08:00:" in text


def test_what_passes_is_short():
    world = production({"anyApproval": {"minApprovals": 1}}, hosts=["prod-1"])
    world.create_version("v1")
    world.say("bob", "approved", "v1", "production")
    assert said(world)["anyApproval"] == "Approved by bob."


def test_an_observed_policy_says_so():
    world = production(hosts=["prod-1"])
    set_policies(world, {"watch": (["production"], [{"anyApproval": {"minApprovals": 1}}])}, observe=["watch"])
    world.create_version("v1")
    assert said(world)["anyApproval"].endswith("(observed only)")


def test_holds_come_first_and_carry_their_policy():
    verdicts = [
        {"rule": "freeze", "outcome": "pass", "reason": "not_frozen", "values": {}},
        {
            "rule": "anyApproval",
            "outcome": "hold",
            "reason": "rejected",
            "values": {"by": ["eve", "bob"]},
            "policy": "prod",
        },
    ]
    told = sentences(verdicts)
    assert [one["title"] for one in told] == ["anyApproval (prod)", "freeze"]
    assert told[0]["sentence"] == "Rejected by eve, bob."
    assert title({"rule": "freeze"}) == "freeze"


def test_a_decision_of_another_engine_still_reads():
    assert sentence({"outcome": "hold", "reason": "gone_since"}) == "gone_since"
    assert sentence({"outcome": "hold", "reason": "rejected", "values": {}}) == "Rejected by ?."
    assert sentence({"outcome": "hold", "reason": "rejected", "values": None}) == "Rejected by ?."


def test_every_reason_has_one_sentence():
    owners = [module.REASONS for module in RULES]
    owners += [forecast.REASONS, gates.REASONS, orders.REASONS, rows.REASONS, standing.REASONS, explain.OWN]
    assert set(SENTENCES) == {code for owner in owners for code in owner}
    for code, text in SENTENCES.items():
        assert {owner[code] for owner in owners if code in owner} == {text}, f"{code} is said in two ways"
        assert text.endswith((".", "{until}."))
