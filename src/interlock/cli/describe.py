"""`interlock describe`: everything that is known of one thing, and of what hangs together with it.

    interlock describe deployment shop-api
    interlock describe resource/prod-eu-1
    interlock describe version shop-api/1.4.0
    interlock describe target shop-api/production/prod-eu-1
    interlock describe job 4c1f0a

First its own fields, then what belongs to it: targets, versions, what is in force there, why it waits. `-o json` gives
the object with the same parts beside its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from interlock.cli.columns import table
from interlock.cli.completion import kinds, names_of_kind
from interlock.cli.connection import connected
from interlock.cli.nouns import Noun, found_one, noun_of, tag_of
from interlock.cli.tables import about, as_yaml, output_option, print_one
from interlock.client import Client, Seen

SHOWN_MAX = 20
VERSIONS_SHOWN = 5

Parts = Mapping[str, Any]
"""title -> what stands under it: sentences, or rows of a noun's table."""


@click.command()
@click.argument("kind", metavar="KIND[/NAME]", shell_complete=kinds)
@click.argument("name", required=False, metavar="[NAME]", shell_complete=names_of_kind)
@output_option
@connected
def describe(client: Client, kind: str, name: str | None, *, output: str) -> None:
    r"""Show everything that is known of one thing.

    \b
    interlock describe deployment shop-api
    interlock describe target shop-api/production/prod-eu-1
    """
    noun, text = named_thing(kind, name)
    each = found_one(client, noun, text)
    whole = {**each, **_more(client, noun, each)}
    parts = PARTS[noun.kind](client, whole) if noun.kind in PARTS else {}
    shown = {**whole, **{key: value for key, value in parts.items() if key not in whole}} if parts else whole
    text_of = _lines(noun, whole, parts)
    print_one(shown, output=output, text=text_of, kind=noun.kind, named=lambda _: noun.name(each))


def named_thing(kind: str, name: str | None) -> tuple[Noun, str]:
    """KIND NAME or KIND/NAME.

    Fails: `UsageError` without a name; `Invalid` for a kind that there is not.
    """
    if name is None:
        kind, slash, name = kind.partition("/")
        if not slash:
            raise click.UsageError(f"Which {noun_of(kind).kind}? Say KIND NAME or KIND/NAME.")
    return noun_of(kind), name


def _more(client: Client, noun: Noun, each: Seen) -> Seen:
    """What a lookup says beyond a list."""
    match noun.kind:
        case "system":
            return client.get_system(each["id"])
        case "environment":
            return client.get_environment(each["id"])
        case "deployment":
            return {"variables": client.get_deployment(each["id"]).get("variables", [])}
        case "version":
            return {"dependencies": client.get_version(each["id"]).get("dependencies", {})}
        case "resource":
            return {
                "variables": {one["key"]: one["value"] for one in client.list_resource_variables(each["identifier"])}
            }
        case "rollout":
            return {**client.get_rollout(each["id"]), **client.get_rollout_places(each["id"])}
        case _:
            return {}


def _of_deployment(client: Client, each: Seen) -> Parts:
    here = each["id"]
    return {
        "targets": list(client.list_targets(deployment_id=here)),
        "versions": list(client.list_versions(here, items_max=VERSIONS_SHOWN)),
        "rollouts": list(client.list_rollouts(deployment_id=here)),
        "pins": list(client.list_pins(deployment_id=here)),
        "why": client.explain_deployment(here).get("sentences", []),
    }


def _of_environment(client: Client, each: Seen) -> Parts:
    applied = [one for one in client.list_policies_in_force(each["name"]) if one["applies"]]
    return {
        "targets": list(client.list_targets(environment_id=each["id"])),
        "policies": [f"{one['policy']['name']}: {one['targets']} of {one['of']} targets" for one in applied],
    }


def _of_version(client: Client, each: Seen) -> Parts:
    trace = client.trace_version(each["id"])
    stages = [
        f"{stage['environment']['name']}: "
        + ", ".join(f"{number} {state}" for state, number in stage["counts"].items())
        for stage in trace["stages"]
    ]
    return {"stages": stages}


PARTS: dict[str, Callable[[Client, Seen], Parts]] = {
    "deployment": _of_deployment,
    "environment": _of_environment,
    "resource": lambda client, each: {"targets": list(client.list_targets(resource_id=each["id"]))},
    "version": _of_version,
    "target": lambda client, each: {"why": client.explain_target(each["key"]).get("sentences", [])},
    "agent": lambda _, each: {"why": [said] if (said := (each.get("health") or {}).get("says")) else []},
    "job": lambda client, each: {"why": client.explain_job(each["id"])["sentences"]},
}

NOUNS_OF_PARTS = {"targets": "target", "versions": "version", "rollouts": "rollout"}
HIDDEN = {"workspaceId", "job", "release", "deployments", "environments", "waves", "next", "steering", "approvals"}


def _lines(noun: Noun, whole: Seen, parts: Parts) -> Iterator[str]:
    yield f"{noun.kind} {noun.name(whole)}"
    fields = {key: value for key, value in whole.items() if key not in HIDDEN and value not in (None, "", {}, [])}
    width = max(map(len, fields), default=0)
    for key, value in fields.items():
        yield from _field(key, value, width=width)
    for key in ("deployments", "environments"):
        if whole.get(key):
            yield f"  {key:<{width}}  {', '.join(one['name'] for one in whole[key])}"
    for title, found in parts.items():
        if found:
            yield ""
            yield f"{title}:"
            yield from (f"  {line}" for line in _part(title, found))


def _field(key: str, value: Any, *, width: int) -> Iterator[str]:
    """A field on one line where it has room there, else as YAML under its name."""
    if isinstance(value, dict) and set(value) <= {"id", "name", "tag", "identifier", "kind"}:
        value = value.get("name") or value.get("tag") or value.get("id")
    if key == "systems":
        value = ", ".join(one["name"] for one in value)
    if isinstance(value, dict | list):
        yield f"  {key}:"
        yield from (f"    {line}" for line in as_yaml(value).splitlines())
    else:
        first, *rest = str("yes" if value is True else "no" if value is False else value).splitlines() or [""]
        yield f"  {key:<{width}}  {first}"
        yield from (f"  {'':<{width}}  {line}" for line in rest)


def _part(title: str, found: list[Any]) -> Iterator[str]:
    shown = found[:SHOWN_MAX]
    if title in NOUNS_OF_PARTS:
        noun = noun_of(NOUNS_OF_PARTS[title])
        yield from table(noun.heads, map(noun.row, shown)).splitlines()
    elif title == "pins":
        yield from (f"{about(one)} at {tag_of(one['version'])}: {one['reason']}" for one in shown)
    else:
        yield from map(str, shown)
    if len(found) > SHOWN_MAX:
        yield f"and {len(found) - SHOWN_MAX} more"
