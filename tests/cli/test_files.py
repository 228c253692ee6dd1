"""`apply` with everything that files can ask for, `export` and `schema`, against a real server."""

from __future__ import annotations

import json

import pytest

HOSTS = """
type: Resource
identifier: host/{n}
name: host {n}
kind: Host
version: v1
provider: inventory
"""

EVERYTHING = """
type: Group
name: leads
members: [admin]
---
type: Role
name: releaser
permissions: [version:write]
---
type: System
name: shop
metadata: {team: shop}
---
type: JobAgent
name: runner
agentType: argo-cd
config: {serverUrl: "https://argo.example", apiKey: open sesame}
---
type: Policy
name: guard
selector: environment.name == "production"
rules:
- anyApproval: {minApprovals: 1, approverGroup: leads}
- verification:
    metrics:
    - name: healthy
      intervalSeconds: 10
      count: 3
      successCondition: result.ok
      provider: {type: http, url: "http://shop.example", headers: {authorization: Bearer x1}}
---
type: RelationshipRule
name: to network
reference: network
cel: from.kind == "Host" && to.kind == "Network"
---
type: VariableSet
name: europe
selector: environment.name == "production"
variables:
  region: eu
  limits: {cpu: 2}
  password: {sensitive: s3cret}
---
type: ResourceProvider
name: inventory
metadata: {source: cmdb}
resources:
- {identifier: host/1, name: one, kind: Host, version: v1, variables: {replicas: 2}}
- {identifier: host/2, name: two, kind: Host, version: v1, metadata: {tier: gold}}
---
type: Resource
identifier: https://example.com/a b?c
name: alone
kind: Host
version: v1
config: {port: 1}
variables: {labels: {tier: front}}
---
type: Environment
name: production
systems: [shop, platform]
resourceSelector: resource.kind == "Host"
---
type: System
name: platform
---
type: Deployment
name: api
system: shop
resourceSelector: resource.kind == "Host"
jobAgent: runner
jobAgentConfig: {template: "a\\nb\\n"}
supersede: cancel
variables:
- key: token
  sensitive: true
  values: [{value: t0ken}]
- key: replicas
  values: [{value: 2}, {value: 5, priority: 10, resourceSelector: 'resource.metadata["tier"] == "gold"'}]
---
type: Deployment
name: older
jobAgents: [{ref: runner, config: {token: t2}, selector: "true"}]
---
type: Workflow
name: restore backup
inputs: [{key: day, type: string}]
jobAgents: [{name: restore, ref: runner}]
---
type: Freeze
reason: end of the quarter
scope: {kind: environment, name: production}
expiresAt: 2037-04-02T08:00:00+02:00
---
type: Freeze
reason: long over
expiresAt: 2020-01-01T00:00:00Z
---
type: Subscription
name: releases
channel: email
to: ["group:leads"]
kinds: [approval.requested]
scope: {kind: system, name: shop}
"""


@pytest.fixture
def apply(interlock, tmp_path):
    def run(text, *flags, **options):
        file = tmp_path / "fleet.yaml"
        file.write_text(text)
        return interlock("apply", "-f", str(file), *flags, **options)

    return run


def verdicts(ran):
    return {(line.split()[1], line.split(maxsplit=2)[2]): line.split()[0] for line in ran.stdout.splitlines()}


def test_every_kind_is_created_then_unchanged_and_its_export_is_unchanged_too(apply, interlock, client, tmp_path):
    first = verdicts(apply(EVERYTHING))
    assert set(first.values()) == {"created", "unchanged"}
    assert [name for name, verdict in first.items() if verdict == "unchanged"] == [
        ("Freeze", "long over  (it is over)")
    ]
    ledger = interlock("ledger", "-o", "json").output
    assert set(verdicts(apply(EVERYTHING)).values()) == {"unchanged"}

    hidden = interlock("export").output
    assert "open sesame" not in hidden and "s3cret" not in hidden and "Bearer" not in hidden and "t0ken" not in hidden
    assert set(verdicts(apply(hidden)).values()) == {"unchanged"}
    shown = interlock("export", "--secrets").output
    assert all(each in shown for each in ("open sesame", "s3cret", "Bearer x1", "t0ken", "t2"))
    assert set(verdicts(apply(shown)).values()) == {"unchanged"}
    listed = interlock("export", "-o", "json", "policies", "deployment").output
    assert [each["name"] for each in json.loads(listed)] == ["guard", "api", "older"]
    assert set(verdicts(apply(listed)).values()) == {"unchanged"}
    assert interlock("export", "job-agent", "-o", "name").output == "JobAgent/runner\n"
    assert "did you mean Deployment" in interlock("export", "Deploymnt", fails=True).stderr
    assert interlock("ledger", "-o", "json").output == ledger, "none of this wrote anything"

    said = apply(EVERYTHING.replace("open sesame", "another"), "--diff", fails=True)
    assert said.exit_code == 3
    assert "-  apiKey: ••••" in said.stdout and "+  apiKey: •••• (another value)" in said.stdout
    assert "another'" not in said.stdout and "sesame" not in said.stdout
    assert set(verdicts(apply(EVERYTHING)).values()) == {"unchanged"}, "a difference that was shown was not made"

    moved = EVERYTHING.replace("2037-04-02", "2038-04-02").replace("members: [admin]", "members: []")
    changed = {name: verdict for name, verdict in verdicts(apply(moved)).items() if verdict != "unchanged"}
    assert changed == {("Freeze", "end of the quarter"): "changed", ("Group", "leads"): "changed"}
    (freeze,) = client.list_freezes()
    assert freeze["expiresAt"].startswith("2038-04-02T06:00")
    client.thaw(freeze["id"], reason="enough")
    assert verdicts(apply(moved))["Freeze", "end of the quarter  (thawed by admin)"] == "unchanged"


def test_nothing_is_written_when_the_server_refuses_one_and_every_line_is_named(apply, interlock):
    wrong = EVERYTHING.replace("argo-cd", "test-runner").replace("members: [admin]", "members: [nobody]")
    ran = apply(wrong, fails=True)
    lines = ran.stderr.replace("Error: ", "").splitlines()
    assert lines[-1] == "Nothing was written."
    at = EVERYTHING.splitlines().index("members: [admin]") + 1
    assert f"fleet.yaml:{at}: Group leads was refused: members: There is no user 'nobody'." in lines[0]
    assert sum("JobAgent runner was refused: config." in line for line in lines) == 2
    assert interlock("export", "-o", "name").output == interlock("export", "subscriptions", "-o", "name").output
    dry = apply(wrong, "--dry-run", fails=True)
    assert dry.stderr == ran.stderr, "a dry run is judged by the server as a write is"


def test_a_label_marks_what_files_wrote_and_pruning_ends_what_they_no_longer_say(apply, interlock):
    other = "type: System\nname: theirs\nmetadata: {team: other}\n"
    apply(other)
    systems = "---\n".join(f"type: System\nname: s{n}\n" for n in range(12))
    environment = "---\ntype: Environment\nname: e\nsystem: s0\n---\ntype: Group\nname: g\n"
    apply(systems + environment, "--selector", "team=shop")
    assert apply(systems, "--prune", fails=True).exit_code == 2, "what belongs to these files?"

    fewer = apply(
        "type: System\nname: s0\n---\ntype: System\nname: s11\n",
        "--selector",
        "team=shop",
        "--prune",
        "--diff",
        fails=True,
    )
    assert fewer.exit_code == 3 and "--- System s3 (the server)" in fewer.stdout and "+++ /dev/null" in fewer.stdout
    refused = apply("type: System\nname: s0\n", "--selector", "team=shop", "--prune", fails=True)
    assert "This would remove 12 of 13 objects. If that is meant, give --allow-removal." in refused.stderr
    ran = verdicts(apply("type: System\nname: s0\n", "--selector=team=shop", "--prune", "--allow-removal"))
    assert list(ran)[:2] == [("System", "s0"), ("Environment", "e")], "what names others ends before them"
    assert interlock("export", "system", "group", "-o", "name").output.split() == [
        "Group/g",
        "System/s0",
        "System/theirs",
    ]
    clash = apply("type: System\nname: s0\nmetadata:\n  team: b\n", "--selector", "team=shop", fails=True)
    assert "fleet.yaml:4: metadata.team is b, and --selector says shop." in clash.stderr


def test_a_resource_joins_its_provider_and_only_a_whole_list_takes_others_away(apply, interlock, client):
    two = "---\n".join(HOSTS.format(n=n) for n in (1, 2))
    assert verdicts(apply(two))["ResourceProvider", "inventory"] == "created"
    joined = verdicts(apply(HOSTS.format(n=3)))
    assert joined == {("ResourceProvider", "inventory"): "changed", ("Resource", "host/3"): "created"} | {
        ("Resource", f"host/{n}"): "unchanged" for n in (1, 2)
    }
    assert [each["identifier"] for each in client.list_provider_resources("inventory")] == [
        "host/1",
        "host/2",
        "host/3",
    ]

    bare = HOSTS.format(n=4).replace("provider: inventory\n", "")
    assert verdicts(apply(bare, "--provider", "inventory"))["Resource", "host/4"] == "created"
    assert verdicts(apply(bare))["Resource", "host/4"] == "unchanged", "what it does not say stays"
    changed = verdicts(apply(bare.replace("name: host 4", "name: four")))
    assert changed == {("Resource", "host/4"): "changed"}
    assert client.find_resource("host/4")["name"] == "four"

    gone = verdicts(apply(bare, "--provider", "inventory", "--prune"))
    assert {name for name, verdict in gone.items() if verdict == "removed"} == {
        ("Resource", f"host/{n}") for n in (1, 2, 3)
    }
    assert [each["identifier"] for each in client.list_provider_resources("inventory")] == ["host/4"]
    theirs = apply(HOSTS.format(n=4).replace("inventory", "another"), fails=True)
    assert "host/4 belongs to the provider inventory" in theirs.stderr


def test_names_that_may_come_later_are_told_and_not_refused(apply):
    text = (
        "type: Group\nname: leads\n---\ntype: Policy\nname: p\nrules:\n- anyApproval:\n    minApprovals: 1\n"
        "    approverGroup: leeds\n---\ntype: VariableSet\nname: v\nselector: 'true'\n"
        "variables:\n  net:\n    reference: network\n    path: [config]\n"
    )
    text += "---\ntype: JobAgent\nname: a\nagentType: test-runer\n"
    notes = [line.rpartition("/")[2] for line in apply(text).stderr.splitlines()]
    assert "it is stored and does nothing. Did you mean test-runner?" in notes.pop()
    assert notes == [
        "fleet.yaml:9: there is no group named leeds yet; did you mean leads; nobody is asked until there is.",
        "fleet.yaml:16: no relationship rule has the reference network yet; it has no value until one has.",
    ]


def test_json_and_name_for_programs_and_a_schema_for_editors(apply, interlock):
    told = json.loads(apply("type: System\nname: shop\n", "-o", "json", "--dry-run").stdout)
    assert [(each["verdict"], each["type"], each["name"], each["at"].rpartition("/")[2]) for each in told] == [
        ("created", "System", "shop", "fleet.yaml:1")
    ]
    assert apply("type: System\nname: shop\n", "-o", "name").stdout == "System/shop\n"
    assert apply("type: System\nname: shop\n", "-o", "name").stdout == ""
    older = apply("kind: System\nname: shop\n")
    assert "fleet.yaml:1: kind is older; write type: System." in older.stderr
    assert json.loads(interlock("schema").output)["properties"]["type"]["enum"][:3] == ["Role", "Group", "System"]
