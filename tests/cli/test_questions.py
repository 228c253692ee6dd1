"""The questions: explain, can-deploy, policies, trace and replay, against a real server."""

from __future__ import annotations

import json
import time

import pytest

FLEET = """
type: JobAgent
name: runner
agentType: test-runner
config: {delaySeconds: 0.1}
---
type: Environment
name: staging
resourceSelector: resource.metadata["env"] == "staging"
---
type: Environment
name: production
resourceSelector: resource.metadata["env"] == "production"
---
type: Deployment
name: api
resourceSelector: "true"
jobAgent: runner
---
type: Resource
identifier: host/one
name: one
kind: Host
version: v1
metadata: {env: staging}
---
type: Resource
identifier: host/two
name: two
kind: Host
version: v1
metadata: {env: production}
---
type: Policy
name: careful
selector: environment.name == "production" && resource.kind == "Host"
rules:
  - anyApproval: {minApprovals: 1}
"""


@pytest.fixture
def fleet(interlock):
    """Staging runs 1.0.0; production waits for a person."""
    interlock("apply", "-f", "-", stdin=FLEET)
    interlock("version", "upsert", "-d", "api", "-t", "1.0.0")
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        targets = json.loads(interlock("get", "targets", "-d", "api", "-o", "json").output)
        by_name = {target["resource"]["name"]: target for target in targets}
        if by_name["one"].get("current") and by_name["two"].get("outcome") == "hold":
            return interlock
        time.sleep(0.05)
    raise AssertionError(targets)


def test_a_target_is_explained_with_its_tree_and_what_would_let_it_go(fleet):
    said = fleet("explain", "api/production/two").output
    assert "1.0.0 is held on two in production by anyApproval (careful)." in said
    assert "HOLD  anyApproval  It has 0 of 1 approvals." in said
    assert "who can act: anybody who may approve" in said
    assert "- 1.0.0 gets 1 more of the 1 approvals for production." in said
    body = json.loads(fleet("explain", "api/production/host/two", "-o", "json").output)
    assert body["standing"]["counterfactual"]["found"]


def test_a_version_is_explained_in_an_environment_and_a_job_by_its_id(fleet):
    assert "Nothing holds 1.0.0 in staging" in fleet("explain", "api/staging", "--version", "1.0.0").output
    assert "A person is needed for 1.0.0 in production" in fleet("explain", "api/production").output
    (job,) = json.loads(fleet("get", "jobs", "-o", "json").output)
    said = fleet("explain", f"job:{job['job']['id']}").output
    assert "Takes one in staging to 1.0.0" in said and "Allowed by decision" in said
    assert "explained in an environment" in fleet("explain", "api", "--version", "1.0.0", fails=True).stderr


def test_can_deploy_answers_with_its_exit_code(fleet):
    assert fleet("can-deploy", "api", "1.0.0", "-e", "staging").output.startswith("allow: Nothing holds 1.0.0")
    asked = fleet("can-deploy", "api", "1.0.0", "-e", "production", fails=True)
    assert asked.exit_code == 4
    assert asked.output.startswith("person: A person is needed")
    assert "HOLD  anyApproval" in asked.output
    fleet("freeze", "--reason", "audit", "--for", "2h")
    held = fleet("can-deploy", "api", "1.0.0", "-e", "production", "-r", "two", "-o", "json", fails=True)
    assert held.exit_code == 3
    assert json.loads(held.output)["answer"] == "hold"
    assert fleet("can-deploy", "api", "9.9.9", "-e", "production", fails=True).exit_code == 1
    assert fleet("can-deploy", "api", "1.0.0", fails=True).exit_code == 2


def test_policies_say_why_each_matched(fleet):
    said = fleet("policies", "-e", "production").output
    assert "careful applies to 1 of 1 targets, enforce: anyApproval" in said
    assert 'true     environment.name == "production"   (environment.name is "production")' in said
    other = fleet("policies", "-e", "staging", "-d", "api").output
    assert "careful does not apply" in other
    assert 'false    environment.name == "production"   (environment.name is "staging")' in other
    assert json.loads(fleet("policies", "-e", "staging", "-o", "json").output)[0]["applies"] is False


def test_a_version_is_traced_and_its_decisions_are_replayed(fleet):
    said = fleet("trace", "api/1.0.0").output
    assert "  staging: 1 verified; rollout complete" in said
    assert "  production: 1 held" in said
    assert "two: anyApproval (careful): It has 0 of 1 approvals." in said
    assert "version.created" in said and "routine steps are left out" in said
    found = json.loads(fleet("trace", "api/1.0.0", "-o", "json").output)
    assert "move.admitted" in fleet("trace", found["version"]["id"], "--all").output
    replayed = fleet("replay", found["decisions"][0]["id"]).output
    assert "it agrees." in replayed and "forward of 1.0.0 into" in replayed
    assert fleet("replay", found["version"]["id"], fails=True).exit_code == 1
    assert "no version" in fleet("trace", "api/9", fails=True).stderr
