"""`interlock get`: what is there? Aligned tables for people, `-o json` for programs.

    interlock get targets --deployment shop-api
    interlock get deployments
    interlock get deployment shop-api -o yaml
    interlock get resources -q 'resource.kind == "Host"' --sort name

The kinds stand in `nouns.py`. Names after the kind pick those alone; singular, plural and short forms mean the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.nouns import NOUNS, Noun, Wanted, found_one, noun_of
from interlock.cli.tables import items_max, list_options, print_data, print_list
from interlock.client import Client, Seen
from interlock.model.errors import Invalid

KINDS = ("forward", "config", "redeploy", "rollback", "pin", "force", "workflow", "retry")

NARROWING: dict[str, Callable[[Any], Any]] = {
    "cel": click.option("-q", "--query", "cel", help='A selector, as in resource.kind == "Host".'),
    "deployment": click.option(
        "-d", "--deployment", shell_complete=names_of("deployment"), help="Only of this deployment: name or id."
    ),
    "environment": click.option(
        "-e", "--environment", shell_complete=names_of("environment"), help="Only in this environment, by name."
    ),
    "resource": click.option(
        "-r", "--resource", shell_complete=names_of("resource"), help="Only on this resource, by identifier."
    ),
    "status": click.option(
        "-s",
        "--status",
        multiple=True,
        help="Only in this status, or open, running, waiting, failed, over. Several times: any of them.",
    ),
    "system": click.option("--system", shell_complete=names_of("system"), help="Only of this system, by name."),
    "agent": click.option("--agent", help="Only of this job agent: name or id."),
    "agent_type": click.option(
        "--agent-type", multiple=True, help="Only of agents of this type, as in argo-cd. Several times: any of them."
    ),
    "tag": click.option("-t", "--tag", help="Only of this version, by its tag."),
    "job_kind": click.option("--kind", "job_kind", type=click.Choice(KINDS), help="Only of this kind."),
    "since": click.option("--since", metavar="2h", help="Only created in so long, or since an instant."),
    "text": click.option("--text", help="Only those with this in a name, tag, id or message."),
    "over": click.option("-a", "--all", "over", is_flag=True, help="Those that are over as well."),
}


class Kinds(click.Group):
    """A command for each noun, made when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [noun.plural for noun in NOUNS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        try:
            return _command(noun_of(cmd_name))
        except Invalid as error:
            raise click.UsageError(error.message) from error


@click.group(cls=Kinds)
def get() -> None:
    r"""List what there is of a kind, or show some of it.

    Names after the kind pick those alone. Every page is read unless --limit says otherwise.

    \b
    interlock get targets --deployment shop-api
    interlock get deployment shop-api -o yaml
    """


def _command(noun: Noun) -> click.Command:
    of_one = noun.kind == "version"

    def run(client: Client, names: Sequence[str], output: str, **narrowed: Any) -> None:
        if of_one and not narrowed.get("deployment") and names and "/" not in names[0]:
            narrowed["deployment"], *names = names
        wanted = Wanted(**narrowed, items_max=items_max(noun.items_max))
        found: list[Seen]
        if names:
            found = [found_one(client, noun, name, wanted=Wanted(**{"over": True} | narrowed)) for name in names]
        else:
            found = list(noun.read(client, wanted))
        if noun.items_max is not None and wanted.items_max == len(found) == noun.items_max:
            click.echo(f"The newest {len(found)}; --limit shows more.", err=True)
        if len(names) == 1 and output in {"json", "yaml"}:
            print_data(found[0], output=output)
            return
        print_list(found, output=output, heads=noun.heads, rows=map(noun.row, found), kind=noun.kind, named=noun.name)

    command: Any = connected(run)
    for name in sorted(noun.takes, reverse=True):
        command = NARROWING[name](command)
    command = list_options(command)
    metavar = "[DEPLOYMENT] [TAG]..." if of_one else "[NAME]..."
    command = click.argument("names", nargs=-1, metavar=metavar, shell_complete=names_of(noun.kind))(command)
    return click.command(noun.plural, help=noun.line)(command)
