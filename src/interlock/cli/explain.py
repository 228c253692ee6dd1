"""`interlock explain`: why does it wait, since when, until when, and who can act?

    interlock explain shop-api                       a deployment: what its targets wait for
    interlock explain shop-api/production/prod-eu-1  one target

The sentences are the server's, the same that the console shows; their instants are absolute.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from interlock.cli.connection import connected
from interlock.cli.tables import output_option
from interlock.cli.version import deployment_id
from interlock.client import Client, Wire
from interlock.model.errors import InterlockError, Invalid, NotFound
from interlock.model.ids import parse_target_key


@click.command()
@click.argument("subject", metavar="DEPLOYMENT | DEPLOYMENT/ENVIRONMENT/RESOURCE | TARGET-KEY")
@output_option
@connected
def explain(client: Client, subject: str, *, output: str) -> None:
    r"""Say why a deployment or target waits.

    For each target: what runs, what it waits for, which rule says so, since when, until when, and who can act.

    \b
    interlock explain shop-api
    interlock explain shop-api/production/prod-eu-1
    """
    key = _target_key(client, subject)
    said = client.explain_target(key) if key else client.explain_deployment(deployment_id(client, subject))
    click.echo(json.dumps(said, indent=2, ensure_ascii=False) if output == "json" else "\n".join(_lines(said)))


def _target_key(client: Client, subject: str) -> str | None:
    """The key of the target that is meant; None when a deployment is meant."""
    if len(subject) == 110:
        try:
            return str(parse_target_key(subject))
        except InterlockError:
            pass
    if "/" not in subject:
        return None
    parts = subject.split("/", 2)
    if len(parts) != 3:
        raise Invalid("A target is DEPLOYMENT/ENVIRONMENT/RESOURCE, or its key.")
    deployment, environment, resource = parts
    for target in client.list_targets(deployment_id=deployment_id(client, deployment)):
        names = {target["resource"].get("name"), target["resource"].get("identifier")}
        if target["environment"].get("name") == environment and resource in names:
            return str(target["key"])
    raise NotFound(f"{deployment} has no target on {resource} in {environment}.")


def _lines(said: Wire) -> Iterator[str]:
    """The sentences, those of each target under its name."""
    yield from said.get("sentences") or ()
    for target in said.get("targets") or ():
        yield f"{target.get('environment')}/{target.get('resource')}:"
        for sentence in target.get("sentences") or ():
            yield f"  {sentence}"
