"""`interlock can-deploy`: may this version go there now? A question that CI asks before it promises anything.

    interlock can-deploy shop-api 1.4.0 --environment production
    interlock can-deploy shop-api 1.4.0 -e production --resource prod-eu-1 -o json

Exit codes: 0 allow (nothing holds it on any target), 3 hold (something does), 4 a person is needed (people are all that
holds it); 1 and 2 as everywhere. Nothing is stored by asking, and the answer is of the instant that it names.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import click

from interlock.cli.completion import names_of, tags
from interlock.cli.connection import connected
from interlock.cli.exit_codes import DONE, HELD, PERSON
from interlock.cli.tables import output_option, print_one
from interlock.cli.trees import rule_lines
from interlock.cli.version import deployment_id
from interlock.client import Client, Seen

EXIT_CODES = {"allow": DONE, "hold": HELD, "person": PERSON}


@click.command("can-deploy")
@click.argument("deployment", shell_complete=names_of("deployment"))
@click.argument("version", metavar="TAG", shell_complete=tags)
@click.option(
    "-e",
    "--environment",
    required=True,
    shell_complete=names_of("environment"),
    help="Where: an environment's name or id.",
)
@click.option("-r", "--resource", help="Only this target: a resource's identifier or name.")
@output_option
@click.pass_context
@connected
def can_deploy(
    client: Client,
    ctx: click.Context,
    deployment: str,
    version: str,
    *,
    environment: str,
    resource: str | None,
    output: str,
) -> None:
    r"""Ask whether a version may go somewhere now.

    Exit code 0: nothing holds it. 3: something does. 4: only people do.

    \b
    interlock can-deploy shop-api 1.4.0 --environment production
    """
    known = deployment_id(client, deployment)
    said = client.can_deploy(known, version, environment=environment, resource=resource)
    print_one(said, output=output, text=_lines(said), kind="answer", named=lambda said: said["answer"])
    ctx.exit(EXIT_CODES[said["answer"]])


def _lines(said: Seen) -> Iterator[str]:
    yield f"{said['answer']}: {said['says']} (at {said['at']})"
    for about, reasons in groupby(said["reasons"], key=_about):
        yield f"  {about}:"
        yield from rule_lines(list(reasons))


def _about(reason: Seen) -> str:
    """The targets that a reason is about."""
    more = reason["targets"] - len(reason["for"])
    return f"{', '.join(reason['for'])}{f' and {more} more' if more else ''}"
