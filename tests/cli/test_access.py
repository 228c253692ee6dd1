"""People, roles, keys and tokens from the command line, against a real server."""

from __future__ import annotations

import json
import re

import httpx

FLEET = """
type: JobAgent
name: west
agentType: http-pull
---
type: System
name: checkout
---
type: Deployment
name: api
resourceSelector: "true"
jobAgent: west
"""


def test_people_roles_and_why(interlock):
    interlock("apply", "-f", "-", stdin=FLEET)
    assert "releaser: read, version:write" in interlock("role", "set", "releaser", "version:write").output
    assert interlock("member", "add", "otto", "--role", "operator", "--over", "deployment:api").output.startswith(
        "otto: "
    )
    interlock("member", "add", "ida@example.org", "--role", "releaser")
    listed = interlock("member", "list").output
    assert "operator@deployment:" in listed and "releaser" in listed
    assert (
        "yes: otto has the role operator over the deployment api"
        in interlock("access", "explain", "steer", "--user", "otto", "--deployment", "api").output
    )
    no = interlock("access", "explain", "force", "--user", "otto", "--deployment", "api").output
    assert no.startswith("no: otto lacks the permission force here; the role admin carries it.")
    interlock("group", "set", "sre", "otto", "--claim", "platform")
    made = json.loads(
        interlock("role", "grant", "approver", "--group", "sre", "--over", "system:checkout", "-o", "json").output
    )
    assert "group sre" in interlock("role", "bindings").output
    assert "no longer has the role approver" in interlock("role", "revoke", made["id"][:8]).output
    assert "ROLE" in interlock("role", "list").output and "version:write" in interlock("role", "permissions").output
    refused = interlock("role", "delete", "releaser", fails=True)
    assert "Revoke them first" in refused.stderr
    interlock("member", "remove", "ida@example.org")
    assert "deleted releaser" in interlock("role", "delete", "releaser").output
    assert interlock("member", "add", "x", "--role", "viewer", "--over", "system:none", fails=True).exit_code == 1


def test_keys_that_are_narrowed_and_rotated(interlock, server_url, monkeypatch):
    interlock("apply", "-f", "-", stdin=FLEET)
    key = interlock(
        "keys", "create", "--user", "ci", "--role", "developer", "--over", "developer@deployment:api"
    ).output
    rotated = interlock("keys", "rotate", key[:16], "--overlap", "1h")
    fresh = re.search(r"[0-9a-f]{16}\.[0-9a-f]{64}", rotated.stdout)[0]
    assert fresh != key.strip()
    monkeypatch.setenv("INTERLOCK_API_KEY", fresh)
    assert interlock("access", "can-i", "version:write", "--deployment", "api").output == "yes\n"
    ran = interlock("access", "can-i", "version:write", fails=True)
    assert ran.exit_code == 3 and "roles of its own" in ran.stdout
    assert "read" in interlock("access", "show").output


def test_a_token_of_an_agent(interlock, server_url):
    interlock("apply", "-f", "-", stdin=FLEET)
    token = interlock("agent-token", "issue", "west", "--name", "west-1").output.strip()
    agents = json.loads(interlock("get", "job-agents", "-o", "json").output)
    agent = next(each for each in agents if each["name"] == "west")
    at = f"{server_url}/api/v1/workspaces/shop/job-agents/{agent['id']}/jobs"
    assert httpx.get(at, headers={"X-API-Key": token}).status_code == 200
    assert "west-1" in interlock("agent-token", "list", "west").output
    interlock("agent-token", "revoke", "west", token[:6])
    assert httpx.get(at, headers={"X-API-Key": token}).status_code == 401
