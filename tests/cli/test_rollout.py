"""`interlock rollout` against a real server: a rollout that nobody claims stays open until a person ends it."""

from __future__ import annotations

import time

from cli.test_commands import FLEET

WAIT_S = 20.0


def test_a_rollout_is_listed_paused_resumed_and_aborted(interlock):
    interlock("apply", "-f", "-", stdin=FLEET.replace("test-runner", "http-pull"))
    interlock("version", "upsert", "-d", "api", "-t", "1.0.0")
    until = time.monotonic() + WAIT_S
    while "api/staging" not in (listed := interlock("rollout", "list").stdout):
        assert time.monotonic() < until, "no rollout opened"
        time.sleep(0.1)
    assert "1.0.0" in listed and "open" in listed
    short = listed.splitlines()[1].split()[0]

    assert interlock("rollout", "pause", "api/staging", "--reason", "we look").output == "paused api/staging 1.0.0\n"
    assert "paused" in interlock("rollout", "list").stdout
    assert "we look" in interlock("explain", "api").stdout
    assert "nothing to pause" in interlock("rollout", "pause", short, "--reason", "r", fails=True).stderr
    assert interlock("rollout", "resume", short, "--reason", "fine").output == "resumed api/staging 1.0.0\n"
    faster = interlock("rollout", "speed-up", short, "--bake", "0", "--max-in-flight", "3", "--reason", "in a hurry")
    assert faster.output == "sped up api/staging 1.0.0\n"
    assert "Say what goes faster" in interlock("rollout", "speed-up", short, "--reason", "r", fails=True).stderr
    assert interlock("rollout", "promote", short, "--reason", "proven").output == "promoted api/staging 1.0.0\n"
    shown = interlock("rollout", "show", "api/staging").stdout
    assert shown.startswith("api/staging 1.0.0: open since ")
    assert "(bakeSeconds 0, maxInFlight 3): in a hurry" in shown
    assert "paused" in shown and "we look" in shown
    assert '"inWaves": false' in interlock("rollout", "show", short, "-o", "json").stdout
    interlock("rollout", "pause", short, "--reason", "lunch", "--for", "2h")
    assert "It changes at" in interlock("explain", "api").stdout or "until" in interlock("explain", "api").stdout
    interlock("rollout", "resume", short, "--reason", "back")
    assert interlock("rollout", "abort", short, "--reason", "no").output == "aborted api/staging 1.0.0\n"
    assert (
        "No open, paused or halted rollout" in interlock("rollout", "abort", short, "--reason", "r", fails=True).stderr
    )
    assert interlock("rollout", "abort", short, fails=True).exit_code == 2
