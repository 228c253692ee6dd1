"""`interlock freeze`: stop every hand-over, from the moment this command returns.

    interlock freeze --reason "checkout is down"
    interlock freeze --reason "audit" --for 2h --environment production
    interlock freeze --reason "zone b burns" --selector 'resource.metadata["zone"] == "b"'
    interlock freeze --extend 4c1f --for 2h
    interlock freeze --list

What runs already runs on; nothing new is handed over. `interlock thaw` ends it.
"""

from __future__ import annotations

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.places import expiry, picked, until
from interlock.cli.tables import id_of, list_options, print_one
from interlock.cli.thaw import print_freezes
from interlock.cli.version import deployment_id
from interlock.client import Client, Wire
from interlock.model.errors import NotFound


@click.command()
@click.option("--reason", help="Why. Every held target shows it.")
@click.option("--for", "lasts", metavar="2h", help="How long from now: 30m, 2h, 1d.  [default: until thawed]")
@click.option("--environment", shell_complete=names_of("environment"), help="Only this environment.")
@click.option("--deployment", shell_complete=names_of("deployment"), help="Only this deployment.")
@click.option("--system", shell_complete=names_of("system"), help="Only this system.")
@click.option("--selector", metavar="CEL", help="Only the targets that it matches.")
@click.option("--extend", "extended", metavar="ID", help="Move the end of a freeze that is in force.")
@click.option("--list", "listed", is_flag=True, help="List the freezes in force.")
@click.option("--incident", "incident_url", metavar="URL", help="Where the incident is tracked.")
@list_options
@connected
def freeze(
    client: Client,
    *,
    reason: str | None,
    lasts: str | None,
    environment: str | None,
    deployment: str | None,
    system: str | None,
    selector: str | None,
    extended: str | None,
    listed: bool,
    incident_url: str | None,
    output: str,
) -> None:
    r"""Stop every hand-over, from now on.

    What an agent already has runs to its end, but a run that is only planned waits; rollbacks stay possible.
    `interlock thaw` lists and ends freezes.

    \b
    interlock freeze --reason "checkout is down"
    interlock freeze --reason audit --for 2h --environment production
    """
    if listed:
        print_freezes(list(client.list_freezes()), output=output)
        return
    if extended is not None:
        meant = picked(client.list_freezes(), extended, what="freeze")
        made = client.extend_freeze(meant["id"], expires_at=expiry(lasts).get("expiresAt"))
        text = f"Frozen {until(made, otherwise='until it is thawed')} ({made['reason']})."
        print_one(made, output=output, text=text, kind="freeze", named=id_of)
        return
    if not reason:
        raise click.UsageError("Say why: --reason.")
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
    body |= expiry(lasts)
    if selector is not None:
        body["selector"] = selector
    if incident_url is not None:
        body["incidentUrl"] = incident_url
    made = client.freeze(body)
    said = until(body, otherwise="until it is thawed")
    text = f"Frozen {said}. End it with: interlock thaw {made['id'][:8]}"
    print_one(made, output=output, text=text, kind="freeze", named=id_of)


def _system_id(client: Client, name: str) -> str:
    for system in client.list_systems():
        if system["name"] == name:
            return str(system["id"])
    raise NotFound(f"There is no system named {name}.")
