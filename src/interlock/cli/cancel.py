"""`interlock cancel`: ask for a job's end.

    interlock cancel 4c1f… --reason "wrong flags"

A cancel is asked for, not assumed: the target stays occupied until the agent confirms, or the time for that is over.
`interlock get jobs` lists jobs.
"""

from __future__ import annotations

import click

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.places import picked, reason_option
from interlock.cli.tables import id_of, output_option, print_one
from interlock.client import Client
from interlock.model.ids import is_id

LOOKED_AT_MAX = 1_000
"""Jobs, newest first, among which the beginning of an id is looked up."""


@click.command()
@click.argument("job_id", metavar="JOB", shell_complete=names_of("job"))
@reason_option
@output_option
@connected
def cancel(client: Client, job_id: str, *, reason: str, output: str) -> None:
    """Ask for a job's end.

    Its target stays occupied until the agent confirms, or the time for that is over. The beginning of an id is enough.
    """
    if not is_id(job_id):
        job_id = picked(client.list_jobs(items_max=LOOKED_AT_MAX), job_id, what="job")["id"]
    answer = client.cancel_job(job_id, reason=reason)
    print_one(answer, output=output, text=answer["message"], kind="job", named=id_of)
