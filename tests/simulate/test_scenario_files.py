"""Does what the scenario files expect come true? Each file here and in examples/scenarios is one test.

The 25 scenarios of the reference (reference-behaviour.md, appendix B) stand there with our outcomes (core.md section
10), numbered as there. Elsewhere stand: what happens before a hand-over (3, 16) in tests/decide/test_scenarios.py; 21,
whose leases are a pull agent's own business; 22, a database that goes away, in tests/workers/test_loop.py (what the
world must mend is tried again and never dropped); 23 on the wire in tests/api/test_story.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.model.errors import Invalid
from interlock.simulate.play import play
from interlock.simulate.script import read_script
from interlock.simulate.timeline import text

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "tests/simulate/scenarios").glob("*.yaml"), *(ROOT / "examples/scenarios").glob("*.yaml")])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_story_goes_as_its_file_expects(file):
    played = play(read_script(file.read_text(), file=file.name))
    told = "\n".join(text(played.timeline.lines))
    assert not played.failures, f"{told}\n" + "\n".join(f"{file}:{one.line}: {one.sentence}" for one in played.failures)
    assert played.checked, "it expects nothing"


SMALL = """\
scenario: small
runs: v0
environments:
  production: {targets: 3}
story:
  - at: +1m
    version: {tag: v1}
  - at: +10m
    expect: {runs: {production: v1}}
"""


def test_same_file_gives_the_same_timeline():
    first, second = (play(read_script(SMALL)).json() for _ in range(2))
    assert first == second
    assert first["runs"] == {"production": {f"production-{n}": "v1" for n in (1, 2, 3)}}


def test_expectation_that_does_not_hold_names_its_line():
    played = play(read_script(SMALL.replace("production: v1", "production: v0")))
    (failure,) = played.failures
    assert failure.line == 9
    assert failure.sentence == "runs: production should be v0, and is 3 × v1."


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("scenario: small", "scenario:", "x.yaml:1: scenario is required"),
        ("version: {tag: v1}", "versoin: {tag: v1}", "x.yaml:7: story[0].versoin is no act; known are at, version"),
        ("version: {tag: v1}", "version: {status: redy}", "x.yaml:7: story[0].version.status must be one of ready"),
        ("version: {tag: v1}", "version: [{tag: v1}, {}]", "x.yaml:7: story[0].version[1].tag is required"),
        ("at: +10m", "at: soon", "x.yaml:8: story[1].at 'soon' is no instant"),
        ("expect: {runs", "expect: {rums", "x.yaml:9: story[1].expect.rums cannot be expected; known are runs"),
        (
            "version: {tag: v1}",
            "expect: {wakes: none}\n    version: {tag: v1}",
            "x.yaml:7: story[0].expect stands before an act",
        ),
        ("{targets: 3}", "{targets: 3000}", "x.yaml:4: environments.production.targets.count must be from 0 to 2000"),
        ("{targets: 3}", "{targets: [{count: 2, name: a}]}", "x.yaml:4: environments.production.targets[0].name must"),
        (
            "story:",
            "policies:\n  - name: p\n    rules:\n      - retry: {maxRetries: x}\nstory:",
            "x.yaml:8: policies[0].rules[0].retry.maxRetries must be a whole number",
        ),
        ("story:", "policies: [{name: p, selector: 'x =='}]\nstory:", "x.yaml:5: policies[0].selector "),
        ("story:", "agent: {jobs: [{ends: well}]}\nstory:", "x.yaml:5: agent.jobs[0].ends must be one of"),
        ("runs: v0", "runs: [", "x.yaml:4: this is no YAML"),
    ],
)
def test_fault_is_told_with_its_line(was, becomes, said):
    assert was in SMALL
    with pytest.raises(Invalid) as refused:
        read_script(SMALL.replace(was, becomes, 1), file="x.yaml")
    assert any(line.startswith(said) for line in refused.value.message.splitlines()), refused.value.message


def test_every_fault_is_told_at_once():
    with pytest.raises(Invalid) as refused:
        read_script(SMALL.replace("tag: v1", "tga: v1").replace("+10m", "never"), file="x.yaml")
    assert len(refused.value.message.splitlines()) == 3


def test_act_on_what_is_not_there_names_its_line():
    with pytest.raises(Invalid, match="line 6: There is no environment moon"):
        play(read_script(SMALL.replace("version: {tag: v1}", "approve: {version: v0, environment: moon}")))


def test_story_that_takes_too_many_steps_is_ended():
    with pytest.raises(Invalid, match="did not become quiet in 2 steps"):
        play(read_script(SMALL, events_max=2))
    with pytest.raises(Invalid, match="has 3 targets; at most 2"):
        read_script(SMALL, targets_max=2)


def test_chance_hangs_on_the_seed_alone():
    def failed(seed: int, hosts: int) -> set[str]:
        agent = f"agent: {{seed: {seed}, jobs: [{{chance: 0.3, ends: failure}}]}}\nstory:"
        played = play(read_script(SMALL.replace("story:", agent).replace("targets: 3", f"targets: {hosts}")))
        return {name for name, tag in played.ends_with()["production"].items() if tag == "v0"}

    some = failed(1, 12)
    assert 0 < len(some) < 12
    assert failed(1, 12) == some
    assert failed(2, 12) != some
    assert some <= failed(1, 13), "one more target changes nothing for the others"


SERVED = """\
scenario: served
runs: v0
environments:
  production: {targets: 2}
policies:
  - name: proven
    rules:
      - verification:
          metrics:
            - name: errors
              intervalSeconds: 60
              count: 3
              successCondition: result.json.errorRate < 0.05
              provider: {type: http, url: "https://metrics.example"}
traffic: {bad: 0.01, versions: {v1: 0.2}}
story:
  - at: +1m
    version: {tag: v1}
  - at: +20m
    expect: {rollouts: {v1: {production: halted}}}
  - at: +21m
    traffic: {versions: {v2: 0.01}}
    version: {tag: v2}
  - at: +40m
    expect: {runs: {production: v2}}
  - at: +41m
    traffic: {silent: true}
    version: {tag: v3}
  - at: +60m
    expect: {runs: {production: v3}}
"""


def test_traffic_is_measured_and_may_fare_otherwise_later():
    played = play(read_script(SERVED))
    told = "\n".join(text(played.timeline.lines))
    assert not played.failures, f"{told}\n{played.failures}"
    assert "`result.json.errorRate < 0.05` is false" in told
    assert "could not be taken, 5 tolerated: nobody answers" in told
