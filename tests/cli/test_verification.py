"""`interlock verification` against a real server: metrics that nobody answers, and what a person says then."""

from __future__ import annotations

import json
import shlex
import socket

from cli.test_orders import wait_for
from cli.test_shapes import faults
from interlock.cli.exit_codes import UNCLEAR
from interlock.cli.verification import _lines
from interlock.client import shapes

SHOP = """
type: System
name: shop
---
type: JobAgent
name: runner
agentType: test-runner
config: {{delaySeconds: 0}}
---
type: Resource
name: one
identifier: host/one
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
jobAgentSelector: "true"
---
type: Policy
name: proof
selector: "true"
rules:
  - verification:
      metrics:
        - name: errors
          intervalSeconds: 1
          count: 1
          errorsMax: 0
          successCondition: result.ok
          provider: {{type: http, url: "http://127.0.0.1:{port}/stats"}}
"""

POSTED = """
type: Deployment
name: web
systems: [shop]
resourceSelector: "true"
jobAgentSelector: "true"
---
type: Policy
name: proof
selector: deployment.name == "web"
rules:
  - verification:
      metrics:
        - &posted
          name: smoke tests
          intervalSeconds: 1
          count: 1
          successCondition: result.json.failed == 0
          provider: {type: webhook}
        - {<<: *posted, name: synthetic, runs: whileOpen, count: 5}
"""


def test_what_is_shown_of_a_metric_counts_looks_and_knows_when_it_is_over():
    counts = {"passed": 0, "failed": 0, "inconclusive": 3, "errored": 1}
    compared = {"name": "errors", "state": "failed", "dryRun": False, "judge": "sequential", **counts}
    other = {"name": "up", "state": "running", "dryRun": False, **counts, "inconclusive": 0, "passed": 1}
    one = {"id": "4c1f", "about": "api 1.0.0", "run": 1, "held": False, "state": "failed", "metrics": [compared, other]}
    assert list(_lines(one))[1:] == [
        "  errors: failed: 3 looks, 1 errored",
        "  up: ended with it: 1 passed, 1 errored",
    ]


def test_a_person_says_what_nothing_could_tell(interlock):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        interlock("apply", "-f", "-", stdin=SHOP.format(port=nobody.getsockname()[1]))
        interlock("version", "upsert", "-d", "api", "-t", "1.0.0")
        wait_for(lambda: "api 1.0.0 on one in staging" in interlock("verification", "list").stdout, "nothing is held")
        shown = interlock("verification", "get", "api/staging/one").stdout
        assert "held: nothing could tell" in shown
        assert "for: a person (accept, fail, again)" in shown
        assert "errors: inconclusive: 1 errored" in shown
        explained = interlock("explain", "api/staging/one").stdout
        assert "Nothing could tell whether 1.0.0 works here" in explained

        again = json.loads(interlock("verification", "again", "api/staging/one", "-o", "json").stdout)
        assert again["run"] == 2
        wait_for(lambda: "api 1.0.0" in interlock("verification", "list").stdout, "it is not held again")

    held = interlock("verification", "watch", "--target", "api/staging/one", fails=True)
    assert (held.exit_code, "A person says what it is" in held.stderr) == (UNCLEAR, True)
    missing = interlock("verification", "accept", "api/staging/one", fails=True)
    assert "--reason" in missing.stderr
    [job] = json.loads(interlock("jobs", "-d", "api", "-o", "json").stdout)
    assert (job["status"], job["verification"]) == ("successful", "inconclusive"), "the list of jobs says so too"
    done = interlock("verification", "accept", "api/staging/one", "--reason", "looked at the graphs")
    assert done.stdout == "accepted api 1.0.0 on one in staging\n"
    seen = json.loads(interlock("verification", "get", again["id"], "-o", "json").stdout)
    assert faults(seen, shapes.Verification, "Verification") == []
    assert (seen["state"], seen["held"], [one["word"] for one in seen["said"]]) == (
        "passed",
        False,
        ["again", "accepted"],
    )
    late = interlock("verification", "fail", again["id"], "--reason", "no", fails=True)
    assert "It passed" in late.stderr
    listed = json.loads(interlock("verification", "list", "--state", "any", "--deployment", "api", "-o", "json").stdout)
    assert [one["id"] for one in listed] == [again["id"]]
    assert "It passed" in interlock("verification", "watch", "--job", seen["jobId"]).stdout


def test_what_waits_for_a_post_says_how_to_send_it(interlock):
    shop, _, _ = SHOP.partition("---\ntype: Deployment")
    interlock("apply", "-f", "-", stdin=f"{shop.format()}---{POSTED}")
    interlock("version", "upsert", "-d", "web", "-t", "1.0.0")

    def metrics():
        listed = interlock("verification", "list", "--state", "any", "--deployment", "web", "-o", "json").stdout
        seen = (interlock("verification", "get", one["id"], "-o", "json").stdout for one in json.loads(listed))
        return {metric["name"]: (of["id"], metric) for of in map(json.loads, seen) for metric in of["metrics"]}

    wait_for(lambda: set(metrics()) == {"smoke tests", "synthetic"}, "nothing waits")
    found = metrics()
    job_id = json.loads(interlock("get", "jobs", "-o", "json").stdout)[0]["id"]
    explained = interlock("explain", f"job:{job_id}").stdout
    assert f"smoke tests waits for {found['smoke tests'][1]['waitsFor']}" in explained
    for name in ("synthetic", "smoke tests"):
        verification_id, metric = found[name]
        shown = interlock("verification", "get", verification_id).stdout
        assert f"    waits for {metric['waitsFor']}\n" in shown
        said, _, command = metric["waitsFor"].partition(": interlock ")
        assert said == "a result"
        command = command.replace("YOUR_ID", "run-1").replace("FILE", "-")
        assert "is kept" in interlock(*shlex.split(command), stdin='{"failed": 0}').stdout
        wait_for(lambda name=name: metrics()[name][1]["passed"] == 1, f"{name}: the post is not taken")
    assert faults(found["synthetic"][1], shapes.VerificationMetric, "VerificationMetric") == []
    wait_for(lambda: "waitsFor" not in metrics()["smoke tests"][1], "it still waits")
