"""`interlock plan`: what would this version change, before it exists?

    interlock plan shop-api --tag 1.5.0 -c image.tag=1.5.0
    interlock plan shop-api --tag 1.5.0 -c image.tag=1.5.0 --diff

Every target's agent is asked what it would do; agents that cannot tell say `unsupported`. Policies with a
`planValidationOpa` rule judge each result. Nothing is moved and no version is made.

Exit codes: 0 everything is known and no rule objects, 1 something errored or a rule objects, so that CI can stop here.
"""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.tables import id_of, output_option, print_one, table
from interlock.cli.version import deployment_id, parse_config
from interlock.client import Client, Seen

ASK_EVERY_S = 0.5


@click.command()
@click.argument("deployment", shell_complete=names_of("deployment"))
@click.option("-t", "--tag", required=True, help="What the version would be known by.")
@click.option("-c", "--config", multiple=True, metavar="A.B=VALUE", help="May repeat.")
@click.option(
    "--job-agent-config-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A JSON object."
)
@click.option("--diff", is_flag=True, help="Show each target's change line by line.")
@click.option("--wait", "wait_s", default=300.0, show_default=True, help="How many seconds to wait for the results.")
@output_option
@click.pass_context
@connected
def plan(
    client: Client,
    ctx: click.Context,
    deployment: str,
    *,
    tag: str,
    config: Sequence[str],
    job_agent_config_file: Path | None,
    diff: bool,
    wait_s: float,
    output: str,
) -> None:
    """Show what a version would change, before it exists."""
    place = deployment_id(client, deployment)
    extra = json.loads(job_agent_config_file.read_text()) if job_agent_config_file else None
    asked = client.plan_version(place, tag=tag, config=parse_config(config), job_agent_config=extra)
    until = time.monotonic() + wait_s
    known = client.get_plan(place, asked["id"])
    while known["status"] == "computing" and time.monotonic() < until:
        time.sleep(ASK_EVERY_S)
        known = client.get_plan(place, asked["id"])
    print_one(known, output=output, text=_lines(known, tag=tag, diff=diff), kind="plan", named=id_of)
    objections = any(not each["passed"] for each in _validations(known) if each["status"] != "unsupported")
    if known["status"] != "completed" or objections:
        ctx.exit(1)


def _lines(known: Seen, *, tag: str, diff: bool) -> Iterator[str]:
    rows = [
        (target["environmentName"], target["resourceName"], _word(result), _objections(result) or result["message"])
        for target in known["targets"]
        for result in target["results"]
    ]
    if rows:
        yield table(("environment", "resource", "plan", "notes"), rows)
    counts = known["summary"]
    told = ", ".join(f"{counts[word]} {word}" for word in ("changed", "unchanged", "errored", "unsupported"))
    left_out = f"; {known['targetsLeftOut']} more targets were not looked at" if "targetsLeftOut" in known else ""
    yield f"{tag}: {known['status']}, {told}{left_out}"
    if diff:
        for target in known["targets"]:
            for result in target["results"]:
                yield from _diff(target, result)


def _word(result: Seen) -> str:
    if result["status"] != "completed":
        return str(result["status"])
    return "changes" if result["hasChanges"] else "no change"


def _objections(result: Seen) -> str:
    told = [
        f"{each['name']}: {'; '.join(_texts(each['violations'])) or each['message']}"
        for each in result["validations"]
        if each["status"] in {"failed", "errored"}
    ]
    return " | ".join(told)


def _texts(violations: Sequence[object]) -> list[str]:
    return [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in violations]


def _validations(known: Seen) -> list[Seen]:
    return [each for target in known["targets"] for result in target["results"] for each in result["validations"]]


def _diff(target: Seen, result: Seen) -> Iterator[str]:
    place = f"{target['environmentName']}/{target['resourceName']}"
    before, after = result["current"].splitlines(), result["proposed"].splitlines()
    yield from difflib.unified_diff(before, after, f"{place} now", f"{place} then", lineterm="")
