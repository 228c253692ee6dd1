"""Which server, which key, which workspace? Flags win over the environment, which wins over the file.

flag          environment           ~/.config/interlock/config.toml
--url         INTERLOCK_URL         url         (default http://127.0.0.1:8080)
--api-key     INTERLOCK_API_KEY     api_key
--workspace   INTERLOCK_WORKSPACE   workspace   (default: the only workspace that the key can see)
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from interlock.client import Client
from interlock.model.errors import Invalid, Unauthorized

DEFAULT_URL = "http://127.0.0.1:8080"


def config_path() -> Path:
    """Where the file is (XDG Base Directory Specification: `$XDG_CONFIG_HOME`, else `~/.config`)."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "interlock" / "config.toml"


def load_config() -> dict[str, str]:
    """The file's three words; empty when there is no file.

    Fails: `Invalid` when the file is no TOML or holds another word, so that a typing error does not pass in silence.
    """
    import tomllib

    path = config_path()
    try:
        read = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as cause:
        raise Invalid(f"{path} cannot be read: {cause}") from cause
    for key, value in read.items():
        if key not in {"url", "api_key", "workspace"} or not isinstance(value, str):
            raise Invalid(f"{path}: {key} is not one of url, api_key, workspace as text.")
    return read


def connect(*, url: str | None, api_key: str | None, workspace: str | None) -> Client:
    """A client for what flags, environment and file say.

    Fails: `Unauthorized` without any key; `Invalid` when the workspace is not named and cannot be guessed.
    """
    config = {} if url and api_key and workspace else load_config()
    key = api_key or config.get("api_key")
    if not key:
        raise Unauthorized(
            f'No API key: give --api-key, set INTERLOCK_API_KEY, or write api_key = "…" into {config_path()}.'
        )
    client = Client(url or config.get("url") or DEFAULT_URL, api_key=key)
    client.workspace = workspace or config.get("workspace") or _only_workspace(client)
    return client


def _only_workspace(client: Client) -> str:
    """The one workspace that this key can see."""
    seen = client.list_workspaces()
    if len(seen) != 1:
        slugs = ", ".join(sorted(each["slug"] for each in seen)) or "none"
        raise Invalid(f"Which workspace? Give --workspace or set INTERLOCK_WORKSPACE (this key sees: {slugs}).")
    return str(seen[0]["id"])


def connected(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the three flags and, as its first argument, the client they make."""

    @click.option("--url", envvar="INTERLOCK_URL", help=f"The server.  [env: INTERLOCK_URL; default: {DEFAULT_URL}]")
    @click.option("--api-key", envvar="INTERLOCK_API_KEY", help="The key.  [env: INTERLOCK_API_KEY]")
    @click.option(
        "-w",
        "--workspace",
        envvar="INTERLOCK_WORKSPACE",
        help="Slug or id.  [env: INTERLOCK_WORKSPACE; default: the only one]",
    )
    @functools.wraps(command)
    def with_client(*args: Any, url: str | None, api_key: str | None, workspace: str | None, **kwargs: Any) -> Any:
        with connect(url=url, api_key=api_key, workspace=workspace) as client:
            return command(client, *args, **kwargs)

    return with_client
