"""`interlock redeploy`: bring the release that runs again, exactly as it was frozen.

    interlock redeploy shop-api --environment production --resource host-1 --reason "disk was replaced"
    interlock redeploy shop-api --when idle --reason "new certificates"
    interlock redeploy shop-api --resource host-1 --version 1.4.0 --reason "the port is free now"

Freezes, windows and concurrency are asked; approvals are not. Where something moves it is refused, or follows when that
has ended (`--when idle`). `--version` brings again what was tried there before, as after a failure.
"""

from __future__ import annotations

import click

from interlock.cli.connection import connected
from interlock.cli.order import order_options, place
from interlock.client import Client


@click.command()
@order_options
@click.option("--version", help="Tag of a version that was tried there before.  [default: what runs]")
@click.option("--when", type=click.Choice(["now", "idle"]), default="now", show_default=True)
@connected
def redeploy(
    client: Client,
    deployment: str,
    *,
    environment: str | None,
    resource: str | None,
    version: str | None,
    when: str,
    reason: str,
    lasts: str | None,
    output: str,
) -> None:
    """Bring the same release again."""
    place(
        client,
        kind="redeploy",
        deployment=deployment,
        environment=environment,
        resource=resource,
        version=version,
        when=when,
        reason=reason,
        lasts=lasts,
        output=output,
    )
