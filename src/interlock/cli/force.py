"""`interlock force`: bring a version past every rule. It needs a permission of its own, a reason and an end.

    interlock force shop-api 1.4.1 --environment production --for 30m --reason "INC-42: fix for checkout"

No gate is asked, no freeze stops it, and any status of the version will do. It waits for a job that runs on its target,
and takes back one that nobody has yet. After its end nothing is started any more.
"""

from __future__ import annotations

import click

from interlock.cli.completion import tags
from interlock.cli.connection import connected
from interlock.cli.order import order_options, place
from interlock.client import Client


@click.command()
@order_options
@click.argument("version", shell_complete=tags)
@connected
def force(
    client: Client,
    deployment: str,
    version: str,
    *,
    environment: str | None,
    resource: str | None,
    reason: str,
    lasts: str | None,
    output: str,
) -> None:
    """Bring a version past every rule."""
    if lasts is None:
        raise click.UsageError("A force needs an end: --for 30m.")
    place(
        client,
        kind="force",
        deployment=deployment,
        environment=environment,
        resource=resource,
        version=version,
        reason=reason,
        lasts=lasts,
        output=output,
    )
