"""`interlock redeploy`, `force`, `rollback`, `order` and `version reject` against a real server."""

from __future__ import annotations

import time

from cli.test_commands import FLEET

WAIT_S = 20.0


def wait_for(ask, what):
    until = time.monotonic() + WAIT_S
    while not ask():
        assert time.monotonic() < until, what
        time.sleep(0.1)


def runs(interlock, tag):
    return lambda: f"Runs {tag}." in interlock("explain", "api").stdout


def test_what_runs_is_brought_again_taken_back_and_forced(interlock):
    interlock("apply", "-f", "-", stdin=FLEET)
    for tag in ("1.0.0", "1.1.0"):
        interlock("version", "upsert", "-d", "api", "-t", tag)
        wait_for(runs(interlock, tag), f"{tag} did not land")

    placed = interlock("redeploy", "api/staging/one", "--reason", "new disk").stdout
    assert placed.startswith("redeploy of api/staging/one to 1.1.0: order ")
    wait_for(lambda: "answered" in interlock("order", "list", "--all").stdout, "nobody answered")

    assert "rollback of api/staging/one to 1.0.0" in interlock("rollback", "api", "--reason", "bad").stdout
    wait_for(runs(interlock, "1.0.0"), "it did not go back")
    assert "no good release of another version" in interlock("rollback", "api", "--reason", "r", fails=True).stderr
    assert "already" in interlock("rollback", "api", "--to", "1.0.0", "--reason", "r", fails=True).stderr

    assert interlock("force", "api", "1.1.0", "--reason", "r", fails=True).exit_code == 2
    twice = interlock("rollback", "api/staging", "--environment", "staging", "--reason", "r", fails=True)
    assert twice.exit_code == 2 and "says where already" in twice.stderr
    assert "no environment named nowhere" in interlock("rollback", "api/nowhere", "--reason", "r", fails=True).stderr
    forced = interlock("force", "api", "1.1.0", "--resource", "host/one", "--for", "5m", "--reason", "it was fine")
    assert "force of api/staging/one to 1.1.0" in forced.stdout
    wait_for(runs(interlock, "1.1.0"), "it was not forced")

    interlock("freeze", "--reason", "audit")
    interlock("redeploy", "api", "--reason", "later")
    listed = interlock("order", "list").stdout
    assert "later" in listed and "redeploy" in listed
    assert "refused" not in listed
    short = listed.splitlines()[1].split()[0]
    assert "ordered already" in interlock("redeploy", "api", "--reason", "r", fails=True).stderr
    withdrawn = interlock("order", "withdraw", short, "--reason", "no").stdout
    assert withdrawn == "withdrew the redeploy of api/staging/one\n"
    assert "No open order" in interlock("order", "withdraw", short, "--reason", "no", fails=True).stderr


def test_a_version_is_rejected_with_what_it_brought(interlock):
    interlock("apply", "-f", "-", stdin=FLEET)
    for tag in ("1.0.0", "1.1.0"):
        interlock("version", "upsert", "-d", "api", "-t", tag)
        wait_for(runs(interlock, tag), f"{tag} did not land")
    told = interlock("version", "reject", "1.1.0", "-d", "api", "--rollback", "--reason", "leaks").stdout
    assert told.splitlines()[0] == "rejected 1.1.0"
    assert "rollback of api/staging/one to 1.0.0" in told
    wait_for(runs(interlock, "1.0.0"), "it did not go back")
    assert (
        "There is no version 9" in interlock("version", "reject", "9", "-d", "api", "--reason", "r", fails=True).stderr
    )
