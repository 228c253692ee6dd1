"""`interlock rollback`: go back to the release that was good before, now.

    interlock rollback shop-api --environment production --reason "checkout fails"
    interlock rollback shop-api --environment production --resource host-1 --reason "…"
    interlock rollback shop-api --to 1.3.9 --reason "…"

No gate is asked and no freeze stops it. In an environment its newest version goes: targets that the rollout has not
reached stay as they are, the rollout halts, and what was left is in quarantine on the targets that left it. Many go
back at a pace of their own: a third of the environment at once.
"""

from __future__ import annotations

import click

from interlock.cli.connection import connected
from interlock.cli.order import order_options, place
from interlock.client import Client


@click.command()
@order_options
@click.option("--to", "version", help="Tag of a version that was good there.  [default: the newest other one]")
@connected
def rollback(
    client: Client,
    deployment: str,
    *,
    environment: str | None,
    resource: str | None,
    version: str | None,
    reason: str,
    lasts: str | None,
    output: str,
) -> None:
    """Go back to what was good, now."""
    place(
        client,
        kind="rollback",
        deployment=deployment,
        environment=environment,
        resource=resource,
        version=version,
        reason=reason,
        lasts=lasts,
        output=output,
    )
