"""Does the wheel hold everything? It is built, installed into an empty environment elsewhere, and started there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

TOP = Path(__file__).resolve().parents[2]
PACKAGE = TOP / "src" / "interlock"
KEY = "0123456789abcdef." + 32 * "ab"

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(TOP)], cwd=out)
    (built,) = out.glob("interlock-*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel: Path) -> Iterator[Path]:
    """An environment with nothing but the wheel and what it asks for, in a folder that PostgreSQL's user can reach."""
    folder = Path("/var/tmp") / f"interlock-wheel-{os.getpid()}"
    try:
        folder.mkdir(mode=0o755)
        install(folder, wheel)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("interlock/")}
    wanted = {
        path.relative_to(TOP / "src").as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == wanted
    assert any(name.startswith("interlock/store/migrations/") for name in inside)
    assert any(name.startswith("interlock/store/sql/") for name in inside)


def test_an_installed_interlock_starts_answers_shows_a_page_and_stops(elsewhere: Path) -> None:
    data = elsewhere / "data"
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("INTERLOCK_", "PYTHON", "VIRTUAL_ENV", "COVERAGE"))
    }
    environment |= {"INTERLOCK_BOOTSTRAP_API_KEY": KEY, "INTERLOCK_BOOTSTRAP_WORKSPACE": "wheel"}
    program = elsewhere / "venv" / "bin" / "interlock"
    with (elsewhere / "up.log").open("wb") as log:
        up = subprocess.Popen(
            [program, "up", "--port", "0", "--data", data], cwd=elsewhere, env=environment, stdout=log, stderr=log
        )
    said = (elsewhere / "up.log").read_text
    try:
        url = wait_for_address(data / "up.json", up, said)
        with httpx.Client(base_url=url, follow_redirects=True, timeout=10) as client:
            assert client.get("/api/healthz").status_code == 200
            ready = client.get("/api/readyz")
            assert ready.status_code == 200, ready.text
            page = client.get("/")
            assert page.status_code == 200, page.text
            assert "text/html" in page.headers["content-type"]
            assert "Interlock" in page.text
            styles = [part.split('"')[0] for part in page.text.split('href="')[1:] if ".css" in part.split('"')[0]]
            assert styles, "the page has no style sheet"
            assert [path for path in styles if client.get(path).status_code != 200] == []
        up.send_signal(signal.SIGTERM)
        assert up.wait(timeout=30) == 0, said()
    finally:
        if up.poll() is None:
            up.kill()
            up.wait()


def wait_for_address(file: Path, up: subprocess.Popen[bytes], said: Callable[[], str]) -> str:
    """Where it listens, from the file that `up` writes once it does."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert up.poll() is None, f"interlock up ended with {up.returncode}:\n{said()}"
        if file.is_file():
            return str(json.loads(file.read_text())["url"])
        time.sleep(0.1)
    pytest.fail(f"interlock up did not listen within 60 s:\n{said()}")


def install(folder: Path, wheel: Path) -> None:
    """The wheel and its pinned dependencies into a new environment: by uv, which is fast, else by pip.

    uv does not read pip's configuration; where only that names an index, pip is the one that can install.
    """
    uv = str(Path(sys.executable).with_name("uv"))
    python = str(folder / "venv" / "bin" / "python")
    wanted = ["--constraint", str(unhashed(folder)), str(wheel)]
    run([uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")], cwd=folder)
    by_uv = [uv, "pip", "install", "--quiet", "--python", python, *wanted]
    done = subprocess.run(by_uv, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
        run([*pip, "install", "--quiet", *wanted], cwd=folder)


def unhashed(folder: Path) -> Path:
    """requirements/base.txt without its hashes: constraints for an install that also names a wheel of ours."""
    lines = (TOP / "requirements" / "base.txt").read_text().splitlines()
    pins = [line.removesuffix("\\").rstrip() for line in lines if line and not line.lstrip().startswith("--hash")]
    file = folder / "constraints.txt"
    file.write_text("\n".join(pins) + "\n")
    return file


def run(command: list[str], *, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
