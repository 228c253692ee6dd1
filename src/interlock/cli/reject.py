"""`interlock reject`: say no to what a person is asked.

    interlock reject shop-api/production --comment "error rate in staging"
    interlock reject 4c1f0a --comment "not during the sale"

It answers a request for approval. A version that is bad everywhere is rejected with `interlock version reject`.
"""

from __future__ import annotations

import click

from interlock.cli.approve import answer_one
from interlock.cli.completion import open_requests
from interlock.cli.connection import connected
from interlock.cli.tables import output_option
from interlock.client import Client


@click.command()
@click.argument("request", metavar="ID | DEPLOYMENT/ENVIRONMENT", shell_complete=open_requests)
@click.option("--comment", required=True, help="Why. Everybody who sees the request sees it.")
@output_option
@connected
def reject(client: Client, request: str, *, comment: str, output: str) -> None:
    r"""Say no to a request for approval.

    \b
    interlock reject shop-api/production --comment "error rate in staging"
    """
    answer_one(client, request, verdict="rejected", comment=comment, output=output)
