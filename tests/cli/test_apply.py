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
        ("system: shop", "system: ship", "fleet.yaml:13: there is no system named ship; did you mean shop."),
        ("jobAgent: runner", "jobAgent: walker", "fleet.yaml:5: there is no job agent named walker."),
        ("minApprovals: 1", "minApprovals: many", "fleet.yaml:21: rules[0].anyApproval.minApprovals"),
        ("- anyApproval:", "- anyWhim:", "fleet.yaml:20: rules[0].anyWhim"),
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
    line = FLEET.splitlines().index("config: {delaySeconds: 1}") + 1
    assert f"fleet.yaml:{line}: JobAgent runner was refused: " in ran.stderr


def test_reads_standard_input(interlock):
    assert "created" in interlock("apply", "-f", "-", stdin="type: System\nname: shop\n").output


# Variables ------------------------------------------------------------------------------------------------------------

VARIABLES = """
type: RelationshipRule
name: host to network
reference: network
cel: from.kind == "Host" && to.kind == "Network" && from.metadata.net == to.name
---
type: VariableSet
name: europe
selector: environment.name.startsWith("eu-")
priority: 10
variables:
  region: eu
  network: {reference: network, path: [config, cidr]}
  limits: {cpu: 2}
---
type: Deployment
name: api
resourceSelector: resource.kind == "Host"
variables:
- key: replicas
  description: how many
  values:
  - value: 2
  - {value: 5, priority: 10, resourceSelector: 'resource.metadata["tier"] == "gold"'}
- key: region
- key: labels
  values:
  - value: {tier: front, none: null}
"""


def test_variables_sets_and_rules_are_created_changed_and_left_alone(apply, client):
    first = verdicts(apply(VARIABLES))
    assert [kind for _, kind, _ in first] == ["System", "RelationshipRule", "VariableSet", "Deployment"]
    assert {verdict for verdict, _, _ in first} == {"created"}
    again = verdicts(apply(VARIABLES))
    assert [verdict for verdict, _, _ in again] == ["unchanged"] * 3

    deployment_id = client.find_deployment("api")["deployment"]["id"]
    ids = {each["variable"]["key"]: each["variable"]["id"] for each in client.list_deployment_variables(deployment_id)}
    assert sorted(ids) == ["labels", "region", "replicas"]
    (one,) = client.list_variable_sets()
    assert [each["key"] for each in one["variables"]] == ["region", "network", "limits"]
    assert one["variables"][2]["value"] == {"object": {"cpu": 2}}

    changed = (
        VARIABLES.replace("region: eu", "region: emea").replace("value: 2", "value: 3").replace("- key: region\n", "")
    )
    third = {kind: verdict for verdict, kind, _ in verdicts(apply(changed))}
    assert third == {"RelationshipRule": "unchanged", "VariableSet": "changed", "Deployment": "changed"}
    left = {each["variable"]["key"]: each for each in client.list_deployment_variables(deployment_id)}
    assert sorted(left) == ["labels", "replicas"] and left["replicas"]["variable"]["id"] == ids["replicas"]

    silent = changed[: changed.index("variables:\n- key")]
    assert {verdict for verdict, _, _ in verdicts(apply(silent))} == {"unchanged"}
    assert len(list(client.list_deployment_variables(deployment_id))) == 2, "no list, no change"


A_SET = "type: VariableSet\nname: s\nselector: 'true'\n"
A_RULE = "type: RelationshipRule\nname: r\nreference: r\n"
DECLARES = "type: Deployment\nname: d\nvariables: "

WRONG = [
    (A_SET.replace("'true'", "nonsense("), "fleet.yaml:3: selector is no valid CEL"),
    (f"{A_SET}variables: {{a: {{valueHash: 1}}}}\n", "fleet.yaml:4: variables.a.valueHash must be text"),
    (f"{A_RULE}cel: here == there\n", "fleet.yaml:4: cel is no valid CEL"),
    (f"{DECLARES}[{{key: a}}, {{key: a}}]\n", "fleet.yaml:3: variables[1]: a stands in this list already"),
    (f"{DECLARES}[{{}}]\n", "fleet.yaml:3: variables[0] needs key"),
    (f"{DECLARES}[{{key: a, value: 1}}]\n", "variables[0] has no value; did you mean values"),
    (f"{DECLARES}[{{key: a, values: [{{priority: 1}}]}}]\n", "variables[0].values[0] needs value (null is one)"),
    (f"{DECLARES}[{{key: a, values: [{{value: 1, selector: x}}]}}]\n", "variables[0].values[0] has no selector"),
    (f"{DECLARES}[{{key: a, values: 1}}]\n", "variables[0].values must be a list"),
    (f"{DECLARES}[{{key: a, values: [{{value: 1, resourceSelector: resource.knd}}]}}]\n", "has no field `knd`"),
]


def test_wrong_variables_are_refused_before_anything_is_written(apply):
    for text, said in WRONG:
        assert said in apply(text, fails=True).output
