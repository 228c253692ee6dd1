"""`interlock jobs`: what do agents do, and what did they?

    interlock jobs                                       the newest
    interlock jobs --deployment shop-api --status failure
    interlock jobs 4c1f0a                                one, with why it was allowed and what its agent said

`interlock cancel` asks for a job's end.
"""

from __future__ import annotations

import json
from typing import Any

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.get import NARROWING
from interlock.cli.nouns import JOBS_SHOWN, Wanted, found_one, noun_of
from interlock.cli.tables import items_max, list_options, print_list, print_one
from interlock.client import Client

LOOKED_AT_MAX = 2_000
"""Jobs, newest first, among which the beginning of an id is looked up."""

SHOWN = (
    *("id", "status", "message", "externalId", "createdAt", "startedAt", "completedAt", "attempt", "retryOf"),
    "cancelReason",
)


@click.command()
@click.argument("job_id", required=False, metavar="[JOB]", shell_complete=names_of("job"))
@NARROWING["deployment"]
@NARROWING["environment"]
@NARROWING["resource"]
@NARROWING["status"]
@list_options
@connected
def jobs(client: Client, job_id: str | None, *, output: str, **narrowed: Any) -> None:
    r"""List jobs, newest first, or show one.

    One is named by its id or the beginning of it: its fields, what its agent said, and why it was allowed.

    \b
    interlock jobs --deployment shop-api --status failure
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
    lines += ["", *why]
    if said := job.get("output"):
        lines += ["", said if isinstance(said, str) else json.dumps(said, indent=2, ensure_ascii=False)]
    print_one({**job, "why": why}, output=output, text=lines, kind="job")
