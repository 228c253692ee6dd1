"""REST for the forecast: when could each target start at the earliest, and what keeps it until then?

    GET /api/v1/workspaces/W/deployments/D/forecast?version=1.4.0&environment=production

Worked out from one snapshot, twice: with usual durations (p50 of the last 50 moves of that deployment and environment)
and with long ones (p90). Nothing is stored.

Source: decide/forecast.py; docs/guides/what-if-and-forecast.md. This path is ours, not the public contract's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, NotRequired

from fastapi import Query
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.paths import W, found, noun_router
from interlock.api.rendering import Wire
from interlock.decide.explain import sentence, title
from interlock.decide.facts import Facts, Version
from interlock.decide.forecast import Durations, Expected, Usual, forecast, usual_durations
from interlock.decide.verdict import Judged, verdict_json
from interlock.model.errors import NotFound
from interlock.store import deployments
from interlock.store.facts import load_facts
from interlock.store.forecast import load_samples
from interlock.web.answers import Json, instant, present
from interlock.web.shapes import AnyObject, Instant, Named
from interlock.web.sign_in import InWorkspace

router = noun_router("forecast")

TARGETS_MAX = 10_000
"""Targets that an answer names; the first ones to start."""


class ForecastAnswer(TypedDict):
    """When each target could start. What is under `p90` is with long durations; everything else with usual ones."""

    deployment: Named
    version: shapes.VersionRef
    at: Instant
    environments: list[AnyObject]
    targets: list[AnyObject]
    targetsCut: NotRequired[int]


@router.get(W + "/deployments/{deploymentId:segment}/forecast", response_model=ForecastAnswer)
async def get_forecast(
    here: InWorkspace,
    deploymentId: str,
    version: Annotated[str | None, Query(description="Id or tag; the newest ready one where it is absent.")] = None,
    environment: Annotated[str | None, Query(description="Id or name; all where it is absent.")] = None,
) -> Response:
    """When each target could start at the earliest, and what keeps it until then."""
    here.require(Permission.READ)
    async with here.store.snapshot() as conn:
        known = found(await deployments.resolve_deployment(conn, here.id, text=deploymentId), "deployment")
        loaded = found(await load_facts(conn, known.id), "deployment")
        samples = await load_samples(conn, known.id)
    facts = loaded.facts
    wanted = chosen_version(facts, version)
    if environment is not None and environment not in {
        word for one in facts.environments.values() for word in (one.id, one.name)
    }:
        raise NotFound(f"{facts.deployment_name} has no environment {environment}.")
    usual = usual_durations(facts, samples)
    p50, p90 = await asyncio.to_thread(both, facts, loaded.now, wanted, usual)
    return Json(render_forecast(facts, loaded.now, wanted, usual, p50, p90, environment=environment))


def chosen_version(facts: Facts, text: str | None) -> Version:
    """The version that is meant.

    Fails: `NotFound` where there is none, or none so named among the newest.
    """
    newest = sorted(facts.versions, key=lambda one: one.age_key, reverse=True)
    fits = [one for one in newest if (one.status == "ready" if text is None else text in {one.id, one.tag})]
    if not fits:
        what = "ready version" if text is None else f"version {text} among the newest"
        raise NotFound(f"{facts.deployment_name} has no {what}.")
    return fits[0]


def both(
    facts: Facts, now: datetime, version: Version, usual: Mapping[str, Usual]
) -> tuple[tuple[Expected, ...], tuple[Expected, ...]]:
    """The forecast with usual durations, and with long ones."""

    def run(pick: str) -> tuple[Expected, ...]:
        durations: dict[str, Durations] = {key: getattr(one, pick) for key, one in usual.items()}
        return forecast(facts, now, version, durations)

    return run("p50"), run("p90")


def render_forecast(
    facts: Facts,
    now: datetime,
    version: Version,
    usual: Mapping[str, Usual],
    p50: Sequence[Expected],
    p90: Sequence[Expected],
    *,
    environment: str | None = None,
) -> Wire:
    """A forecast on the wire. What is under `p90` is with long durations; everything else with usual ones."""
    late_by_target = {one.target_id: one for one in p90}
    environments = []
    for place in facts.environments.values():
        if environment not in {None, place.id, place.name}:
            continue
        here = [one for one in p50 if one.environment_id == place.id]
        if here:
            late = [late_by_target[one.target_id] for one in here]
            environments.append(_environment(place.id, place.name, usual[place.id], here, late))
    shown = {one["id"] for one in environments}
    targets = [one for one in p50 if one.environment_id in shown]
    return present(
        deployment={"id": facts.deployment_id, "name": facts.deployment_name},
        version={"id": version.id, "tag": version.tag},
        at=instant(now),
        environments=environments,
        targets=[_target(facts, one, late_by_target[one.target_id]) for one in targets[:TARGETS_MAX]],
        targetsCut=max(len(targets) - TARGETS_MAX, 0) or None,
    )


def _environment(
    environment_id: str, name: str, usual: Usual, here: Sequence[Expected], late: Sequence[Expected]
) -> Wire:
    """One environment: how it goes as a whole, and what that rests on."""
    counts: dict[str, int] = {}
    for one in here:
        counts[one.state] = counts.get(one.state, 0) + 1
    assumed = {sentence(verdict_json(judged)): None for one in here for judged in one.assumes}
    return present(
        id=environment_id,
        name=name,
        states=counts,
        firstStart=_instant(min((one.starts_at for one in here if one.starts_at), default=None)),
        lastStart=_instant(max((one.starts_at for one in here if one.starts_at), default=None)),
        lastEnd=_instant(max((one.ends_at for one in here if one.ends_at), default=None)),
        p90={
            "lastStart": _instant(max((one.starts_at for one in late if one.starts_at), default=None)),
            "lastEnd": _instant(max((one.ends_at for one in late if one.ends_at), default=None)),
        },
        durations=_durations(usual),
        assumes=list(assumed),
    )


def _durations(usual: Usual) -> Wire:
    """What the forecast rests on, and how far it can be relied on."""
    said = None
    if usual.assumed:
        said = "No job ever ended well here: its duration is assumed."
    elif usual.few:
        said = f"Only {usual.samples} moves ended well here: too few to rely on."
    return present(
        samples=usual.samples,
        jobSeconds={"p50": usual.p50.job.total_seconds(), "p90": usual.p90.job.total_seconds()},
        verificationSeconds={
            "p50": usual.p50.verification.total_seconds(),
            "p90": usual.p90.verification.total_seconds(),
        },
        caution=said,
    )


def _target(facts: Facts, one: Expected, late: Expected) -> Wire:
    target = facts.targets[one.target_id]
    return present(
        id=one.target_id,
        resource={"id": target.resource_id, "name": target.name},
        environmentId=one.environment_id,
        state=one.state,
        startsAt=_instant(one.starts_at),
        endsAt=_instant(one.ends_at),
        p90={"startsAt": _instant(late.starts_at), "endsAt": _instant(late.ends_at)} if one.starts_at else None,
        cause=_cause(one.cause) if one.cause else None,
        assumes=[sentence(verdict_json(judged)) for judged in one.assumes] or None,
    )


def _cause(judged: Judged) -> dict[str, Any]:
    verdict = verdict_json(judged)
    return {**verdict, "title": title(verdict), "sentence": sentence(verdict)}


def _instant(at: datetime | None) -> str | None:
    return None if at is None else instant(at)
