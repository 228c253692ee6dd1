"""`interlock explain`: why does it wait, since when, until when, who can act, and what would have to be different?

    interlock explain shop-api                                       a deployment: what its targets wait for
    interlock explain shop-api/production/prod-eu-1                  one target
    interlock explain shop-api/production/prod-eu-1 --version 1.4.0  one version on one target, whatever it goes for
    interlock explain shop-api/production --version 1.4.0            a version in an environment
    interlock explain job:8f14e45f-…                                 a job

The sentences are the server's, the same that the console shows; their instants are absolute.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from interlock.cli.completion import names_of, places
from interlock.cli.connection import connected
from interlock.cli.tables import output_option, print_one
from interlock.cli.trees import rule_lines, standing_lines
from interlock.cli.version import deployment_id
from interlock.client import Client, Seen
from interlock.model.errors import InterlockError, Invalid, NotFound
from interlock.model.ids import TargetKey, parse_target_key

NAMED_MAX = 8
"""Targets of which the same is said, named before "and so many more"."""


@click.command()
@click.argument("subject", metavar="DEPLOYMENT[/ENVIRONMENT[/RESOURCE]] | TARGET-KEY | job:ID", shell_complete=places)
@click.option("--version", "version", metavar="TAG", help="About this version: a tag or an id.")
@click.option("-e", "--environment", shell_complete=names_of("environment"), help="As DEPLOYMENT/ENVIRONMENT says it.")
@output_option
@connected
def explain(client: Client, subject: str, *, version: str | None, environment: str | None, output: str) -> None:
    r"""Say why a target, a version or a job waits.

    What runs, what it waits for, which rule says so, since when, until when, who can act; and a set of facts whose
    change would let it go, no part of which is enough.

    \b
    interlock explain shop-api
    interlock explain shop-api/production/prod-eu-1
    interlock explain shop-api/production --version 1.4.0
    interlock explain job:8f14e45f-ceea-467f-a9b0-5e5c8d1d0b6a
    """
    if environment is not None:
        if "/" in subject or ":" in subject:
            raise click.UsageError("The environment stands beside --environment or in the argument, not in both.")
        subject = f"{subject}/{environment}"
    said, lines = _asked(client, subject, version)
    print_one(said, output=output, text=lines, named=lambda _: subject)


def _asked(client: Client, subject: str, version: str | None) -> tuple[Seen, Iterator[str]]:
    """The answer, and how it reads."""
    if subject.startswith("job:"):
        said = client.explain_job(subject.removeprefix("job:"))
        return said, _job(said)
    key = _target_key(client, subject)
    if key is not None:
        said = client.explain_target(key, version=version)
        return said, _target(said)
    name, _, environment = subject.partition("/")
    known = deployment_id(client, name)
    if environment:
        said = client.explain_version(known, version or _newest(client, known), environment=environment)
        return said, _version(said)
    if version:
        raise Invalid("A version is explained in an environment: DEPLOYMENT/ENVIRONMENT --version TAG.")
    said = client.explain_deployment(known)
    return said, _deployment(said)


def _newest(client: Client, known: str) -> str:
    for each in client.list_versions(known, items_max=1):
        return str(each["id"])
    raise NotFound("The deployment has no version yet.")


def _target_key(client: Client, subject: str) -> str | None:
    """The key of the target that is meant; None when no target is meant."""
    if len(subject) == 110:
        try:
            return str(parse_target_key(subject))
        except InterlockError:
            pass
    parts = subject.split("/", 2)
    if len(parts) < 3:
        return None
    deployment, environment, resource = parts
    known = deployment_id(client, deployment)
    place, host = client.find_environment(environment), client.find_resource(resource)
    if place is not None and host is not None:
        return str(TargetKey(host["id"], place["id"], known))
    for target in client.list_targets(deployment_id=known):
        names = {target["resource"].get("name"), target["resource"].get("identifier")}
        if target["environment"].get("name") == environment and resource in names:
            return str(target["key"])
    raise NotFound(f"{deployment} has no target on {resource} in {environment}.")


def _deployment(said: Seen) -> Iterator[str]:
    """The sentences, those of each target under its name; targets of which the same is said, under all their names."""
    yield from said.get("sentences") or ()
    alike: dict[tuple[str, ...], list[str]] = {}
    for target in said.get("targets") or ():
        told = (str(target.get("environment")), *(target.get("sentences") or ()))
        alike.setdefault(told, []).append(str(target.get("resource")))
    for (environment, *sentences), resources in alike.items():
        more = len(resources) - NAMED_MAX
        yield f"{environment}/{', '.join(resources[:NAMED_MAX])}{f' and {more} more' if more > 0 else ''}:"
        yield from (f"  {sentence}" for sentence in sentences)


def _target(said: Seen) -> Iterator[str]:
    """What rounds wrote down, then the tree of now."""
    yield from said.get("sentences") or ()
    if "standing" in said:
        yield ""
        yield from standing_lines(said["standing"])


def _version(said: Seen) -> Iterator[str]:
    """The answer, then each group of targets that is told the same."""
    yield f"{said['says']} (at {said['at']})"
    for group in said["groups"]:
        yield ""
        more = group["count"] - len(group["targets"])
        yield f"{', '.join(group['targets'])}{f' and {more} more' if more else ''}:"
        yield from (f"  {line}" for line in standing_lines(group))
    if said.get("groupsLeftOut"):
        yield f"{said['groupsLeftOut']} more kinds of targets are left out."


def _job(said: Seen) -> Iterator[str]:
    """What became of the job, why it was allowed, and how its version stands now."""
    yield from said["sentences"]
    decision = said.get("decision")
    if decision:
        yield ""
        yield f"Allowed by decision {decision['id']} at {decision['at']}: {decision['outcome']}."
        yield from rule_lines(decision["verdicts"])
    if "standing" in said:
        yield ""
        yield from standing_lines(said["standing"])
