"""What is being done, and what was done? The jobs of a workspace, newest first, by status and deployment.

Source: DESIGN.md section 3, `console/`; core.md section 5.
"""

from __future__ import annotations

from starlette.responses import Response

from interlock.console.jobs import MARKS
from interlock.console.visit import Visit, number_in_query
from interlock.model.job import JobStatus
from interlock.store import jobs, pages

PAGE = 50


async def show(visit: Visit) -> Response:
    """Jobs."""
    query = visit.request.query_params
    status = query.get("status", "")
    deployment_id = query.get("deployment", "").lower()
    offset = number_in_query(visit, "offset", otherwise=0, most=1_000_000)
    async with visit.here.store.snapshot() as conn:
        choices = [each for each in await pages.list_scopes(conn, visit.here.id) if each.kind == "deployment"]
        known = {each.id for each in choices}
        rows, total = await jobs.list_jobs(
            conn,
            visit.here.id,
            status=status if status in set(JobStatus) else None,
            deployment_id=deployment_id if deployment_id in known else None,
            limit=PAGE,
            offset=offset,
        )
        return await visit.render(
            conn,
            "job_list.html",
            title="Jobs",
            live="follow",
            rows=rows,
            total=total,
            offset=offset,
            page_size=PAGE,
            wanted_status=status,
            deployment_id=deployment_id,
            statuses=[each.value for each in JobStatus],
            choices=choices,
            job_marks=MARKS,
            filters=f"status={status}&deployment={deployment_id}" if status or deployment_id else "",
        )
