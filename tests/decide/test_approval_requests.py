"""Who is asked what? A group a request, and a change of config asks only where a rule applies to it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from interlock.decide.rules import parse_rules
from interlock.model.errors import Invalid
from worlds import a_fleet

LEADS = {"anyApproval": {"minApprovals": 1, "approverGroup": "leads"}}
ANYBODY = {"anyApproval": {"minApprovals": 2, "allowSelfApproval": False, "expiresAfterHours": 8}}


def a_world(*rules):
    return a_fleet({"production": ["prod-1", "prod-2"]}, {"p": (["production"], rules)}, runs="v0")


def step(world, seconds=1):
    world.advance(timedelta(seconds=seconds))
    return world.round()


def test_each_group_is_asked_once_with_what_its_rule_says():
    world = a_world(LEADS, ANYBODY)
    world.create_version("v1")
    anybody, leads = sorted(step(world).requests, key=lambda one: one.group or "")
    assert (leads.group, leads.minimum, leads.authors_excluded, leads.lasts_s) == ("leads", 1, False, None)
    assert (anybody.group, anybody.minimum, anybody.authors_excluded, anybody.lasts_s) == (None, 2, True, 28_800.0)
    assert leads.why == "policy p asks for 1 approval of the group leads"
    assert [(why["policy"], why["group"]) for why in leads.shown["why"]] == [("p", "leads")]
    assert not step(world).requests


def test_both_groups_must_say_yes():
    world = a_world(LEADS, ANYBODY)
    world.create_version("v1")
    for person in ("bob", "eve"):
        world.say(person, "approved", "v1", "production")
    assert not step(world).moves
    world.say("ada", "approved", "v1", "production", groups=["leads"])
    assert len(step(world).moves) == 2


def test_a_yes_that_ran_out_lets_nothing_more_start_until_it_is_given_again():
    pace = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 5400}}
    world = a_world({"anyApproval": {"minApprovals": 1, "expiresAfterHours": 1}}, pace)
    world.create_version("v1")
    world.say("bob", "approved", "v1", "production")
    (first,) = step(world).moves
    assert first.kind == "forward"
    world.advance(timedelta(hours=2))
    assert not world.round().moves
    world.say("bob", "approved", "v1", "production")
    assert len(step(world).moves) == 1


@pytest.mark.parametrize(
    ("applies_to", "asks_version", "asks_config"),
    [("version", True, False), ("config", False, True), ("both", True, True)],
)
def test_a_change_of_config_is_asked_about_where_a_rule_applies_to_it(applies_to, asks_version, asks_config):
    world = a_world({"anyApproval": {"minApprovals": 1, "appliesTo": applies_to}})
    for target in ("prod-1", "prod-2"):
        world.edit_target(target, config_digest="c2")
    plan = step(world)
    assert (len(plan.requests), len(plan.moves)) == ((1, 0) if asks_config else (0, 2))
    if asks_config:
        (request,) = plan.requests
        assert request.config_digests == ("c2",) and request.shown["configs"] == ["c2"]
        assert request.why == "policy p asks for 1 approval for a change of config"
        world.say("bob", "approved", "v0", "production")
        assert not step(world).moves, "a yes to the version is none to its config"
        world.say("bob", "approved", "v0", "production", config_digests=["c1"])
        assert not step(world).moves, "a yes to another config is none to this one"
        world.say("bob", "approved", "v0", "production", config_digests=["c2"])
        assert {move.kind for move in step(world).moves} == {"config"}
    other = a_world({"anyApproval": {"minApprovals": 1, "appliesTo": applies_to}})
    other.create_version("v1")
    assert bool(step(other).moves) is not asks_version


def test_applies_to_is_refused_where_it_means_nothing():
    for rule in (
        {"deploymentWindow": {"rrule": "FREQ=DAILY", "durationMinutes": 60, "appliesTo": "config"}},
        {"retry": {"maxRetries": 1, "appliesTo": "config"}},
        {"anyApproval": {"minApprovals": 1, "appliesTo": "everything"}},
    ):
        with pytest.raises(Invalid) as refused:
            parse_rules([rule])
        assert "appliesTo" in str(refused.value)
