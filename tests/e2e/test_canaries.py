"""A canary with twice the errors and one with equal errors, on real processes: `interlock up` with its worker and its
PostgreSQL, and a service on loopback that says how many requests of each side went wrong.

What 400 rollouts on the virtual clock show (tests/simulate/test_canaries.py) is shown here once each, with the rest of
the product around it: files and commands, a metric over HTTP, leases, work.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from e2e.test_up import Up
from interlock.simulate.traffic import poisson

pytestmark = pytest.mark.e2e

KEY = "00112233445566ff." + "0f" * 32
PATIENCE_S = 180.0
REQUESTS = 20_000
"""Between two looks; a tenth of them are the canary's."""
BAD = 0.01
WORSE = {("worse", "1.1.0"): 2 * BAD}
"""(deployment, version) -> its part of bad requests, where that is not the usual one."""

FLEET = """\
type: System
name: shop
---
type: Environment
name: production
system: shop
resourceSelector: resource.kind == "Host"
---
type: JobAgent
name: runner
agentType: test-runner
config: {{delaySeconds: 0}}
---
type: Deployment
name: worse
system: shop
resourceSelector: resource.kind == "Host"
jobAgent: runner
---
type: Deployment
name: equal
system: shop
resourceSelector: resource.kind == "Host"
jobAgent: runner
---
type: Policy
name: canary-first
rules:
  - gradualRollout: {{rolloutType: waves, waves: [1, "100%"], failureDomains: [traffic], domainWeight: traffic}}
  - rollback: {{onVerificationFailure: true}}
---
type: Policy
name: canary-is-judged
selector: resource.name == "canary"
rules:
  - verification:
      metrics:
        - name: errors
          intervalSeconds: 0.1
          count: 500
          provider:
            type: http
            url: "{url}/counts?deployment={{{{ deployment.name }}}}&version={{{{ version.tag }}}}"
          compare:
            judge: sequential
            bad: result.json[side].bad
            total: result.json[side].total
            share: 0.1
"""
HOST = """\
---
type: Resource
identifier: {name}
name: {name}
kind: Host
version: v1
metadata: {{traffic: "{weight}"}}
"""


class Counts(ThreadingHTTPServer):
    """Says how many requests there were since it was asked last, a side; seeded, so that each run goes the same way."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Call)
        self.looks: Counter[tuple[str, str]] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, deployment: str, version: str) -> dict[str, dict[str, int]]:
        asked = (deployment, version)
        self.looks[asked] += 1
        dice = random.Random(f"{deployment} {version} {self.looks[asked]}")
        counts = {}
        for side, share, part in (("canary", 0.1, WORSE.get(asked, BAD)), ("baseline", 0.9, BAD)):
            bad = poisson(dice, REQUESTS * share * part)
            counts[side] = {"bad": bad, "total": bad + poisson(dice, REQUESTS * share * (1 - part))}
        return counts


class Call(BaseHTTPRequestHandler):
    """One look."""

    server: Counts

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        body = json.dumps(self.server.answer(asked["deployment"][0], asked["version"][0])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *said: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def counts() -> Iterator[Counts]:
    server = Counts()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


class Shop:
    """A running Interlock, called as a person's scripts would."""

    def __init__(self, up: Up) -> None:
        self.up = up
        self.url = ""
        self.url = f"{up.address()}/api/v1/workspaces/{self.call(f'{up.address()}/api/v1/workspaces/slug/shop')['id']}"

    def call(self, url: str, body: object = None) -> dict:
        asked = urllib.request.Request(
            url if "://" in url else f"{self.url}{url}",
            headers={"X-API-Key": KEY, "Content-Type": "application/json"},
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.load(answer)

    def apply(self, file: Path) -> None:
        ran = subprocess.run(
            [sys.executable, "-m", "interlock.cli", "apply", "-f", str(file)],
            env={
                **os.environ,
                "INTERLOCK_URL": str(self.up.address()),
                "INTERLOCK_API_KEY": KEY,
                "INTERLOCK_WORKSPACE": "shop",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr

    def version(self, tag: str) -> None:
        for deployment in self.call("/deployments")["items"]:
            self.call(f"/deployments/{deployment['deployment']['id']}/versions", {"tag": tag, "status": "ready"})

    def runs(self) -> dict[str, dict[str, str | None]]:
        """deployment -> host -> tag."""
        found: dict[str, dict[str, str | None]] = {}
        for one in self.call("/release-targets")["items"]:
            found.setdefault(one["deployment"]["name"], {})[one["resource"]["name"]] = (one.get("current") or {}).get(
                "tag"
            )
        return found

    def told(self) -> list[dict]:
        return self.call("/ledger?limit=1000")["items"]


def until(true: Callable[[], bool], up: Up) -> None:
    """Look again now and then: each look is work for the server, too."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, up.said()
        time.sleep(0.25)


def everywhere(tag: str) -> dict[str, str]:
    return {"canary": tag, "host-1": tag, "host-2": tag}


def test_a_canary_with_twice_the_errors_stops_at_the_first_wave_and_one_with_equal_errors_goes_on(data_dir, counts):
    up = Up(data_dir)
    try:
        up.start(
            INTERLOCK_BOOTSTRAP_API_KEY=KEY,
            INTERLOCK_BOOTSTRAP_WORKSPACE="shop",
            INTERLOCK_ALLOW_PRIVATE_ADDRESSES="1",
        )
        shop = Shop(up)
        fleet = data_dir.with_name("fleet.yaml")
        hosts = "".join(HOST.format(name=name, weight=1 + (name != "canary")) for name in everywhere(""))
        fleet.write_text(FLEET.format(url=counts.url) + hosts)
        shop.apply(fleet)
        shop.version("1.0.0")
        until(lambda: shop.runs() == {"worse": everywhere("1.0.0"), "equal": everywhere("1.0.0")}, up)
        shop.version("1.1.0")
        until(lambda: shop.runs() == {"worse": everywhere("1.0.0"), "equal": everywhere("1.1.0")} and ended(shop), up)
    finally:
        up.close()


def ended(shop: Shop) -> bool:
    """Whether the ledger tells the two rollouts of 1.1.0 as they should have gone."""
    told = [one for one in shop.told() if one["body"].get("version") == "1.1.0"]
    kinds = Counter((one["body"]["deployment"], one["kind"]) for one in told)
    if not kinds["worse", "rollout.halted"] or not kinds["equal", "rollout.completed"]:
        return False
    assert kinds["worse", "verification.failed"] == kinds["equal", "verification.passed"] == 1
    assert kinds["worse", "job.handed_over"] == 1, "the second wave never started"
    assert kinds["equal", "job.handed_over"] == 3
    (failed,) = (one for one in told if one["kind"] == "verification.failed")
    assert "times the rate, with 99" in failed["body"]["message"]
    return True
