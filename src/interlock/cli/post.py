"""`interlock post`: post what an outside system measured, for a metric that waits for it.

    interlock post 4c1f… smoke-tests --id run-4711 --result '{"passed": 118, "failed": 0}'
    run-tests --json | interlock post $JOB_ID smoke-tests --id "$CI_RUN_ID" --result-file -
    interlock post verification/8f14… smoke-tests --id run-4711 --result-file results.json      of a wave, or a rollout

The result's own id makes it one: posted twice it counts once. `docs/metrics/webhook.md` says what the metric sees.
"""

from __future__ import annotations

from typing import IO, Any

import click
import orjson

from interlock.cli.completion import names_of
from interlock.cli.connection import connected
from interlock.cli.places import picked
from interlock.cli.tables import id_of, output_option, print_one
from interlock.client import Client
from interlock.model.errors import Invalid
from interlock.model.ids import is_id

VERIFICATION = "verification/"

LOOKED_AT_MAX = 1_000
"""Jobs, newest first, among which the beginning of an id is looked up."""


@click.command()
@click.argument("job_id", metavar="JOB | verification/ID", shell_complete=names_of("job"))
@click.argument("metric")
@click.option("--id", "name", required=True, help="Your own name of the result: posted twice it counts once.")
@click.option("--result", "text", help="The result, as JSON.")
@click.option("--result-file", "file", type=click.File("rb"), help="A file with the result; - for stdin.")
@output_option
@connected
def post(
    client: Client, job_id: str, metric: str, *, name: str, text: str | None, file: IO[bytes] | None, output: str
) -> None:
    """Post what an outside system measured of a job.

    METRIC is the name of a metric whose provider is `webhook`. The beginning of an id is enough. What is measured of a
    wave or a whole rollout is no job's: it goes by its verification.
    """
    if (text is None) == (file is None):
        raise Invalid("Give --result or --result-file.")
    result = _read(text if file is None else file.read())
    of = job_id.removeprefix(VERIFICATION)
    if of != job_id:
        if not is_id(of):
            of = picked(client.list_verifications(items_max=LOOKED_AT_MAX), of, what="verification")["id"]
        answer = client.post_verification_result(of, metric, result_id=name, result=result)
        print_one(answer, output=output, text=answer["message"], kind="verification", named=id_of)
        return
    if not is_id(job_id):
        job_id = picked(client.list_jobs(items_max=LOOKED_AT_MAX), job_id, what="job")["id"]
    answer = client.post_result(job_id, metric, result_id=name, result=result)
    print_one(answer, output=output, text=answer["message"], kind="job", named=id_of)


def _read(raw: str | bytes | None) -> Any:
    try:
        return orjson.loads(raw or b"")
    except orjson.JSONDecodeError as broken:
        raise Invalid(f"The result is no JSON: {broken}.") from broken
