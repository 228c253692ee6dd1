"""Is it shown what a policy holds before it ends, and asked about?"""

from __future__ import annotations

import json
import time

import pytest

FLEET = """
type: System
name: shop
---
type: Environment
name: production
system: shop
resourceSelector: "true"
---
type: Deployment
name: api
system: shop
resourceSelector: resource.kind == "Host"
jobAgent: puller
---
type: JobAgent
name: puller
agentType: http-pull
---
type: Resource
identifier: one
name: one
kind: Host
version: v1
"""

GATES = """
type: Policy
name: gates
rules:
  - anyApproval: {minApprovals: 1}
"""


@pytest.fixture
def held(interlock):
    interlock("apply", "-f", "-", stdin=f"{FLEET}---{GATES}")
    interlock("version", "upsert", "-d", "api", "-t", "1.0.0")
    for _ in range(100):
        if "0 of 1 approvals" in interlock("explain", "api").output:
            return interlock
        time.sleep(0.1)
    raise AssertionError("nothing is held")


def test_a_policy_that_holds_something_ends_only_when_that_is_accepted(held):
    shown = held("what-if", "--delete", "gates").output
    assert "1 of 1 targets in 1 deployments would stand elsewhere; selected are 1 now and 0 then." in shown
    assert "api/production/one" in shown and "would start 1.0.0" in shown

    refused = held("delete", "policy", "gates", fails=True)
    assert "Policy gates holds something" in refused.stderr and "--yes" in refused.stderr
    off = GATES.replace("rules:", "enabled: false\nrules:")
    assert "--yes" in held("apply", "-f", "-", stdin=off, fails=True).stderr
    assert "0 of 1 approvals" in held("explain", "api").output, "nothing was changed"
    assert "changed    Policy" in held("apply", "-f", "-", "--yes", stdin=off).output
    assert held("delete", "policy", "gates").output.startswith("deleted"), "disabled, it holds nothing any more"
    assert held("delete", "policy", "gates", fails=True).stderr == "Error: There is no policy named gates.\n"


def test_a_file_is_tried_before_it_is_applied(held, tmp_path):
    file = tmp_path / "policies.yaml"
    file.write_text(f"{GATES.replace('minApprovals: 1', 'minApprovals: 0')}---{GATES.replace('gates', 'other')}")
    said = json.loads(held("what-if", "--policy", str(file), "-o", "json").output)
    assert (said["changed"], said["changes"]) == (1, {"other": 1})
    assert held("what-if", fails=True).exit_code == 2
    file.write_text("type: System\nname: x\n")
    assert "no policy" in held("what-if", "-p", str(file), fails=True).stderr
