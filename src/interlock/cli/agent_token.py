"""`interlock agent-token`: what the program of a job agent signs in with.

    interlock agent-token issue datacenter-west --name west-1
    interlock agent-token list datacenter-west
    interlock agent-token revoke datacenter-west 4c1f0a

A token opens its agent's queue and jobs, and nothing else: list, claim, report. It is shown once.
"""

from __future__ import annotations

from typing import Any, cast

import click

from interlock.cli.connection import connected
from interlock.cli.tables import list_options, output_option, print_list, print_one
from interlock.client import Client
from interlock.model.errors import NotFound


@click.group("agent-token")
def agent_token() -> None:
    """Issue, list or revoke the tokens of job agents."""


@agent_token.command()
@click.argument("agent")
@click.option("--name", default="", help="What the token is for.")
@click.option("--expires", metavar="RFC3339", help="When it ends.  [default: never]")
@output_option
@connected
def issue(client: Client, agent: str, *, name: str, expires: str | None, output: str) -> None:
    """Issue a token. It is printed alone on stdout, for `$(…)`."""
    made = client.create_agent_token(_agent_id(client, agent), name=name, expires_at=expires)
    print_one(made, output=output, text=made["token"], kind="agent-token", named=lambda made: made["prefix"])


@agent_token.command("list")
@click.argument("agent")
@list_options
@connected
def list_tokens(client: Client, agent: str, *, output: str) -> None:
    """List an agent's tokens. Never their text."""
    found = list(client.list_agent_tokens(_agent_id(client, agent)))
    rows = [
        (
            each["prefix"][:6],
            each["name"],
            f"revoked {each['revokedAt']}" if "revokedAt" in each else each.get("expiresAt", "never"),
            each.get("lastUsedAt", "never"),
        )
        for each in cast("Any", found)
    ]
    print_list(found, output=output, heads=("token", "name", "ends", "last used"), rows=rows, kind="agent-token")


@agent_token.command()
@click.argument("agent")
@click.argument("prefix")
@output_option
@connected
def revoke(client: Client, agent: str, prefix: str, *, output: str) -> None:
    """End a token, by the beginning of its prefix or its id."""
    agent_id = _agent_id(client, agent)
    found = [
        each for each in client.list_agent_tokens(agent_id) if prefix == each["id"] or each["prefix"].startswith(prefix)
    ]
    if len(found) != 1:
        raise NotFound(f"{len(found) or 'No'} tokens begin with {prefix}.")
    answer = client.revoke_agent_token(agent_id, found[0]["id"])
    print_one(answer, output=output, text=f"revoked {found[0]['prefix']}", kind="agent-token", named=lambda _: prefix)


def _agent_id(client: Client, text: str) -> str:
    for each in client.list_job_agents():
        if text in {each["name"], each["id"]}:
            return str(each["id"])
    raise NotFound(f"There is no job agent named {text}.")
