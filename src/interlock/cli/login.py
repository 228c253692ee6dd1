"""`interlock login`: keep a server and a key as a context, so that no command has to be told.

    interlock login https://interlock.example.com                        in the browser, where you are signed in
    interlock login https://interlock.example.com --no-browser           on a machine without one: type a code
    interlock login https://interlock.example.com --key                  asks for a key that you have
    printf %s "$KEY" | interlock login https://interlock.example.com --key-stdin

By the browser the terminal gets a key of yours for some days (`INTERLOCK_LOGIN_KEY_DAYS` of the server). A key that
you have comes from the console, from `interlock keys create`, or from whoever runs the server; it is tried before it is
kept.
"""

from __future__ import annotations

import platform
import sys

import click

from interlock.cli.connection import DEFAULT_URL
from interlock.cli.contexts import Context, load_config, save_config
from interlock.cli.tables import output_option, print_one
from interlock.client import Client
from interlock.client.calls import host_of
from interlock.model.errors import Invalid, Unauthorized


@click.command()
@click.argument("url", default=DEFAULT_URL, metavar="[URL]")
@click.option("-w", "--workspace", help="Slug or id.  [default: the only one, else none]")
@click.option("--name", help="What the context is called.  [default: the server's host]")
@click.option("--no-browser", is_flag=True, help="Open none: show the address, and ask for the code.")
@click.option("--key", "ask_key", is_flag=True, help="Ask for a key that you have.")
@click.option("--key-stdin", is_flag=True, help="Read the key from stdin, as in a script.")
@output_option
def login(
    url: str,
    *,
    workspace: str | None,
    name: str | None,
    no_browser: bool,
    ask_key: bool,
    key_stdin: bool,
    output: str,
) -> None:
    r"""Keep a server and a key for the commands to come.

    The browser opens, and you let this terminal in. The file is readable by you alone; `interlock config list` shows
    what is in it.

    \b
    interlock login https://interlock.example.com -w shop
    """
    if key_stdin:
        key = sys.stdin.readline().strip()
    elif ask_key:
        key = _asked("API key", hidden=True)
    else:
        key = _from_browser(url, opened=not no_browser)
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


def _from_browser(url: str, *, opened: bool) -> str:
    """A key that the person lets this terminal have.

    Fails: `Unauthorized` when nobody does in time.
    """
    import webbrowser

    from interlock.client.browser import BrowserLogin

    login = BrowserLogin(url, name=f"a terminal on {platform.node() or 'an unknown machine'}")
    address = login.address(listen=opened)
    click.echo(f"Let this terminal in: {address}", err=True)
    if opened:
        webbrowser.open(address)
        code = login.wait()
        if code is None:
            raise Unauthorized("Nobody let this terminal in within five minutes.")
    else:
        code = _asked("Code", hidden=False)
    made = login.key_for(code)
    click.echo(f"{made['user']['name']}, until {made['expiresAt']}.", err=True)
    return str(made["key"])


def _asked(what: str, *, hidden: bool) -> str:
    """What a person types.

    Fails: `Invalid` where nobody is there to ask.
    """
    if not sys.stdin.isatty():
        raise Invalid(f"There is nobody to ask ({what}). Give --key-stdin and a key on stdin.")
    return str(click.prompt(what, hide_input=hidden, err=True)).strip()
