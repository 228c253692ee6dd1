"""What stands where a `secretRef` points? Vault is a process of its own on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from interlock.model.errors import Rejected, Unavailable
from interlock.outside.http import Http
from interlock.outside.references import EnvProvider, FileProvider, References, VaultProvider

HUSH = "hunter2-hunter2"


@dataclass
class Stub:
    url: str

    def holds(self, **state: Any) -> None:
        httpx.put(f"{self.url}/stub", content=json.dumps(state), trust_env=False)

    @property
    def reads(self) -> int:
        return int(httpx.get(f"{self.url}/stub", trust_env=False).json()["reads"])


@pytest.fixture(scope="module")
def vault_process() -> Iterator[Stub]:
    stub = Path(__file__).with_name("vault_stub.py")
    with subprocess.Popen(
        [sys.executable, str(stub)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield Stub(f"http://127.0.0.1:{process.stdout.readline().strip()}")
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def vault(vault_process: Stub) -> Stub:
    data = {"secret/data/interlock/shop/api/db": {"user": "shop", "password": HUSH}}
    vault_process.holds(token="root", data={**data, "secret/data/interlock/shop/gone": None})
    return vault_process


def reference(provider: str, path: str, key: str | None = None) -> dict[str, Any]:
    return {"provider": provider, "path": path, **({"key": key} if key else {})}


async def ask(
    stub: Stub, path: str, key: str | None = "password", *, workspace: str = "shop", token: str = "root"
) -> Any:
    async with Http(allow_private_addresses=True) as http:
        references = References([VaultProvider(http, address=stub.url, token=token)])
        return await references.resolve(reference("vault", path, key), workspace=workspace)


async def test_vault_gives_one_key_of_a_secret(vault: Stub) -> None:
    assert await ask(vault, "api/db") == HUSH


@pytest.mark.parametrize(
    ("path", "key", "said"),
    [
        ("api/nothing", "password", "Vault has nothing at secret/interlock/shop/api/nothing"),
        ("gone", "password", "its newest version is deleted"),
        ("api/db", "passwort", "there is no such key"),
        ("api/db", None, "2 keys stand there; the reference must name one"),
        ("../bank/db", "password", "the path must be names"),
        ("/api/db", "password", "the path must be names"),
        ("api//db", "password", "the path must be names"),
        ("api/db?version=1", "password", "the path must be names"),
        ("api/%2e%2e/db", "password", "the path must be names"),
    ],
)
async def test_what_is_not_there_names_the_reference_and_no_value(
    vault: Stub, path: str, key: str | None, said: str
) -> None:
    with pytest.raises(Rejected) as refused:
        await ask(vault, path, key)
    assert refused.value.message.startswith(f"vault:{path}{f'#{key}' if key else ''} cannot be had: ")
    assert said in refused.value.message
    assert HUSH not in refused.value.message


async def test_another_workspace_has_another_place(vault: Stub) -> None:
    with pytest.raises(Rejected, match="secret/interlock/bank/api/db"):
        await ask(vault, "api/db", workspace="bank")


async def test_a_token_that_may_not_is_told_as_such(vault: Stub) -> None:
    with pytest.raises(Rejected, match="policy does not let Interlock read secret/interlock/shop/api/db"):
        await ask(vault, "api/db", token="other")


async def test_a_sealed_vault_and_one_that_is_away_may_be_asked_again(vault: Stub) -> None:
    vault.holds(sealed=True)
    with pytest.raises(Unavailable, match=r"vault:api/db#password cannot be had now: Vault answers 503: it is sealed"):
        await ask(vault, "api/db")
    with pytest.raises(Unavailable, match=r"vault:api/db#password cannot be had now: Vault does not answer"):
        await ask(Stub("http://127.0.0.1:1"), "api/db")


async def test_a_token_file_is_read_anew_for_each_call(vault: Stub, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    async with Http(allow_private_addresses=True) as http:
        provider = VaultProvider(http, address=vault.url, token_file=file)
        with pytest.raises(Rejected, match="token"):
            await provider.fetch("api/db", workspace="shop")
        file.write_text("root\n")
        assert (await provider.fetch("api/db", workspace="shop"))["password"] == HUSH


async def test_jobs_that_start_together_ask_once_and_a_failure_is_not_remembered(vault: Stub) -> None:
    async with Http(allow_private_addresses=True) as http:
        references = References([VaultProvider(http, address=vault.url, token="root")])

        async def one(key: str) -> Any:
            return await references.resolve(reference("vault", "api/db", key), workspace="shop")

        assert await asyncio.gather(*[one("password") for _ in range(20)], one("user")) == [HUSH] * 20 + ["shop"]
        assert vault.reads == 1
        vault.holds(token="root", data={})
        for _ in range(2):
            with pytest.raises(Rejected):
                await references.resolve(reference("vault", "other", "x"), workspace="shop")
        assert vault.reads == 2


async def test_a_value_that_changed_is_seen_when_it_is_no_longer_remembered(vault: Stub) -> None:
    async with Http(allow_private_addresses=True) as http:
        references = References([VaultProvider(http, address=vault.url, token="root")], cache_s=0)
        wanted = reference("vault", "api/db", "password")
        assert await references.resolve(wanted, workspace="shop") == HUSH
        vault.holds(token="root", data={"secret/data/interlock/shop/api/db": {"password": "new"}})
        assert await references.resolve(wanted, workspace="shop") == "new"


async def test_the_environment_is_read_where_the_operator_set_a_value_apart() -> None:
    values = {"INTERLOCK_VALUE__SHOP_EU__DB": '{"password": "hush"}', "INTERLOCK_VALUE__SHOP__EU": "no"}
    references = References([EnvProvider(values)])
    assert await references.resolve(reference("env", "DB", "password"), workspace="shop-eu") == "hush"
    for path, workspace in (
        ("DB", "shop"),
        ("EU__DB", "shop"),
        ("_DB", "shop-eu"),
        ("PATH", "shop"),
        ("db", "shop-eu"),
    ):
        with pytest.raises(Rejected, match=f"env:{path} cannot be had"):
            await references.resolve(reference("env", path), workspace=workspace)


async def test_files_are_read_below_the_workspaces_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "shop" / "..data").mkdir(parents=True)
    (tmp_path / "shop" / "..data" / "password").write_text(f"{HUSH}\n")
    (tmp_path / "shop" / "password").symlink_to("..data/password")
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "password").write_text("theirs")
    (tmp_path / "shop" / "out").symlink_to(tmp_path / "bank" / "password")
    (tmp_path / "shop" / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "shop" / "large").write_bytes(b"x" * 70_000)
    references = References([FileProvider(tmp_path)])

    async def read(path: str) -> Any:
        return await references.resolve(reference("file", path), workspace="shop")

    assert await read("password") == HUSH, "as Kubernetes mounts it"
    for path in ("../bank/password", "out", "nothing", "password/deeper", str(tmp_path / "bank" / "password"), ".", ""):
        with pytest.raises(Rejected):
            await read(path)
    for path, said in (("binary", "is not text"), ("large", "larger than 65,536 bytes")):
        with pytest.raises(Rejected, match=said):
            await read(path)
    os.mkfifo(tmp_path / "shop" / "pipe")
    with pytest.raises(Rejected, match="no such file"):
        await read("pipe")


async def test_what_no_operator_set_up_says_what_to_set() -> None:
    async with Http() as http:
        references = References([FileProvider(None), VaultProvider(http, address=None)])
        for provider, setting in (("file", "INTERLOCK_REFERENCE_FILES"), ("vault", "INTERLOCK_VAULT_ADDR")):
            with pytest.raises(Rejected, match=setting):
                await references.resolve(reference(provider, "a"), workspace="shop")
        with pytest.raises(
            Rejected, match="aws:a cannot be had: there is no provider of that name; there are file, vault"
        ):
            await references.resolve(reference("aws", "a"), workspace="shop")
