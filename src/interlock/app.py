"""How do the parts become a running program? The composition root: the only file that wires.

    settings  ->  database   the given address, our own PostgreSQL, or the one that an `up` of this directory runs
              ->  migrate    any process may be the first
              ->  Store      one pool
              ->  registries AGENTS and METRICS, with the settings they need
              ->  the web app (api, console, /metrics) or the workers

`run_api` and `run_worker` are what the commands call; each gives an exit code. Stopping is the same everywhere: the
first Ctrl-C or SIGTERM ends new work, finishes the step in hand and closes from the outside in; a second one ends the
process at once, which loses nothing that was committed.

What `up` adds, keeping a worker alive beside the API, is in `cli/up.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn
import uvloop
from pydantic import ValidationError

from interlock.access import Role
from interlock.agents import Agent, build_agents
from interlock.agents.github_app import App
from interlock.agents.plugins import add_plugins
from interlock.metrics import build_metrics
from interlock.model.errors import Conflict, FieldError, Invalid, NotFound, Refused, Stale, StoreUnavailable
from interlock.model.event import Actor, Event, Ref
from interlock.outside.http import Http, guarded_http
from interlock.outside.kubernetes_access import own_pod
from interlock.outside.secrets import (
    KEY_FILE,
    Keyring,
    name_of,
    new_key,
    parse_keys,
    read_keys,
    retire_keys,
    write_first_key,
    write_keys,
)
from interlock.settings import Settings
from interlock.store.embedded import EmbeddedPostgres, attach, reach
from interlock.store.health import Counts
from interlock.store.migrate import migrate
from interlock.store.principals import (
    find_caller,
    find_principal_by_name,
    save_key,
    save_member,
    save_principal,
)
from interlock.store.secrets import refuse_sealed
from interlock.store.tx import Store
from interlock.store.workspaces import create_workspace, find_workspace

if TYPE_CHECKING:
    from interlock.outside.oidc import IdentityProvider

ADMIN = "admin"
"""The principal that the first start makes."""

FIRST_WORKSPACE = "default"
"""The workspace that the first start makes where no other was asked for."""

OURS = Actor("system", "00000000-0000-0000-0000-000000000000", "interlock")
"""Who does what no person asked for: the bootstrap, and what is done with the database at hand."""

SHUTDOWN_S = 3
"""How long open requests and streams may take once we are asked to stop."""

FLUSH_EVERY_S = 5.0

_PR_SET_PDEATHSIG = 1
_log = structlog.get_logger(__name__)


# --- settings and logs -----------------------------------------------------------------------------------------------


def load_settings(**flags: Any) -> Settings:
    """Settings from flags, then the environment.

    Fails: `Invalid` that names every setting with a value it cannot have.
    """
    try:
        return Settings(**flags)
    except ValidationError as cause:
        faults = [FieldError(f"INTERLOCK_{'.'.join(map(str, e['loc'])).upper()}", e["msg"]) for e in cause.errors()]
        raise Invalid("; ".join(f"{each.path}: {each.message}" for each in faults), fields=faults) from cause


def start_logging() -> None:
    """Logs go to stderr: lines for a person on a terminal, JSON otherwise. stdout is for what was asked for."""
    level = os.environ.get("INTERLOCK_LOG_LEVEL", "info").upper()
    on_terminal = sys.stderr.isatty()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # A traceback with every local variable takes seconds and shows keys: plain ones only.
    lines = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer: Any = lines if on_terminal else structlog.processors.JSONRenderer()
    finish: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    finish += [] if on_terminal else [structlog.processors.format_exc_info]
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*finish, renderer]))
    logging.basicConfig(level=level, handlers=[out], force=True)
    for chatty in ("httpx", "httpcore", "uvicorn.error", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


# --- the parts -------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def database(settings: Settings, *, own: bool) -> AsyncIterator[str]:
    """The address of a database that answers, as long as the block runs.

    Takes: `own` starts our own PostgreSQL in the data directory where no address is set; else that of a running `up` is
           found.
    """
    if settings.database_url is not None:
        yield settings.database_url
    elif own:
        make_private(settings.data)
        async with EmbeddedPostgres(settings.data, binaries=settings.postgres_bin) as postgres:
            yield postgres.url
    else:
        yield await attach(settings.data)


@contextlib.asynccontextmanager
async def open_store(settings: Settings, url: str, *, application: str = "interlock") -> AsyncIterator[Store]:
    """The store, on tables that are up to date, with the keys of its secrets.

    Fails: `KeyMissing` when its secrets were sealed with another key than ours.
    """
    await migrate(url)
    keys = await keyring(settings, url)
    store = await Store.open(url, pool_max=settings.pool_max, application=application, keyring=keys)
    try:
        async with store.read() as conn:
            await store.secrets.start(conn)
        yield store
    finally:
        await store.close()


async def keyring(settings: Settings, url: str) -> Keyring:
    """The keys that seal secrets: of the environment, else of the key file, which the first start makes.

    Why:   where the database has secrets and the key file is gone, a fresh key would only hide that: it is refused.
    Fails: `KeyMissing` in that case; `Refused` for keys that are none.
    """
    if settings.secret_keys:
        return Keyring(parse_keys(settings.secret_keys))
    file = settings.data.absolute() / KEY_FILE
    if not file.exists():
        bare = await Store.open(url, pool_max=1)
        try:
            async with bare.read() as conn:
                await refuse_sealed(conn, file)
        finally:
            await bare.close()
        try:
            make_private(settings.data)
            write_first_key(file)
        except OSError as failed:
            said = failed.strerror or str(failed)
            raise Refused(f"The key file {file} cannot be made: {said}. Give INTERLOCK_SECRET_KEYS.") from failed
    return Keyring.of_file(file)


def agents(settings: Settings, http: Http) -> Mapping[str, Agent]:
    """The job agents by kind, with the settings that each needs; `http` is what they call their tools with."""
    ours = build_agents(
        exec_root=settings.data.absolute() / "exec",
        exec_enabled=settings.exec_agent,
        http=http,
        github_app=_github_app(settings),
        tfe_webhook_secret=(settings.tfe_webhook_secret or "").split(",")[0].strip() or None,
        own_pod=own_pod(settings),
    )
    return add_plugins(ours, http, required=settings.required_agents)


def _github_app(settings: Settings) -> App | None:
    """The GitHub App of the settings, if they name one.

    Fails: `Refused` for a number without a key, and for a key that cannot be read.
    """
    file = settings.github_app_key_file
    if settings.github_app_id is None and file is None:
        return None
    if settings.github_app_id is None or file is None:
        raise Refused("INTERLOCK_GITHUB_APP_ID and INTERLOCK_GITHUB_APP_KEY_FILE belong together: give both.")
    try:
        return App(settings.github_app_id, file.read_text())
    except (OSError, UnicodeDecodeError) as failed:
        said = getattr(failed, "strerror", None) or "it is no text"
        raise Refused(f"The GitHub App's key {file} cannot be read: {said}.") from failed


def make_private(folder: Path) -> None:
    """Make the data directory. Nobody else needs to list it, but PostgreSQL's user must be able to go through."""
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(0o711)


# --- the first key ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a start has to tell: the key and the workspace that it made. None: none, or it was given."""

    key: str | None = None
    workspace: str | None = None


async def bootstrap(store: Store, settings: Settings) -> Welcome:
    """Make sure that somebody can come in.

    The first start makes the admin, a key and a workspace. A key or workspace named in the settings is there
    afterwards, at every start; what exists is left alone.
    """
    for last_try in (False, True):
        try:
            return await _bootstrap(store, settings)
        except Conflict:
            if last_try:
                raise
    raise AssertionError


async def _bootstrap(store: Store, settings: Settings) -> Welcome:
    """As above. Of two processes that start at once, the second meets a `Conflict` and looks again."""
    given, slug = settings.bootstrap_api_key, settings.bootstrap_workspace
    async with store.read() as conn:
        first = await find_principal_by_name(conn, ADMIN) is None
        slug = slug or (FIRST_WORKSPACE if first else None)
        missing = slug is not None and await find_workspace(conn, slug) is None
    known = given is not None and await find_caller(store, given) is not None
    if not first and not missing and (given is None or known):
        return Welcome()
    key = None
    async with store.tx(actor=OURS, cause="bootstrap", workspace_id=None) as tx:
        admin_id = await save_principal(tx, ADMIN, system_role="admin")
        if (first or given is not None) and not known:
            key = await save_key(tx, admin_id, name="bootstrap", key=given)
        if missing and slug is not None:
            await create_workspace(tx, slug, slug=slug, creator_id=admin_id)
    return Welcome(key=None if given else key, workspace=slug if missing else None)


async def create_key(settings: Settings, *, user: str, workspace: str, role: str, name: str) -> str:
    """Make a key with the database at hand: the way in when every other key is lost."""
    async with database(settings, own=False) as url, open_store(settings, url) as store:
        async with store.read() as conn:
            found = await find_workspace(conn, workspace)
        if found is None:
            raise NotFound(f"There is no workspace {workspace}.")
        async with store.tx(actor=OURS, cause="keys create", workspace_id=found.id) as tx:
            principal_id = await save_principal(tx, user)
            await save_member(tx, found.id, principal_id=principal_id, role=Role(role))
            return await save_key(tx, principal_id, name=name)


# --- the keys of secrets ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyInUse:
    """A key by name, and how many values it seals. `known`: this process has it."""

    name: str
    seals: int
    known: bool


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did. `idle` are known keys that seal nothing; `file`: the keys come from the key file."""

    sealed: int
    newest: str
    idle: tuple[str, ...]
    dropped: tuple[str, ...]
    file: bool


async def secret_keys_in_use(settings: Settings) -> tuple[KeyInUse, ...]:
    """The keys of this process, the newest first, then those that seal something and are not here."""
    async with _at_hand(settings) as store, store.read() as conn:
        ring, counts = store.secrets.keyring, await store.secrets.count_by_key(conn)
        missing = sorted(set(counts) - set(ring.names))
    return tuple(KeyInUse(name, counts.get(name, 0), name in ring.names) for name in (*ring.names, *missing))


async def rotate_secrets(settings: Settings, *, fresh: bool, drop: bool) -> Rotation:
    """Seal everything with the newest key, in batches; a call after one that was interrupted does the rest.

    Takes: `fresh` puts a new key into the key file first; `drop` takes keys that seal nothing out of it at the end.
    Fails: `Refused` for either where the keys come from the environment.
    """
    async with _at_hand(settings) as store:
        ring, sealed = store.secrets.keyring, 0
        if (fresh or drop) and ring.file is None:
            raise Refused(
                "The keys come from INTERLOCK_SECRET_KEYS, which this command cannot change: put a new one first there "
                "(`interlock secrets key` prints one), start every process again, and call this without flags."
            )
        if fresh and ring.file is not None:
            write_keys(ring.file, [new_key(), *read_keys(ring.file)])
            ring.follow_file()
        async with store.read() as conn:
            while batch := await store.secrets.reseal(conn):
                sealed += batch
            counts = await store.secrets.count_by_key(conn)
        body = {"secrets": sealed, "key": ring.newest}
        async with store.tx(actor=OURS, cause="secrets rotate", workspace_id=None) as tx:
            await tx.record(events=[Event("secrets.rotated", Ref("installation", OURS.id), body)])
        idle = tuple(name for name in ring.names if name != ring.newest and not counts.get(name))
        if drop and idle and ring.file is not None:
            keys = read_keys(ring.file)
            retire_keys(ring.file, [key for key in keys if name_of(key) in idle])
            write_keys(ring.file, [key for key in keys if name_of(key) not in idle])
        dropped = idle if drop else ()
        return Rotation(sealed, ring.newest, idle, dropped, file=ring.file is not None)


@contextlib.asynccontextmanager
async def _at_hand(settings: Settings) -> AsyncIterator[Store]:
    """The store of an installation on this machine, whether it runs or not."""
    async with contextlib.AsyncExitStack() as stack:
        url = settings.database_url
        if url is None:
            url = await stack.enter_async_context(reach(settings.data, binaries=settings.postgres_bin))
        yield await stack.enter_async_context(open_store(settings, url))


# --- serving ---------------------------------------------------------------------------------------------------------


def build_app(store: Store, settings: Settings) -> Any:
    """Everything that is served at one address: /api, the console at /, /metrics."""
    from interlock.api import build_api
    from interlock.console import build_console
    from interlock.web.metrics import metrics_route

    app = build_api(store, settings)
    app.router.routes.append(metrics_route(store))
    app.mount("/", build_console(store, settings, provider=identity_provider(settings)))
    return app


def identity_provider(settings: Settings) -> IdentityProvider | None:
    """Whom people sign in through; None where no provider is set. It is asked when somebody signs in, not before."""
    if settings.oidc_issuer is None:
        return None
    from interlock.outside.oidc import IdentityProvider

    return IdentityProvider(
        settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret,
        scopes=settings.oidc_scopes,
        groups_claim=settings.oidc_groups_claim,
    )


def listen(settings: Settings) -> socket.socket:
    """Bind the address; port 0 takes a free one.

    Fails: `Refused` with the reason in words.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as cause:
        said = cause.strerror or str(cause)
        raise Refused(f"Cannot listen on {settings.host}:{settings.port}: {said}. Give another --port.") from cause


def url_of(bound: socket.socket) -> str:
    """The address that a person on this machine would open."""
    host, port = bound.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}"


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling, because who stops is decided here; it says when it listens."""

    def __init__(self, config: uvicorn.Config, *, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


async def serve(app: Any, bound: socket.socket, *, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
    """Serve until `stop`, then end the streams and let open requests end."""
    from interlock.web.heads import BoundedHead

    config = uvicorn.Config(
        app,
        http=BoundedHead,
        forwarded_allow_ips=app.state.settings.trusted_proxies,
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=SHUTDOWN_S,
        server_header=False,
    )
    server = _Server(config, on_ready=on_ready)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        app.state.streams.end(app.state.store.wakes)
        await serving
    finally:
        waiting.cancel()


# --- running ---------------------------------------------------------------------------------------------------------


def run(
    main: Callable[[asyncio.Event], Coroutine[Any, Any, None]], *, at_once: Callable[[], None] | None = None
) -> int:
    """Run a program that ends when its event is set, which the first Ctrl-C or SIGTERM does.

    Takes: `at_once` is called when a second signal ends the process without ceremony.
    """
    start_logging()

    async def with_signals() -> None:
        stop = asyncio.Event()

        def asked(number: int) -> None:
            if stop.is_set():
                if at_once is not None:
                    at_once()
                os._exit(128 + number)
            stop.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, asked, number)
        await main(stop)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(with_signals())
    return 0


def run_api(settings: Settings) -> int:
    """`interlock api`."""

    async def main(stop: asyncio.Event) -> None:
        async with database(settings, own=False) as url, open_store(settings, url) as store:
            welcome = await bootstrap(store, settings)
            bound = listen(settings)
            await serve(
                build_app(store, settings), bound, stop=stop, on_ready=lambda: greet(url_of(bound), welcome=welcome)
            )

    return run(main)


def run_worker(settings: Settings, *, parent: int | None = None) -> int:
    """`interlock worker`.

    Takes: `parent` is the process whose end ends this one.
    """
    if parent is not None:
        _end_with(parent)

    async def main(stop: asyncio.Event) -> None:
        from interlock.workers import run_workers

        counts = Counts()
        async with (
            database(settings, own=False) as url,
            open_store(settings, url, application="interlock worker") as store,
            guarded_http(settings) as http,
        ):
            beside = [asyncio.create_task(_keep_flushing(counts, store))]
            if parent is not None:
                beside.append(asyncio.create_task(_stop_when_orphaned(parent, stop)))
            try:
                await run_workers(
                    store,
                    agents(settings, http),
                    build_metrics(http, own_pod=own_pod(settings)),
                    settings,
                    stop,
                    counts=counts,
                )
            finally:
                for task in beside:
                    task.cancel()
            await _flush(counts, store)

    return run(main)


async def _keep_flushing(counts: Counts, store: Store) -> None:
    """Tell the database now and then what this process counted."""
    while True:
        await asyncio.sleep(FLUSH_EVERY_S)
        await _flush(counts, store)


async def _flush(counts: Counts, store: Store) -> None:
    """Tell it now. A database that is away or busy is told the next time."""
    with contextlib.suppress(StoreUnavailable, Stale):
        async with store.read() as conn:
            await counts.flush(conn)


def _end_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies (Linux; prctl(2)). A parent gone already is noticed."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(1)


async def _stop_when_orphaned(parent: int, stop: asyncio.Event) -> None:
    """The same where the kernel does not help: look every second."""
    while not stop.is_set() and os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), timeout=1)
    stop.set()


def greet(url: str, *, welcome: Welcome) -> None:
    """Say where it is, and the key once."""
    lines = ["Interlock is up.", f"  Console    {url}/", f"  API        {url}/api"]
    if welcome.workspace is not None:
        lines.append(f"  Workspace  {welcome.workspace}")
    if welcome.key is not None:
        lines += [f"  API key    {welcome.key}", "             Keep it: it is shown this once."]
    print("\n".join(lines), flush=True)  # noqa: T201 — this is what `up` and `api` have to say


def write_address(data: Path, url: str) -> Path:
    """Note where this `up` listens, for tools that look for it: `DATA/up.json`, for our user alone."""
    path = data / "up.json"
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"pid": os.getpid(), "url": url}, file)
    fresh.replace(path)
    return path
