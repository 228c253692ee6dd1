"""Where does the database of a data directory lie, who owns it, and how is a new one made?

In `DATA/postgres/`: `cluster/`, `run/` (the socket), `postgres.log`, `lock`, and `server.json`, which says where the
first two are. The modes of the directories above are never changed, so under root PostgreSQL's user (`nobody`) may be
unable to get there, as below root's 0700 home. Then `cluster/` and `run/` lie in `/var/lib/interlock/<id>/` (else
`/var/tmp/interlock/<id>/`). The id is random and stands in `server.json` alone: a data directory that was deleted and
made again never meets its predecessor's rows. If the recorded place is missing, starting is refused, for an empty
database in its stead would look like lost rows. `belongs-to` beside the cluster names DATA; `remove` deletes both. In a
container, mount a volume that others may enter (mode 0711 is enough), else the rows lie outside of it; the log says so.

One process owns a data directory by a lock on `DATA/postgres/lock`, and on a lock beside the cluster where that is
elsewhere: a copied data directory leads to the same rows. The kernel drops it when the process ends, however it ends.

Source: DESIGN.md section 5; unix(7) for the length of a socket's path.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from interlock.model.errors import Conflict, Refused, StoreUnavailable
from interlock.store.server.binaries import PgBinaries, every_installation, readable_by
from interlock.store.server.os_user import OsUser, can_enter, current_user, run_as, user_for_new_cluster

ROLE = "interlock"
DATABASE = "interlock"
PORT = 5432  # no port, only a part of the socket's name
SOCKET_NAME = f".s.PGSQL.{PORT}"
SOCKET_PATH_BYTES_MAX = 103  # with its final zero, sun_path holds 108 bytes on Linux and 104 elsewhere
STATE_ROOTS = (Path("/var/lib/interlock"), Path("/var/tmp/interlock"))  # noqa: S108 — own_folder sees that it is ours

_log = logging.getLogger("interlock.postgres")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a database lies and where its server listens."""

    cluster: Path
    sockets: Path

    @property
    def socket(self) -> Path:
        return self.sockets / SOCKET_NAME

    def url(self, database: str = DATABASE) -> str:
        """Give the address for asyncpg and libpq. It names everything, so that no PG* variable takes part."""
        return f"postgresql:///{database}?host={quote(str(self.sockets))}&port={PORT}&user={ROLE}"


def home_of(data_dir: Path) -> Path:
    """Give the folder of the database within a data directory."""
    return data_dir.absolute() / "postgres"


def make_home(data_dir: Path) -> Path:
    """Make DATA and DATA/postgres. Under root, those that are new or empty let others through, but not look.

    Fails: `Refused` if they cannot be made.
    """
    mode = 0o711 if current_user().uid == 0 else 0o700
    home = home_of(data_dir)
    try:
        for folder in (data_dir.absolute(), home):
            folder.mkdir(parents=True, exist_ok=True)
            if folder.stat().st_uid == os.geteuid() and not any(folder.iterdir()):
                folder.chmod(mode)
    except OSError as error:
        raise Refused(f"{home} cannot be made: {error.strerror}.", code="NO_DATA_DIR") from error
    return home


def lock_folder(folder: Path, *, data_dir: Path) -> int:
    """Own a folder until this process ends.

    Gives: the open file that holds the lock; closing it gives the folder free.
    Fails: `Conflict` if another process owns it.
    """
    path = folder / "lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(f"{path} cannot be opened: {error.strerror}. Is it another user's?", code="NOT_OURS") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(fd, 32).decode(errors="replace").strip()
        os.close(fd)
        raise Conflict(
            f"Another `interlock up`{f' (process {owner})' if owner else ''} owns {data_dir}. Stop it, or give this "
            "one a directory of its own with --data. `interlock api` and `interlock worker` join the running one.",
            code="DATA_DIR_OWNED",
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def read_place(data_dir: Path) -> Place | None:
    """Read where the database of a data directory lies; None if it has none, or none that this user may see."""
    home = home_of(data_dir)
    try:
        record = json.loads((home / "server.json").read_text())
        return Place(cluster=home / record["cluster"], sockets=home / record["sockets"])
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"{home / 'server.json'} cannot be read: {error}", code="CLUSTER_MISSING") from error


def record_place(data_dir: Path, place: Place, *, version: str) -> None:
    """Write down where the server is, for `attach` and the next start. Inside DATA it is relative: DATA may move."""
    home = home_of(data_dir)

    def relative(path: Path) -> str:
        return str(path.relative_to(home) if path.is_relative_to(home) else path)

    unfinished = home / "server.json.new"
    record = {"cluster": relative(place.cluster), "sockets": relative(place.sockets), "version": version}
    unfinished.write_text(json.dumps(record, indent=2) + "\n")
    unfinished.replace(home / "server.json")


def find_cluster(data_dir: Path) -> Place | None:
    """Find the cluster that an earlier start made; None before the first.

    Fails: `Refused` if it is gone from where it was.
    """
    home = home_of(data_dir)
    place = read_place(data_dir) or Place(home / "cluster", home / "run")
    if (place.cluster / "PG_VERSION").exists():
        return place
    if not (home / "server.json").exists():
        return None
    raise Refused(
        f"{home / 'server.json'} says that the database lies in {place.cluster}, where there is none. Put it back, or "
        f"delete {home} to begin with an empty one.",
        code="CLUSTER_MISSING",
    )


def make_cluster(data_dir: Path, binaries: PgBinaries, *, state_roots: Sequence[Path] = STATE_ROOTS) -> Place:
    """Make an empty cluster with role and database, in a neighbour directory that is renamed when it is complete.

    Why: a kill -9 in the middle leaves a directory that no later start takes for a cluster.
    """
    user = user_for_new_cluster()
    home = home_of(data_dir)
    keep = home if user.is_us or can_enter(user, home) else _new_state_dir(data_dir, user, state_roots)
    for leftover in keep.glob("cluster.*.new"):
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished = keep / f"cluster.{secrets.token_hex(4)}.new"
    try:
        own_folder(unfinished, user, 0o700)
        _initdb(readable_by(binaries, user, copies=keep), user, unfinished)
        unfinished.rename(keep / "cluster")
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    place = Place(keep / "cluster", keep / "run")
    record_place(data_dir, place, version=binaries.version)
    return place


def refuse_other_major(cluster: Path, binaries: PgBinaries) -> None:
    """See that these binaries can read this cluster; a PostgreSQL reads none of another major version.

    Fails: `Refused`, saying how to carry the rows over.
    """
    major = int((cluster / "PG_VERSION").read_text().strip().split(".")[0])
    if major == binaries.version_major:
        return
    other = next((found.bin_dir for found in every_installation() if found.version_major == major), None)
    where = f"={other}" if other else f" naming the bin directory of a PostgreSQL {major}"
    raise Refused(
        f"The database in {cluster} was made by PostgreSQL {major}; the one to run ({binaries.source}) is "
        f"{binaries.version}. Save it with `interlock db dump FILE` and INTERLOCK_POSTGRES_BIN{where}, move "
        f"{cluster.parent} away, and load it with `interlock db restore FILE`.",
        code="OTHER_POSTGRES_MAJOR",
    )


def socket_dir(cluster: Path, user: OsUser, *, runtime_roots: Sequence[Path] | None = None) -> Path:
    """Give a 0700 directory of `user` for the socket: the cluster's neighbour, or a short one where its path is too
    long.

    Fails: `Refused` if none can be made.
    """
    beside = cluster.parent / "run"
    # libpq, asyncpg and postgres read a comma as the end of one of several; a quotation mark they read differently.
    if len(os.fsencode(beside / SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX and not {",", '"'} & set(str(beside)):
        return own_folder(beside, user, 0o700)
    name = hashlib.sha256(os.fsencode(cluster)).hexdigest()[:16]
    failures = []
    for root in _runtime_roots() if runtime_roots is None else runtime_roots:
        try:
            if not root.is_dir():
                root.mkdir(mode=0o711)
            folder = own_folder(root / f"interlock-{name}", user, 0o700)
        except (OSError, Refused) as error:
            failures.append(str(error))
            continue
        if user.is_us or can_enter(user, folder):
            return folder
        failures.append(f"{user.name} cannot enter {folder}")
    raise Refused(
        f"The path {beside / SOCKET_NAME} is longer than a socket's may be, and no short one can be had "
        f"({'; '.join(failures)}). Give a shorter --data.",
        code="NO_DATA_DIR",
    )


def own_folder(folder: Path, user: OsUser, mode: int) -> Path:
    """Make a folder that belongs to `user` with this mode, or see that it is so.

    Why:   in a shared place (/tmp) somebody may have made it first, to listen in.
    Fails: `Refused` if it is a link, somebody else's, or open for others to write.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        if folder.is_symlink() or not folder.is_dir() or found.st_uid != user.uid or found.st_mode & 0o022:
            raise Refused(f"{folder} exists and is not a directory of {user.name} alone.", code="NOT_OURS") from None
        if mode == 0o700:
            folder.chmod(mode)
        return folder
    folder.chmod(mode)
    if not user.is_us:
        os.chown(folder, user.uid, user.gid, follow_symlinks=False)
    return folder


def _initdb(programs: PgBinaries, user: OsUser, cluster: Path) -> None:
    """Fill an empty directory with a cluster that has the role as its superuser, and the database.

    Why: the builtin C.UTF-8 (17 and later) sorts the same on every machine and never changes under an index, as the C
         library's and ICU's do; before 17 it is the C library's, and where that has none, C. The database is made by a
         server in single-user mode, so that no cluster without it is ever renamed into its place.
    """
    if programs.version_major >= 17:
        locales: Sequence[tuple[str, ...]] = (("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),)
    else:
        locales = (("--locale=C.UTF-8",), ("--locale=C",))
    code, said = 1, ""
    for locale in locales:
        fixed = ("-U", ROLE, "--auth=trust", "--encoding=UTF8", "--lc-messages=C")
        code, said = run_as(user, (programs.initdb, "-D", cluster, *fixed, *locale))
        if code == 0 or "locale" not in said:
            break
    if code == 0:
        single = (programs.postgres, "--single", "-j", "-D", cluster, "-c", "exit_on_error=on", "template1")
        code, said = run_as(user, single, stdin=f"CREATE DATABASE {DATABASE};\n\n".encode())
    if code:
        raise StoreUnavailable(f"The database could not be set up in {cluster}:\n{said.strip()}")


def _new_state_dir(data_dir: Path, user: OsUser, roots: Sequence[Path]) -> Path:
    """Make a folder outside DATA that `user` can reach."""
    tried = []
    for root in roots:
        try:
            own_folder(root, current_user(), 0o711)
        except (OSError, Refused) as error:
            tried.append(str(error))
            continue
        if not can_enter(user, root):
            tried.append(f"{root}: {user.name} cannot enter it")
            continue
        _warn_of_predecessors(root, data_dir)
        folder = own_folder(root / secrets.token_hex(8), current_user(), 0o711)
        (folder / "belongs-to").write_text(f"{data_dir.absolute()}\n")
        _log.warning("%s cannot reach %s; the database lies in %s", user.name, home_of(data_dir), folder)
        return folder
    raise Refused(
        f"PostgreSQL does not run as root, and {user.name} can reach neither {home_of(data_dir)} nor another place "
        f"({'; '.join(tried)}). Give a --data directory that others may enter (chmod o+x on it and on those above), or "
        "run Interlock as an ordinary user.",
        code="NO_DATA_DIR",
    )


def _warn_of_predecessors(root: Path, data_dir: Path) -> None:
    for note in root.glob("*/belongs-to"):
        if note.read_text().strip() == str(data_dir.absolute()):
            _log.warning("%s holds the database of an earlier %s; delete it if it is not wanted", note.parent, data_dir)


def _runtime_roots() -> tuple[Path, ...]:
    uid = current_user().uid
    own = Path("/run/interlock") if uid == 0 else Path(f"/run/user/{uid}")
    return (own, Path("/tmp"))  # noqa: S108 — own_folder sees that the folder in it is ours
