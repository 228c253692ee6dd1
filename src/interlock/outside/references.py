"""What stands where a `secretRef` points? Values that Interlock does not keep: it asks for them when a job starts.

    {"secretRef": {"provider": "env",   "path": "DB_PASSWORD"}}
    {"secretRef": {"provider": "file",  "path": "db/password"}}
    {"secretRef": {"provider": "vault", "path": "shop/db", "key": "password"}}

A provider is one verb, `fetch`: the text, or the map, that stands at a path. `key` takes one entry of a map; a text
that is a JSON object is one. Whoever may write a deployment chooses the path, so a provider only ever looks in the
place that the operator set apart for that workspace:

    env     INTERLOCK_VALUE__<SLUG>__<PATH>, in capitals, `-` as `_`: INTERLOCK_VALUE__SHOP__DB_PASSWORD
    file    INTERLOCK_REFERENCE_FILES/<slug>/<path>, nothing that leads out of that folder
    vault   <mount>/<prefix>/<slug>/<path> of the Vault at INTERLOCK_VAULT_ADDR: KV version 2, its newest version

A value is remembered for `CACHE_S`, in memory alone, so that 500 jobs of one rollout are not 500 calls; what could not
be had is asked for again each time. A store that does not answer holds the job until it does (`Unavailable`); a path
that leads nowhere, or that Vault's policy refuses, ends its start (`Rejected`). Both name the reference, never a value.

Source: HashiCorp Vault, HTTP API, "KV Secrets Engine - Version 2", "Read secret version"; issue 4.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self
from urllib.parse import quote

from interlock.clock import monotonic_s
from interlock.model.errors import Rejected, Unavailable
from interlock.model.secret import spoken
from interlock.outside.http import Http
from interlock.settings import Settings, outside_values

CACHE_S = 30.0
CACHED_MAX = 2_000
REFERENCES_MAX = 100
"""References that one document may hold."""
VALUE_BYTES_MAX = 64 * 1024
TIMEOUT_S = 10.0
ENV_PREFIX = "INTERLOCK_VALUE__"

_ENV_NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
_STEP = re.compile(r"[A-Za-z0-9_.@-]+")


class Provider(Protocol):
    """One outside store."""

    kind: ClassVar[str]

    async def fetch(self, path: str, *, workspace: str) -> Any:
        """What stands at a path for a workspace (its slug): text, or a map.

        Fails: `Rejected` with the rest of the sentence "<reference> cannot be had: …" where there is nothing for good;
               `Unavailable` likewise, where it may be there later.
        """
        ...


class EnvProvider:
    """Variables of Interlock's own environment that an operator set apart."""

    kind: ClassVar[str] = "env"

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    async def fetch(self, path: str, *, workspace: str) -> Any:
        """The variable's text."""
        if not _ENV_NAME.fullmatch(path):
            raise Rejected("the path must be capitals, digits and single underscores.")
        name = f"{ENV_PREFIX}{workspace.upper().replace('-', '_')}__{path}"
        if name not in self._values:
            raise Rejected(f"Interlock has no environment variable {name}.")
        return self._values[name]


class FileProvider:
    """Files below a folder of the workspace, as Kubernetes and Docker mount secrets."""

    kind: ClassVar[str] = "file"

    def __init__(self, root: Path | None) -> None:
        self._root = root

    async def fetch(self, path: str, *, workspace: str) -> Any:
        """The file's text, without a line end at its end."""
        if self._root is None:
            raise Rejected("this Interlock reads no files; an operator sets INTERLOCK_REFERENCE_FILES.")
        return await asyncio.to_thread(self._read, self._root, path, workspace)

    def _read(self, root: Path, path: str, workspace: str) -> str:
        if not _steps(path):
            raise Rejected("the path must be names with `/` between them.")
        try:
            folder = (root / workspace).resolve(strict=True)
            file = (folder / path).resolve(strict=True)
            if not file.is_relative_to(folder) or not file.is_file():
                raise Rejected("there is no such file in the workspace's folder.")
            with file.open("rb") as opened:
                content = opened.read(VALUE_BYTES_MAX + 1)
            text = content.decode()
        except (FileNotFoundError, NotADirectoryError, RuntimeError):
            raise Rejected("there is no such file in the workspace's folder.") from None
        except UnicodeDecodeError:
            raise Rejected("the file is not text.") from None
        except OSError as failed:
            raise Unavailable(f"the file cannot be read ({failed.strerror}).") from None
        if len(content) > VALUE_BYTES_MAX:
            raise Rejected(f"the file is larger than {VALUE_BYTES_MAX:,} bytes.")
        return text.removesuffix("\n").removesuffix("\r")


class VaultProvider:
    """A KV version 2 engine of HashiCorp Vault, or of OpenBao.

    Takes: `http` may call private addresses, because the operator chose the address. `token` is read anew from
           `token_file` before each call, because Vault Agent puts a fresh one there.
    """

    kind: ClassVar[str] = "vault"

    def __init__(
        self,
        http: Http,
        *,
        address: str | None,
        token: str | None = None,
        token_file: Path | None = None,
        namespace: str | None = None,
        mount: str = "secret",
        prefix: str = "interlock",
    ) -> None:
        self._http = http
        self._address = address
        self._token = token
        self._token_file = token_file
        self._namespace = namespace
        self._mount = mount
        self._prefix = prefix

    async def fetch(self, path: str, *, workspace: str) -> Any:
        """The map of the newest version."""
        if self._address is None:
            raise Rejected("this Interlock has no Vault; an operator sets INTERLOCK_VAULT_ADDR.")
        steps = _steps(path)
        if not steps:
            raise Rejected("the path must be names with `/` between them.")
        inside = "/".join(quote(step, safe="") for step in (*_steps(self._prefix), workspace, *steps))
        url = f"{self._address.rstrip('/')}/v1/{self._mount.strip('/')}/data/{inside}"
        headers = {"X-Vault-Token": await asyncio.to_thread(self._read_token), "X-Vault-Request": "true"}
        if self._namespace:
            headers["X-Vault-Namespace"] = self._namespace
        try:
            answer = await self._http.send(
                "GET", url, headers=headers, timeout_s=TIMEOUT_S, answer_bytes_max=VALUE_BYTES_MAX * 4
            )
        except Unavailable as silent:
            raise Unavailable(f"Vault does not answer: {silent.message}") from None
        match answer.status:
            case 200:
                return _kv2(answer.body, truncated=answer.truncated)
            case 404:
                raise Rejected(f"Vault has nothing at {self._mount}/{inside}, or its newest version is deleted.")
            case 403:
                raise Rejected(
                    f"Vault's policy does not let Interlock read {self._mount}/{inside}, or its token ended."
                )
            case 429 | 472 | 473 | 500 | 502 | 503 | 504:
                raise Unavailable(f"Vault answers {answer.status}: it is sealed, standing by, or overloaded.")
            case other:
                raise Rejected(f"Vault answers {other}.")

    def _read_token(self) -> str:
        if self._token_file is None:
            return self._token or ""
        try:
            return self._token_file.read_text().strip()
        except OSError as failed:
            raise Unavailable(f"Vault's token file cannot be read ({failed.strerror}).") from None


def _kv2(body: bytes, *, truncated: bool) -> dict[str, Any]:
    """The data of a KV version 2 answer: `{"data": {"data": {…}, "metadata": {…}}}`."""
    if truncated:
        raise Rejected("Vault's answer is too large.")
    try:
        data = json.loads(body)["data"]["data"]
    except (ValueError, KeyError, TypeError):
        data = None
    if not isinstance(data, dict):
        raise Rejected("Vault's answer is not that of a KV version 2 engine.")
    return data


class References:
    """The outside stores of this process, by the word that a reference has for them. Closed at its end."""

    def __init__(self, providers: Sequence[Provider], *, http: Http | None = None, cache_s: float = CACHE_S) -> None:
        self._providers = {one.kind: one for one in providers}
        self._http = http
        self._cache_s = cache_s
        self._cached: dict[tuple[str, str, str], tuple[float, Any]] = {}
        self._asking: dict[tuple[str, str, str], asyncio.Lock] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        if self._http is not None:
            await self._http.close()

    async def resolve(self, reference: Mapping[str, Any], *, workspace: str) -> Any:
        """What a reference leads to.

        Takes: `workspace` is the slug.
        Fails: `Rejected` or `Unavailable`, naming the reference.
        """
        name = spoken(reference)
        provider = self._providers.get(str(reference["provider"]))
        if provider is None:
            known = ", ".join(sorted(self._providers))
            raise Rejected(f"{name} cannot be had: there is no provider of that name; there are {known}.")
        try:
            found = await self._fetch(provider, str(reference["path"]), workspace)
            return _entry(found, reference.get("key"))
        except Rejected as nothing:
            raise Rejected(f"{name} cannot be had: {nothing.message}") from None
        except Unavailable as silent:
            raise Unavailable(f"{name} cannot be had now: {silent.message}") from None

    async def _fetch(self, provider: Provider, path: str, workspace: str) -> Any:
        """The provider's answer, or the one that it gave a moment ago; asked once for all who ask together."""
        place = (provider.kind, workspace, path)
        async with self._asking.setdefault(place, asyncio.Lock()):
            at_s, value = self._cached.get(place, (0.0, None))
            if place in self._cached and monotonic_s() - at_s < self._cache_s:
                return value
            value = await provider.fetch(path, workspace=workspace)
            if len(self._cached) >= CACHED_MAX:
                self._cached.clear()
                self._asking = {place: self._asking[place]}
            self._cached[place] = (monotonic_s(), value)
            return value


def _entry(found: Any, key: object) -> Any:
    """The part of what was found that the reference means."""
    if key is None:
        if isinstance(found, dict) and len(found) == 1:
            return next(iter(found.values()))
        if isinstance(found, dict):
            raise Rejected(f"{len(found)} keys stand there; the reference must name one.")
        return found
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError:
            found = None
    if not isinstance(found, dict) or str(key) not in found:
        raise Rejected("there is no such key.")
    return found[str(key)]


def _steps(path: str) -> tuple[str, ...]:
    """The names of a path; none for one that is absolute, leads upwards, or holds what needs escaping."""
    steps = tuple(path.split("/")) if path else ()
    return steps if all(_STEP.fullmatch(step) and step.strip(".") for step in steps) else ()


def build_references(settings: Settings) -> References:
    """The providers that the settings allow."""
    http = Http(allow_private_addresses=True, allow_metadata_addresses=True)
    vault = VaultProvider(
        http,
        address=settings.vault_addr,
        token=settings.vault_token,
        token_file=settings.vault_token_file,
        namespace=settings.vault_namespace,
        mount=settings.vault_mount,
        prefix=settings.vault_prefix,
    )
    providers: tuple[Provider, ...] = (
        EnvProvider(outside_values(ENV_PREFIX)),
        FileProvider(settings.reference_files),
        vault,
    )
    return References(providers, http=http)
