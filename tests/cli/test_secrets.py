"""Keys that seal secrets, changed by a person with the database at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from interlock.app import bootstrap, keyring, load_settings, open_store, rotate_secrets, secret_keys_in_use
from interlock.cli.secrets import secrets
from interlock.model.errors import Refused
from interlock.model.secret import Where
from interlock.outside.secrets import KEY_FILE, KeyMissing, name_of, new_key, parse_keys, read_keys
from interlock.store.workspaces import find_workspace


@pytest.fixture
def settings(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("INTERLOCK_SECRET_KEYS", raising=False)
    return load_settings(data=tmp_path / "data", database_url=database_url)


async def keep(settings: Any, count: int) -> tuple[str, Any]:
    """Seal some secrets; gives the workspace's id and the stored document."""
    async with open_store(settings, settings.database_url) as store:
        await bootstrap(store, settings)
        async with store.read() as conn:
            workspace = await find_workspace(conn, "default")
            assert workspace is not None
            document = {"secrets": [f"number {number}" for number in range(count)]}
            return workspace.id, await store.secrets.seal_document(
                conn, workspace.id, document, where=Where.AGENT_CONFIG
            )


async def test_the_first_start_makes_a_key_file_and_the_second_uses_it(settings: Any) -> None:
    first = (await keyring(settings, settings.database_url)).newest
    file = settings.data / KEY_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert (await keyring(settings, settings.database_url)).newest == first


async def test_a_key_file_that_is_gone_is_missed_and_not_made_again(settings: Any) -> None:
    await keep(settings, 1)
    file = settings.data / KEY_FILE
    kept = file.read_text()
    file.unlink()
    with pytest.raises(KeyMissing, match=f"bring .*{KEY_FILE} back"):
        await keyring(settings, settings.database_url)
    assert not file.exists()
    other = load_settings(data=settings.data, database_url=settings.database_url, secret_keys=new_key())
    with pytest.raises(KeyMissing, match="not among ours"):
        async with open_store(other, other.database_url):
            raise AssertionError
    same = load_settings(data=settings.data, database_url=settings.database_url, secret_keys=",".join(parse_keys(kept)))
    async with open_store(same, same.database_url):
        pass


async def test_a_rotation_with_a_new_key_reaches_a_process_that_runs(settings: Any) -> None:
    workspace_id, stored = await keep(settings, 3)
    old = read_keys(settings.data / KEY_FILE)[0]
    async with open_store(settings, settings.database_url) as running:
        done = await rotate_secrets(settings, fresh=True, drop=True)
        assert (done.sealed, done.dropped) == (4, (name_of(old),))
        retired = settings.data / f"{KEY_FILE}.retired"
        assert (read_keys(retired), retired.stat().st_mode & 0o777) == ((old,), 0o600)
        async with running.read() as conn:
            opened = await running.secrets.open_document(conn, workspace_id, stored)
        assert opened == {"secrets": ["number 0", "number 1", "number 2"]}
        assert running.secrets.keyring.names == (done.newest,)
        async with running.read() as conn:
            assert await conn.fetchval("SELECT count(*) FROM ledger WHERE kind = 'secrets.rotated'") == 1
    (only,) = await secret_keys_in_use(settings)
    assert (only.name, only.seals, only.known) == (done.newest, 4, True)
    again = await rotate_secrets(settings, fresh=False, drop=False)
    assert (again.sealed, again.idle) == (0, ())


async def test_keys_of_the_environment_are_rotated_by_whoever_sets_them(settings: Any) -> None:
    await keep(settings, 2)
    old, fresh = read_keys(settings.data / KEY_FILE)[0], new_key()
    both = load_settings(data=settings.data, database_url=settings.database_url, secret_keys=f"{fresh}, {old}")
    with pytest.raises(Refused, match="which this command cannot change"):
        await rotate_secrets(both, fresh=True, drop=False)
    done = await rotate_secrets(both, fresh=False, drop=False)
    assert (done.sealed, done.newest, done.idle, done.file) == (3, name_of(fresh), (name_of(old),), False)


def test_the_commands_say_what_they_did(settings: Any) -> None:
    run = CliRunner()
    flags = ["--data", str(settings.data), "--database-url", settings.database_url]
    rotated = run.invoke(secrets, ["rotate", "--new-key", *flags])
    assert rotated.exit_code == 0, rotated.output
    assert rotated.output.startswith("Sealed 1 value again. Key ")
    assert "take them with --drop-old" in rotated.output
    assert rotated.output.count("\n") == 2
    shown = run.invoke(secrets, ["status", *flags])
    assert shown.exit_code == 0, shown.output
    assert shown.output.split()[:3] == ["KEY", "SEALS", "KNOWN"]
    for key in read_keys(settings.data / KEY_FILE):
        assert key not in shown.output + rotated.output
        assert name_of(key) in shown.output
    assert len(run.invoke(secrets, ["key"]).output.strip()) == 44
