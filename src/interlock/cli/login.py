"""`interlock login`: keep a server and a key as a context, so that no command has to be told.

    interlock login https://interlock.example.com                        asks for the key
    interlock login https://interlock.example.com -w shop --name prod
    printf %s "$KEY" | interlock login https://interlock.example.com --key-stdin

The key is tried before it is kept. A key comes from the console (your name, Keys), from `interlock keys create`, or
from whoever runs the server.
"""

from __future__ import annotations

import sys

import click

from interlock.cli.connection import DEFAULT_URL
from interlock.cli.contexts import Context, load_config, save_config
from interlock.cli.tables import output_option, print_one
from interlock.client import Client
from interlock.client.calls import host_of
from interlock.model.errors import Invalid


@click.command()
@click.argument("url", default=DEFAULT_URL, metavar="[URL]")
@click.option("-w", "--workspace", help="Slug or id.  [default: the only one, else none]")
@click.option("--name", help="What the context is called.  [default: the server's host]")
@click.option("--key-stdin", is_flag=True, help="Read the key from stdin, as in a script.")
@output_option
def login(url: str, *, workspace: str | None, name: str | None, key_stdin: bool, output: str) -> None:
    r"""Keep a server and a key for the commands to come.

    The key is tried first. The file is readable by you alone; `interlock config list` shows what is in it.

    \b
    interlock login https://interlock.example.com -w shop
    """
    if key_stdin:
        key = sys.stdin.readline().strip()
    else:
        if not sys.stdin.isatty():
            raise Invalid("There is nobody to ask for the key. Give --key-stdin and the key on stdin.")
        key = click.prompt("API key", hide_input=True, err=True).strip()
    if not key:
        raise Invalid("The key is empty.")
    with Client(url, api_key=key) as client:
        seen = {each["slug"]: each["id"] for each in client.list_workspaces()}
    if workspace is None and len(seen) == 1:
        (workspace,) = seen
    if workspace is not None and workspace not in {*seen, *seen.values()}:
        raise Invalid(f"The key does not see a workspace {workspace} (it sees: {', '.join(sorted(seen)) or 'none'}).")
    called = name or host_of(url)
    path = save_config(load_config().with_context(called, Context(url, key, workspace)))
    where = f"workspace {workspace}" if workspace else f"workspaces {', '.join(sorted(seen))}; give -w to commands"
    said = {"name": called, "url": url, "current": True, **({"workspace": workspace} if workspace else {})}
    print_one(said, output=output, text=f"context {called}: {url}, {where}. Kept in {path}.", kind="context")
