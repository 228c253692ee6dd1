"""The commands that steer by hand, against a real server."""

from __future__ import annotations

import json
import time

from cli.test_commands import FLEET

APPROVED = """
type: Policy
name: careful
selector: environment.name == "staging"
rules:
  - anyApproval: {minApprovals: 1}
"""
WAIT_S = 20.0


def until(ask, what):
    began = time.monotonic()
    while not (answer := ask()):
        assert time.monotonic() - began < WAIT_S, what
        time.sleep(0.1)
    return answer


def runs(interlock):
    (target,) = json.loads(interlock("get", "targets", "-o", "json").output)
    return (target.get("current") or {}).get("tag")


def test_pins_and_skips_are_set_listed_and_ended(interlock):
    interlock("apply", "-f", "-", stdin=FLEET + "---" + APPROVED)
    interlock("version", "upsert", "-d", "api", "-t", "1.0.0")
    assert "Nothing." in interlock("skip").stderr
    made = interlock("skip", "api/staging", "1.0.0", "--rule", "anyApproval", "--reason", "sev-1", "--for", "1h").output
    assert made.startswith("1.0.0 passes every anyApproval in api/staging until 20")
    until(lambda: runs(interlock) == "1.0.0", "the skip did not take hold")
    listed = interlock("skip").output
    assert "every anyApproval" in listed and "sev-1" in listed
    short = listed.splitlines()[1].split()[0]
    assert interlock("unskip", short, "--reason", "enough").output.startswith("Taken back: 1.0.0")
    assert "No skip in force" in interlock("unskip", short, "--reason", "r", fails=True).stderr
    assert "Say what is skipped" in interlock("skip", "api", "1.0.0", "--reason", "r", fails=True).stderr

    interlock("version", "upsert", "-d", "api", "-t", "2.0.0")
    made = interlock("pin", "api/staging/one", "1.0.0", "--reason", "we look").output
    assert made.startswith("Pinned api/staging/one to 1.0.0 until it is unpinned.\n")
    assert "api/staging/one" in interlock("pin").output
    said = until(
        lambda: "Pinned to 1.0.0 (target)" in (text := interlock("explain", "api/staging/one").output) and text,
        "explain does not say who pinned it",
    )
    assert ": we look. The pin has no end." in said
    assert interlock("unpin", "api/staging/one", "--reason", "r").output == "Unpinned api/staging/one from 1.0.0.\n"
    assert "Say why" in interlock("pin", "api", "1.0.0", fails=True).stderr
    assert "no version 9" in interlock("pin", "api", "9", "--reason", "r", fails=True).stderr
    assert "environment named moon" in interlock("pin", "api/moon", "1.0.0", "--reason", "r", fails=True).stderr
    assert "no target on x" in interlock("pin", "api/staging/x", "1.0.0", "--reason", "r", fails=True).stderr
    assert "Nothing." in interlock("quarantine", "list").stderr
    assert "No quarantine" in interlock("quarantine", "clear", "api", "--reason", "r", fails=True).stderr


def test_a_freeze_takes_a_selector_is_extended_listed_and_bypassed(interlock):
    interlock("apply", "-f", "-", stdin=FLEET)
    frozen = interlock(
        "freeze", "--reason", "zone b burns", "--for", "1h", "--selector", 'resource.metadata["env"] == "staging"',
        "--incident", "https://incidents.example/7",
    ).output  # fmt: skip
    freeze_id = frozen.split()[-1]
    listed = interlock("freeze", "--list").output
    assert 'resource.metadata["env"]' in listed and "https://incidents.example/7" in listed
    assert "frozen (workspace) by" in interlock("get", "targets").output
    interlock("version", "upsert", "-d", "api", "-t", "1.0.0")
    assert interlock("freeze", "--extend", freeze_id, "--for", "3h").output.startswith("Frozen until 20")
    assert "until it is thawed" in interlock("freeze", "--extend", freeze_id).output
    assert runs(interlock) is None
    bypass = ("skip", "api/staging", "1.0.0", "--freeze", freeze_id, "--reason", "the fix")
    assert "must have an end" in interlock(*bypass, fails=True).stderr
    assert f"1.0.0 passes freeze {freeze_id} in api/staging until" in interlock(*bypass, "--for", "1h").output
    until(lambda: runs(interlock) == "1.0.0", "the bypass did not take hold")
    assert "Say why" in interlock("freeze", fails=True).stderr


def test_a_job_is_asked_to_stop(interlock):
    interlock("apply", "-f", "-", stdin=FLEET.replace("test-runner", "http-pull"))
    interlock("version", "upsert", "-d", "api", "-t", "1.0.0")
    (job,) = until(lambda: json.loads(interlock("get", "jobs", "-o", "json").output), "no job came")
    assert interlock("cancel", job["id"][:8], "--reason", "wrong flags").output == "The job was asked to stop.\n"
    assert "No job" in interlock("cancel", "zzz", "--reason", "r", fails=True).stderr
