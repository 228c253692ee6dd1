"""Where are secrets kept, and who gets them back? On a real database."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import TEST_KEY
from interlock.model.errors import Refused
from interlock.model.event import Actor
from interlock.model.secret import Where, masked
from interlock.outside.secrets import KeyMissing, Keyring, name_of, new_key
from interlock.store.principals import save_principal
from interlock.store.secrets import Secrets
from interlock.store.tx import Store
from interlock.store.workspaces import create_workspace

OURS = Actor("system", "00000000-0000-0000-0000-000000000000")


@pytest.fixture
async def workspace_id(store: Store) -> str:
    async with store.tx(actor=OURS, cause="test") as tx:
        return await create_workspace(tx, "Shop", slug="shop", creator_id=await save_principal(tx, "ada"))


async def sealed(store: Store, workspace_id: str, document: Any, before: Any = None) -> Any:
    async with store.tx(actor=OURS, cause="test", workspace_id=workspace_id) as tx:
        return await tx.secrets.seal_document(tx.conn, workspace_id, document, where=Where.AGENT_CONFIG, before=before)


async def test_a_document_keeps_no_value_and_gets_it_back(store: Store, workspace_id: str) -> None:
    stored = await sealed(store, workspace_id, {"serverUrl": "argo.test", "apiKey": "hush"})
    assert "hush" not in repr(stored)
    async with store.read() as conn:
        assert await store.secrets.open_document(conn, workspace_id, stored) == {
            "serverUrl": "argo.test",
            "apiKey": "hush",
        }


async def test_the_same_value_is_the_same_marker_and_one_row(store: Store, workspace_id: str) -> None:
    first = await sealed(store, workspace_id, {"apiKey": "hush"})
    assert await sealed(store, workspace_id, {"apiKey": "hush"}) == first
    assert await sealed(store, workspace_id, {"apiKey": "Hush"}) != first
    async with store.read() as conn:
        assert await conn.fetchval("SELECT count(*) FROM secret") == 2


async def test_another_workspace_opens_nothing(store: Store, workspace_id: str) -> None:
    stored = await sealed(store, workspace_id, {"apiKey": "hush"})
    async with store.tx(actor=OURS, cause="test") as tx:
        other = await create_workspace(tx, "Bank", slug="bank", creator_id=await save_principal(tx, "ada"))
    async with store.read() as conn:
        assert await store.secrets.open_document(conn, other, stored) == masked(stored)


async def test_a_rotation_changes_no_marker_and_goes_on_where_it_stopped(store: Store, workspace_id: str) -> None:
    stored = await sealed(store, workspace_id, {"secrets": [f"number {number}" for number in range(7)]})
    newer = new_key()
    async with store.read() as conn:
        half = Secrets(Keyring([newer, TEST_KEY]))
        assert await half.reseal(conn, rows_max=3) == 4  # the key of digests, and three
        assert await half.count_by_key(conn) == {name_of(newer): 4, name_of(TEST_KEY): 4}
        again = Secrets(Keyring([newer, TEST_KEY]))
        assert await again.reseal(conn, rows_max=3) == 3
        assert await again.reseal(conn, rows_max=3) == 1
        assert await again.reseal(conn, rows_max=3) == 0
        alone = Secrets(Keyring([newer]))
        opened = await alone.open_document(conn, workspace_id, stored)
        assert opened["secrets"][6] == "number 6"
        resealed = await alone.seal_document(conn, workspace_id, opened, where=Where.AGENT_CONFIG)
        assert resealed == stored


async def test_a_wrong_key_is_refused_by_name_at_the_start(store: Store, workspace_id: str) -> None:
    await sealed(store, workspace_id, {"apiKey": "hush"})
    async with store.read() as conn:
        with pytest.raises(KeyMissing, match=f"sealed with key {name_of(TEST_KEY)}, which is not among ours"):
            await Secrets(Keyring([new_key()])).start(conn)


async def test_without_keys_nothing_is_sealed_and_what_holds_no_secret_is_written(
    store: Store, workspace_id: str
) -> None:
    none = Secrets(None)
    async with store.read() as conn:
        with pytest.raises(Refused, match="INTERLOCK_SECRET_KEYS"):
            await none.seal_document(conn, workspace_id, {"apiKey": "hush"}, where=Where.AGENT_CONFIG)
        assert await none.seal_document(conn, workspace_id, {"a": 1}, where=Where.AGENT_CONFIG) == {"a": 1}


async def test_what_a_transaction_that_failed_sealed_first_is_no_key_of_digests(
    store: Store, workspace_id: str
) -> None:
    lost = ""

    async def fail() -> None:
        nonlocal lost
        async with store.tx(actor=OURS, cause="test", workspace_id=workspace_id) as tx:
            lost = await tx.secrets.seal(tx.conn, workspace_id, "hush")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    kept = await sealed(store, workspace_id, {"apiKey": "hush"})
    assert kept["apiKey"]["$secret"] != lost
    async with store.read() as conn:
        assert await Secrets(Keyring([TEST_KEY])).open_document(conn, workspace_id, kept) == {"apiKey": "hush"}
