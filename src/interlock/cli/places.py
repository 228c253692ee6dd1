"""What does a command about an override mean? A place, a version and an end in the words that people type.

A place is DEPLOYMENT, DEPLOYMENT/ENVIRONMENT or DEPLOYMENT/ENVIRONMENT/RESOURCE.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from interlock.cli.version import deployment_id
from interlock.client import Client, Seen
from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.ids import is_id

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}

lasting_option = click.option("--for", "lasts", metavar="2h", help="How long: 30m, 2h, 1d.  [default: until ended]")
reason_option = click.option("--reason", required=True, help="Why. Everybody whom it concerns reads it.")


@dataclass(frozen=True, slots=True)
class Place:
    """The ids of what a text names."""

    deployment_id: str
    environment_id: str | None = None
    resource_id: str | None = None

    def ids(self) -> Seen:
        """The fields of a body that name it, but for the deployment, which the version names."""
        named = {"environmentId": self.environment_id, "resourceId": self.resource_id}
        return {key: value for key, value in named.items() if value is not None}


def find_place(client: Client, text: str) -> Place:
    """What DEPLOYMENT, DEPLOYMENT/ENVIRONMENT or DEPLOYMENT/ENVIRONMENT/RESOURCE names.

    Fails: `NotFound`.
    """
    deployment, *rest = text.split("/", 2)
    found = Place(deployment_id(client, deployment))
    if not rest:
        return found
    environment = client.find_environment(rest[0])
    if environment is None:
        raise NotFound(f"There is no environment named {rest[0]}.")
    found = Place(found.deployment_id, str(environment["id"]))
    if len(rest) == 1:
        return found
    for target in client.list_targets(deployment_id=found.deployment_id):
        here = target["environment"].get("id") == found.environment_id
        if here and rest[1] in {target["resource"].get("name"), target["resource"].get("identifier")}:
            return Place(found.deployment_id, found.environment_id, str(target["resource"]["id"]))
    raise NotFound(f"{deployment} has no target on {rest[1]} in {rest[0]}.")


def find_version(client: Client, deployment: str, tag: str) -> str:
    """The id of a version by its tag.

    Fails: `NotFound`.
    """
    for version in client.list_versions(deployment):
        if version["tag"] == tag:
            return str(version["id"])
    raise NotFound(f"The deployment has no version {tag}.")


def version_meant(client: Client, text: str, *, tag: str | None = None) -> str:
    """The id of the version that `DEPLOYMENT/TAG`, `DEPLOYMENT` with a tag beside it, or an id names.

    Fails: `Invalid` for a deployment alone; `NotFound`.
    """
    if tag is None and is_id(text):
        return text
    name, slash, after = (text, "/", tag) if tag is not None else text.partition("/")
    if not slash:
        raise Invalid(f"Which version? {text}/TAG, or a version's id.")
    return find_version(client, deployment_id(client, name), after)


def expiry(lasts: str | None) -> Seen:
    """The field of a body that says when it ends; empty when it does not by itself."""
    return {} if lasts is None else {"expiresAt": (datetime.now(UTC) + parse_duration(lasts)).isoformat()}


def parse_duration(text: str, *, option: str = "--for") -> timedelta:
    """`90s`, `30m`, `2h`, `1d`, and sums of them (`1h30m`). `option` is named where it is none."""
    parts = re.findall(r"(\d+)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise click.BadParameter(f"{text} is not a duration like 30m, 2h or 1d.", param_hint=option)
    return timedelta(seconds=sum(int(number) * _UNITS_S[unit] for number, unit in parts))


def picked(found: Iterable[Seen], text: str, *, what: str, about: Callable[[Seen], str] | None = None) -> Seen:
    """The one that a beginning of its id, or what it is about, names; also as `-o name` prints it (`freeze/ID`).

    Fails: `NotFound` or `Conflict` when it is none or several.
    """
    text = text.removeprefix(f"{what}/")
    meant = [each for each in found if each["id"].startswith(text) or (about is not None and about(each) == text)]
    if not meant:
        raise NotFound(f"No {what} in force matches {text}.")
    if len(meant) > 1:
        raise Conflict(f"{len(meant)} of them match {text}; give more of the id.")
    return meant[0]


def both(first: Any, second: Any, *, needs: str) -> tuple[str, str]:
    """Two arguments of a command that lists without them.

    Fails: `Invalid` when one of them is missing.
    """
    if not first or not second:
        raise Invalid(f"Say both: {needs}.")
    return str(first), str(second)


def place_of(each: Seen) -> str:
    """A place as people type it."""
    parts = (each["deployment"], each.get("environment"), each.get("resource"))
    return "/".join(str(part["name"] if isinstance(part, dict) else part) for part in parts if part)


def until(body: Seen, *, otherwise: str) -> str:
    """Until when, in words."""
    return f"until {body['expiresAt']}" if body.get("expiresAt") else otherwise
