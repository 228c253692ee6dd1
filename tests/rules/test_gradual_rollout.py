"""In which order do targets go, when is each due, and who goes in which wave? The reference's vectors; our waves."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.decide.facts import Speed
from interlock.decide.rules import parse_rules
from interlock.decide.rules.gradual_rollout import BAKE_S_MAX, WAVES_MAX, Params, offset, order_keys, sped
from interlock.decide.wave_places import places
from interlock.decide.waves import Reach, cut
from interlock.model.errors import Invalid
from interlock.model.ids import TargetKey
from worlds import MONDAY, a_target, version_id


def uuid(tail: str) -> str:
    return f"00000000-0000-4000-8000-{tail:>012}"


KEYS = [str(TargetKey(uuid(str(n)), uuid("e1"), uuid("d1"))) for n in (1, 2, 3, 4)]

VECTORS = [15264071741911918347, 7836845808771201670, 14632407609499405845, 16553578917947996856]
"""reference-behaviour.md, appendix E."""


def test_order_is_that_of_the_reference():
    assert order_keys(KEYS, uuid("a1")) == VECTORS


def test_four_targets_go_2_3_1_4():
    keys = order_keys(KEYS, uuid("a1"))
    assert sorted(range(4), key=keys.__getitem__) == [1, 2, 0, 3]


def test_no_target_has_no_order():
    assert order_keys([], uuid("a1")) == []


def fnv1a(text: str) -> int:
    state = 0xCBF29CE484222325
    for byte in text.encode():
        state = ((state ^ byte) * 0x100000001B3) % 2**64
    return state


@given(st.lists(st.text(max_size=40), max_size=8), st.text(max_size=40))
def test_side_by_side_is_the_same_as_one_by_one(keys, salt):
    assert order_keys(keys, salt) == [fnv1a(key + salt) for key in keys]


def params(**more: object) -> Params:
    (rule,) = parse_rules([{"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60, **more}}])
    assert isinstance(rule.params, Params)
    return rule.params


@pytest.mark.parametrize(
    ("rollout_type", "interval_s", "due_s"),
    [
        ("linear", 60, [0, 60, 120, 180]),
        ("linear", 0, [0, 0, 0, 0]),
        ("linear-normalized", 60, [0, 15, 30, 45]),
        ("linear-normalized", 10, [0, 2, 5, 7]),
        ("linear-normalized", 3, [0, 0, 1, 2]),
    ],
)
def test_offsets_are_whole_seconds(rollout_type, interval_s, due_s):
    rule = params(rolloutType=rollout_type, timeScaleInterval=interval_s)
    assert [offset(rule, i, targets_at_open=4).total_seconds() for i in range(4)] == due_s


def test_an_environment_that_was_empty_when_it_opened_divides_by_one():
    assert offset(params(rolloutType="linear-normalized"), 0, targets_at_open=0).total_seconds() == 0


def test_our_own_fields_have_safe_defaults():
    assert params() == Params(normalized=False, interval_s=60, max_in_flight=None, max_failures=0, overlap=False)
    assert params(maxInFlight=2, maxFailures=1, whileVerifying="overlap") == Params(
        normalized=False, interval_s=60, max_in_flight=2, max_failures=1, overlap=True
    )


# Waves: how many, and who -------------------------------------------------------------------------------------------


def in_waves(**fields: object) -> Params:
    (rule,) = parse_rules([{"gradualRollout": fields}])
    assert isinstance(rule.params, Params)
    return rule.params


def cut_sizes(rule: Params, targets: int) -> list[int]:
    return [len(wave) for wave in cut(map(str, range(targets)), rule.sizes(targets))]


@pytest.mark.parametrize(
    ("targets", "sizes"),
    [
        (1, [1]),
        (2, [1, 1]),
        (10, [1, 2, 3, 3, 1]),
        (20, [1, 2, 4, 6, 6, 1]),
        (33, [1, 2, 4, 8, 10, 8]),
        (100, [1, 2, 4, 8, 16, 32, 33, 4]),
        (1000, [1, 2, 4, 8, 16, 32, 64, 128, 256, 330, 159]),
    ],
)
def test_exponential_waves_are_those_of_the_definition(targets, sizes):
    """definitions.md E4: initial 1, factor 2, cap 0.33."""
    assert cut_sizes(in_waves(rolloutType="exponential"), targets) == sizes


@pytest.mark.parametrize(
    ("fields", "targets", "sizes"),
    [
        ({"initial": 5, "factor": 1, "cap": 1}, 12, [5, 5, 2]),
        ({"initial": 2, "factor": 1.5, "cap": 0.5}, 20, [2, 3, 4, 6, 5]),
        ({"initial": 9, "cap": 0.1}, 20, [2] * 10),
        ({"cap": 0.01}, 5, [1] * 5),
    ],
)
def test_exponential_waves_say_where_they_begin_how_they_grow_and_where_they_end(fields, targets, sizes):
    assert cut_sizes(in_waves(rolloutType="exponential", **fields), targets) == sizes


@pytest.mark.parametrize(
    ("waves", "targets", "sizes"),
    [
        ([1, "10%", "50%", "100%"], 20, [1, 1, 8, 10]),
        ([1, "10%", "50%", "100%"], 5, [1, 2, 2]),
        ([1, "10%", "50%", "100%"], 1, [1]),
        ([1, 5, "100%"], 3, [1, 2]),
        (["12.5%", "100%"], 20, [3, 17]),
        (["100%"], 7, [7]),
    ],
)
def test_listed_waves_say_how_far_they_reach(waves, targets, sizes):
    assert cut_sizes(in_waves(rolloutType="waves", waves=waves), targets) == sizes


def test_those_who_join_later_go_in_waves_no_larger_than_the_largest():
    rule = in_waves(rolloutType="waves", waves=[1, "50%", "100%"])
    found = where(rule, [f"t{n}" for n in range(10)], late=[f"late{n}" for n in range(7)])
    assert [len(wave) for wave in found.waves] == [1, 4, 5, 5, 2]
    assert all(target_id.startswith("late") for wave in found.waves[3:] for target_id in wave)


def where(rule: Params, names: list[str], *, late: list[str] = (), labels: dict[str, dict[str, str]] | None = None):
    """The places of targets named by their id; `late` joined after the opening."""
    early = [replace(a_target(name, "production"), id=name) for name in names]
    joined = [replace(a_target(name, "production", at=MONDAY + timedelta(hours=1)), id=name) for name in late]
    return places(rule, [*joined, *early], opened_at=MONDAY, salt=version_id("v2"), labels=labels or {})


def test_our_own_order_is_by_sha256_of_version_and_target():
    names = [f"t{n}" for n in range(6)]
    found = where(in_waves(rolloutType="waves", waves=[1, 2, 3, "100%"]), names)
    expected = sorted(names, key=lambda name: hashlib.sha256((version_id("v2") + name).encode()).hexdigest())
    assert [target_id for wave in found.waves for target_id in wave] == expected


# Failure domains ------------------------------------------------------------------------------------------------------


DOMAINS = ["topology.region", "topology.zone"]


def two_regions() -> dict[str, dict[str, str]]:
    """Twenty targets: in each of two regions a zone of three and one of seven."""
    fleet = {}
    for region in ("eu", "us"):
        for zone, size in (("a", 7), ("b", 3)):
            for number in range(size):
                fleet[f"{region}-{zone}{number}"] = {"topology.region": region, "topology.zone": f"{region}-{zone}"}
    return fleet


def zones(waves) -> list[dict[str, int]]:
    return [dict(Counter(target_id[:4] for target_id in wave)) for wave in waves]


def test_twenty_targets_in_two_regions_go_1_2_4_6_6_1():
    """definitions.md E4: one box, then its zone, then the other region too."""
    fleet = two_regions()
    found = where(in_waves(rolloutType="exponential", failureDomains=DOMAINS), list(fleet), labels=fleet)
    assert [len(wave) for wave in found.waves] == [1, 2, 4, 6, 6, 1]
    assert zones(found.waves) == [
        {"eu-b": 1},
        {"eu-b": 2},
        {"eu-a": 4},
        {"eu-a": 3, "us-b": 3},
        {"us-a": 6},
        {"us-a": 1},
    ]


def test_a_wave_that_domains_cut_short_stays_short():
    fleet = two_regions()
    rule = in_waves(rolloutType="waves", waves=[1, "50%", "100%"], failureDomains=DOMAINS)
    found = where(rule, list(fleet), labels=fleet)
    assert zones(found.waves) == [{"eu-b": 1}, {"eu-b": 2}, {"eu-a": 7, "us-b": 3}, {"us-a": 7}]


def test_one_zone_is_one_key_and_a_cell_is_three():
    fleet = {
        f"{cell}{number}": {"region": "r", "zone": cell[:2], "cell": cell}
        for cell in ("z1c1", "z1c2", "z2c1", "z2c2")
        for number in range(2)
    }
    cells = in_waves(rolloutType="waves", waves=[1, "100%"], failureDomains=["region", "zone", "cell"])
    assert zones(where(cells, list(fleet), labels=fleet).waves) == [
        {"z1c1": 1},
        {"z1c1": 1},
        {"z1c2": 2},
        {"z2c1": 2},
        {"z2c2": 2},
    ]
    one = in_waves(rolloutType="waves", waves=[1, "100%"], failureDomains=["zone"])
    labels = {name: {"zone": name[:2]} for name in fleet}
    assert [len(wave) for wave in where(one, list(fleet), labels=labels).waves] == [1, 3, 4]


def test_the_lightest_domain_goes_first_where_a_weight_is_named():
    fleet = {name: {"zone": name[0], "rps": "0.5"} for name in ("a1", "b1", "b2", "c1")}
    fleet["a1"]["rps"] = "9"
    fleet["c1"]["rps"] = "unheard of"
    rule = in_waves(rolloutType="waves", waves=[1, "100%"], failureDomains=["zone"], domainWeight="rps")
    found = where(rule, list(fleet), labels=fleet)
    assert [target_id[0] for wave in found.waves for target_id in wave] == ["b", "b", "a", "c"]


def test_a_target_without_a_domain_has_no_place_and_says_which_key_it_lacks():
    fleet = {**two_regions(), "lost": {"topology.region": "eu"}}
    found = where(in_waves(rolloutType="exponential", failureDomains=DOMAINS), list(fleet), labels=fleet)
    assert found.unplaced == {"lost": "topology.zone"}
    assert "lost" not in found.wave_by_target


FLEETS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 1), st.booleans()), min_size=1, max_size=40
)
SHAPES = st.sampled_from(
    [
        {"rolloutType": "exponential"},
        {"rolloutType": "exponential", "factor": 1, "cap": 0.05},
        {"rolloutType": "waves", "waves": [1, "10%", "50%", "100%"]},
        {"rolloutType": "waves", "waves": [1, "100%"]},
        {"rolloutType": "waves", "waves": [1, 2, 3, "100%"]},
    ]
)


@given(FLEETS, SHAPES, st.integers(0, 3))
def test_waves_hold_every_target_once_stay_within_size_and_keep_domains_apart(fleet, shape, levels):
    keys = ["region", "zone", "cell"][:levels]
    labels = {
        f"t{n}": {"region": f"r{region}", "zone": f"r{region}z{zone}", "cell": f"r{region}z{zone}c{cell}"}
        for n, (region, zone, cell, _) in enumerate(fleet)
    }
    late = [f"t{n}" for n, one in enumerate(fleet) if one[3]]
    early = [name for name in labels if name not in late]
    rule = in_waves(**shape, **({"failureDomains": keys} if keys else {}))
    waves = where(rule, early, late=late, labels=labels).waves

    assert sorted(target_id for wave in waves for target_id in wave) == sorted(labels)
    largest = max(islice(rule.sizes(len(early)), 50))
    assert all(1 <= len(wave) <= largest for wave in waves)
    if rule.growth:
        cap = max(int(rule.growth.cap * len(early)), 1)
        assert all(len(wave) <= cap for wave in waves)
    if keys:
        assert_domains_apart([w for w in waves if w[0] in early], {name: labels[name] for name in early}, keys)


def assert_domains_apart(waves, labels, keys):
    """One box; one region a wave until the second is over; one zone of a region until its first zone is over."""
    if waves:
        assert len(waves[0]) == 1
    done: set[str] = set()
    for number, wave in enumerate(waves):
        if number < 2:
            assert len({labels[name][keys[0]] for name in wave}) == 1
        for outer, inner in pairwise(keys):
            for parent in {labels[name][outer] for name in wave}:
                within = {name for name in labels if labels[name][outer] == parent}
                touched = {labels[name][inner] for name in wave if name in within}
                over = {
                    labels[name][inner]
                    for name in within
                    if all(other in done for other in within if labels[other][inner] == labels[name][inner])
                }
                assert len(touched) == 1 or over, f"wave {number + 1} touches {touched} of {parent}"
        done |= set(wave)


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rolloutType": "canary"}, "rolloutType must be one of linear, linear-normalized, waves, exponential"),
        ({"rolloutType": "linear"}, "timeScaleInterval is required"),
        ({"rolloutType": "linear", "timeScaleInterval": 1, "waves": ["100%"]}, "waves is for rolloutType waves"),
        ({"rolloutType": "linear", "timeScaleInterval": 1, "cap": 0.3}, "cap is for rolloutType exponential"),
        (
            {"rolloutType": "linear", "timeScaleInterval": 1, "bakeSeconds": 5},
            "bakeSeconds is for rolloutType waves and exponential",
        ),
        (
            {"rolloutType": "linear-normalized", "timeScaleInterval": 1, "failureDomains": ["zone"]},
            "failureDomains is for rolloutType waves and exponential",
        ),
        (
            {"rolloutType": "exponential", "timeScaleInterval": 60},
            "timeScaleInterval is for rolloutType linear and linear-normalized",
        ),
        ({"rolloutType": "exponential", "waves": ["100%"]}, "waves is for rolloutType waves"),
        ({"rolloutType": "exponential", "factor": 0.5}, "factor must be from 1 to 10"),
        ({"rolloutType": "exponential", "cap": 1.5}, "cap must be from 0.01 to 1"),
        ({"rolloutType": "exponential", "initial": 2, "failureDomains": ["zone"]}, "initial must begin with 1"),
        (
            {"rolloutType": "linear", "timeScaleInterval": 1, "domainWeight": "w"},
            "domainWeight is for rolloutType waves and exponential",
        ),
        (
            {"rolloutType": "linear", "timeScaleInterval": 1, "minimumSamples": 1},
            "minimumSamples is for rolloutType waves and exponential",
        ),
        ({"rolloutType": "linear", "timeScaleInterval": 1, "initial": 1}, "initial is for rolloutType exponential"),
        ({"rolloutType": "waves", "waves": [1, "half"]}, "waves must be a count of targets"),
        ({"rolloutType": "waves"}, "waves is required"),
        ({"rolloutType": "waves", "waves": []}, 'waves must end with "100%"'),
        ({"rolloutType": "waves", "waves": [1, 5]}, 'waves must end with "100%"'),
        ({"rolloutType": "waves", "waves": [0, "100%"]}, "waves must be a count of targets"),
        ({"rolloutType": "waves", "waves": [True, "100%"]}, "waves must be a count of targets"),
        ({"rolloutType": "waves", "waves": ["101%"]}, "waves must be a count of targets"),
        ({"rolloutType": "waves", "waves": ["half", "100%"]}, "waves must be a count of targets"),
        (
            {"rolloutType": "waves", "waves": ["50%", "10%", "100%"]},
            'waves must be a count of targets (1 and more) or a percentage such as "10%", each larger',
        ),
        (
            {"rolloutType": "waves", "waves": [3, 3, "100%"]},
            'waves must be a count of targets (1 and more) or a percentage such as "10%", each larger',
        ),
        (
            {"rolloutType": "waves", "waves": ["5%", "100%"], "failureDomains": ["zone"]},
            "waves must begin with 1: with failureDomains the first wave is one target",
        ),
        ({"rolloutType": "waves", "waves": ["100%"], "bakeSeconds": [1, 2]}, "bakeSeconds must hold at most 1"),
        ({"rolloutType": "exponential", "bakeSeconds": -1}, "bakeSeconds must be from 0 to 7776000"),
        ({"rolloutType": "exponential", "bakeSeconds": []}, "bakeSeconds must be seconds from 0 to 7776000, or a list"),
        ({"rolloutType": "exponential", "bakeSeconds": [1, "x"]}, "bakeSeconds must be seconds from 0"),
        ({"rolloutType": "exponential", "bakeSeconds": [1, -1]}, "bakeSeconds must be seconds from 0"),
        (
            {"rolloutType": "exponential", "bakeSeconds": 60, "whileVerifying": "overlap"},
            "bakeSeconds needs whileVerifying: wait",
        ),
        (
            {"rolloutType": "exponential", "minimumSamples": 3, "whileVerifying": "overlap"},
            "minimumSamples needs whileVerifying: wait",
        ),
        ({"rolloutType": "exponential", "failureDomains": ["a", "a"]}, "failureDomains must be a list of different"),
        ({"rolloutType": "exponential", "failureDomains": [""]}, "failureDomains must be a list of different"),
        ({"rolloutType": "exponential", "failureDomains": list("abcdef")}, "failureDomains must hold at most 5"),
        ({"rolloutType": "exponential", "domainWeight": "rps"}, "domainWeight needs failureDomains"),
    ],
)
def test_what_does_not_fit_together_is_refused_by_name(fields, said):
    with pytest.raises(Invalid) as refused:
        parse_rules([{"gradualRollout": fields}])
    assert f"rules[0].gradualRollout.{said}" in str(refused.value)


def test_what_was_written_is_what_is_kept():
    wire = {"rolloutType": "waves", "waves": [1, "10.50%", 50.0, "100%"], "bakeSeconds": [3600, 60], "factor": None}
    (rule,) = parse_rules([{"gradualRollout": wire}])
    assert rule.wire == wire
    assert isinstance(rule.params, Params)
    assert rule.params.waves == (Reach(1), Reach(part=Fraction(105, 1000)), Reach(50), Reach(part=Fraction(1)))
    assert [rule.params.bake_after(n).total_seconds() for n in range(4)] == [3600, 60, 60, 60]
    assert in_waves(rolloutType="exponential").bake_after(0) == timedelta(0)


def test_a_person_makes_it_faster_and_never_slower():
    rule = in_waves(rolloutType="exponential", bakeSeconds=[600, 60], maxInFlight=2)
    assert sped(rule, Speed()) is rule
    assert sped(rule, Speed(bake_s=120, max_in_flight=9)) == replace(rule, bake_s=(120, 60), max_in_flight=9)
    assert sped(rule, Speed(bake_s=9999, max_in_flight=1)) == rule
    assert sped(params(), Speed(interval_s=5)).interval_s == 5
    assert sped(params(), Speed(interval_s=500, max_in_flight=3)) == params()


LINEAR = {"rolloutType": "linear", "timeScaleInterval": 60}
WAVES = {"rolloutType": "waves", "waves": ["10%", "100%"]}
GROWING = {"rolloutType": "exponential"}
BY_ZONE = {"rolloutType": "waves", "waves": [1, "100%"], "failureDomains": ["zone"]}
ALL = [*range(1, WAVES_MAX), "100%"]

EDGES = [
    ({**LINEAR, "whileVerifying": "wait"}, None),
    ({**WAVES, "minimumSamples": 1_000_000}, None),
    ({**WAVES, "minimumSamples": 1_000_001}, "minimumSamples"),
    ({**WAVES, "waves": ALL}, None),
    ({**WAVES, "waves": [1, *(n + 1 for n in ALL[:-1]), "100%"]}, "waves"),
    ({**WAVES, "waves": [2**31 - 1, "100%"]}, None),
    ({**WAVES, "waves": [2**31, "100%"]}, "waves"),
    ({**WAVES, "waves": ["10", "100%"]}, "waves"),
    ({**WAVES, "bakeSeconds": [0, 60]}, None),
    ({**WAVES, "bakeSeconds": [0, 60, 60]}, "bakeSeconds"),
    ({**WAVES, "bakeSeconds": [BAKE_S_MAX, 1]}, None),
    ({**WAVES, "bakeSeconds": [BAKE_S_MAX + 1, 1]}, "bakeSeconds"),
    ({**WAVES, "bakeSeconds": BAKE_S_MAX}, None),
    ({**WAVES, "bakeSeconds": BAKE_S_MAX + 1}, "bakeSeconds"),
    ({**GROWING, "bakeSeconds": [1] * 100}, None),
    ({**GROWING, "bakeSeconds": [1] * 101}, "bakeSeconds"),
    ({**GROWING, "initial": 1}, None),
    ({**GROWING, "initial": 0}, "initial"),
    ({**GROWING, "initial": 2, "failureDomains": ["zone"]}, "initial"),
    ({**BY_ZONE, "failureDomains": ["z"]}, None),
    ({**BY_ZONE, "failureDomains": ["z" * 200]}, None),
    ({**BY_ZONE, "failureDomains": ["z" * 201]}, "failureDomains"),
    ({**BY_ZONE, "domainWeight": "w" * 200}, None),
    ({**BY_ZONE, "domainWeight": "w" * 201}, "domainWeight"),
    ({**LINEAR, "domainWeight": "w"}, "domainWeight"),
    ({**LINEAR, "minimumSamples": 1}, "minimumSamples"),
    ({**LINEAR, "initial": 1}, "initial"),
]


@pytest.mark.parametrize(("rule", "refused"), EDGES)
def test_limits_hold_at_their_edges(rule, refused):
    if refused is None:
        parse_rules([{"gradualRollout": rule}])
        return
    with pytest.raises(Invalid) as faults:
        parse_rules([{"gradualRollout": rule}])
    assert refused in {one.path.rpartition(".")[2] for one in faults.value.fields}
