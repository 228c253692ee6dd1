"""What stands in the shards of a round, and can they be read again?"""

from __future__ import annotations

import json
from dataclasses import replace
from types import MappingProxyType

import pytest
import rfc8785

from decide.test_scenarios import HOSTS, production
from interlock.decide import decide
from interlock.decide.codec import TARGETS_PER_SHARD, decode, encode, in_order
from interlock.decide.facts import Decided
from interlock.decide.verdict import earliest, plain
from interlock.model.job import JobStatus
from worlds import METRIC, deploy, hand_over_all


def a_world(hosts=HOSTS):
    world = production(
        {"anyApproval": {"minApprovals": 0}},
        {"verification": {"metrics": [METRIC]}},
        {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60}},
        hosts=hosts,
        runs="v0",
    )
    deploy(world, "v1", rounds_max=3)
    world.freeze("x")
    world.pin("v1", target=hosts[0])
    return world


def test_reads_back_what_it_wrote():
    facts = a_world().snapshot()
    assert decode(dict(encode(facts))) == in_order(facts)


def test_shards_have_names_and_are_canonical_json():
    shards = dict(encode(a_world().snapshot()))
    assert set(shards) == {
        "deployment", "environments", "versions", "policies", "rollouts", "approvals", "freezes",
        "overrides", "slots", "orders", "decisions", "elsewhere", "targets-00000",
    }  # fmt: skip
    for body in shards.values():
        assert rfc8785.dumps(json.loads(body)) == body


def test_a_change_of_one_target_changes_one_shard():
    hosts = [f"host-{n:04}" for n in range(TARGETS_PER_SHARD + 40)]
    world = a_world(hosts)
    before = dict(encode(world.snapshot()))
    world.facts = type(world.facts)(
        **{
            **{name: getattr(world.facts, name) for name in type(world.facts).__dataclass_fields__},
            "decided_by_target": {**world.facts.decided_by_target, world.target(hosts[0]).id: Decided("", "other")},
        }
    )
    after = dict(encode(world.snapshot()))
    assert len([name for name in before if name.startswith("targets-")]) == 2
    assert len([name for name in before if before[name] != after[name]]) == 1


def test_numbers_that_canonical_json_has_no_form_for_are_kept():
    big = {**METRIC, "provider": {"type": "http", "limit": 2**60}}
    world = production({"verification": {"metrics": [big]}}, hosts=["prod-1"])
    facts = world.snapshot()
    read = decode(dict(encode(facts)))
    assert read == in_order(facts)
    assert decide(read, world.now) == decide(facts, world.now)


def test_a_read_only_mapping_is_written_as_what_it_maps():
    facts = a_world().snapshot()
    shut = replace(facts, versions=tuple(replace(one, view=MappingProxyType(dict(one.view))) for one in facts.versions))
    assert dict(encode(shut)) == dict(encode(facts))


def test_what_is_no_fact_is_refused():
    world = production(hosts=["prod-1"])
    world.facts = type(world.facts)(world.facts.workspace_id, world.facts.deployment_id, freezes=(object(),))  # type: ignore[arg-type]
    with pytest.raises(Exception, match="object"):
        dict(encode_unsorted(world.facts))


def encode_unsorted(facts):
    from interlock.decide import codec

    yield "freezes", codec._written(facts.freezes)


def test_values_of_verdicts_are_plain():
    assert plain({"a": (1, 2), "b": None, "c": frozenset({"x"})}) == {"a": [1, 2], "c": ["x"]}
    assert earliest([None]) is None


def test_every_kind_of_fact_of_a_target_reads_back():
    world = production(hosts=HOSTS, runs="v0")
    world.create_version("v1")
    world.round()
    hand_over_all(world)
    first, second = (world.target(name) for name in HOSTS[:2])
    world.runs_elsewhere("schema", "s1", resource=first.name, environment="production")
    world.detach(second.name)
    (moving, *_) = (move for move in world.facts.moves if move.target_id == first.id)
    facts = replace(
        world.facts,
        ended_by_target_version={(first.id, moving.version_id): {"failure": world.now}},
        labels_by_target={first.id: {"zone": "a"}, second.id: {"zone": "b"}},
        samples_by_move={moving.id: 3, "a move that is not loaded": 1},
    )
    assert facts.leaving and facts.elsewhere.by_resource
    read = decode(dict(encode(facts)))
    assert read == in_order(facts)
    assert (read.samples_by_move, read.labels_by_target) == (facts.samples_by_move, facts.labels_by_target)
    assert {job.status for move in read.moves for job in move.jobs} == {JobStatus.PENDING}
