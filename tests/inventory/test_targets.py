"""Which targets are there, who selects them, which agent do they get? Examples, and the brute-force cross product."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.inventory.selector import Scope, parse_selector
from interlock.inventory.targets import (
    Pair,
    TargetDiff,
    Triple,
    choose_agent,
    deep_merge,
    diff_targets,
    match_resources,
    pairs_of,
    policies_of,
    policy_set_key,
    resolve_config,
    targets_of,
)
from interlock.model.canonical import digest
from interlock.model.inventory import Deployment, JobAgent

TEXTS = [
    "",
    "true",
    "false",
    "resource.kind == 'vm'",
    "resource.metadata.env == 'prod'",
    "resource.metadata.env != 'prod'",
    "!(resource.metadata.env == 'prod')",
    "resource.kind == 'vm' && resource.metadata.env == 'prod'",
]
ids = st.sampled_from("abcd")
resources = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from("0123456"),
            "kind": st.sampled_from(["vm", "fn"]),
            "metadata": st.dictionaries(st.just("env"), st.sampled_from(["prod", "dev"])),
        }
    ),
    max_size=6,
    unique_by=lambda one: one["id"],
)
selectors = st.dictionaries(ids, st.sampled_from(TEXTS), max_size=4)
systems = st.dictionaries(ids, st.sets(st.sampled_from("xyz"), max_size=3), max_size=4)


def obvious(text: str, resource: dict[str, Any]) -> bool:
    """The selectors of `TEXTS`, read by a person."""
    env = resource["metadata"].get("env")
    return {
        "": False,
        "true": True,
        "false": False,
        "resource.kind == 'vm'": resource["kind"] == "vm",
        "resource.metadata.env == 'prod'": env == "prod",
        "resource.metadata.env != 'prod'": env == "dev",
        "!(resource.metadata.env == 'prod')": env == "dev",
        "resource.kind == 'vm' && resource.metadata.env == 'prod'": resource["kind"] == "vm" and env == "prod",
    }[text]


@given(selectors, selectors, systems, systems, resources)
def test_targets_are_the_cross_product_filtered_by_systems_and_selectors(deployments, environments, of_d, of_e, found):
    expected = {
        (d, e, r["id"])
        for (d, selector_d), (e, selector_e), r in product(deployments.items(), environments.items(), found)
        if of_d.get(d, set()) & of_e.get(e, set()) and obvious(selector_d, r) and obvious(selector_e, r)
    }
    given_selectors = {"selector_by_deployment": deployments, "selector_by_environment": environments}
    pairs = pairs_of(of_d, of_e)
    assert targets_of(pairs, found, **given_selectors) == expected
    # A part of the question has that part of the answer.
    for one in found:
        assert targets_of(pairs, [one], **given_selectors) == {t for t in expected if t[2] == one["id"]}
    for pair in pairs:
        assert targets_of([pair], found, **given_selectors) == {t for t in expected if t[:2] == pair}


triples = st.tuples(ids, ids, st.sampled_from("012")).map(lambda three: Triple(*three))
states = st.sampled_from(["attached", "detached", "removed"])


@given(st.dictionaries(triples, states, max_size=6), st.sets(triples, max_size=6), st.sets(ids, max_size=2))
def test_a_diff_leads_from_what_is_stored_to_what_is_wanted_and_then_there_is_none(stored, wanted, deleted):
    wanted = {triple for triple in wanted if deleted.isdisjoint(triple)}
    diff = diff_targets(stored, wanted, deleted=deleted)
    after = {
        **stored,
        **dict.fromkeys(diff.attached, "attached"),
        **dict.fromkeys(diff.detached, "detached"),
        **dict.fromkeys(diff.removed, "removed"),
    }
    assert {triple for triple, state in after.items() if state == "attached"} == wanted
    assert all(after[triple] == "removed" for triple in stored if not deleted.isdisjoint(triple))
    assert diff_targets(after, wanted, deleted=deleted) == TargetDiff()


def test_a_target_that_left_may_come_back_and_one_of_a_deleted_resource_is_removed():
    one = Triple("d", "e", "r")
    assert diff_targets({one: "attached"}, ()).detached == (one,)
    assert diff_targets({one: "detached"}, ()) == TargetDiff()
    assert diff_targets({one: "detached"}, (one,)).attached == (one,)
    assert diff_targets({one: "attached"}, (), deleted=("r",)) == TargetDiff(removed=(one,))
    assert diff_targets({one: "detached"}, (), deleted=("e",)).removed == (one,)


def test_a_deployment_and_an_environment_meet_once_however_many_systems_they_share():
    assert pairs_of({"d": {"x", "y"}, "f": set()}, {"e": {"x", "y"}, "g": {"z"}}) == (Pair("d", "e"),)


def test_deployments_with_the_same_selector_have_the_same_targets():
    found = targets_of(
        [Pair("a", "e"), Pair("b", "e"), Pair("gone", "e"), Pair("a", "gone")],
        [{"id": "1", "kind": "vm"}],
        selector_by_deployment={"a": "true", "b": "true"},
        selector_by_environment={"e": "true"},
    )
    assert found == {Triple("a", "e", "1"), Triple("b", "e", "1")}


def test_gives_the_ids_of_matched_resources():
    views = [{"id": "1", "kind": "vm"}, {"id": "2", "kind": "fn"}]
    assert match_resources(parse_selector("resource.kind == 'vm'", Scope.RESOURCE), views) == {"1"}


# --- policies -------------------------------------------------------------------------------------------------------

PROD = {"id": "e", "name": "production", "metadata": {}}
SHOP = {"id": "d", "name": "shop", "metadata": {"team": "web"}}


def picked(*texts: str, found: list[dict[str, Any]] | None = None) -> list[tuple[str, ...] | None]:
    policies = [(f"p{number}", parse_selector(text, Scope.POLICY)) for number, text in enumerate(texts)]
    views = found or [{"id": "1", "kind": "vm", "metadata": {"env": "prod"}}, {"id": "2", "kind": "fn", "metadata": {}}]
    return policies_of(reversed(policies), views, environment=PROD, deployment=SHOP)


def test_policies_select_by_resource_environment_and_deployment():
    assert picked(
        "true", "environment.name == 'production'", "resource.kind == 'vm' && deployment.metadata.team == 'web'"
    ) == [
        ("p0", "p1", "p2"),
        ("p0", "p1"),
    ]
    assert picked("", "false", "deployment.metadata.none == 'x'", "resource.metadata.none != 'x'") == [(), ()]


def test_a_policy_that_cannot_be_told_leaves_the_target_unknown():
    assert picked("true", "service.tier == 1") == [None, None]
    assert picked("true", "resource.kind == 'vm' && service.tier == 1") == [None, ("p0",)]


def test_a_set_of_policies_has_one_key_in_any_order():
    assert policy_set_key(["b", "a"]) == policy_set_key(("a", "b")) != policy_set_key(["a"])


# --- agents ---------------------------------------------------------------------------------------------------------

ARGO = JobAgent(
    "00000000-0000-4000-8000-0000000000a1", "w", "argo", "argo-cd", {"serverUrl": "a", "x": {"y": 1, "z": 2}}, {}
)
EXEC = JobAgent("00000000-0000-4000-8000-0000000000a2", "w", "exec", "exec", {}, {"region": "eu"})
EU, US = {"metadata": {"region": "eu"}}, {"metadata": {"region": "us"}}


def deployment(selector: str = "false", entries: list[dict[str, Any]] | None = None) -> Deployment:
    return Deployment("d", "shop", None, "true", selector, {"x": {"y": 3}}, entries, {}, "wait")


@pytest.mark.parametrize(
    ("selector", "resource", "state", "agent"),
    [
        ("jobAgent.name == 'argo'", EU, "one", ARGO),
        ("jobAgent.type == 'exec'", EU, "one", EXEC),
        ("jobAgent.metadata.region == resource.metadata.region", EU, "one", EXEC),
        ("jobAgent.metadata.region == resource.metadata.region", US, "no_agent", None),
        ("true", EU, "ambiguous_agent", None),
        ("false", EU, "no_agent", None),
        ("", EU, "no_agent", None),
        ("jobAgent.name == 'none'", EU, "no_agent", None),
    ],
)
def test_the_selector_must_pick_exactly_one_agent(selector, resource, state, agent):
    choice = choose_agent(deployment(selector), [EXEC, ARGO], resource)
    assert (choice.state, choice.agent, choice.config, choice.entry) == (state, agent, {"x": {"y": 3}}, -1)


@pytest.mark.parametrize(
    ("entries", "resource", "state", "agent", "entry"),
    [
        ([{"ref": EXEC.id}], US, "one", EXEC, 0),
        ([{"ref": EXEC.id, "selector": "", "config": None}], US, "one", EXEC, 0),
        ([{"ref": EXEC.id, "selector": None}, {"ref": ARGO.id}], US, "one", EXEC, 0),
        ([{"ref": EXEC.id, "selector": "resource.metadata.region == 'eu'"}, {"ref": ARGO.id}], US, "one", ARGO, 1),
        ([{"ref": EXEC.id, "selector": "resource.metadata.region == 'eu'"}], US, "no_agent", None, -1),
        ([{"ref": EXEC.id, "selector": "jobAgent.name == 'exec'"}], US, "one", EXEC, 0),
        ([{"ref": "gone"}, {"ref": EXEC.id}], US, "no_agent", None, 0),
        ([{"ref": EXEC.id, "selector": "resource.metadata.none == 'x'"}, {"ref": ARGO.id}], EU, "one", ARGO, 1),
    ],
)
def test_of_several_entries_the_first_that_is_true_wins(entries, resource, state, agent, entry):
    choice = choose_agent(deployment("true", entries), [ARGO, EXEC], resource)
    assert (choice.state, choice.agent, choice.entry) == (state, agent, entry)


def test_the_config_of_an_entry_goes_over_that_of_the_deployment():
    choice = choose_agent(deployment("", [{"ref": ARGO.id, "config": {"x": {"z": 5}}}]), [ARGO], EU)
    assert choice.config == {"x": {"y": 3, "z": 5}}


# --- config ---------------------------------------------------------------------------------------------------------


def test_maps_merge_and_everything_else_replaces():
    agent = {"a": {"b": 1, "c": [1]}, "d": {"e": 1}, "f": 1}
    assert deep_merge(agent, {"a": {"c": [2]}, "d": 2, "f": {"g": 1}}, {"a": {"h": None}}) == {
        "a": {"b": 1, "c": [2], "h": None},
        "d": 2,
        "f": {"g": 1},
    }
    assert agent == {"a": {"b": 1, "c": [1]}, "d": {"e": 1}, "f": 1}
    assert deep_merge() == {}


def test_a_resolved_config_is_agent_then_deployment_then_version_and_its_digest_says_what_differs():
    own = {"x": {"y": 3}}
    resolved, told = resolve_config(ARGO, own, version_config={"x": {"z": 4}}, variables={"tag": "v1"})
    assert resolved == {
        "jobAgentId": ARGO.id,
        "jobAgentConfig": {"serverUrl": "a", "x": {"y": 3, "z": 4}},
        "variables": {"tag": "v1"},
    }
    assert told == digest(resolved)
    assert resolve_config(ARGO, own)[1] != resolve_config(EXEC, own)[1] != told
