"""`interlock task` against a real server."""

from __future__ import annotations

import json

from cli.test_orders import wait_for

HANDS = """
type: System
name: shop
---
type: JobAgent
name: hands
agentType: manual
config:
  instructions: |
    Send {{ .resource.name }} to {{ .version.tag }}.
  evidence:
    - {name: ticket, type: url, required: true}
    - {name: rate, type: number, label: Errors a minute, minimum: 0}
---
type: Resource
name: one
identifier: host/one
kind: Host
version: v1
---
type: Resource
name: two
identifier: host/two
kind: Host
version: v1
---
type: Environment
name: staging
systems: [shop]
resourceSelector: "true"
---
type: Deployment
name: api
systems: [shop]
resourceSelector: "true"
jobAgentSelector: jobAgent.name == "hands"
"""


def test_a_person_does_what_jobs_ask(interlock):
    interlock("apply", "-f", "-", stdin=HANDS)
    interlock("version", "upsert", "-d", "api", "-t", "1.0.0")
    wait_for(lambda: interlock("task", "list").stdout.count("api/staging/") == 2, "nobody was asked")
    shown = interlock("task", "show", "api/staging/one").stdout
    assert "Send one to 1.0.0." in shown
    assert "rate (Errors a minute): a number of at least 0" in shown
    assert interlock("task", "take", "api/staging/one").stdout == "You have api/staging/one 1.0.0.\n"
    interlock("task", "comment", "api/staging/one", "I begin at noon")

    missing = interlock("task", "complete", "api/staging/one", "-e", "rate=0.5", fails=True)
    assert missing.stderr == "Error: evidence.ticket: Is missing: an http or https address.\n"
    wrong = interlock("task", "complete", "api/staging/one", "-e", "rate=soon", fails=True)
    assert "evidence.rate: Must be a number of at least 0." in wrong.stderr
    assert interlock("task", "complete", "api/staging/one", "-e", "rate", fails=True).exit_code == 2
    given = ("-e", "ticket=https://tickets.example.com/7", "-e", "rate=0.5")
    assert interlock("task", "complete", "api/staging/one", *given).stdout == "completed api/staging/one 1.0.0\n"
    assert "is open" not in interlock("task", "complete", "api/staging/one", *given, fails=True).stderr

    interlock("task", "reject", "api/staging/two", "--reason", "the portal is down")
    over = json.loads(interlock("task", "list", "--state", "over", "-o", "json").stdout)
    assert {each["resource"]: each["answer"] for each in over} == {"one": "completed", "two": "rejected"}
    shown = (
        interlock("task", "show", over[0]["jobId"][:8]).stdout + interlock("task", "show", over[1]["jobId"][:8]).stdout
    )
    assert "ticket: https://tickets.example.com/7" in shown
    assert "I begin at noon" in shown
    assert "rejected it" in shown
