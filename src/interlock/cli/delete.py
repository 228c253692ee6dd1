"""`interlock delete policy`: end a policy, once it is known what it holds.

    interlock delete policy careful-production
    interlock delete policy careful-production --yes

What the policy holds now is shown first (`interlock what-if --delete`) and asked about; `--yes` goes on all the same.
"""

from __future__ import annotations

import click

from interlock.cli.connection import connected
from interlock.cli.what_if import confirmed, policy_named
from interlock.client import Client


@click.group()
def delete() -> None:
    """End a policy, once it is shown what it holds."""


@delete.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Go on although it holds something.")
@connected
def policy(client: Client, name: str, *, yes: bool) -> None:
    """End a policy by name or id."""
    known = policy_named(client, name)
    if confirmed(client, [{"policyId": known["id"], "delete": True}], f"Policy {known['name']}", yes=yes):
        client.delete_policy(known["id"])
        click.echo(f"deleted    Policy            {known['name']}")
