"""`interlock delete`: what would end is said first, then it ends, and the ledger goes on answering."""

from __future__ import annotations

import json

import pytest

from cli.test_commands import FLEET

STAGED = """
type: Policy
name: staged
selector: "true"
rules:
  - environmentProgression: {dependsOnEnvironmentSelector: environment.name == "staging"}
"""


@pytest.fixture
def fleet(interlock):
    interlock("apply", "-f", "-", stdin=FLEET)
    interlock("apply", "-f", "-", "--yes", stdin=STAGED)
    return interlock


def test_it_says_what_would_end_and_deletes_only_with_a_yes(fleet):
    no = fleet("delete", "environment", "staging", fails=True)
    assert no.exit_code == 1
    assert "With environment staging ends:" in no.stderr
    assert "1 target is taken down" in no.stderr
    assert "policy staged points at it (environmentProgression)" in no.stderr
    assert "Nothing was deleted. Give --yes" in no.stderr
    yes = fleet("delete", "environment", "staging", "--yes")
    assert yes.stdout.split() == ["deleted", "environment", "staging"]
    again = fleet("delete", "environment", "staging", "--yes", fails=True)
    assert again.stderr == "Error: There is no environment named staging.\n"


def test_what_is_gone_is_found_in_the_ledger_by_its_name(fleet):
    for kind, name in (("resource", "host/one"), ("deployment", "api")):
        fleet("delete", kind, name, "--yes")
        told = [
            json.loads(line)
            for line in fleet("ledger", "--subject", f"{kind}:{name}", "-o", "json").output.splitlines()
        ]
        assert {f"{kind}.created", f"{kind}.deleted", "target.removed"} >= {
            each["kind"] for each in told if each["kind"].startswith(f"{kind}.")
        }
        assert f"{kind}.deleted" in {each["kind"] for each in told}
        assert f"There is no {kind} named {name}." in fleet("delete", kind, name, "--yes", fails=True).stderr


def test_what_has_nothing_to_end_is_not_asked_about(fleet):
    fleet("delete", "resource", "host/one", "--yes")
    fleet("delete", "deployment", "api", "--yes")
    assert fleet("delete", "policy", "staged", "--yes").exit_code == 0
