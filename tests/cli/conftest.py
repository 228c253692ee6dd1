"""A real server for commands: API and worker on a fresh database, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from interlock.app import agents, bootstrap, build_app, listen, load_settings, open_store, serve, url_of
from interlock.cli import cli
from interlock.client import Client
from interlock.metrics import build_metrics
from interlock.outside.http import Http
from interlock.workers import run_workers

KEY = "00112233445566ff." + "0f" * 32
Interlock = Callable[..., Result]


@pytest.fixture
def server_url(database_url: str, tmp_path) -> Iterator[str]:
    """The address of a server with a workspace `shop` and the admin's KEY."""
    settings = load_settings(
        port=0,
        data=tmp_path / "data",
        database_url=database_url,
        bootstrap_api_key=KEY,
        bootstrap_workspace="shop",
        exec_agent=True,
        allow_private_addresses=True,
    )
    over = threading.Event()
    told: list[object] = []

    async def main() -> None:
        stop = asyncio.Event()
        async with open_store(settings, database_url) as store:
            await bootstrap(store, settings)
            bound = listen(settings)
            app = build_app(store, settings)

            def ready() -> None:
                told.extend([asyncio.get_running_loop(), stop, url_of(bound)])
                over.set()

            async with Http(allow_private_addresses=True) as http:
                here = settings.model_copy(update={"public_url": url_of(bound)})
                working = run_workers(store, agents(settings, http), build_metrics(http), here, stop)
                await asyncio.gather(working, serve(app, bound, stop=stop, on_ready=ready))

    def run() -> None:
        try:
            asyncio.run(main())
        finally:
            over.set()

    thread = threading.Thread(target=run)
    thread.start()
    over.wait(30)
    assert told, "the server did not start"
    loop, stop, url = told
    yield url
    loop.call_soon_threadsafe(stop.set)
    thread.join(30)


@pytest.fixture
def client(server_url: str) -> Iterator[Client]:
    """The Python client as the admin."""
    with Client(server_url, api_key=KEY, workspace="shop", timeout_s=10) as made:
        yield made


@pytest.fixture
def interlock(server_url: str, monkeypatch, tmp_path) -> Interlock:
    """`interlock("get", "jobs")` as the admin; `fails=True` where it must not work."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("INTERLOCK_URL", server_url)
    monkeypatch.setenv("INTERLOCK_API_KEY", KEY)
    monkeypatch.setenv("INTERLOCK_WORKSPACE", "shop")

    def run(*arguments: str, fails: bool = False, stdin: str | None = None) -> Result:
        ran = CliRunner().invoke(cli, list(arguments), input=stdin, catch_exceptions=True)
        assert isinstance(ran.exception, SystemExit | None), ran.exception
        assert (ran.exit_code != 0) == fails, ran.output
        return ran

    return run


class ApiProcess:
    """`interlock api` as a process behind an address that stays, so that it may be killed and start again."""

    def __init__(self, database_url: str, data: Path) -> None:
        self.environment = {**os.environ, "INTERLOCK_DATABASE_URL": database_url, "INTERLOCK_DATA": str(data)}
        self.process: subprocess.Popen[str] | None = None
        self.port = 0
        self.door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.door.getsockname()[1]}"
        threading.Thread(target=self._let_in, daemon=True).start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        argv = [sys.executable, "-m", "interlock.cli", "api", "--port", "0"]
        self.process = subprocess.Popen(argv, env=self.environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = next(line for line in self.process.stdout if "/api" in line)
        self.port = int(line.strip().removesuffix("/api").rpartition(":")[2])

    def kill(self) -> None:
        """Kill it: whoever calls now is cut off."""
        assert self.process is not None
        self.port = 0
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Kill it and close its address."""
        self.kill()
        self.door.close()

    def _let_in(self) -> None:
        while True:
            try:
                caller, _ = self.door.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(caller,), daemon=True).start()

    def _connect(self, caller: socket.socket) -> None:
        with caller:
            try:
                with socket.create_connection(("127.0.0.1", self.port)) as server:
                    threads = [
                        threading.Thread(target=self._carry, args=way, daemon=True)
                        for way in ((caller, server), (server, caller))
                    ]
                    for thread in threads:
                        thread.start()
                    for thread in threads:
                        thread.join()
            except OSError:
                return

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                sink.sendall(part)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def api_process(tmp_path: Path) -> Iterator[Callable[[str], ApiProcess]]:
    """`api_process(database_url)` starts one; it ends with the test."""
    made: list[ApiProcess] = []

    def make(database_url: str) -> ApiProcess:
        made.append(ApiProcess(database_url, tmp_path / "data"))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.end()
