"""What does a command mean by what a role is over? `workspace`, or KIND:NAME as in `deployment:shop-api`."""

from __future__ import annotations

from interlock.cli.version import deployment_id
from interlock.client import Client, Wire
from interlock.model.errors import Invalid, NotFound

KINDS = ("system", "deployment", "environment")


def scope(client: Client, text: str) -> Wire:
    """The wire's scope for KIND:NAME.

    Fails: `Invalid` for a text that is none; `NotFound`.
    """
    kind, _, name = text.partition(":")
    if text in {"", "workspace"}:
        return {"kind": "workspace"}
    if kind not in KINDS or not name:
        raise Invalid(f"{text} is not workspace, or one of system:NAME, deployment:NAME, environment:NAME.")
    if kind == "deployment":
        return {"kind": kind, "id": deployment_id(client, name)}
    there = client.list_environments() if kind == "environment" else client.list_systems()
    for each in there:
        if name in {each["name"], each["id"]}:
            return {"kind": kind, "id": each["id"]}
    raise NotFound(f"There is no {kind} named {name}.")


def bound(client: Client, text: str) -> Wire:
    """The wire's binding for ROLE or ROLE@KIND:NAME."""
    role, _, over = text.partition("@")
    return {"role": role, "scope": scope(client, over)}


def over(binding: Wire) -> str:
    """A binding's scope as people say it."""
    where = binding["scope"]
    return "workspace" if where["kind"] == "workspace" else f"{where['kind']}:{where.get('name', where.get('id'))}"
