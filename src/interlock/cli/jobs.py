"""`interlock jobs`: what do agents do, and what did they?

    interlock jobs                                       the newest
    interlock jobs --deployment shop-api --status failed
    interlock jobs --status running --agent-type argo-cd --agent-type tfe
    interlock jobs 4c1f0a                                one, with why it was allowed and what its agent said

AGE says how long ago the outside was last heard of a job that is not over; LINK leads to it in the tool that does it.
`interlock cancel` asks for a job's end, `interlock task` does those that people do.
"""

from __future__ import annotations

import json
from typing import Any

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.get import NARROWING
from interlock.cli.nouns import JOB_TAKES, JOBS_SHOWN, Wanted, found_one, noun_of
from interlock.cli.tables import items_max, list_options, print_list, print_one
from interlock.client import Client

LOOKED_AT_MAX = 2_000
"""Jobs, newest first, among which the beginning of an id is looked up."""

SAID_MAX = 20
"""Applied objects and artifacts that are said; `-o json` has all."""

SHOWN = (
    *(
        "id",
        "status",
        "verification",
        "message",
        "externalId",
        "createdAt",
        "startedAt",
        "completedAt",
        "observedAt",
        "attempt",
    ),
    *("retryOf", "cancelReason", "heldBy", "leasedUntil"),
)


def narrowed_as_jobs(command: Any) -> Any:
    """The options of `get jobs`."""
    for name in sorted(JOB_TAKES, reverse=True):
        command = NARROWING[name](command)
    return command


@click.command()
@click.argument("job_id", required=False, metavar="[JOB]", shell_complete=names_of("job"))
@narrowed_as_jobs
@list_options
@connected
def jobs(client: Client, job_id: str | None, *, output: str, **narrowed: Any) -> None:
    r"""List jobs, newest first, or show one.

    One is named by its id or the beginning of it: its fields, what its agent said, and why it was allowed.

    \b
    interlock jobs --status running --agent-type argo-cd --agent-type tfe
    interlock jobs --deployment shop-api --status failed --since 7d
    interlock jobs 4c1f0a
    """
    noun = noun_of("job")
    if job_id is None:
        most = items_max(JOBS_SHOWN)
        found = list(noun.read(client, Wanted(**narrowed, items_max=most)))
        if most == JOBS_SHOWN == len(found):
            click.echo(f"The newest {most}; --limit shows more.", err=True)
        print_list(found, output=output, heads=noun.heads, rows=map(noun.row, found), kind="job", named=noun.name)
        return
    known = found_one(client, noun, job_id, wanted=Wanted(**narrowed, items_max=LOOKED_AT_MAX))
    job = client.get_job(known["id"])
    why = client.explain_job(job["id"])["sentences"]
    lines = [f"{key:<12}  {job.get(key)}" for key in SHOWN if job.get(key) is not None]
    lines += [f"{name:<12}  {url}" for name, url in (job.get("links") or {}).items()]
    lines += [f"{key:<12}  {', '.join(job[key][:SAID_MAX])}" for key in ("applied", "artifacts") if job.get(key)]
    lines += ["", *why]
    if said := job.get("output"):
        lines += ["", said if isinstance(said, str) else json.dumps(said, indent=2, ensure_ascii=False)]
    print_one({**job, "why": why}, output=output, text=lines, kind="job")
