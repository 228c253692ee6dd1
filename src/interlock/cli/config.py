"""`interlock config`: which servers and workspaces are known here, and which one is used.

    interlock config list
    interlock config use staging
    interlock config show              what a command would use now, and where each word comes from
    interlock config set --context staging --workspace shop
    interlock config remove staging

`interlock login` adds a context. A key is never shown, only its first six letters.
"""

from __future__ import annotations

import os
from dataclasses import replace

import click

from interlock.cli.completion import contexts
from interlock.cli.connection import DEFAULT_URL
from interlock.cli.contexts import Context, config_path, load_config, save_config
from interlock.cli.tables import list_options, output_option, print_list, print_one
from interlock.client import Seen


@click.group()
def config() -> None:
    """Say which server and workspace commands use."""


@config.command("list")
@list_options
def list_contexts(*, output: str) -> None:
    """List the contexts of the file."""
    known = load_config()
    found = [_shown(name, one, current=name == known.current) for name, one in known.contexts.items()]
    if known.top != Context():
        found.append(_shown("", known.top, current=known.current is None))
    rows = [
        (each["name"] or "(no name)", each["current"], each.get("url"), each.get("workspace"), each.get("key"))
        for each in found
    ]
    heads = ("context", "current", "url", "workspace", "key")
    print_list(found, output=output, heads=heads, rows=rows, kind="context")


@config.command()
@click.argument("name", shell_complete=contexts)
@output_option
def use(name: str, *, output: str) -> None:
    """Make a context the current one."""
    known = load_config()
    chosen = known.chosen(name)
    save_config(replace(known, current=name))
    _tell(name, chosen, output=output)


@config.command("set")
@click.option("--context", "name", help="Which one; made when new.  [default: the current one]")
@click.option("--url", help="The server.")
@click.option("-w", "--workspace", help="Slug or id.")
@output_option
def set_words(*, name: str | None, url: str | None, workspace: str | None, output: str) -> None:
    """Change a context. Its key is set by `interlock login`."""
    known = load_config()
    name = name or known.current
    if name is None:
        raise click.UsageError("Which context? Give --context NAME.")
    before = known.contexts.get(name, Context())
    moved = url is not None and url != before.url
    after = Context(
        url=url or before.url,
        api_key=None if moved else before.api_key,
        workspace=workspace or before.workspace,
    )
    save_config(replace(known.with_context(name, after), current=known.current or name))
    _tell(name, after, output=output)
    if moved and before.api_key:
        click.echo("Its key was for another server and is gone; `interlock login` sets one.", err=True)


@config.command()
@click.argument("name", shell_complete=contexts)
@output_option
def remove(name: str, *, output: str) -> None:
    """Forget a context and its key. The key itself stays valid; `interlock keys revoke` ends it."""
    known = load_config()
    gone = known.chosen(name)
    save_config(known.without(name))
    print_one(_shown(name, gone, current=False), output=output, text=f"forgot {name}", kind="context")


@config.command()
@click.option("--context", envvar="INTERLOCK_CONTEXT", help="One of the file's contexts.")
@output_option
def show(*, context: str | None, output: str) -> None:
    """Show what a command would use now, and where each word comes from."""
    known = load_config()
    chosen = known.chosen(context)
    name = context or known.current
    place = f"{config_path()}{f', context {name}' if name else ''}"
    words = {
        "url": ("INTERLOCK_URL", chosen.url, DEFAULT_URL, "default"),
        "api_key": ("INTERLOCK_API_KEY", chosen.api_key, None, "nowhere"),
        "workspace": ("INTERLOCK_WORKSPACE", chosen.workspace, None, "the only one that the key sees"),
    }
    said: dict[str, dict[str, str | None]] = {}
    for word, (variable, kept, otherwise, elsewhere) in words.items():
        value = os.environ.get(variable) or kept or otherwise
        source = variable if os.environ.get(variable) else place if kept else elsewhere
        said[word] = {"value": masked(value) if word == "api_key" else value, "from": source}
    lines = [f"{word:<9}  {each['value'] or '-'}  ({each['from']})" for word, each in said.items()]
    print_one(said, output=output, text=lines, kind="context", named=lambda _: name or "")


def masked(key: str | None) -> str | None:
    """The beginning of a key, by which its owner knows it."""
    return None if key is None else f"{key[:6]}…"


def _shown(name: str, context: Context, *, current: bool) -> Seen:
    words = {"url": context.url, "workspace": context.workspace, "key": masked(context.api_key)}
    return {"name": name, "current": current, **{word: value for word, value in words.items() if value is not None}}


def _tell(name: str, context: Context, *, output: str) -> None:
    where = f"{context.url or DEFAULT_URL}{f', workspace {context.workspace}' if context.workspace else ''}"
    print_one(_shown(name, context, current=True), output=output, text=f"context {name}: {where}", kind="context")
