"""Does the receiver of the guide do jobs, as it stands there? In a process of its own, against a real server."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys

import pytest

from cli.test_commands import FLEET
from cli.test_guides import DOCS, block

GUIDE = DOCS / "guides" / "webhook-jobs.md"
SECRET = "whsec_" + base64.b64encode(b"of-the-receiver-of-the-guide-32b").decode()


@pytest.fixture(autouse=True)
def _the_server_has_the_secret(monkeypatch):
    monkeypatch.setenv("INTERLOCK_VALUE__SHOP__DEPLOY_WEBHOOK_SECRET", SECRET)


@pytest.fixture
def receiver(tmp_path):
    """`receiver(command)`: the guide's receiver, at a port of its own. Gives its address."""
    script, running = tmp_path / "receiver.py", []
    script.write_text(block(GUIDE, "A receiver", "python"))

    def start(command: str) -> str:
        given = {**os.environ, "DEPLOY_WEBHOOK_SECRET": SECRET, "DEPLOY_COMMAND": command, "PORT": "0"}
        process = subprocess.Popen(
            [sys.executable, "-u", script], env=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        running.append(process)
        return process.stdout.readline().rsplit(" ", 1)[1].strip()

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_receiver_of_the_guide_does_jobs_and_says_how_they_ended(interlock, receiver, client):
    page = block(GUIDE, "The agent", "yaml").replace(
        "http://127.0.0.1:8000/jobs", receiver('echo "$VERSION in $REGION"; exit $CODE')
    )
    kept = [one for one in FLEET.split("---") if "type: Deployment" not in one and "type: JobAgent" not in one]
    fleet = "---".join(kept).replace("metadata: {env: staging}", "metadata: {env: staging, region: eu-1, code: '0'}")
    page = page.replace("    REGION:", '    CODE: "{{ resource.metadata.code }}"\n    REGION:')
    interlock("apply", "-f", "-", stdin=f"{fleet}---\n{page}")
    interlock("version", "upsert", "-d", "api", "-t", "1.0.0")
    interlock("watch", "api", "1.0.0", "-e", "staging", "--timeout", "60s")
    (listed,) = json.loads(interlock("jobs", "-o", "json").stdout)
    done = client.get_job(listed["id"])
    assert (done["status"], done["message"], done["output"]) == ("successful", "It ended with 0.", "1.0.0 in eu-1\n")
    assert SECRET not in str(done)
