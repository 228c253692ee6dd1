"""`interlock policies`: which policies apply here, and why each matched?

    interlock policies --environment production
    interlock policies -e production --deployment shop-api --resource prod-eu-1

For each policy: whether it applies, to how many targets, whether it is enforced or only observed, and its rules. Under
it the parts of its selector: those that are true, and of those that are not what they saw instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.tables import output_option, print_data, print_one
from interlock.client import Client, Seen


@click.command()
@click.option(
    "-e",
    "--environment",
    required=True,
    shell_complete=names_of("environment"),
    help="Where: an environment's name or id.",
)
@click.option("-d", "--deployment", shell_complete=names_of("deployment"), help="Only targets of this deployment.")
@click.option("-r", "--resource", help="Only targets on this resource, by its identifier.")
@output_option
@connected
def policies(client: Client, *, environment: str, deployment: str | None, resource: str | None, output: str) -> None:
    r"""Say which policies apply, and why each matched.

    \b
    interlock policies --environment production --deployment shop-api
    """
    found = client.list_policies_in_force(environment, deployment=deployment, resource=resource)
    if output in {"json", "yaml"}:
        print_data(found, output=output)
    elif not found:
        click.echo("No policy.", err=True)
    else:
        for one in found:
            print_one(one, output=output, text=_lines(one), kind="policy", named=lambda one: one["policy"]["name"])


def _lines(one: Seen) -> Iterator[str]:
    """One policy with the parts of its selector."""
    applies = f"applies to {one['targets']} of {one['of']} targets" if one["applies"] else "does not apply"
    if not one["enabled"]:
        applies = "is disabled"
    kinds = ", ".join(rule["kind"] for rule in one["rules"]) or "no rules"
    yield f"{one['policy']['name']} {applies}, {one['mode']}: {kinds}"
    for part in one["conjuncts"]:
        mark = {"yes": "true   ", "no": "false  "}.get(part["outcome"], "unknown")
        seen = ", ".join(f"{what} is {json.dumps(value, ensure_ascii=False)}" for what, value in part["saw"].items())
        yield f"  {mark}  {' '.join(part['text'].split())}{f'   ({seen})' if seen else ''}"
    judged = one.get("judgedOn")
    if judged:
        yield f"           judged on {judged['deployment']}/{judged['resource']}"
