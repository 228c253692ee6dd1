"""What do the four small rules say? anyApproval, freeze, versionCooldown and versionSelector, with dates."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from decide.test_config_rollouts import change_all
from decide.test_scenarios import production
from interlock.decide.facts import Freeze
from interlock.decide.index import Index
from interlock.decide.rules import any_approval, freeze, parse_rules
from interlock.decide.subjects import EnvironmentVersion, TargetMove
from interlock.decide.verdict import WaitsFor, holds, passes
from interlock.model.errors import Invalid
from interlock.model.ids import derived_id
from interlock.simulate.world import policy
from rules.examples import an_empty_subject, at, happens, judged, judged_target, lifts_of
from worlds import MONDAY, a_fleet, a_version, an_environment


def a_world():
    world = a_fleet({"staging": ["staging-1"], "production": ["prod-1", "prod-2"]}, runs="v0")
    world.create_version("v1", author_ids=(derived_id("principal", "ann"),))
    return world


# anyApproval ----------------------------------------------------------------------------------------------------------

ONE = {"anyApproval": {"minApprovals": 1}}
TWO = {"anyApproval": {"minApprovals": 2}}
NOT_OWN = {"anyApproval": {"minApprovals": 1, "allowSelfApproval": False}}

# rule, what people said in this order, does it pass, why
APPROVALS = [
    ("nobody said anything", ONE, [], False, "approval_missing"),
    ("one said yes", ONE, [("bob", "approved")], True, "approved"),
    ("one of two", TWO, [("bob", "approved")], False, "approval_missing"),
    ("two of two", TWO, [("bob", "approved"), ("eve", "approved")], True, "approved"),
    ("twice the same person", TWO, [("bob", "approved"), ("bob", "approved")], False, "approval_missing"),
    ("a veto counts more than any yes", ONE, [("bob", "approved"), ("eve", "rejected")], False, "rejected"),
    ("the veto is withdrawn", ONE, [("bob", "approved"), ("eve", "rejected"), ("eve", "withdrawn")], True, "approved"),
    ("the yes is withdrawn", ONE, [("bob", "approved"), ("bob", "withdrawn")], False, "approval_missing"),
    ("the same person changes their mind", ONE, [("bob", "rejected"), ("bob", "approved")], True, "approved"),
    ("the author says yes", ONE, [("ann", "approved")], True, "approved"),
    ("the author may not", NOT_OWN, [("ann", "approved")], False, "approval_missing"),
    ("somebody else may", NOT_OWN, [("ann", "approved"), ("bob", "approved")], True, "approved"),
    ("the author may always say no", NOT_OWN, [("ann", "rejected"), ("bob", "approved")], False, "rejected"),
    ("no approval is needed", {"anyApproval": {"minApprovals": 0}}, [], True, "approval_not_needed"),
    ("but a veto stands", {"anyApproval": {"minApprovals": 0}}, [("bob", "rejected")], False, "rejected"),
]


@pytest.mark.parametrize(("what", "rule", "said", "passes", "reason"), APPROVALS, ids=[one[0] for one in APPROVALS])
def test_approval(what, rule, said, passes, reason):
    world = a_world()
    for person, verdict in said:
        world.say(person, verdict, "v1", "production")
    found = judged(world, rule, "v1", "production")
    assert (found.passes, found.reason) == (passes, reason)
    assert passes or (found.waits_for is WaitsFor.PERSON and found.who)


def test_an_approval_elsewhere_or_of_another_version_does_not_count():
    world = a_world()
    world.say("bob", "approved", "v1", "staging")
    world.say("bob", "approved", "v0", "production")
    assert not judged(world, ONE, "v1", "production").passes


def test_approved_since_the_last_yes_that_was_needed():
    world = a_world()
    world.say("bob", "approved", "v1", "production")
    first = world.now
    world.advance(timedelta(minutes=5))
    world.say("eve", "approved", "v1", "production")
    assert judged(world, ONE, "v1", "production").since == first
    assert judged(world, TWO, "v1", "production").since == world.now


def test_it_obliges_to_so_many_approvals():
    (obligation,) = judged(a_world(), TWO, "v1", "production").obligations
    assert (obligation.kind, obligation.values) == ("approvals", {"minimum": 2})


LEADS = {"anyApproval": {"minApprovals": 1, "approverGroup": "leads"}}


def test_only_the_yes_of_the_group_counts_and_the_no_of_anybody():
    world = a_world()
    world.say("bob", "approved", "v1", "production", groups=["developers"])
    held = judged(world, LEADS, "v1", "production")
    assert (held.reason, held.values["given"], held.who) == ("approval_missing", 0, "members of leads")
    assert held.obligations[0].values == {"minimum": 1, "group": "leads"}
    assert "group:leads" in held.waits_on
    world.say("eve", "approved", "v1", "production", groups=["leads", "developers"])
    assert judged(world, LEADS, "v1", "production").values["by"] == ["eve"]
    world.say("bob", "rejected", "v1", "production")
    assert judged(world, LEADS, "v1", "production").reason == "rejected"


def test_a_hold_says_everything_that_a_person_and_a_request_need():
    world = a_world()
    rule = {"minApprovals": 2, "allowSelfApproval": False, "approverGroup": "leads", "expiresAfterHours": 1.5}
    world.say("lea", "approved", "v1", "production", groups=["leads"])
    held = judged(world, {"anyApproval": rule}, "v1", "production")
    assert held.values == {
        "given": 1,
        "minimum": 2,
        "by": ["lea"],
        "of_group": " of the group leads",
        "author_excluded": True,
        "lasts_s": 5400.0,
        "group": "leads",
    }
    subject = f"{a_version('v1').id}:{an_environment('production').id}"
    assert held.waits_on == (f"approval:{subject}", "group:leads")
    assert held.who == "members of leads, but not the version's author"
    world.say("otto", "approved", "v1", "production")
    held = judged(world, {"anyApproval": rule}, "v1", "production")
    assert (held.values["given"], held.values["of_group"]) == (1, " of the group leads; not counted: otto")
    plain = judged(a_world(), TWO, "v1", "production")
    assert plain.values == {"given": 0, "minimum": 2, "by": [], "of_group": ""}
    assert (plain.waits_on, plain.who) == ((f"approval:{subject}",), "anybody who may approve")
    assert plain.changes_at is None


def test_a_veto_says_whose_it_is_since_when_and_who_can_take_it_back():
    world = a_world()
    world.say("bob", "approved", "v1", "production")
    world.say("eve", "rejected", "v1", "production")
    said_at = world.now
    held = judged(world, ONE, "v1", "production")
    assert (held.since, held.values, held.who) == (said_at, {"by": ["eve"]}, "eve may withdraw the rejection")
    assert held.waits_on == (f"approval:{a_version('v1').id}:{an_environment('production').id}",)


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ({}, "minApprovals is required"),
        ({"minApprovals": 1001}, "minApprovals must be from 0 to 1000"),
        ({"minApprovals": 1, "expiresAfterHours": 0}, "expiresAfterHours must be from 0.01666666667 to 8760"),
        ({"minApprovals": 1, "expiresAfterHours": 8761}, "expiresAfterHours must be from"),
        ({"minApprovals": 1, "approverGroup": "x" * 201}, "approverGroup must be at most 200 characters"),
        ({"minApprovals": 1, "approverGroup": 7}, "approverGroup must be text"),
        ({"minApprovals": 1, "allowSelfApproval": "no"}, "allowSelfApproval must be true or false"),
        ({"minApprovals": 1, "appliesTo": "all"}, "appliesTo must be one of version, config, both"),
    ],
)
def test_wrong_parameters_of_an_approval_are_named(rule, names):
    with pytest.raises(Invalid) as refused:
        parse_rules([{"anyApproval": rule}])
    assert names in refused.value.message


def test_a_yes_runs_out_and_says_when():
    rule = {"anyApproval": {"minApprovals": 2, "expiresAfterHours": 24}}
    world = a_world()
    world.say("bob", "approved", "v1", "production")
    first = world.now
    assert judged(world, rule, "v1", "production").changes_at == first + timedelta(hours=24)
    world.advance(timedelta(hours=20))
    world.say("eve", "approved", "v1", "production")
    assert judged(world, rule, "v1", "production").changes_at == first + timedelta(hours=24)
    world.now = first + timedelta(hours=24, seconds=-1)
    assert judged(world, rule, "v1", "production").passes
    world.now = first + timedelta(hours=24)
    gone = judged(world, rule, "v1", "production")
    assert (gone.reason, gone.values["by"]) == ("approval_missing", ["eve"])
    world.say("bob", "approved", "v1", "production")
    assert judged(world, rule, "v1", "production").passes


def test_where_no_approval_is_needed_it_passed_since_the_version_is_there():
    world = a_world()
    created_at = world.version("v1").created_at
    assert judged(world, {"anyApproval": {"minApprovals": 0}}, "v1", "production").since == created_at


def test_the_yeses_that_are_missing_would_lift_it():
    world = a_world()
    rule = {"anyApproval": {"minApprovals": 3, "approverGroup": "leads"}}
    world.say("lea", "approved", "v1", "production", groups=["leads"])
    world.say("bob", "approved", "v1", "staging")
    (more,) = lifts_of(world, rule, "v1", "production")
    assert (more.code, more.who, more.late) == ("approved_by_more", "members of leads", True)
    assert more.values == {
        "more": 2,
        "minimum": 3,
        "of_group": " of the group leads",
        "version": "v1",
        "environment": "production",
    }
    happens(world, more)
    assert judged(world, rule, "v1", "production").values["by"] == ["lea", "somebody", "somebody"]
    assert judged(world, ONE, "v1", "staging").passes, "what was said elsewhere stands"
    assert lifts_of(world, rule, "v1", "production") == ()


def test_the_first_yes_of_anybody_would_lift_it():
    world = a_world()
    (more,) = lifts_of(world, ONE, "v1", "production")
    assert (more.values["more"], more.values["of_group"], more.who) == (1, "", "anybody who may approve")
    happens(world, more)
    assert judged(world, ONE, "v1", "production").passes


def test_a_change_of_config_would_be_lifted_by_a_yes_to_the_configs_of_that_environment_alone():
    world = production({"anyApproval": {"minApprovals": 1, "appliesTo": "both"}}, hosts=["prod-1", "prod-2"], runs="v1")
    change_all(world, each_its_own=True)
    (parsed,) = policy("example", [ONE], first_stored_at=world.now).rules
    here = world.environment("production")
    subject = EnvironmentVersion(Index(world.snapshot()), here, world.version("v1"), "config")
    assert subject.lacking_configs == {"config-2-0", "config-2-1"}
    (more,) = any_approval.lifts(subject, parsed.params, any_approval.evaluate(subject, parsed.params, world.now))
    happens(world, more)
    (word,) = world.facts.approvals_by_version_environment[world.version("v1").id, here.id]
    assert (word.principal_id, word.config_digests) == ("somebody  0", frozenset({"config-2-0", "config-2-1"}))
    asked_again = EnvironmentVersion(Index(world.snapshot()), here, world.version("v1"), "config")
    assert any_approval.evaluate(asked_again, parsed.params, world.now).passes
    of_the_version = EnvironmentVersion(Index(world.snapshot()), here, world.version("v1"), "forward")
    assert not any_approval.evaluate(of_the_version, parsed.params, world.now).passes


def test_each_veto_withdrawn_would_lift_it_and_no_yes_would():
    world = a_world()
    for person, word in (("bob", "approved"), ("eve", "rejected"), ("zoe", "rejected")):
        world.say(person, word, "v1", "production")
    eve, zoe = lifts_of(world, ONE, "v1", "production")
    assert (eve.code, eve.who) == ("rejection_withdrawn", "eve may withdraw the rejection")
    assert [one.values for one in (eve, zoe)] == [
        {"by": "eve", "version": "v1", "environment": "production"},
        {"by": "zoe", "version": "v1", "environment": "production"},
    ]
    happens(world, eve)
    assert judged(world, ONE, "v1", "production").values == {"by": ["zoe"]}
    happens(world, zoe)
    assert judged(world, ONE, "v1", "production").values == {"by": ["bob"]}


# freeze ---------------------------------------------------------------------------------------------------------------


def frozen(world, environment: str = "production"):
    subject = EnvironmentVersion(
        Index(world.snapshot()), world.environment(environment), world.version("v1"), "forward"
    )
    return freeze.evaluate(subject, world.now)


def test_nothing_is_frozen():
    assert frozen(a_world()) == passes("not_frozen")


def test_a_freeze_without_end_waits_for_a_person():
    world = a_world()
    world.freeze("sev-1 in payments")
    verdict = frozen(world)
    assert (verdict.reason, verdict.waits_for, verdict.changes_at) == ("frozen", WaitsFor.PERSON, None)
    assert verdict.values["why"] == "sev-1 in payments"
    assert verdict.who == "an operator may thaw it"


def test_a_freeze_with_an_end_waits_for_it():
    world = a_world()
    world.freeze(expires_at=MONDAY + timedelta(hours=2))
    assert frozen(world).changes_at == MONDAY + timedelta(hours=2)
    world.now = MONDAY + timedelta(hours=2)
    assert frozen(world).passes


def test_of_several_freezes_it_tells_the_longest_and_wakes_at_the_first_end():
    world = a_world()
    world.freeze("short", expires_at=MONDAY + timedelta(hours=1))
    world.freeze("long", expires_at=MONDAY + timedelta(hours=3))
    verdict = frozen(world)
    assert verdict.values["why"] == "long"
    assert verdict.changes_at == MONDAY + timedelta(hours=1)


def test_a_freeze_says_everything_that_a_person_needs():
    """Two freezes over the Berlin night of 29 March, one with an end before the clocks change and one after it."""
    world = a_world()
    first = world.freeze("short", expires_at=at("2026-03-29 01:30+01:00"))
    since = world.now
    world.advance(timedelta(hours=1))
    second = world.freeze("long", environments=["production"], expires_at=at("2026-03-29 03:30+02:00"))
    said = {"waits_on": (f"freeze:{first}", f"freeze:{second}"), "who": "an operator may thaw it", "by": "olga"}
    assert frozen(world) == holds(
        WaitsFor.WAIT,
        "frozen",
        since=since,
        changes_at=at("2026-03-29 00:30"),
        scope="environment",
        why="long",
        until_at=at("2026-03-29 01:30"),
        freezes=[first, second],
        **said,
    )
    third = world.freeze("sev-1")
    assert frozen(world) == holds(
        WaitsFor.PERSON,
        "frozen",
        since=since,
        changes_at=at("2026-03-29 00:30"),
        scope="workspace",
        why="sev-1",
        freezes=[first, second, third],
        **(said | {"waits_on": (f"freeze:{first}", f"freeze:{second}", f"freeze:{third}")}),
    )


def test_of_freezes_that_end_together_it_tells_always_the_same_one():
    world = a_world()
    ends_at = MONDAY + timedelta(hours=1)
    one, other = (Freeze(i, "workspace", i, MONDAY, "olga", ends_at) for i in ("a", "b"))
    for both in ((one, other), (other, one)):
        world.facts = replace(world.facts, freezes=both)
        assert frozen(world).values["why"] == "b"


def test_each_freeze_that_bites_thawed_would_lift_it():
    world = a_world()
    first = world.freeze("sev-1")
    second = world.freeze("sev-2", expires_at=MONDAY + timedelta(hours=3))
    world.freeze("elsewhere", environments=["staging"])
    subject = EnvironmentVersion(
        Index(world.snapshot()), world.environment("production"), world.version("v1"), "forward"
    )
    verdict = freeze.evaluate(subject, world.now)
    lifts = freeze.lifts(subject, None, verdict)
    assert {one.code for one in lifts} == {"thawed"}
    assert {one.who for one in lifts} == {"an operator may thaw it"}
    assert [one.values for one in lifts] == [
        {"by": "olga", "why": "sev-1", "freeze": first},
        {"by": "olga", "why": "sev-2", "freeze": second},
    ]
    happens(world, lifts[0])
    assert frozen(world).values["freezes"] == [second]
    happens(world, lifts[1])
    assert frozen(world).passes
    assert not frozen(world, "staging").passes, "the third one stands"
    assert freeze.lifts(subject, None, passes("not_frozen")) == ()


def test_a_freeze_bites_where_it_is_set():
    world = a_world()
    world.freeze(environments=["staging"])
    assert not frozen(world, "staging").passes
    assert frozen(world, "production").passes


def test_a_freeze_with_a_selector_bites_the_targets_that_it_picks():
    world = a_world()
    world.freeze(targets=["prod-1"])
    assert frozen(world).passes, "the environment as a whole is not frozen"
    index = Index(world.snapshot())
    bites = {
        name: freeze.evaluate(TargetMove(index, world.target(name), world.version("v1"), "forward"), world.now).passes
        for name in ("prod-1", "prod-2")
    }
    assert bites == {"prod-1": False, "prod-2": True}


def test_an_expired_freeze_in_the_facts_does_not_bite():
    world = a_world()
    old = Freeze("f", "workspace", "old", MONDAY - timedelta(days=2), "olga", MONDAY - timedelta(days=1))
    world.facts = replace(world.facts, freezes=(old,))
    subject = EnvironmentVersion(Index(world.facts), world.environment("production"), world.version("v1"), "forward")
    assert freeze.evaluate(subject, world.now).passes
    assert freeze.evaluate(subject, MONDAY - timedelta(days=1)).passes, "at the very end it is over"
    assert not freeze.evaluate(subject, MONDAY - timedelta(days=1, microseconds=1)).passes


# versionCooldown ------------------------------------------------------------------------------------------------------

HOUR = {"versionCooldown": {"intervalSeconds": 3600}}


def test_cools_down_from_the_start_of_the_last_deployment():
    """Scenario 13: v1 started at 10:30, so v2 of 10:40 goes at 11:30."""
    world = a_fleet({"production": ["prod-1"]}, runs="v0", now=at("2026-03-09 10:30"))
    target = replace(world.target("prod-1"), last_started_at=at("2026-03-09 10:30"))
    world.facts = replace(world.facts, targets={target.id: target})
    world.create_version("v2", created_at=at("2026-03-09 10:40"))
    world.now = at("2026-03-09 11:29")
    assert judged_target(world, HOUR, "v2", "prod-1") == holds(
        WaitsFor.WAIT,
        "cooling_down",
        since=at("2026-03-09 10:30"),
        changes_at=at("2026-03-09 11:30"),
        seconds=3600,
        until_at=at("2026-03-09 11:30"),
    )
    world.now = at("2026-03-09 11:30")
    assert judged_target(world, HOUR, "v2", "prod-1").passes


# last deployment's start, interval in seconds, when it ends: an interval is time that passed, whatever clocks showed
INTERVALS = [
    ("2026-03-29 01:30+01:00", 3600, "2026-03-29 03:30+02:00"),  # Berlin springs forward
    ("2026-10-25 02:30+02:00", 3600, "2026-10-25 02:30+01:00"),  # and falls back
    ("2026-03-08 01:30-05:00", 3600, "2026-03-08 03:30-04:00"),  # New York springs forward
    ("2026-11-01 01:30-04:00", 7200, "2026-11-01 02:30-05:00"),  # and falls back
    ("2026-01-31 23:00+01:00", 86_400 * 29, "2026-03-01 23:00+01:00"),  # no leap day
    ("2028-01-31 23:00-05:00", 86_400 * 29, "2028-02-29 23:00-05:00"),  # the leap day
    ("2026-03-09 10:30", 0, "2026-03-09 10:30"),
    ("2026-03-09 10:30", 31_536_000, "2027-03-09 10:30"),
]


@pytest.mark.parametrize(("started", "seconds", "ends"), INTERVALS)
def test_cools_down_for_as_long_as_it_says(started, seconds, ends):
    rule = {"versionCooldown": {"intervalSeconds": seconds}}
    world = a_fleet({"production": ["prod-1"]}, runs="v0", now=at(started))
    target = replace(world.target("prod-1"), last_started_at=at(started))
    world.facts = replace(world.facts, targets={target.id: target})
    world.create_version("v2")
    world.now = at(ends) - timedelta(microseconds=1)
    if seconds:
        held = judged_target(world, rule, "v2", "prod-1")
        assert (held.reason, held.since, held.changes_at) == ("cooling_down", at(started), at(ends))
    world.now = at(ends)
    passed = judged_target(world, rule, "v2", "prod-1")
    assert (passed.reason, passed.since) == ("cooled_down", at(ends))


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ({}, "intervalSeconds is required"),
        ({"intervalSeconds": -1}, "intervalSeconds must be from 0 to 31536000"),
        ({"intervalSeconds": 31_536_001}, "intervalSeconds must be from 0 to 31536000"),
        ({"intervalSeconds": 0.5}, "intervalSeconds must be a whole number"),
        ({"intervalSeconds": 60, "base": "createdAt"}, "base is not known here"),
    ],
)
def test_wrong_parameters_of_a_cooldown_are_named(rule, names):
    with pytest.raises(Invalid) as refused:
        parse_rules([{"versionCooldown": rule}])
    assert names in refused.value.message


def test_a_target_that_runs_nothing_need_not_cool_down():
    world = a_fleet({"production": ["prod-1"]})
    world.create_version("v1")
    assert judged_target(world, HOUR, "v1", "prod-1") == passes("nothing_runs")
    failed = replace(world.target("prod-1"), last_started_at=world.now)
    world.facts = replace(world.facts, targets={failed.id: failed})
    assert judged_target(world, HOUR, "v1", "prod-1") == passes("nothing_runs"), "its first deployment failed"


# versionSelector ------------------------------------------------------------------------------------------------------


def selecting(text: str) -> dict[str, object]:
    return {"versionSelector": {"selector": text}}


SELECTORS = [
    ('version.tag.startsWith("v2.") && !version.tag.contains("-rc")', "v2.1", True),
    ('version.tag.startsWith("v2.") && !version.tag.contains("-rc")', "v2.1-rc1", False),
    ('version.metadata["tier"] == "gold"', "v2.1", True),
    ('version.metadata["missing"] == "gold"', "v2.1", False),
    ('environment.name == "production"', "v2.1", True),
    ('deployment.name == "shop-api"', "v2.1", True),
    ('deployment.slug == "shop-api"', "v2.1", True),
    ('deployment.id == ""', "v2.1", False),
    ("false", "v2.1", False),
    ('timestamp(version.createdAt) < timestamp("2026-03-29T03:00:00+02:00")', "v2.1", True),  # Berlin
    ('timestamp(version.createdAt) < timestamp("2026-03-08T03:00:00-04:00")', "v2.1", False),  # New York
    ("", "v2.1", False),
]


@pytest.mark.parametrize(("selector", "tag", "selected"), SELECTORS)
def test_selects_versions(selector, tag, selected):
    world = a_fleet({"production": []})
    world.facts = replace(world.facts, versions=(a_version(tag, tier="gold"),))
    if selector:
        assert judged(world, selecting(selector), tag, "production").passes is selected
    else:
        with pytest.raises(Invalid):
            parse_rules([selecting(selector)])


def test_says_by_which_expression_a_version_was_chosen_or_passed_over():
    world = a_fleet({"production": []})
    world.facts = replace(world.facts, versions=(a_version("v2.1"), a_version("v3.0")))
    v2 = 'version.tag.startsWith("v2.")'
    assert judged(world, selecting(v2), "v2.1", "production") == passes("version_selected", selector=v2)
    assert judged(world, selecting(v2), "v3.0", "production") == holds(
        WaitsFor.DENY, "version_not_selected", who="whoever may edit the version or the policy", selector=v2
    )


def test_keeps_the_words_that_explain_the_expression():
    rule = {"selector": "true", "description": "production takes v2 releases only"}
    (parsed,) = parse_rules([{"versionSelector": rule}])
    assert parsed.params.description == "production takes v2 releases only"
    (parsed,) = parse_rules([selecting("true")])
    assert parsed.params.description == ""


MIGRATION = {"interlock/change-type": "migration", "interlock/risk": "high", "interlock/commits": "9f2c1d4,abcdef0"}

# expression, what CI said, is the version considered?
CHANGES = [
    ('change.type == "migration"', MIGRATION, True),
    ('change.type in ["code", "fix"]', MIGRATION, False),
    ('change.risk != "high"', MIGRATION, False),
    ("size(change.commits) < 3", MIGRATION, True),
    ('change.type != "migration"', {}, False),
    ('!has(change.type) || change.type != "migration"', {}, True),
    ('!has(change.type) || change.type != "migration"', MIGRATION, False),
    ('change.risk == "low"', {"interlock/risk": "LOW, they say"}, False),
    ('has(change.author) && change.author == "ann"', {"interlock/author": "ann"}, True),
]


@pytest.mark.parametrize(("selector", "said", "selected"), CHANGES)
def test_selects_by_what_was_said_of_the_change(selector, said, selected):
    world = a_fleet({"production": []})
    world.facts = replace(world.facts, versions=(a_version("v2.1", **said),))
    assert judged(world, selecting(selector), "v2.1", "production").passes is selected


@pytest.mark.parametrize(
    ("selector", "why"),
    [
        ("change.kind == 'fix'", "has no field `kind`"),
        ('version.config.image == "a"', "reads version.config"),
        ("has(version.config)", "reads has_version.config"),
        ('resource.kind == "Host"', "reads resource.kind"),
        ('resource.kind == "Host" && deployment.metadata["a"] == "b"', "reads deployment.metadata, resource.kind,"),
        ('deployment.metadata["team"] == "a"', "reads deployment.metadata"),
        ("version.tga == 'v1'", "has no field `tga`"),
        ("version.tag", "must be true or false"),
        ("version.tag ==", "line 1"),
    ],
)
def test_a_selector_that_cannot_be_meant_is_refused(selector, why):
    with pytest.raises(Invalid) as refused:
        parse_rules([selecting(selector)])
    assert refused.value.fields[0].path == "rules[0].versionSelector.selector"
    assert why in refused.value.fields[0].message


def test_an_empty_subject_has_nothing_to_show():
    subject = an_empty_subject()
    assert (subject.approvals, subject.freezes, subject.neighbours) == ((), (), ())
