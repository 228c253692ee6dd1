"""Does `interlock simulate` print a story, and fail when its file expected another?"""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from interlock.cli import cli
from interlock.simulate.acts import ACTS
from interlock.simulate.expectations import WORDS

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/scenarios/one-bad-host.yaml"


def run(*arguments: str):
    return CliRunner().invoke(cli, ["simulate", *arguments])


def test_prints_what_happens_when_and_why_and_what_runs_in_the_end():
    ran = run(str(EXAMPLE))
    assert ran.exit_code == 0, ran.output
    assert "Mon 2026-03-09 10:08:30 UTC" in ran.output
    assert "halts the rollout of 1.1.0 in production" in ran.output
    assert "eu-2: 1.1.0 failed (7 % of requests fail)" in ran.output
    assert "production   us-1       1.1.0" in ran.output
    assert "expectations hold" in ran.output


def test_json_holds_timeline_end_and_expectations():
    said = json.loads(run(str(EXAMPLE), "-o", "json").output)
    assert said["runs"]["production"] == {"eu-1": "1.0.0", "eu-2": "1.0.0", "us-1": "1.1.0", "us-2": "1.0.0"}
    assert said["expectations"]["failed"] == []
    assert said["timeline"][0] == {
        "at": "2026-03-09T08:05:00Z", "who": "ann", "what": "creates version 1.1.0 (ready)",
    }  # fmt: skip


def test_exit_code_is_1_when_an_expectation_does_not_hold(tmp_path):
    file = tmp_path / "story.yaml"
    file.write_text(EXAMPLE.read_text().replace("halted }", "open }"))
    ran = run(str(file), "--quiet")
    assert ran.exit_code == 1
    assert "rollouts: that of 1.1.0 in production should be open, and is halted." in ran.output
    assert "starts 1.1.0" not in ran.output


def test_fault_in_the_file_is_one_sentence_and_exit_code_1(tmp_path):
    ran = run(str(tmp_path / "nothing.yaml"))
    assert ran.exit_code == 1
    assert "cannot be read" in ran.output


def test_guide_names_every_act_and_every_word_of_expect():
    guide = (ROOT / "docs/guides/simulate.md").read_text()
    assert [act for act in ACTS if f"`{act}`" not in guide] == []
    assert [word for word in WORDS if f"      {word}: " not in guide] == []
