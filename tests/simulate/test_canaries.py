"""Does the judge keep its promise when everything else is there too: waves, verifications, rollbacks, all decided?

Each run is a whole rollout on the virtual clock, of one scenario file with another seed: a version is made, the first
host of ten gets it, each minute its errors are compared with those of the nine others, and the rollout goes on or not.

Source: issue "Verification that acts"; definitions.md E3 (α = 0.01, so two false stops of 200 are expected at most, and
more than six have a chance of 0.5 %).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median

from interlock.simulate.conduct import TrafficConduct
from interlock.simulate.play import Played, play
from interlock.simulate.script import Script, read_script

FILE = Path(__file__).parents[2] / "examples/scenarios/a-worse-canary.yaml"
SCRIPT = read_script(FILE.read_text(), file=FILE.name)
RUNS = 200


def a_rollout(seed: int, *, bad: float, script: Script = SCRIPT) -> Played:
    """One run, with the canary's part of bad requests; the baseline's is 1 %."""
    traffic = TrafficConduct(bad_by_tag={"1.1.0": bad}, seed=seed)
    return play(replace(script, conduct=replace(script.conduct, traffic=traffic)))


def ending(played: Played) -> str:
    """`stopped` before the second wave, `inconclusive` there, or `complete` everywhere."""
    world = played.stage.world
    started = {handed.move.target_id for handed in played.stage.handed_over if handed.move.kind == "forward"}
    runs = Counter(played.ends_with()["production"].values())
    rollout = world.rollout("1.1.0", "production")
    if len(started) == 1 and rollout is not None and rollout.state == "halted":
        told = {line.kind for line in world.ledger}
        assert "rollback.escalated" not in told, "going back is not compared with what it goes back to"
        assert runs == {"1.0.0": 10} or "verification.failed" not in told
        return "stopped" if "verification.failed" in told else "inconclusive"
    assert len(started) == 10, started
    assert runs == {"1.1.0": 10}
    assert rollout is not None and rollout.state == "complete"
    return "complete"


def looks(played: Played) -> int:
    """So often the first verification, the canary's, was looked at."""
    (measurements,) = next(iter(played.stage.world.measuring.values())).measurements
    return len(measurements)


def test_of_200_rollouts_with_twice_the_errors_on_a_tenth_of_the_traffic_198_stop_before_the_second_wave() -> None:
    rollouts = [a_rollout(seed, bad=0.02) for seed in range(RUNS)]
    ends = Counter(map(ending, rollouts))
    assert ends["stopped"] >= 198, ends
    assert median(map(looks, rollouts)) <= 3, "some 110 bad requests a look, and E3 says 166 until it is found"


def test_of_200_rollouts_with_equal_errors_at_most_6_stop() -> None:
    ends = Counter(ending(a_rollout(seed, bad=0.01)) for seed in range(RUNS))
    assert RUNS - ends["complete"] <= 6, ends
