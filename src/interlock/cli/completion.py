"""`interlock completion`, and what a Tab offers: commands and options by click, names by asking the server.

    source <(interlock completion bash)                                    for this shell
    interlock completion bash > ~/.local/share/bash-completion/completions/interlock
    interlock completion zsh > "${fpath[1]}/_interlock"
    interlock completion fish > ~/.config/fish/completions/interlock.fish

Names come from the server that the command would ask. A server that does not answer within a second, a missing key, any
error: then nothing is offered, and nothing is said, for the shell is in the middle of a line.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from interlock.client import Client

ASK_MAX_S = 1.0
OFFERED_MAX = 200

Offer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

SCRIPTS = {"bash": "BashComplete", "zsh": "ZshComplete", "fish": "FishComplete"}


@click.command()
@click.argument("shell", type=click.Choice(tuple(SCRIPTS)))
def completion(shell: str) -> None:
    r"""Make a shell complete commands and names.

    Prints the script that does it. Names are asked of the server, for a second at most.

    \b
    source <(interlock completion bash)
    interlock completion fish > ~/.config/fish/completions/interlock.fish
    """
    from click import shell_completion

    from interlock.cli.program import cli

    script: shell_completion.ShellComplete = getattr(shell_completion, SCRIPTS[shell])(
        cli, {}, "interlock", "_INTERLOCK_COMPLETE"
    )
    click.echo(script.source_template % script.source_vars())


def names_of(kind: str) -> Offer:
    """Offer the names of a kind."""

    def offer(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return offered(ctx, kind, incomplete)

    return offer


def kinds(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the kinds; after a slash the names of the kind before it."""
    from interlock.cli.nouns import NOUNS

    kind, slash, begun = incomplete.partition("/")
    if slash:
        return [CompletionItem(f"{kind}/{each.value}") for each in offered(ctx, kind, begun)]
    return [CompletionItem(noun.kind) for noun in NOUNS if noun.kind.startswith(incomplete)]


def names_of_kind(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the names of the kind that was typed before."""
    return offered(ctx, str(ctx.params.get("kind") or ""), incomplete)


def open_requests(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer what open requests for approval are about."""
    from interlock.cli.nouns import Wanted, noun_of
    from interlock.cli.tables import about

    noun = noun_of("request")
    return _begun(_asked(ctx, lambda client: (about(each) for each in noun.read(client, Wanted()))), incomplete)


def contexts(_ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the contexts of the file."""
    from interlock.cli.contexts import load_config

    with contextlib.suppress(Exception):
        return _begun(load_config().contexts, incomplete)
    return []


def places(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer DEPLOYMENT, then DEPLOYMENT/ENVIRONMENT, then DEPLOYMENT/ENVIRONMENT/RESOURCE."""
    from interlock.cli.tables import about
    from interlock.cli.version import deployment_id

    deployment, slash, _rest = incomplete.partition("/")
    if not slash:
        return offered(ctx, "deployment", incomplete)
    depth = incomplete.count("/") + 1

    def read(client: Client) -> Iterable[str]:
        here = client.list_targets(deployment_id=deployment_id(client, deployment), items_max=OFFERED_MAX)
        return {"/".join(about(each).split("/", 2)[:depth]) for each in here}

    return _begun(_asked(ctx, read), incomplete)


def tags(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the newest versions of the deployment that was typed before."""
    from interlock.cli.version import deployment_id

    typed = str(ctx.params.get("deployment") or ctx.params.get("place") or "").partition("/")[0]

    def read(client: Client) -> Iterable[str]:
        return (each["tag"] for each in client.list_versions(deployment_id(client, typed), items_max=OFFERED_MAX))

    return _begun(_asked(ctx, read), incomplete) if typed else []


def offered(ctx: click.Context, kind: str, incomplete: str) -> list[CompletionItem]:
    """The names of a kind that begin so."""
    from interlock.cli.nouns import Wanted, noun_of
    from interlock.model.errors import Invalid

    try:
        noun = noun_of(kind)
    except Invalid:
        return []
    wanted = Wanted(deployment=ctx.params.get("deployment"), items_max=OFFERED_MAX)
    return _begun(_asked(ctx, lambda client: map(noun.name, noun.read(client, wanted))), incomplete)


def _asked(ctx: click.Context, read: Callable[[Client], Iterable[str]]) -> list[str]:
    """What the server says within a second; nothing where it does not."""
    from interlock.cli.connection import connect

    given = {name: ctx.params.get(name) for name in ("url", "api_key", "workspace", "context")}
    with contextlib.suppress(Exception), connect(**given, timeout_s=ASK_MAX_S, retries_max=0) as client:
        return sorted(set(read(client)))
    return []


def _begun(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)][:OFFERED_MAX]
