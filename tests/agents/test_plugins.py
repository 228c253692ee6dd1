"""Can a stranger follow the guide: write an agent, run the suite against it, install it, and see what is wrong?"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from interlock.agents import AGENTS, build_agents
from interlock.agents.keys import Secret
from interlock.agents.plugins import SEALED, add_plugins, load_plugins
from interlock.model.errors import Refused
from interlock.outside.http import Http

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "writing-an-agent.md"
AGENT, SUITE = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """`installed(name, code, type)`: a package is there, as pip would have put it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, code: str, *, kind: str = "acme", points_at: str | None = None) -> Path:
        (tmp_path / f"{name}.py").write_text(code)
        about = tmp_path / f"{name}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        target = points_at or f"{name}:AcmeAgent"
        (about / "entry_points.txt").write_text(f"[interlock.agents]\n{kind} = {target}\n")
        from interlock.agents import plugins

        plugins._named.cache_clear()
        monkeypatch.delitem(sys.modules, name, raising=False)
        return tmp_path

    return install


def run_suite(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """As the guide says it."""
    command = [sys.executable, "-m", "pytest", "-o", "asyncio_mode=auto", "test_acme.py", "-p", "no:cacheprovider"]
    return subprocess.run([*command, *more], cwd=folder, capture_output=True, text=True, check=False)


def test_the_guides_agent_passes_the_suite_as_the_guide_says(tmp_path):
    (tmp_path / "acme_interlock.py").write_text(AGENT)
    (tmp_path / "test_acme.py").write_text(SUITE)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-o",
        "asyncio_mode=auto",
        "-p",
        "no:cacheprovider",
        "test_acme.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"\d\d passed", done.stdout), done.stdout[-400:]


def test_the_suite_sees_what_is_wrong_with_an_agent(tmp_path):
    """One that starts a second run when it gets no answer, and takes silence for the end of a run."""
    wrong = AGENT.replace('f"interlock-{job.id}-{job.attempt}"', "__import__('uuid').uuid4().hex")
    (tmp_path / "acme_interlock.py").write_text(wrong)
    (tmp_path / "test_acme.py").write_text(SUITE)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-o",
        "asyncio_mode=auto",
        "-p",
        "no:cacheprovider",
        "test_acme.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "test_a_second_start_runs_nothing_again" in done.stdout


async def test_a_package_that_is_installed_is_an_agent_like_another(installed, tmp_path):
    installed("acme_interlock_there", AGENT)
    async with Http() as http:
        ours = build_agents(exec_root=tmp_path, exec_enabled=False, http=http)
        agents = add_plugins(ours, http, required=" acme, gitlab ")
    assert set(agents) - set(ours) == {"acme"}
    assert agents["acme"].klass == "keyed"


CODE = "class AcmeAgent:\n    def __init__(self, http): pass\n"
# what the package holds, what is said of it
UNFIT = [
    ("raise RuntimeError('no licence')", "raised RuntimeError: no licence"),
    ("import a_module_that_nobody_has", "raised ModuleNotFoundError: No module named 'a_module_that_nobody_has'"),
    ("AcmeAgent = None", "raised TypeError"),
    (CODE, "its `kind` is None, its entry point's name 'acme'"),
    (AGENT.replace("klass = AgentClass.KEYED", "klass = 'often'"), "its `klass` is no AgentClass"),
    (AGENT.replace("frozenset()", "{'plan'}"), "its `capabilities` are no frozenset"),
    (AGENT.replace("frozenset()", "frozenset({'plan'})"), "it has no `async def plan`"),
    (AGENT.replace("observe_every_s = 5.0", "observe_every_s = 0"), "its `observe_every_s` is neither"),
    (AGENT.replace("keys = KEYS", "keys = ['url']"), "its `keys` are no tuple of Key"),
    (AGENT.replace("open_ended = False", ""), "its `open_ended` is neither"),
    (AGENT.replace("async def find", "async def look"), "it has no `async def find`"),
    (AGENT.replace("def links", "def addresses"), "it has no `links`"),
    (
        AGENT.replace('Key("token"', 'Key("passphrase"'),
        "its secret `passphrase` would not be sealed; the names that are",
    ),
]


@pytest.mark.parametrize(("code", "said"), UNFIT, ids=[said for _, said in UNFIT])
async def test_a_package_that_cannot_be_taken_is_named_and_stops_nobody(installed, tmp_path, code, said):
    installed("acme_interlock_unfit", code)
    async with Http() as http:
        ours = build_agents(exec_root=tmp_path, exec_enabled=False, http=http)
        assert set(add_plugins(ours, http)) == set(ours)
        (why,) = load_plugins(http, taken=ours).broken.values()
        assert "acme_interlock_unfit" in why.replace("-", "_")
        assert said in why
        with pytest.raises(Refused, match="INTERLOCK_REQUIRED_AGENTS names the agent acme"):
            add_plugins(ours, http, required="acme")


async def test_no_package_takes_the_place_of_an_agent_of_ours(installed, tmp_path):
    installed("acme_interlock_thief", AGENT.replace('kind = "acme"', 'kind = "gitlab"'), kind="gitlab")
    async with Http() as http:
        ours = build_agents(exec_root=tmp_path, exec_enabled=False, http=http)
        assert add_plugins(ours, http) == ours


async def test_what_must_be_there_and_is_not_is_said(tmp_path):
    async with Http() as http:
        with pytest.raises(Refused, match="no installed package names it"):
            add_plugins({}, http, required="acme")


def test_the_secrets_of_our_own_agents_stand_at_names_that_are_sealed():
    named = {key.name for agent in AGENTS for key in agent.keys if isinstance(key.shape, Secret)}
    assert named
    assert named <= SEALED
