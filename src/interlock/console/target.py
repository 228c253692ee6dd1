"""Why is this target where it is? All that holds it, since when, until when, who can act, and what would free it.

The page of 3 a.m.: first the answer in one sentence, then what holds, then what would have to be different, then the
whole rule tree for those who doubt it. It is worked out over the facts of the instant that it names. Any version can be
asked about, also one that no round has looked at lately.

Source: core.md law 8; STYLE.md rule 16.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from interlock.console.holds import mark_of
from interlock.console.override import WAYS
from interlock.console.overrides import groups_of
from interlock.console.verification import MARKS as CHECK_MARKS
from interlock.console.visit import Visit, found
from interlock.decide.explain import failures
from interlock.model.errors import InterlockError, NotFound
from interlock.model.ids import parse_target_key
from interlock.store import jobs, pages, series, standings, target_states

VERSIONS_MAX = 30
JOBS_MAX = 8


async def show(visit: Visit) -> Response:
    """A target."""
    here = visit.here
    try:
        key = parse_target_key(visit.request.path_params["target"])
    except InterlockError as error:
        raise NotFound("There is no such target in this workspace.") from error
    asked = visit.request.query_params.get("version") or None
    async with here.store.read() as conn:
        target = found(await target_states.find_target(conn, here.id, key=key), "target")
    standing = await standings.explain_target_now(here.store, target.deployment_id, target_id=target.id, version=asked)
    async with here.store.snapshot() as conn:
        ended = await target_states.load_ended_moves(conn, [target.id])
        versions, _ = await pages.list_versions(conn, target.deployment_id, limit=VERSIONS_MAX, offset=0)
        releases = await target_states.load_releases(
            conn, here.id, release_ids=[target.current_release_id] if target.current_release_id else []
        )
        latest, _ = await jobs.list_target_jobs(conn, here.id, target_id=target.id, limit=JOBS_MAX, offset=0)
        groups = await groups_of(visit, conn, deployment_id=target.deployment_id)
        tags = {version.id: version.tag for version in versions}
        current = releases.get(target.current_release_id or "")
        return await visit.render(
            conn,
            "target.html",
            title=f"{target.resource} in {target.environment}",
            live="follow",
            about=[target.id, target.deployment_id],
            target=target,
            key=str(key),
            standing=standing,
            mark=STATE_MARKS.get(standing["state"], "unknown") if standing else "idle",
            marked=mark_of,
            by_hand=[
                line
                for group in groups
                if not group.stands_still
                for line in group.lines
                if line.covers(environment_id=target.environment_id, resource_id=target.resource_id)
            ],
            ways=[way for way in WAYS.values() if visit.may_somewhere(way.permission)],
            failed=failures(ended.get(target.id, ())),
            runs=tags.get(current.version_id, current.version_id) if current else None,
            proven=current is not None and target.good_release_id == current.id,
            versions=versions,
            jobs=[(job, tag_of(job)) for job in latest],
            checks=await series.list_of_target(conn, here.id, target_id=target.id, limit=JOBS_MAX),
            check_marks=CHECK_MARKS,
        )


STATE_MARKS = {"runs": "pass", "moving": "moving", "starts": "moving", "paced": "wait", "held": "halted"}
"""State of a standing -> mark."""


def tag_of(job: Any) -> str:
    """The version that a job brought."""
    return str((job.context.get("version") or {}).get("tag") or "")
