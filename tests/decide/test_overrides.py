"""What a person sets by hand: how pins, skips of a kind and bypasses of a freeze are judged, and what is said of them.

Source: core.md section 4; reference-behaviour.md 3.4, 4.14.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from interlock.decide import decide
from interlock.decide.explain import sentence
from interlock.model.job import JobStatus
from worlds import a_fleet, finish, hand_over_all, moving, runs

APPROVAL = {"anyApproval": {"minApprovals": 1}}
COOLDOWN = {"versionCooldown": {"intervalSeconds": 3600}}
TWO = {"production": ["one", "two"]}
HOUR = timedelta(hours=1)


def go(world):
    """Rounds and good ends until nothing moves."""
    for _ in range(20):
        world.round()
        if not hand_over_all(world) and not moving(world):
            return
        for name in moving(world):
            finish(world, name)


def verdicts(world, name):
    """What a target's latest row and the trees it rests on say: (rule, reason), and the whole of it."""
    world.advance(timedelta(seconds=1))
    plan = decide(replace(world.facts, decided_by_subject={}, decided_by_target={}), world.now)
    row = next(one for one in plan.target_decisions if one.target_id == world.target(name).id)
    trees = [one for one in plan.decisions if one.id in row.decision_ids]
    return [*row.verdicts, *(verdict for tree in trees for verdict in tree.verdicts)]


def reasons(world, name):
    return [(verdict["rule"], verdict["reason"]) for verdict in verdicts(world, name)]


# Pins -----------------------------------------------------------------------------------------------------------------


def test_a_pinned_target_says_who_pinned_it_why_and_until_when_wherever_it_stands():
    world = a_fleet(TWO, runs="1.0.0")
    world.create_version("2.0.0")
    world.pin("1.0.0", target="one", expires_at=world.now + HOUR)
    go(world)
    assert runs(world) == {"one": "1.0.0", "two": "2.0.0"}
    (said,) = verdicts(world, "one")
    assert sentence(said) == (
        "Pinned to 1.0.0 (target) by olga since 2026-03-09T08:00:00.000003Z: by hand. "
        "The pin ends 2026-03-09T09:00:00.000002Z."
    )
    assert verdicts(world, "two") == []


def test_a_pin_that_a_gate_holds_or_that_moves_is_said_beside_it():
    world = a_fleet(TWO, {"careful": (["production"], [APPROVAL])}, runs="1.0.0")
    world.create_version("2.0.0")
    world.pin("2.0.0", environment="production")
    assert reasons(world, "one") == [
        ("pin", "pin_in_force"),
        ("freeze", "not_frozen"),
        ("anyApproval", "approval_missing"),
    ]
    world.say("ann", "approved", "2.0.0", "production")
    world.round()
    hand_over_all(world)
    assert moving(world) == {"one": "pin 2.0.0 running", "two": "pin 2.0.0 running"}
    assert reasons(world, "one") == [("pin", "pin_in_force")]
    finish(world, "one")
    (said,) = verdicts(world, "one")
    assert "(environment)" in sentence(said) and "The pin has no end." in sentence(said)


def test_a_pin_that_used_its_move_says_both():
    world = a_fleet({"production": ["one"]}, runs="1.0.0")
    world.create_version("2.0.0")
    world.pin("2.0.0")
    world.round()
    finish(world, "one", JobStatus.FAILURE)
    world.round()
    assert reasons(world, "one") == [("outcome", "attempts_used"), ("pin", "pin_in_force")]


def test_the_job_for_a_pin_may_be_handed_over_only_while_the_pin_is_in_force():
    world = a_fleet({"production": ["one"]}, runs="1.0.0")
    world.create_version("2.0.0")
    go(world)
    world.pin("1.0.0", expires_at=world.now + HOUR)
    world.round()
    assert moving(world) == {"one": "pin 1.0.0 admitted"}
    world.advance(HOUR)
    assert hand_over_all(world) == 0
    go(world)
    assert runs(world) == {"one": "2.0.0"}


# Skips ----------------------------------------------------------------------------------------------------------------


def test_a_skip_of_a_kind_passes_every_rule_of_it_and_no_other():
    world = a_fleet(TWO, {"a": (["production"], [APPROVAL]), "b": (["production"], [APPROVAL, COOLDOWN])})
    world.create_version("1.0.0")
    world.skip("kind:anyApproval", "1.0.0", expires_at=world.now + HOUR)
    said = verdicts(world, "one")
    skips = [verdict for verdict in said if verdict["reason"] == "skipped"]
    assert [verdict["policy"] for verdict in skips] == ["a", "b"]
    assert sentence(skips[0]) == (
        "Skipped by olga since 2026-03-09T08:00:00.000003Z: by hand. The skip ends 2026-03-09T09:00:00.000002Z."
    )
    assert ("versionCooldown", "skipped") not in reasons(world, "one")
    go(world)
    assert runs(world) == {"one": "1.0.0", "two": "1.0.0"}, "a first deployment has no cooldown"


def test_a_skip_without_an_author_or_end_still_reads():
    said = {"reason": "skipped", "outcome": "pass", "values": {"why": "x"}, "since": "2026-03-09T08:00:00Z"}
    assert sentence(said) == "Skipped by ? since 2026-03-09T08:00:00Z: x. The skip has no end."


# Bypasses -------------------------------------------------------------------------------------------------------------


def test_a_bypass_passes_its_freeze_where_it_says_and_every_other_freeze_holds():
    world = a_fleet(TWO)
    world.create_version("1.0.0")
    first = world.freeze("sev-1")
    world.skip(f"freeze:{first}", "1.0.0", resource_id=world.target("one").resource_id, expires_at=world.now + HOUR)
    assert reasons(world, "one") == [("freeze", "not_frozen"), ("freeze", "skipped"), ("freeze", "frozen")]
    go(world)
    assert runs(world) == {"one": "1.0.0", "two": "-"}
    world.create_version("2.0.0")
    world.skip(f"freeze:{first}", "2.0.0", environment="production", expires_at=world.now + HOUR)
    second = world.freeze("sev-2")
    go(world)
    assert runs(world) == {"one": "1.0.0", "two": "-"}, "somebody set the second one after the bypass"
    assert [verdict["values"]["why"] for verdict in verdicts(world, "two") if verdict["reason"] == "frozen"][:1] == [
        "sev-2"
    ]
    world.thaw(second)
    go(world)
    assert runs(world) == {"one": "2.0.0", "two": "2.0.0"}


def test_a_bypass_passes_a_freeze_with_a_selector_and_says_what_it_passes():
    world = a_fleet(TWO)
    world.create_version("1.0.0")
    freeze = world.freeze(targets=["one"])
    world.skip(f"freeze:{freeze}", "1.0.0", expires_at=world.now + HOUR)
    said = next(verdict for verdict in verdicts(world, "one") if verdict["reason"] == "skipped")
    assert said["values"]["instead_of"] == "frozen"
    go(world)
    assert runs(world) == {"one": "1.0.0", "two": "1.0.0"}


def test_when_a_bypass_ends_the_freeze_holds_again_and_what_it_let_start_goes_on():
    world = a_fleet(TWO)
    world.create_version("1.0.0")
    freeze = world.freeze()
    world.skip(f"freeze:{freeze}", "1.0.0", expires_at=world.now + HOUR)
    world.round()
    world.advance(HOUR)
    assert hand_over_all(world) == 0, "its verdict held only until the bypass ended"
    world.round()
    assert moving(world) == {}
    assert ("freeze", "frozen") in reasons(world, "one")


def test_a_freeze_that_has_ended_needs_no_bypass():
    world = a_fleet(TWO)
    world.create_version("1.0.0")
    freeze = world.freeze("sev-1", expires_at=world.now + HOUR)
    world.skip(f"freeze:{freeze}", "1.0.0")
    assert ("freeze", "skipped") in reasons(world, "one")
    world.advance(2 * HOUR)
    assert ("freeze", "skipped") not in reasons(world, "one")


def test_a_pin_that_has_ended_pins_nothing():
    world = a_fleet(TWO, runs="1.0.0")
    world.create_version("2.0.0")
    world.pin("1.0.0", expires_at=world.now + HOUR)
    assert decide(world.facts, world.now).moves == ()
    assert len(decide(world.facts, world.now + HOUR).moves) == 2
