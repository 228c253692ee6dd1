"""Does Pulumi run through an agent, with a preview as evidence? With a command of its name that takes what it takes.

What `pulumi preview --json` prints follows its documentation: `steps` with an `op` each, and a `changeSummary`. The
recipe is that of the guide.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from interlock.agents.exec import ExecAgent
from interlock.model.job import JobStatus

from .conformance import CONTEXT, Rehearsal, ended, job_of, started

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "webhook-jobs.md"

PULUMI = f"""#!{sys.executable} -S
import json, os, sys
verb, given = sys.argv[1], sys.argv[2:]
at = given.index("--stack")
assert given[at + 1] == "prod-eu-1", given
del given[at:at + 2]
log = os.environ["HOME"] + "/pulumi.log"
if verb == "preview":
    assert given == ["--json", "--non-interactive"], given
    steps = [{{"op": "same", "urn": "urn:a"}}, {{"op": "update", "urn": "urn:b"}}]
    json.dump({{"steps": steps, "changeSummary": {{"same": 1, "update": 1}}}}, sys.stdout)
elif verb == "config":
    assert given == ["set", "tag", "1.0.0"], given
elif verb == "up":
    assert given == ["--yes", "--skip-preview", "--non-interactive"], given
    if os.path.exists(os.environ["HOME"] + "/broken"):
        sys.exit("error: update failed")
    print("Resources: 1 updated, 1 unchanged")
open(log, "a").write(verb + " ")
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A machine with a `pulumi`."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "pulumi").write_text(PULUMI)
    (bin_ / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def config():
    section = GUIDE.read_text().split("\n## Pulumi\n", 1)[1].split("\n## ", 1)[0]
    (found,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    return YAML(typ="safe").load(found)["config"]


async def test_pulumi_runs_through_an_agent_with_its_preview_as_evidence(home):
    rehearsal = Rehearsal(agent=ExecAgent(home / "exec", enabled=True), quick=config(), slow={}, wrong=())
    rehearsal.agent.check_config(rehearsal.quick)
    job, _ = await started(rehearsal.agent, job_of(rehearsal, rehearsal.quick))
    seen = await ended(rehearsal.agent, job)
    assert seen.status is JobStatus.SUCCESSFUL, seen
    assert '"changeSummary": {"same": 1, "update": 1}' in seen.output, "the preview is kept with the job"
    assert seen.output.endswith("Resources: 1 updated, 1 unchanged\n")
    assert (home / "pulumi.log").read_text() == "config preview up "
    assert CONTEXT["resource"]["name"] == "prod-eu-1"


async def test_an_update_that_fails_is_a_failed_job_whose_output_says_why(home):
    (home / "broken").touch()
    rehearsal = Rehearsal(agent=ExecAgent(home / "exec", enabled=True), quick=config(), slow={}, wrong=())
    job, _ = await started(rehearsal.agent, job_of(rehearsal, rehearsal.quick))
    seen = await ended(rehearsal.agent, job)
    assert seen.status is JobStatus.FAILURE
    assert "error: update failed" in seen.output
