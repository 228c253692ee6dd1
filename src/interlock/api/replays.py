"""REST for replays: does Interlock decide today what it decided then?

Source: core.md section 6, "replay rebuilds Facts from the blobs and decides again". This path is ours.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.paths import W, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.decide import ENGINE_VERSION
from interlock.decide.explain import sentences
from interlock.store.replay import Replay, replay
from interlock.web.answers import Json, instant, present
from interlock.web.shapes import Id, Instant, Named
from interlock.web.sign_in import InWorkspace

router = noun_router("decisions")


class Engines(TypedDict):
    """The engine that decided, and the one that decided again."""

    then: str
    now: str


class Zones(TypedDict):
    """The time zone data that counted then, and whether today's is the same."""

    then: str
    same: bool


class ReplayedDecision(TypedDict):
    """One decision, made again."""

    id: NotRequired[str]
    subject: str
    kind: str
    environment: str
    version: str
    outcome: str
    differs: NotRequired[Literal[True]]
    verdicts: list[shapes.Verdict]


class Difference(TypedDict):
    """A decision that differs."""

    subject: str
    then: NotRequired[Any]
    now: NotRequired[Any]


class ReplayAnswer(TypedDict):
    """What was decided, decided again over the same facts."""

    roundId: Id
    decisionId: NotRequired[Id]
    at: Instant
    deployment: Named
    agrees: bool
    says: str
    engine: Engines
    tzdata: Zones
    moves: int
    targets: int
    decisions: list[ReplayedDecision]
    differences: list[Difference]


@router.get(W + "/decisions/{decisionId:segment}/replay", response_model=ReplayAnswer)
async def replay_decision(here: InWorkspace, decisionId: str) -> Response:
    """Decide again what was decided: the id of a decision or of a round. Says whether it agrees, and the tree."""
    here.require(Permission.READ)
    wanted_id = id_of(decisionId, "decision")
    async with here.store.snapshot() as conn:
        again = await replay(conn, here.id, wanted_id=wanted_id)
    return Json(render_replay(again))


def render_replay(again: Replay) -> Wire:
    """A replay on the wire."""
    decision, differing = again.decision, [subject for subject, _, _ in again.others]
    shown = [decision] if decision is not None else list(again.plan.decisions)
    return present(
        roundId=again.round_id,
        decisionId=again.decision_id,
        at=instant(again.at),
        deployment={"id": again.facts.deployment_id, "name": again.facts.deployment_name},
        agrees=again.agrees,
        says=says(again),
        engine={"then": again.engine_version, "now": ENGINE_VERSION},
        tzdata={"then": again.tzdata_version, "same": again.same_tzdata},
        moves=len(again.plan.moves),
        targets=len(again.facts.targets),
        decisions=[
            present(
                id=one.id,
                subject=one.subject,
                kind=one.kind,
                environment=_name(again, one.environment_id),
                version=_tag(again, one.version_id),
                outcome=one.outcome,
                differs=one.subject in differing or None,
                verdicts=sentences(one.verdicts),
            )
            for one in shown
        ],
        differences=[present(subject=subject, then=then, now=now) for subject, then, now in again.others],
    )


def says(again: Replay) -> str:
    """The answer in one sentence, and what to think of it."""
    if again.agrees:
        text = f"Decided again over the facts of {instant(again.at)}: it agrees."
    else:
        text = f"Decided again over the facts of {instant(again.at)}: {len(again.others)} of its decisions differ."
    if not again.same_engine:
        text += f" Engine {again.engine_version} decided then, engine {ENGINE_VERSION} now."
    if not again.same_tzdata:
        text += f" The time zones of {again.tzdata_version} counted then; today's are others."
    return text


def _name(again: Replay, environment_id: str) -> str:
    environment = again.facts.environments.get(environment_id)
    return environment.name if environment else environment_id


def _tag(again: Replay, version_id: str) -> str:
    return next((one.tag for one in again.facts.versions if one.id == version_id), version_id)
