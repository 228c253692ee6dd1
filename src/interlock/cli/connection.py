"""Which server, which key, which workspace? Flags win over the environment, which wins over the file's context.

flag          environment           ~/.config/interlock/config.toml
--context     INTERLOCK_CONTEXT     current = "shop"       which of the contexts below
--url         INTERLOCK_URL         url                    (default http://127.0.0.1:8080)
--api-key     INTERLOCK_API_KEY     api_key
--workspace   INTERLOCK_WORKSPACE   workspace              (default: the only workspace that the key can see)

    current = "shop"
    [contexts.shop]
    url = "https://interlock.example.com"
    api_key = "…"
    workspace = "shop"

The three words may also stand at the top of the file, without contexts. `interlock login` and `interlock config` write
the file (`contexts.py`). A key of the file goes to the server that stands beside it and to no other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from interlock.cli.contexts import Context, config_path, load_config
from interlock.client import Client
from interlock.client.calls import RETRIES_MAX
from interlock.model.errors import Invalid, Unauthorized

DEFAULT_URL = "http://127.0.0.1:8080"


def connect(
    *,
    url: str | None,
    api_key: str | None,
    workspace: str | None,
    context: str | None = None,
    timeout_s: float = 30.0,
    retries_max: int = RETRIES_MAX,
) -> Client:
    """A client for what flags, environment and file say.

    Fails: `Unauthorized` without any key; `Invalid` when the workspace is not named and cannot be guessed, and when
           there is no such context.
    """
    known = Context() if url and api_key and workspace and not context else load_config().chosen(context)
    key, address = api_key or known.api_key, url or known.url or DEFAULT_URL
    if not api_key and known.api_key and _root(address) != _root(known.url or DEFAULT_URL):
        raise Unauthorized(
            f"The key in {config_path()} is for {known.url or DEFAULT_URL}, not for {address}: give --api-key."
        )
    if not key:
        raise Unauthorized(
            "No API key: run `interlock login`, give --api-key, set INTERLOCK_API_KEY, "
            f"or write one into {config_path()}."
        )
    client = Client(address, api_key=key, timeout_s=timeout_s, retries_max=retries_max)
    client.workspace = workspace or known.workspace or _only_workspace(client)
    return client


def _root(url: str) -> str:
    return url.rstrip("/").removesuffix("/api").rstrip("/")


def _only_workspace(client: Client) -> str:
    """The one workspace that this key can see."""
    seen = client.list_workspaces()
    if len(seen) != 1:
        slugs = ", ".join(sorted(each["slug"] for each in seen)) or "none"
        raise Invalid(f"Which workspace? Give --workspace or set INTERLOCK_WORKSPACE (this key sees: {slugs}).")
    return str(seen[0]["id"])


def connected(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the four flags and, as its first argument, the client they make."""

    @click.option("--url", envvar="INTERLOCK_URL", help=f"The server.  [env: INTERLOCK_URL; default: {DEFAULT_URL}]")
    @click.option("--api-key", envvar="INTERLOCK_API_KEY", help="The key.  [env: INTERLOCK_API_KEY]")
    @click.option(
        "-w",
        "--workspace",
        envvar="INTERLOCK_WORKSPACE",
        help="Slug or id.  [env: INTERLOCK_WORKSPACE; default: the only one]",
    )
    @click.option("--context", envvar="INTERLOCK_CONTEXT", help="One of the file's contexts.  [env: INTERLOCK_CONTEXT]")
    @functools.wraps(command)
    def with_client(
        *args: Any, url: str | None, api_key: str | None, workspace: str | None, context: str | None, **kwargs: Any
    ) -> Any:
        with connect(url=url, api_key=api_key, workspace=workspace, context=context) as client:
            return command(client, *args, **kwargs)

    return with_client
