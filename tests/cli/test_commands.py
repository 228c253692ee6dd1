"""The other commands against a real server."""

from __future__ import annotations

import json

import pytest

FLEET = """
type: JobAgent
name: runner
agentType: test-runner
config: {delaySeconds: 0.1}
---
type: Environment
name: staging
resourceSelector: "true"
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
"""


@pytest.fixture
def fleet(interlock):
    interlock("apply", "-f", "-", stdin=FLEET)
    return interlock


def test_a_version_is_created_as_ci_does_it_and_a_second_time_changes_nothing(fleet):
    upsert = ("version", "upsert", "-d", "api", "-t", "1.0.0", "-m", "git/commit=4f2a", "-c", "image.tag=1.0.0")
    made = json.loads(fleet(*upsert, "-l", "run=http://ci/1", "-o", "json").output)
    assert (made["tag"], made["name"], made["status"]) == ("1.0.0", "1.0.0", "ready")
    assert made["config"] == {"image": {"tag": "1.0.0"}}
    assert json.loads(made["metadata"]["ctrlplane/links"]) == {"run": "http://ci/1"}
    assert json.loads(fleet(*upsert, "-o", "json").output)["id"] == made["id"]
    assert "1.0.0" in fleet("get", "versions", "api").output


def test_a_version_may_need_another_deployment_beside_it(fleet):
    fleet("apply", "-f", "-", stdin="type: Deployment\nname: schema\nresourceSelector: 'true'\njobAgent: runner\n")
    upsert = ("version", "upsert", "-d", "api", "-t", "1.0.0", "--needs", 'schema=version.tag == "2"')
    fleet(*upsert)
    (listed,) = json.loads(fleet("get", "versions", "api", "-o", "json").output)
    assert [need["versionSelector"] for need in listed["dependencies"].values()] == ['version.tag == "2"']
    assert fleet(*upsert[:-1], "schema=((", fails=True).exit_code == 1
    assert fleet(*upsert[:-1], "nothing=true", fails=True).stderr == "Error: There is no deployment named nothing.\n"


def test_an_unknown_deployment_is_one_sentence(fleet):
    ran = fleet("version", "upsert", "-d", "nothing", "-t", "1", fails=True)
    assert ran.stderr == "Error: There is no deployment named nothing.\n"


def test_resources_are_listed_and_selected(fleet):
    assert "host/one" in fleet("get", "resources").output
    assert json.loads(fleet("get", "resources", "-q", 'resource.kind == "Cluster"', "-o", "json").output) == []
    assert fleet("get", "resources", "-q", "resource.kind ==", fails=True).exit_code == 1


def test_targets_and_explain_agree_on_what_there_is(fleet):
    fleet("version", "upsert", "-d", "api", "-t", "1.0.0")
    (target,) = json.loads(fleet("get", "targets", "-d", "api", "-o", "json").output)
    assert (target["environment"]["name"], target["resource"]["identifier"]) == ("staging", "host/one")
    assert fleet("explain", "api").exit_code == 0
    assert fleet("explain", "api/staging/one").exit_code == 0
    assert fleet("explain", target["key"]).exit_code == 0
    assert "no target" in fleet("explain", "api/staging/two", fails=True).stderr


def test_a_freeze_is_set_listed_and_ended(fleet):
    said = fleet("freeze", "--reason", "audit", "--for", "2h", "--environment", "staging").output
    short = said.split()[-1]
    assert "audit" in fleet("thaw").output
    fleet("thaw", short, "--reason", "done")
    assert "audit" not in fleet("thaw").output
    assert "No freeze" in fleet("thaw", short, fails=True).stderr


def test_a_key_is_printed_alone_and_opens_what_its_role_allows(fleet, server_url, monkeypatch):
    key = fleet("keys", "create", "--user", "vera", "--role", "viewer").output.strip()
    monkeypatch.setenv("INTERLOCK_API_KEY", key)
    assert "host/one" in fleet("get", "resources").output
    refused = fleet("version", "upsert", "-d", "api", "-t", "1", fails=True)
    assert "version:write" in refused.stderr


def test_the_ledger_is_one_line_an_event_and_can_be_narrowed(fleet):
    events = [json.loads(line) for line in fleet("ledger", "-o", "json").output.splitlines()]
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert len(fleet("ledger", "--last", "2").stdout.splitlines()) == 2
    subject = next(event["subject"] for event in events if event["kind"] == "deployment.created")
    narrowed = fleet("ledger", "--subject", f"deployment:{subject['id']}", "-o", "json").output.splitlines()
    assert 0 < len(narrowed) < len(events)
    assert fleet("ledger", "--subject", "deployment:api", "-o", "json").output.splitlines() == narrowed
    assert "no deployment" in fleet("ledger", "--subject", "deployment:none", fails=True).stderr


def test_the_ledger_tells_names_and_leaves_routine_steps_out_until_asked(fleet):
    told = fleet("ledger")
    assert "admin" in told.stdout
    assert "system.linked" not in told.stdout
    assert "routine steps are left out" in told.stderr
    assert "default: environment staging" in fleet("ledger", "--all").stdout


def test_without_a_workspace_the_only_one_is_taken(fleet, monkeypatch):
    monkeypatch.delenv("INTERLOCK_WORKSPACE")
    assert "host/one" in fleet("get", "resources").output


def test_no_open_request_is_said(fleet):
    assert fleet("approve").stderr == "Nothing.\n"
    assert "No open request" in fleet("approve", "api/staging", fails=True).stderr


def test_the_client_follows_the_ledger(client):
    stream = client.follow_ledger(after=0)
    assert next(stream)["seq"] >= 1
    stream.close()


def test_a_forecast_says_when_each_target_could_start(fleet):
    fleet("version", "upsert", "-d", "api", "-t", "9.0.0", "-c", "image.tag=9.0.0")
    fleet("freeze", "--reason", "audit")
    shown = fleet("forecast", "api").output
    assert shown.startswith("api 9.0.0, as of ")
    assert "TARGET" in shown and "EARLIEST START" in shown
    said = json.loads(fleet("forecast", "api", "9.0.0", "-e", "staging", "-o", "json").output)
    assert [each["name"] for each in said["environments"]] == ["staging"]
    assert fleet("forecast", "api", "1", fails=True).exit_code == 1


def test_a_plan_shows_what_would_change_and_how(fleet):
    shown = fleet("plan", "api", "-t", "2.0.0", "-c", "image.tag=2.0.0", "--diff").output
    assert "staging      one       changes" in shown
    assert "2.0.0: completed, 1 changed, 0 unchanged, 0 errored, 0 unsupported" in shown
    assert '"tag": "2.0.0"' in shown
    assert json.loads(fleet("plan", "api", "-t", "2.0.0", "-o", "json").output)["status"] == "completed"
    assert "2.0.0" not in fleet("get", "versions", "api").output


LIMITED = """
type: Policy
name: one at a time
selector: "true"
rules:
  - concurrency: {maxInFlight: 1, groupBy: 'resource.metadata["env"]'}
"""


def test_slots_are_listed_with_their_limit(fleet):
    fleet("apply", "-f", "-", stdin=LIMITED)
    (group,) = json.loads(fleet("get", "slots", "-o", "json").output)
    assert (group["group"], group["limit"], group["size"], group["policy"]["name"]) == (
        "staging",
        1,
        1,
        "one at a time",
    )
    said = fleet("get", "slots").output
    assert "staging" in said and "of 1" in said
