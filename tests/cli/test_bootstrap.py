"""The first key: made once, or given; and the way in when every key is lost."""

from __future__ import annotations

import pytest

from interlock.app import bootstrap, create_key, load_settings, write_address
from interlock.model.errors import Invalid, NotFound
from interlock.store.bindings import load_bindings
from interlock.store.principals import find_caller
from interlock.store.workspaces import find_workspace

GIVEN = "0123456789abcdef." + "ab" * 32


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in ("API_KEY", "WORKSPACE"):
        monkeypatch.delenv(f"INTERLOCK_BOOTSTRAP_{name}", raising=False)


async def test_the_first_start_makes_an_admin_a_key_and_a_workspace_and_the_second_nothing(store):
    first = await bootstrap(store, load_settings())
    assert first.workspace == "default"
    caller = await find_caller(store, first.key)
    assert caller.system_admin
    second = await bootstrap(store, load_settings())
    assert (second.key, second.workspace) == (None, None)


async def test_a_given_key_opens_and_is_not_printed(store):
    welcome = await bootstrap(store, load_settings(bootstrap_api_key=GIVEN, bootstrap_workspace="shop"))
    assert (welcome.key, welcome.workspace) == (None, "shop")
    caller = await find_caller(store, GIVEN)
    async with store.read() as conn:
        workspace = await find_workspace(conn, "shop")
        bindings = await load_bindings(conn, workspace.id, principal_id=caller.id)
    assert [binding.role for binding in bindings] == ["admin"]


async def test_a_key_and_a_workspace_may_be_given_later(store):
    await bootstrap(store, load_settings())
    await bootstrap(store, load_settings(bootstrap_api_key=GIVEN, bootstrap_workspace="later"))
    assert await find_caller(store, GIVEN) is not None
    async with store.read() as conn:
        assert await find_workspace(conn, "later") is not None


async def test_a_given_key_of_another_form_is_refused(store):
    with pytest.raises(Invalid):
        await bootstrap(store, load_settings(bootstrap_api_key="secret"))


async def test_a_key_can_be_made_with_the_database_alone(store):
    await bootstrap(store, load_settings())
    settings = load_settings(database_url=store.url)
    key = await create_key(settings, user="ada", workspace="default", role="approver", name="")
    assert (await find_caller(store, key)).name == "ada"
    with pytest.raises(NotFound):
        await create_key(settings, user="ada", workspace="nowhere", role="approver", name="")


def test_a_setting_that_cannot_be_is_named():
    with pytest.raises(Invalid, match="INTERLOCK_PORT"):
        load_settings(port=70_000)


def test_the_address_file_is_for_our_user_alone(tmp_path):
    path = write_address(tmp_path, "http://127.0.0.1:1")
    write_address(tmp_path, "http://127.0.0.1:2")
    assert path.stat().st_mode & 0o777 == 0o600
    assert '"url": "http://127.0.0.1:2"' in path.read_text()
