"""How does everything that Interlock knows get out of one database and into another? By PostgreSQL's own dump.

For moving between the embedded PostgreSQL and one of your own, between major versions, and for a copy to keep. The
archive is `pg_dump`'s custom format; an older PostgreSQL's tools cannot read a newer one's. Ledger places survive: what
was never placed is placed when the restored database is first opened (`settle_restored` in `ledger.py`).

Source: DESIGN.md section 5; PostgreSQL documentation, pg_dump and pg_restore.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg

from interlock.model.errors import Conflict, Refused, StoreUnavailable
from interlock.store.queries import queries
from interlock.store.server.binaries import find_binaries

Q = queries("dump")


async def dump_database(url: str, file: Path, *, binaries: Path | None = None) -> None:
    """Write the whole database into `file`, which appears when it is complete. The database may be in use meanwhile.

    Fails: `Conflict` when the file exists; `StoreUnavailable` with what `pg_dump` said.
    """
    if file.exists():
        raise Conflict(f"{file} exists already; give another name.")
    partial = file.with_name(f"{file.name}.part")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    try:
        await _run(
            "pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--file", str(partial), url, at=binaries
        )
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


async def restore_database(url: str, file: Path, *, replace: bool = False, binaries: Path | None = None) -> None:
    """Load a dump, all or nothing. Nothing else may use the database meanwhile.

    Takes: `replace` drops what is there; without it a database that holds workspaces is refused.
    Fails: `Conflict` for such a database; `Refused` when there is no such file; `StoreUnavailable` with what
           `pg_restore` said.
    """
    if not file.is_file():
        raise Refused(f"There is no file {file}.")
    if not replace and await _holds_rows(url):
        raise Conflict("The database holds workspaces already. Give --replace to drop them for what the dump holds.")
    await _run(
        *("pg_restore", "--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction"),
        *("--exit-on-error", "--dbname", url, str(file)),
        at=binaries,
    )


async def _holds_rows(url: str) -> bool:
    try:
        conn = await asyncpg.connect(url, timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError) as cause:
        raise StoreUnavailable(f"PostgreSQL cannot be reached: {cause}") from cause
    try:
        return bool(await conn.fetchval(Q.find_workspace_table)) and bool(await conn.fetchval(Q.find_any_workspace))
    finally:
        await conn.close(timeout=5)


async def _run(program: str, *arguments: str, at: Path | None) -> None:
    """Run one of PostgreSQL's programs, from beside the server that would run."""
    path = find_binaries(prefer=at).bin_dir / program
    if not path.exists():
        raise Refused(f"There is no {program} beside {path.parent}/postgres; set INTERLOCK_POSTGRES_BIN.")
    process = await asyncio.create_subprocess_exec(
        str(path),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode:
        raise StoreUnavailable(f"{program} failed: {said.decode(errors='replace').strip()}")
