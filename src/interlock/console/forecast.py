"""When could each target start? The forecast of a deployment's newest version as a picture, and as a table below it.

A bar a target, from its earliest start to its end, on one axis of time for each environment; the sentence beside it
says what keeps it until then. What no instant is known for says why.

Source: decide/forecast.py; docs/guides/what-if-and-forecast.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from interlock.console.visit import Visit, found
from interlock.decide.explain import sentence
from interlock.decide.facts import Facts
from interlock.decide.forecast import Expected, Usual, forecast, usual_durations
from interlock.decide.verdict import verdict_json
from interlock.store import deployments
from interlock.store.facts import load_facts
from interlock.store.forecast import load_samples

TARGETS_MAX = 100
"""Targets of an environment that are drawn; the first ones to start."""


@dataclass(frozen=True, slots=True)
class Line:
    """One target: its bar in percent of the picture's width, and what there is to say."""

    name: str
    state: str
    starts_at: datetime | None
    ends_at: datetime | None
    from_percent: float
    width_percent: float
    said: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One environment's picture. `until` is where its axis ends; `more` targets are not drawn."""

    name: str
    lines: Sequence[Line]
    until: datetime | None
    more: int
    assumes: Sequence[str]
    caution: str


async def show(visit: Visit) -> Response:
    """The forecast of the newest ready version, or of the one that `?version=` names."""
    wanted = visit.request.query_params.get("version")
    async with visit.here.store.snapshot() as conn:
        named = await deployments.resolve_deployment(conn, visit.here.id, text=visit.request.path_params["deployment"])
        deployment = found(named, "deployment")
        loaded = found(await load_facts(conn, deployment.id), "deployment")
        samples = await load_samples(conn, deployment.id)
        facts = loaded.facts
        newest = sorted(facts.versions, key=lambda one: one.age_key, reverse=True)
        fits = [one for one in newest if (one.status == "ready" if wanted is None else wanted in {one.id, one.tag})]
        version = fits[0] if fits else None
        stages: list[Stage] = []
        if version is not None:
            usual = usual_durations(facts, samples)
            p50 = {key: one.p50 for key, one in usual.items()}
            expected = await asyncio.to_thread(forecast, facts, loaded.now, version, p50)
            stages = _stages(facts, loaded.now, expected, usual)
        return await visit.render(
            conn,
            "forecast.html",
            title=f"Forecast of {facts.deployment_name}",
            live="tell",
            about=[deployment.id],
            deployment=deployment,
            version=version,
            now=loaded.now,
            stages=stages,
        )


def _stages(facts: Facts, now: datetime, expected: Sequence[Expected], usual: Mapping[str, Usual]) -> list[Stage]:
    stages = []
    for environment_id in dict.fromkeys(one.environment_id for one in expected):
        here = [one for one in expected if one.environment_id == environment_id]
        until = max((one.ends_at for one in here if one.ends_at is not None), default=None)
        span_s = max((until - now).total_seconds(), 1.0) if until is not None else 1.0
        known = usual[environment_id]
        caution = ""
        if known.assumed:
            caution = "No job ever ended well here: its duration is assumed."
        elif known.few:
            caution = f"Only {known.samples} moves ended well here: too few to rely on."
        assumed = {sentence(verdict_json(each)): None for one in here for each in one.assumes}
        stages.append(
            Stage(
                name=facts.environments[environment_id].name,
                lines=[_line(facts, one, now, span_s) for one in here[:TARGETS_MAX]],
                until=until,
                more=max(len(here) - TARGETS_MAX, 0),
                assumes=list(assumed),
                caution=caution,
            )
        )
    return stages


def _line(facts: Facts, one: Expected, now: datetime, span_s: float) -> Line:
    start, end = one.starts_at, one.ends_at
    begins = max((start - now).total_seconds(), 0.0) if start is not None else 0.0
    ends = max((end - now).total_seconds(), begins) if end is not None else begins
    words = {"there": "runs it already", "moving": "is on its way"}.get(one.state, "starts now")
    said = sentence(verdict_json(one.cause)) if one.cause is not None else words
    return Line(
        name=facts.targets[one.target_id].name,
        state=one.state,
        starts_at=start,
        ends_at=end,
        from_percent=round(100 * begins / span_s, 2),
        width_percent=round(max(100 * (ends - begins) / span_s, 0.5), 2),
        said=said,
    )
