"""What is being done, and what was done, by all agents together? Newest first, narrowed by what people look for.

Each job says how it goes, where to look at it in the tool that does it, and how old that knowledge is: when its agent,
a webhook or a report was last heard. While jobs are open the page loads itself again now and then, because that age
grows without anything happening.

Source: requirements R002-02, R002-09, R002-10; core.md section 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from starlette.responses import Response

from interlock.console.jobs import AGAIN_S, MARKS, links_of
from interlock.console.visit import Visit, number_in_query
from interlock.model.ids import is_id
from interlock.model.job import STATUS_GROUPS, JobStatus, age, statuses_of
from interlock.store import job_list, pages, tasks
from interlock.store.job_list import JobFilter
from interlock.store.jobs import JobRow

PAGE = 50
QUIET_S = 600.0
"""After so long without a word of a running job its age is marked."""

SINCE: Mapping[str, tuple[str, timedelta]] = {
    "1h": ("last hour", timedelta(hours=1)),
    "24h": ("last 24 hours", timedelta(hours=24)),
    "7d": ("last 7 days", timedelta(days=7)),
    "30d": ("last 30 days", timedelta(days=30)),
}
KINDS = ("forward", "config", "redeploy", "rollback", "pin", "force", "retry", "workflow")
GROUP_WORDS: Mapping[str, str] = {
    "open": "open (not over)",
    "running": "running",
    "waiting": "waiting",
    "failed": "failed in any way",
    "over": "over",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A job as the list shows it. `quiet`: it runs, and nothing was heard of it for long."""

    job: JobRow
    links: Sequence[tuple[str, str]]
    known: str
    quiet: bool

    @property
    def over(self) -> bool:
        """Whether nothing more will be heard of it."""
        return JobStatus(self.job.status).terminal


async def show(visit: Visit) -> Response:
    """Jobs."""
    query = {name: text for name, text in visit.request.query_params.items() if text and name != "offset"}
    offset = number_in_query(visit, "offset", otherwise=0, most=1_000_000)
    now = visit.here.store.now()
    wanted = JobFilter(
        statuses=_statuses(query.get("status", "")),
        agent_id=_id(query, "agent"),
        agent_types=[query["type"]] if "type" in query else (),
        deployment_id=_id(query, "deployment"),
        environment_id=_id(query, "environment"),
        resource_id=_id(query, "resource"),
        system_id=_id(query, "system"),
        version=query.get("version", "").strip() or None,
        kind=query.get("kind") if query.get("kind") in KINDS else None,
        since_at=now - SINCE[query["since"]][1] if query.get("since") in SINCE else None,
        text=query.get("q", "").strip() or None,
    )
    async with visit.here.store.snapshot() as conn:
        scopes = await pages.list_scopes(conn, visit.here.id)
        agents = await job_list.list_agents(conn, visit.here.id)
        rows, total = await job_list.list_jobs(conn, visit.here.id, wanted=wanted, limit=PAGE, offset=offset)
        resource = await pages.load_names(conn, [wanted.resource_id]) if wanted.resource_id else {}
        counts = await job_list.count_open(conn, visit.here.id)
        mine, mine_total = await tasks.list_tasks(
            conn, visit.here.id, principal_id=visit.here.caller.id, mine=True, state="open", limit=5, offset=0
        )
        lines = [_line(job, age_s=(now - job.observed_at).total_seconds() if job.observed_at else None) for job in rows]
        return await visit.render(
            conn,
            "job_list.html",
            title="Jobs",
            live="follow",
            again_s=AGAIN_S if any(not line.over for line in lines) else None,
            lines=lines,
            total=total,
            offset=offset,
            page_size=PAGE,
            query=query,
            filters=urlencode(query),
            more_filters=sum(name in query for name in ("system", "type", "version", "kind", "since", "resource")),
            statuses=[each.value for each in JobStatus],
            groups=GROUP_WORDS,
            choices={
                kind: [each for each in scopes if each.kind == kind] for kind in ("deployment", "environment", "system")
            },
            agents=agents,
            agent_types=sorted({each.type for each in agents} | set(wanted.agent_types)),
            kinds=KINDS,
            since={name: words for name, (words, _) in SINCE.items()},
            resource_name=resource.get(wanted.resource_id or ""),
            counts=[(status.value, counts[status.value]) for status in JobStatus if counts.get(status.value)],
            mine=mine,
            mine_total=mine_total,
            now=now,
            job_marks=MARKS,
        )


def _line(job: JobRow, *, age_s: float | None) -> Line:
    running = job.status in STATUS_GROUPS["running"]
    return Line(
        job=job,
        links=links_of(job.links),
        known="" if age_s is None else age(age_s),
        quiet=running and not job.is_task and (age_s is None or age_s > QUIET_S),
    )


def _statuses(word: str) -> Sequence[str]:
    """What a word of the form means; another one narrows nothing."""
    try:
        return statuses_of([word]) if word else ()
    except ValueError:
        return ()


def _id(query: Mapping[str, str], name: str) -> str | None:
    text = query.get(name, "").lower()
    return text if is_id(text) else None
