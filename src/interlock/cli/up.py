"""`interlock up`: everything on this machine, with one command.

API and console run in this process, one worker as its child: 100 ms of deciding is then not 100 ms of the API's
answer. Without --database-url it starts a PostgreSQL of its own in the data directory. The first start makes an admin's
API key and prints it once. `DATA/up.json` says where a running one listens.

The worker is started again when it dies, with back-off; it dies with this process, however that ends. Ctrl-C and
SIGTERM stop the API, then the worker after its step in hand, then PostgreSQL; a second one ends everything at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli.attached import attached, given

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from interlock.settings import Settings

BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
STEADY_S = 30.0
"""A worker that ran this long starts again at once when it dies."""
STOP_WORKER_S = 20.0


@click.command()
@click.option("--host", help="The address to listen on.  [env: INTERLOCK_HOST; default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free one.  [env: INTERLOCK_PORT; default: 8080]")
@attached
def up(*, host: str | None, port: int | None, data: Path | None, database_url: str | None) -> None:
    """Run API, console and a worker on this machine.

    Without --database-url it starts a PostgreSQL of its own in the data directory. The first start makes an admin's API
    key and prints it once. Ctrl-C finishes the step in hand and stops everything; the next start goes on from there.
    """
    from interlock.app import load_settings

    raise SystemExit(run_up(load_settings(**given(host=host, port=port, data=data, database_url=database_url))))


def run_up(settings: Settings) -> int:
    """Everything, until a signal. Gives the exit code."""
    from interlock import app

    worker = Worker()

    async def main(stop: asyncio.Event) -> None:
        import asyncio

        app.make_private(settings.data)
        bound = app.listen(settings)
        async with app.database(settings, own=True) as url, app.open_store(settings, url) as store:
            welcome = await app.bootstrap(store, settings)
            environment = {"INTERLOCK_DATABASE_URL": url, "INTERLOCK_DATA": str(settings.data.absolute())}
            noted: list[Path] = []

            def ready() -> None:
                noted.append(app.write_address(settings.data, app.url_of(bound)))
                app.greet(app.url_of(bound), welcome=welcome)

            keeping = asyncio.create_task(worker.keep(environment, stop=stop))
            try:
                await app.serve(app.build_app(store, settings), bound, stop=stop, on_ready=ready)
            finally:
                stop.set()
                for path in noted:
                    path.unlink(missing_ok=True)
                await keeping

    return app.run(main, at_once=worker.kill)


class Worker:
    """The worker process beside the API."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def keep(self, environment: Mapping[str, str], *, stop: asyncio.Event) -> None:
        """Run it, and run it again whenever it ends, until `stop`; then let it finish its step in hand.

        Why: it gets a session of its own, so that a Ctrl-C in the terminal reaches this process alone and the order of
             stopping is ours. Its database is named in its environment, which unlike its arguments others cannot read.
        """
        import asyncio
        import os
        import sys

        import structlog

        from interlock.clock import monotonic_s

        log = structlog.get_logger(__name__)
        deaths = 0
        stopping = asyncio.create_task(stop.wait())
        while not stop.is_set():
            began_s = monotonic_s()
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "interlock.cli", "worker", "--parent", str(os.getpid())),
                env={**os.environ, **environment},
                start_new_session=True,
            )
            ending = asyncio.create_task(self._process.wait())
            await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                await self._finish(ending)
                break
            deaths = 0 if monotonic_s() - began_s > STEADY_S else deaths + 1
            log.error("worker_died", exit_code=ending.result(), deaths=deaths)
            await asyncio.wait({stopping}, timeout=BACKOFF_S[min(deaths, len(BACKOFF_S) - 1)])
        stopping.cancel()

    async def _finish(self, ending: asyncio.Task[int]) -> None:
        """Ask it to stop, and end it when it does not."""
        import asyncio
        import contextlib

        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            done, _ = await asyncio.wait({ending}, timeout=STOP_WORKER_S)
            if not done:
                self.kill()
                await ending
