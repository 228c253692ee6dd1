"""`interlock delete`: take something away, once it is known what that ends.

    interlock delete policy careful-production
    interlock delete deployment shop-api
    interlock delete resource/prod-eu-1 --yes

First it says what would end: of a policy what it holds now (`interlock what-if --delete`), of a deployment,
environment, resource or system its targets, what waits and runs there, what people set on it, and which rules point at
it. Then it asks; `--yes` goes on all the same. History stays: `interlock ledger --subject deployment:shop-api` goes on
answering.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from interlock.cli.completion import kinds, names_of_kind
from interlock.cli.connection import connected
from interlock.cli.describe import named_thing
from interlock.cli.nouns import NOUNS, Noun, found_one
from interlock.cli.tables import output_option, print_one
from interlock.client import Client, Seen
from interlock.model.errors import Invalid

PREVIEWED = frozenset({"deployment", "environment", "resource", "system"})
WORDS = {
    "targets": ("target is taken down; what is deployed there stays", "targets are taken down; what is deployed stays"),
    "jobsWaiting": ("waiting job is withdrawn", "waiting jobs are withdrawn"),
    "jobsRunning": ("running job is asked to stop", "running jobs are asked to stop"),
    "rollouts": ("rollout is aborted", "rollouts are aborted"),
    "orders": ("order ends", "orders end"),
    "pins": ("pin ends", "pins end"),
    "skips": ("skip ends", "skips end"),
    "freezes": ("freeze ends", "freezes end"),
    "quarantines": ("quarantine is cleared", "quarantines are cleared"),
    "variables": ("variable is deleted", "variables are deleted"),
    "links": ("link is cut", "links are cut"),
}
"""What ends, in the order in which it is said: one of it, and several."""

POINTING_MAX = 10


@click.command()
@click.argument("kind", metavar="KIND[/NAME]", shell_complete=kinds)
@click.argument("name", required=False, metavar="[NAME]", shell_complete=names_of_kind)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_option
@connected
def delete(client: Client, kind: str, name: str | None, *, yes: bool, output: str) -> None:
    r"""Take something away, once it is shown what that ends.

    Its history stays. Without a terminal to ask on, --yes is needed where something would end.

    \b
    interlock delete policy careful-production
    interlock delete resource/prod-eu-1 --yes
    """
    noun, text = named_thing(kind, name)
    if noun.delete is None:
        able = ", ".join(one.kind for one in NOUNS if one.delete)
        raise Invalid(f"A {noun.kind} cannot be deleted. What can: {able}.")
    each = found_one(client, noun, text)
    if not may_go(client, noun, each, yes=yes):
        return
    answer = noun.delete(client, each) or each
    said = f"deleted    {noun.kind:<16}  {noun.name(each)}"
    print_one(answer, output=output, text=said, kind=noun.kind, named=lambda _: noun.name(each))


def may_go(client: Client, noun: Noun, each: Seen, *, yes: bool) -> bool:
    """Whether to go on, once it was said what ends.

    Fails: `Invalid` where nobody is there to ask and `--yes` was not given.
    """
    if noun.kind == "policy":
        from interlock.cli.what_if import confirmed

        return confirmed(client, [{"policyId": each["id"], "delete": True}], f"Policy {each['name']}", yes=yes)
    ends = list(ending(client, noun, each))
    if not ends:
        return True
    click.echo(f"With {noun.kind} {noun.name(each)} ends:", err=True)
    for line in ends:
        click.echo(f"  {line}", err=True)
    if yes:
        return True
    if not sys.stdin.isatty():
        raise Invalid("Nothing was deleted. Give --yes to go on.")
    return click.confirm("Go on?", err=True)


def ending(client: Client, noun: Noun, each: Seen) -> Iterator[str]:
    """What a deletion ends, and what points at the thing, one line a fact."""
    if noun.kind not in PREVIEWED:
        return
    answer = client.preview_ending(noun.kind, each["identifier"] if noun.kind == "resource" else each["id"])
    for word, (one, several) in WORDS.items():
        number = int(answer["ends"].get(word, 0))
        if number:
            yield f"{number} {one if number == 1 else several}"
    pointing = answer["pointedAtBy"]
    for point in pointing[:POINTING_MAX]:
        if "policy" in point:
            yield f"policy {point['policy']} points at it ({point['kind']}): where nothing else matches, it holds"
        else:
            yield f"{point.get('deployment')} {point.get('version')} needs it beside it: it holds"
    if len(pointing) > POINTING_MAX:
        yield f"and {len(pointing) - POINTING_MAX} more point at it"
