"""`interlock apply` against a real server: what it writes, what it leaves alone, what it refuses."""

from __future__ import annotations

import json

import pytest

FLEET = """
type: Deployment
name: api
resourceSelector: resource.kind == "Host"
jobAgent: runner
---
type: Environment
name: staging
resourceSelector: resource.metadata["env"] == "staging"
---
type: Environment
name: production
system: shop
resourceSelector: resource.metadata["env"] == "production"
---
type: Policy
name: guard
selector: environment.name == "production"
rules:
- anyApproval:
    minApprovals: 1
- gradualRollout:
    rolloutType: linear
    timeScaleInterval: 0
---
type: Resource
identifier: host/one
name: one
kind: Host
version: v1
metadata: {env: staging}
config: {port: 8081}
variables: {replicas: 2, labels: {tier: front}}
---
type: System
name: shop
description: The shop.
---
type: JobAgent
name: runner
agentType: test-runner
config: {delaySeconds: 1}
---
type: ResourceProvider
name: inventory
resources:
- {identifier: host/two, name: two, kind: Host, version: v1, metadata: {env: production}}
- {identifier: host/three, name: three, kind: Host, version: v1}
"""


def verdicts(ran):
    return [line.split(maxsplit=2) for line in ran.output.splitlines()]


@pytest.fixture
def apply(interlock, tmp_path):
    def run(text, **options):
        file = tmp_path / "fleet.yaml"
        file.write_text(text)
        return interlock("apply", "-f", str(file), **options)

    return run


def test_creates_in_order_and_the_second_time_changes_nothing(apply, interlock):
    first = verdicts(apply(FLEET))
    assert {verdict for verdict, _, _ in first} == {"created"}
    assert [kind for _, kind, _ in first] == [
        *("System", "System", "JobAgent", "Policy", "ResourceProvider", "Resource", "Resource", "Resource"),
        *("Environment", "Environment", "Deployment"),
    ]
    before = interlock("ledger", "-o", "json").output
    again = verdicts(apply(FLEET))
    assert {verdict for verdict, _, _ in again} == {"unchanged"}
    assert len(again) == len(first) - 1  # the default system is made once and then not spoken of
    assert interlock("ledger", "-o", "json").output == before


def test_names_become_ids_and_the_nameless_join_the_default_system(apply, interlock):
    apply(FLEET)
    found = json.loads(interlock("get", "targets", "-o", "json").output)
    assert [(each["environment"]["name"], each["resource"]["name"]) for each in found] == [("staging", "one")]


def test_a_change_is_said_and_a_rule_that_stays_keeps_its_id(apply, client):
    apply(FLEET)
    before = next(client.list_policies())["rules"]
    changed = verdicts(apply(FLEET.replace("minApprovals: 1", "minApprovals: 2")))
    after = next(client.list_policies())["rules"]
    assert [line for line in changed if line[0] != "unchanged"] == [["changed", "Policy", "guard"]]
    assert [rule["id"] for rule in before] == [rule["id"] for rule in after]
    assert after[0]["anyApproval"]["minApprovals"] == 2


def test_a_resource_that_the_providers_list_no_longer_names_is_removed(apply):
    apply(FLEET)
    shorter = FLEET.replace("- {identifier: host/three, name: three, kind: Host, version: v1}\n", "")
    told = [line for line in verdicts(apply(shorter)) if line[0] != "unchanged"]
    assert told == [["changed", "ResourceProvider", "inventory"], ["removed", "Resource", "host/three"]]


def test_a_dry_run_says_it_and_writes_nothing(interlock, tmp_path):
    (tmp_path / "fleet.yaml").write_text(FLEET)
    said = interlock("apply", "--dry-run", "-f", str(tmp_path)).output
    assert "created" in said
    assert json.loads(interlock("get", "resources", "-o", "json").output) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("system: shop", "system: ship", "fleet.yaml:13: there is no system named ship."),
        ("jobAgent: runner", "jobAgent: walker", "fleet.yaml:5: there is no job agent named walker."),
        ("minApprovals: 1", "minApprovals: many", "fleet.yaml:19: rules[0].anyApproval.minApprovals"),
        ("- anyApproval:", "- anyWhim:", "fleet.yaml:19: rules[0].anyWhim"),
        ('resource.kind == "Host"', "resource.kind ==== 1", "fleet.yaml:4: resourceSelector is no valid CEL"),
        ('environment.name == "prod', 'enviroment.name == "prod', "fleet.yaml:18: selector is no valid CEL"),
        ("name: guard", "name: guard\ncolour: red", "fleet.yaml:18: Policy has no colour"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_line_and_nothing_is_written(apply, interlock, old, new, said):
    ran = apply(FLEET.replace(old, new), fails=True)
    assert ran.exit_code == 1
    assert said in ran.stderr
    assert json.loads(interlock("get", "resources", "-o", "json").output) == []


def test_what_the_server_refuses_names_the_document(apply):
    ran = apply(FLEET.replace("agentType: test-runner", "agentType: exec"), fails=True)
    line = FLEET.splitlines().index("type: JobAgent") + 1
    assert f"fleet.yaml:{line}: JobAgent runner was refused: " in ran.stderr


def test_reads_standard_input(interlock):
    assert "created" in interlock("apply", "-f", "-", stdin="type: System\nname: shop\n").output
