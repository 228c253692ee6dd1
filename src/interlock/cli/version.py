"""`interlock version`: say that a version exists, as CI does at the end of a build, or that it is bad.

    interlock version upsert --deployment shop-api --tag 1.4.0 -m git/commit=$SHA -c image.tag=1.4.0

    interlock version reject 1.4.0 --deployment shop-api --rollback --reason "leaks memory"

`--needs shop-schema='version.tag == "2"'` says what must run beside it before it starts.

Asking twice with one tag is harmless. `-c` takes a dotted path into the version's config; numbers, `true` and `false`
keep their kind, everything else is text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from interlock.cli.completion import names_of, tags
from interlock.cli.connection import connected
from interlock.cli.tables import output_option, print_data, print_one
from interlock.client import Client, Wire
from interlock.model.errors import NotFound
from interlock.model.version_facts import LINKS


@click.group()
def version() -> None:
    """Create versions, as CI does, or reject them."""


@version.command()
@click.option(
    "-d",
    "--deployment",
    "deployments",
    multiple=True,
    required=True,
    shell_complete=names_of("deployment"),
    help="Name or id; may repeat.",
)
@click.option("-t", "--tag", required=True, help="What the version is known by.")
@click.option("-n", "--name", default="", help="A longer name.  [default: the tag]")
@click.option("-m", "--metadata", multiple=True, metavar="KEY=VALUE", help="May repeat.")
@click.option("-c", "--config", multiple=True, metavar="A.B=VALUE", help="May repeat.")
@click.option("-l", "--link", "links", multiple=True, metavar="NAME=URL", help="May repeat.")
@click.option("-s", "--status", type=click.Choice(["building", "ready", "failed"]), default="ready", show_default=True)
@click.option("-r", "--created-at", metavar="RFC3339", help="When it was built.  [default: now]")
@click.option("--needs", multiple=True, metavar="DEPLOYMENT=CEL", help="What must run beside it first; may repeat.")
@click.option(
    "--job-agent-config-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A JSON object."
)
@output_option
@connected
def upsert(
    client: Client,
    *,
    deployments: Sequence[str],
    tag: str,
    name: str,
    metadata: Sequence[str],
    config: Sequence[str],
    links: Sequence[str],
    status: str,
    created_at: str | None,
    needs: Sequence[str],
    job_agent_config_file: Path | None,
    output: str,
) -> None:
    """Create a version in each deployment named; the one with this tag stays when there is one."""
    noted = dict(_pair(each, option="--metadata") for each in metadata)
    if links:
        noted[LINKS] = json.dumps(dict(_pair(each, option="--link") for each in links))
    names = {deployment_id(client, each): each for each in deployments}
    wanted = {deployment_id(client, of): text for of, text in (_pair(each, option="--needs") for each in needs)}
    made = [
        client.upsert_version(
            owner,
            tag=tag,
            name=name,
            status=status,
            metadata=noted,
            config=parse_config(config),
            job_agent_config=_json_object(job_agent_config_file) if job_agent_config_file else None,
            created_at=created_at,
            needs=wanted or None,
        )
        for owner in names
    ]
    if output in {"json", "yaml"}:
        print_data(made[0] if len(made) == 1 else made, output=output)
        return
    for each in made:
        of = names[each["deploymentId"]]
        text = f"version {each['tag']} of {of} is {each['status']}, id {each['id']}"
        print_one({**each, "name": f"{of}/{each['tag']}"}, output=output, text=text, kind="version")


@version.command()
@click.argument("tag", shell_complete=tags)
@click.option("-d", "--deployment", required=True, shell_complete=names_of("deployment"), help="Name or id.")
@click.option("--rollback", is_flag=True, help="Targets that run it go back to what was good before.")
@click.option("--reason", required=True, help="Why. It becomes the version's message.")
@output_option
@connected
def reject(client: Client, tag: str, *, deployment: str, rollback: bool, reason: str, output: str) -> None:
    """Reject a version: it starts nowhere any more; what runs it stays, unless --rollback."""
    from interlock.cli.order import tell_placed

    owner = deployment_id(client, deployment)
    found = next((each for each in client.list_versions(owner) if each["tag"] == tag), None)
    if found is None:
        raise NotFound(f"There is no version {tag} of {deployment}.")
    answer = client.change_version(found["id"], {"status": "rejected", "message": reason, "rollback": rollback})
    print_one(answer, output=output, text=f"rejected {tag}", kind="version", named=lambda _: f"{deployment}/{tag}")
    if rollback and output == "table":
        tell_placed(answer["rollback"])


def deployment_id(client: Client, text: str) -> str:
    """The id of a deployment given by name or id.

    Fails: `NotFound` when there is none of that name.
    """
    from interlock.model.ids import is_id

    if is_id(text):
        return text
    found = client.find_deployment(text)
    if found is None:
        from interlock.cli.nouns import missing

        raise NotFound(missing(client, "deployment", text))
    return str(found["deployment"]["id"])


def parse_config(pairs: Sequence[str]) -> Wire:
    """`a.b=1` and `a.c=x` -> `{"a": {"b": 1, "c": "x"}}`."""
    built: Wire = {}
    for pair in pairs:
        dotted, value = _pair(pair, option="--config")
        *parents, last = dotted.split(".")
        inside = built
        for parent in parents:
            inside = inside.setdefault(parent, {})
            if not isinstance(inside, dict):
                raise click.BadParameter(f"{dotted} lies inside a value that is set already.", param_hint="--config")
        inside[last] = _scalar(value)
    return built


def _scalar(text: str) -> object:
    """A number, true or false keeps its kind; the rest is text."""
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if str(number) == text else text
    return text


def _pair(text: str, *, option: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.BadParameter(f"{text} is not KEY=VALUE.", param_hint=option)
    return key, value


def _json_object(path: Path) -> Wire:
    try:
        loaded: Any = json.loads(path.read_text())
    except ValueError as cause:
        raise click.BadParameter(f"{path} is no JSON: {cause}", param_hint="--job-agent-config-file") from cause
    if not isinstance(loaded, dict):
        raise click.BadParameter(f"{path} must hold a JSON object.", param_hint="--job-agent-config-file")
    return loaded
