"""`get`, `describe`, `jobs`, `delete`, `watch`, completion and contexts, against a real server."""

from __future__ import annotations

import html
import json
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import httpx
import pytest
from click.testing import CliRunner

from cli.conftest import KEY
from cli.test_commands import FLEET
from interlock.cli import cli
from interlock.cli.contexts import config_path
from interlock.cli.nouns import NOUNS
from interlock.cli.watch import Bar, outcome
from interlock.client.browser import BrowserLogin
from interlock.model.errors import Unauthorized

ASKING = """
type: Environment
name: production
resourceSelector: "true"
---
type: Policy
name: ask
selector: environment.name == "production"
rules:
  - anyApproval: {minApprovals: 1}
"""


@pytest.fixture
def shipped(interlock):
    """1.0.0 runs in staging, and waits for a person in production."""
    interlock("apply", "-f", "-", stdin=FLEET + "---" + ASKING)
    interlock("version", "upsert", "-d", "api", "-t", "1.0.0")
    interlock("watch", "api", "1.0.0", "-e", "staging", "--timeout", "60s")
    return interlock


def names(interlock, *arguments):
    return interlock("get", *arguments, "-o", "name").stdout.split()


def offered(*typed):
    """What a Tab offers after these words; the last one is begun."""
    typed = ("interlock", *typed)
    environment = {"COMP_WORDS": " ".join(typed), "COMP_CWORD": str(len(typed) - 1)}
    ran = CliRunner().invoke(
        cli, [], prog_name="interlock", env={**environment, "_INTERLOCK_COMPLETE": "bash_complete"}
    )
    assert ran.stderr == ""
    return [line.partition(",")[2] for line in ran.stdout.splitlines() if line]


def test_every_kind_is_listed_named_and_described(shipped):
    there = {}
    for noun in NOUNS:
        arguments = ("api",) if noun.kind == "version" else ("--all",) if "over" in noun.takes else ()
        listed = json.loads(shipped("get", noun.plural, *arguments, "-o", "json").stdout)
        shipped("get", noun.kind, *arguments)
        there[noun.kind] = names(shipped, noun.plural, *arguments)
        assert len(listed) == len(there[noun.kind])
        for name in there[noun.kind][:1]:
            assert name.startswith(f"{noun.kind}/")
            assert shipped("describe", name).stdout.splitlines()[0] == name.replace("/", " ", 1)
            assert isinstance(json.loads(shipped("describe", name, "-o", "json").stdout), dict)
    assert there["deployment"] == ["deployment/api"]
    assert there["version"] == ["version/api/1.0.0"]
    assert there["resource"] == ["resource/host/one"]
    assert sorted(there["target"]) == ["target/api/production/one", "target/api/staging/one"]
    assert all(
        there[kind] for kind in ("workspace", "system", "environment", "agent", "job", "rollout", "policy", "key")
    )

    one = json.loads(shipped("get", "deployment", "api", "-o", "json").stdout)
    assert one["name"] == "api"
    assert "Did you mean api?" in shipped("get", "deployment", "apii", fails=True).stderr
    assert "Did you mean deployment?" in shipped("get", "deploymnt", fails=True).stderr
    assert shipped("describe", "deployment", fails=True).exit_code == 2
    assert "runs" not in shipped("get", "targets", "-e", "staging", "--no-headers").stdout.lower()
    assert "Did you mean staging?" in shipped("get", "targets", "-e", "stagin", fails=True).stderr

    (job,) = names(shipped, "jobs")
    short = job.removeprefix("job/")[:8]
    assert shipped("jobs", "-o", "name").stdout.split() == [job]
    assert shipped("jobs", "--status", "failure").stdout == ""
    assert "to 1.0.0 by a forward move" in shipped("jobs", short).stdout


def test_a_version_is_watched_to_its_end_and_names_are_completed(shipped):
    late = shipped("watch", "api", "--timeout", "1s", fails=True)
    assert late.exit_code == 5
    assert late.stderr.startswith("api 1.0.0 is not done after 1s: ")
    assert "staging 1/1" in late.stderr and "production 0/1" in late.stderr
    assert "production: 0/1; one: anyApproval" in late.stdout
    assert "no target in nowhere" in shipped("watch", "api", "-e", "nowhere", fails=True).stderr

    assert offered("describe", "dep") == ["deployment"]
    assert offered("describe", "deployment", "") == ["api"]
    assert offered("describe", "resource/ho") == ["resource/host/one"]
    assert offered("get", "env") == ["environments"]
    assert offered("watch", "") == ["api"]
    assert offered("watch", "api", "1") == ["1.0.0"]
    assert offered("approve", "api") == ["api/production"]
    assert offered("get", "targets", "--environment", "s") == ["staging"]

    approving = threading.Timer(1.0, shipped, ("approve", "api/production"))
    approving.start()
    done = shipped("watch", "api", "1.0.0", "--timeout", "60s", "-o", "json")
    approving.join()
    assert done.exit_code == 0
    last = json.loads(done.stdout.splitlines()[-1])
    assert [each["there"] for each in last["environments"]] == [1, 1]

    shipped("version", "upsert", "-d", "api", "-t", "1.1.0")
    shipped("version", "reject", "1.1.0", "-d", "api", "--reason", "bad")
    rejected = shipped("watch", "api", "1.1.0", fails=True)
    assert (rejected.exit_code, rejected.stderr) == (1, "api 1.1.0 is rejected: bad.\n")


def test_what_a_deletion_ends_is_said_and_asked_about(shipped):
    refused = shipped("delete", "environment", "staging", fails=True).stderr
    assert "1 target is taken down; what is deployed there stays" in refused
    assert "Give --yes to go on." in refused
    assert names(shipped, "environment", "staging") == ["environment/staging"]
    assert shipped("delete", "environment/staging", "--yes").stdout.split() == ["deleted", "environment", "staging"]
    assert "no environment named staging" in shipped("get", "environment", "staging", fails=True).stderr
    assert "cannot be deleted" in shipped("delete", "job", "1", fails=True).stderr
    assert shipped("delete", "resource", "host/one", "--yes", "-o", "name").stdout == "resource/host/one\n"


def test_a_server_is_kept_under_a_name_and_used(interlock, server_url, monkeypatch):
    for name in ("INTERLOCK_URL", "INTERLOCK_API_KEY", "INTERLOCK_WORKSPACE"):
        monkeypatch.delenv(name)
    kept = interlock("login", server_url, "--key-stdin", "--name", "here", stdin=f"{KEY}\n")
    assert kept.stdout.startswith(f"context here: {server_url}, workspace shop.")
    assert config_path().stat().st_mode & 0o777 == 0o600
    assert interlock("get", "workspaces", "-o", "name").stdout == "workspace/shop\n"
    assert KEY not in interlock("config", "list").stdout + interlock("config", "show").stdout
    assert f"{KEY[:6]}…" in interlock("config", "show").stdout

    assert "Check" not in interlock("login", server_url, "--key-stdin", stdin="wrong\n", fails=True).stdout
    assert "does not see" in interlock("login", server_url, "-w", "x", "--key-stdin", stdin=KEY, fails=True).stderr
    interlock("config", "set", "--context", "there", "--url", "http://127.0.0.1:9", "-w", "shop")
    interlock("config", "use", "there")
    assert "No API key" in interlock("get", "workspaces", fails=True).stderr
    assert interlock("get", "workspaces", "--context", "here", "-o", "name").stdout == "workspace/shop\n"
    interlock("config", "set", "--context", "here", "--url", "http://127.0.0.1:9")
    assert json.loads(interlock("config", "list", "-o", "json").stdout)[0].get("key") is None
    assert interlock("config", "remove", "here").stdout == "forgot here\n"
    assert names_of_contexts(interlock) == ["there"]


def names_of_contexts(interlock):
    return [each["name"] for each in json.loads(interlock("config", "list", "-o", "json").stdout)]


def test_nothing_is_offered_or_said_where_no_server_answers(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert offered("describe", "deployment", "") == []
    monkeypatch.setenv("INTERLOCK_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("INTERLOCK_API_KEY", "k")
    assert offered("watch", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell):
    assert "_INTERLOCK_COMPLETE" in CliRunner().invoke(cli, ["completion", shell]).stdout


NOTHING_YET = Bar(environment="production", total=4, there=0, moving=0, gone=0, rollout="open", why=None, held=())


def bar(**words):
    return replace(NOTHING_YET, **words)


@pytest.mark.parametrize(
    ("bars", "code"),
    [
        ([bar(there=4)], 0),
        ([bar(there=4), bar(there=3)], None),
        ([bar(there=3, moving=1)], None),
        ([bar(there=1, gone=1)], None),
        ([bar(there=3, gone=1)], 1),
        ([bar(there=3, gone=1, moving=0, rollout="complete")], 1),
        ([bar(gone=1, moving=1, rollout="halted")], None),
        ([bar(gone=1, rollout="halted", why="1 failed, 0 may")], 1),
        ([bar(rollout="superseded")], 1),
        ([bar(rollout="paused")], None),
        ([bar(rollout=None)], None),
        ([bar(there=4), bar(rollout="aborted")], 1),
        ([], None),
    ],
)
def test_how_a_watch_ends(bars, code):
    assert outcome("api 1", {"status": "ready"}, bars)[0] == code


def test_a_follower_ends_quietly_on_ctrl_c(interlock, server_url):
    """Not in process: it is about signals. The first line shows that it has begun."""
    following = subprocess.Popen(
        [sys.executable, "-u", "-m", "interlock.cli", "ledger", "--all", "--follow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert following.stdout.readline()
    following.send_signal(signal.SIGINT)
    _, said = following.communicate(timeout=30)
    assert following.returncode == 130
    assert "Traceback" not in said and "Aborted" not in said


def test_a_terminal_is_let_in_by_the_browser(interlock, server_url, monkeypatch):
    """The browser is a client with a session: it reads the page, sends its form, and goes back to the terminal."""

    def hidden_fields(html):
        return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', html))

    def browse(address):
        with httpx.Client(base_url=server_url, headers={"Origin": server_url}) as browser:
            page = browser.get("/sign-in").text
            assert browser.post("/sign-in", data={**hidden_fields(page), "key": KEY}).status_code == 303
            page = browser.get(address).text
            page = browser.post("/login", data=hidden_fields(page.split("<main", 1)[1])).text
            way = html.unescape(re.search(r'href="(http://127[^"]+)"', page)[1])
            assert httpx.get(re.sub("state=[^&]*", "state=wrong", way)).status_code == 400
            assert httpx.get(way).status_code == 200

    def opened(address):
        threading.Thread(target=browse, args=(address,)).start()
        return True

    monkeypatch.setattr("webbrowser.open", opened)
    for name in ("INTERLOCK_URL", "INTERLOCK_API_KEY", "INTERLOCK_WORKSPACE"):
        monkeypatch.delenv(name)
    let_in = interlock("login", server_url, "--name", "here")
    assert "admin, until " in let_in.stderr
    assert interlock("get", "workspaces", "-o", "name").stdout == "workspace/shop\n"
    assert KEY not in config_path().read_text()

    over = BrowserLogin(server_url, name="another")
    with pytest.raises(Unauthorized):
        over.key_for("x" * 43)
