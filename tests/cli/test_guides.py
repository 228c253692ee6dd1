"""Do the snippets of the guides work? Each is taken from its page and run against a server, with a CI's variables.

Left out are only the lines that install the command line from an index.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from cli.conftest import KEY
from cli.test_commands import FLEET
from cli.test_kinds import ASKING

DOCS = Path(__file__).resolve().parents[2] / "docs"
CI = DOCS / "guides" / "ci.md"
TIMEOUT_S = 120
INSTALLS = ("pipx install", "pip install")


def block(page: Path, heading: str, language: str) -> str:
    """The one block of a language under a heading."""
    section = page.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture
def shop(interlock, server_url, tmp_path):
    """A server with the deployment of the guides, and `run(script, **variables)`, a job of a CI beside it."""
    interlock("apply", "-f", "-", stdin=(FLEET + "---" + ASKING).replace("name: api", "name: shop-api"))
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "interlock").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m interlock.cli "$@"\n')
    (bin_ / "interlock").chmod(0o755)
    shutil.copy(Path(__file__).with_name("ctrlc"), bin_ / "ctrlc")

    def run(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")},
            "PATH": f"{bin_}:{os.environ['PATH']}",
            "INTERLOCK_URL": server_url,
            "INTERLOCK_WORKSPACE": "shop",
            "INTERLOCK_API_KEY": KEY,
            **variables,
        }
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    run.interlock = interlock
    return run


def version(shop, tag):
    listed = json.loads(shop.interlock("get", "versions", "shop-api", "-o", "json").stdout)
    return next(each for each in listed if each["tag"] == tag)


def test_github_actions(shop, tmp_path):
    job = YAML(typ="safe").load(block(CI, "GitHub Actions", "yaml"))["jobs"]["ship"]
    out, summary = tmp_path / "output", tmp_path / "summary"
    known = {
        "vars.INTERLOCK_URL": None,
        "vars.INTERLOCK_WORKSPACE": None,
        "secrets.INTERLOCK_API_KEY": None,
        "github.sha": "4f2a9c1d" * 5,
    }
    named = {name: known[value[3:-2].strip()] for name, value in job["env"].items()}
    given = {
        **{name: value for name, value in named.items() if value is not None},
        "GITHUB_SHA": known["github.sha"],
        "GITHUB_REF_NAME": "main",
        "GITHUB_ACTOR": "ada",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "acme/shop",
        "GITHUB_RUN_ID": "17",
        "GITHUB_OUTPUT": str(out),
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    ran = {}
    for step in job["steps"]:
        if "run" not in step or step["run"].startswith(INSTALLS):
            continue
        if "if" in step:
            assert step["if"] == "steps.production.outputs.may == 'yes'"
            shop.interlock("approve", "shop-api/production")
        ran[step["name"]] = shop(step["run"], **given)
        assert ran[step["name"]].returncode == 0, ran[step["name"]]
    assert len(ran) == 5
    made = version(shop, known["github.sha"])
    assert made["config"] == {"image": {"tag": made["tag"]}}
    assert made["metadata"]["interlock/author"] == "ada"
    assert json.loads(made["metadata"]["ctrlplane/links"]) == {"run": "https://github.com/acme/shop/actions/runs/17"}
    assert "staging: 1/1" in ran["Wait until it runs in staging"].stdout
    assert out.read_text() == "may=ask\n"
    assert summary.read_text().startswith("person: ")
    assert "runs on its one target" in ran["Only where production is free"].stdout


def test_gitlab_ci(shop):
    page = YAML(typ="safe").load(block(CI, "GitLab CI", "yaml"))
    given = {
        "CI_COMMIT_SHA": "4f2a9c1d" * 5,
        "CI_COMMIT_SHORT_SHA": "4f2a9c1d",
        "CI_COMMIT_REF_NAME": "main",
        "GITLAB_USER_LOGIN": "ada",
        "CI_PIPELINE_URL": "https://gitlab.com/acme/shop/-/pipelines/17",
    }
    given["TAG"] = given[page["variables"]["TAG"].removeprefix("$")]
    assert all(line.startswith(INSTALLS) for line in page[".interlock"]["before_script"])

    made = shop("\n".join(page["version"]["script"]), **given)
    assert made.returncode == 0, made
    assert version(shop, "4f2a9c1d")["metadata"]["git/branch"] == "main"

    asked = shop("\n".join(page["production"]["script"]), **given)
    assert asked.returncode == 4
    assert asked.returncode in page["production"]["allow_failure"]["exit_codes"]
    shop.interlock("version", "upsert", "-d", "shop-api", "-t", "later", "--status", "building")
    assert shop("\n".join(page["production"]["script"]), **{**given, "TAG": "later"}).returncode == 3
    assert shop("\n".join(page["production"]["script"]), **{**given, "TAG": "none"}).returncode == 1


def test_plain_curl(shop):
    missing = [tool for tool in ("curl", "jq") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed here")
    script = block(CI, "Plain curl", "bash")
    ran = shop(script, TAG="1.0.0", COMMIT="4f2a9c1d")
    assert ran.returncode == 0, ran
    hold, counts = ran.stdout.splitlines()
    assert hold.startswith(("hold: ", "person: "))
    assert counts.startswith('staging: {"')
    assert version(shop, "1.0.0")["metadata"] == {"git/commit": "4f2a9c1d"}
    refused = shop(script, TAG="1.0.0", COMMIT="4f2a9c1d", INTERLOCK_API_KEY="0" * 16 + "." + "0" * 64)
    assert refused.returncode != 0


def test_ctrlc(shop):
    ran = shop(block(CI, "ctrlc", "bash"), TAG="1.0.0", COMMIT="4f2a9c1d")
    assert ran.returncode == 0, ran
    made = version(shop, "1.0.0")
    assert made["config"] == {"image": {"tag": "1.0.0"}}
    assert json.loads(made["metadata"]["ctrlplane/links"]) == {"run": "https://ci.example.com/runs/17"}


def test_the_key_of_the_guide_may_do_what_the_guide_does_and_no_more(shop):
    (command,) = re.findall(r"^    interlock (keys create .*)$", CI.read_text(), re.MULTILINE)
    key = shop(f"interlock {command}").stdout.strip()
    curl = "interlock version upsert -d shop-api -t 1 && interlock watch shop-api 1 -e staging --timeout 60s"
    assert shop(curl, INTERLOCK_API_KEY=key).returncode == 0
    assert shop("interlock freeze --reason audit", INTERLOCK_API_KEY=key).returncode == 1


def test_every_example_of_the_client_page_works(shop, server_url, monkeypatch, tmp_path):
    """The page's examples are one program, block after block; what a comment says is printed is printed."""
    page = DOCS / "guides" / "python-client.md"
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 5
    monkeypatch.setenv("INTERLOCK_URL", server_url)
    monkeypatch.setenv("INTERLOCK_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    said = io.StringIO()
    names: dict[str, object] = {"print": lambda *words: print(*words, file=said)}
    for number, source in enumerate(blocks, 1):
        exec(compile(source, f"{page.name}, block {number}", "exec"), names)  # noqa: S102 - a page of ours
    expected = re.findall(r"^ *print\(.*\) +# (.+)$", "\n".join(blocks), re.MULTILINE)
    assert said.getvalue().splitlines() == expected
