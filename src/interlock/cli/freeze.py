"""`interlock freeze`: stop every hand-over, from the moment this command returns.

    interlock freeze --reason "checkout is down"
    interlock freeze --reason "audit" --for 2h --environment production

What runs already runs on; nothing new is handed over. `interlock thaw` ends it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

from interlock.cli.connection import connected
from interlock.cli.version import deployment_id
from interlock.client import Client, Wire
from interlock.model.errors import NotFound

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.command()
@click.option("--reason", required=True, help="Why. Every held target shows it.")
@click.option("--for", "lasts", metavar="2h", help="How long: 30m, 2h, 1d.  [default: until thawed]")
@click.option("--environment", help="Only this environment.")
@click.option("--deployment", help="Only this deployment.")
@click.option("--system", help="Only this system.")
@click.option("--incident", "incident_url", metavar="URL", help="Where the incident is tracked.")
@connected
def freeze(
    client: Client,
    *,
    reason: str,
    lasts: str | None,
    environment: str | None,
    deployment: str | None,
    system: str | None,
    incident_url: str | None,
) -> None:
    r"""Stop every hand-over, from now on.

    What an agent already has runs to its end; rollbacks stay possible. `interlock thaw` lists and ends freezes.

    \b
    interlock freeze --reason "checkout is down"
    interlock freeze --reason audit --for 2h --environment production
    """
    if sum(each is not None for each in (environment, deployment, system)) > 1:
        raise click.UsageError("Give one of --environment, --deployment and --system.")
    body: Wire = {"reason": reason}
    if environment is not None:
        found = client.find_environment(environment)
        if found is None:
            raise NotFound(f"There is no environment named {environment}.")
        body["scope"] = {"kind": "environment", "id": found["id"]}
    elif deployment is not None:
        body["scope"] = {"kind": "deployment", "id": deployment_id(client, deployment)}
    elif system is not None:
        body["scope"] = {"kind": "system", "id": _system_id(client, system)}
    if lasts is not None:
        body["expiresAt"] = (datetime.now(UTC) + parse_duration(lasts)).isoformat()
    if incident_url is not None:
        body["incidentUrl"] = incident_url
    made = client.freeze(body)
    until = f"until {body['expiresAt']}" if lasts else "until it is thawed"
    click.echo(f"Frozen {until}. End it with: interlock thaw {made['id'][:8]}")


def _system_id(client: Client, name: str) -> str:
    for system in client.list_systems():
        if system["name"] == name:
            return str(system["id"])
    raise NotFound(f"There is no system named {name}.")


def parse_duration(text: str) -> timedelta:
    """`90s`, `30m`, `2h`, `1d`, and sums of them (`1h30m`)."""
    parts = re.findall(r"(\d+)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise click.BadParameter(f"{text} is not a duration like 30m, 2h or 1d.", param_hint="--for")
    return timedelta(seconds=sum(int(number) * _UNITS_S[unit] for number, unit in parts))
