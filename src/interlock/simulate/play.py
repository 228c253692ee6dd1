"""What comes of a scenario? Its script played on the virtual clock, told and checked.

    script   ->  a world before anything happened, and an agent that behaves as the file says
             ->  acts and expectations at their instants, rounds and hand-overs between them (scenario.py)
             ->  the timeline, what runs where in the end, and each expectation that did not hold

The same file gives the same timeline, to the letter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from interlock.decide.facts import Environment, Facts, Landed, ReleaseRef, Target, Version
from interlock.decide.plan import Plan
from interlock.model.errors import Invalid, Refused
from interlock.model.ids import derived_id
from interlock.simulate.agents import Happening
from interlock.simulate.cast import PlacedTarget
from interlock.simulate.conduct import Actor
from interlock.simulate.objectives import Watched, watched
from interlock.simulate.scenario import Scenario
from interlock.simulate.script import Moment, Script
from interlock.simulate.stage import NOTHING, Stage, Telling, natural
from interlock.simulate.timeline import Timeline, instant
from interlock.simulate.world import World

BEFORE = timedelta(days=1)
"""What runs at the start was created, deployed and proven so long before."""

STORED_BEFORE = timedelta(days=30)
"""The policies at the start were written so long before."""

END_OF_SECOND = timedelta(microseconds=999_999)
"""Expectations are checked when everything of their second has happened: a fact takes a microsecond here."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation that did not hold."""

    at: datetime
    line: int
    sentence: str


@dataclass(slots=True)
class Played:
    """A story that was played."""

    script: Script
    stage: Stage
    timeline: Timeline
    checked: int = 0
    failures: list[Failure] = field(default_factory=list)

    def ends_with(self) -> dict[str, dict[str, str]]:
        """Environment -> target -> the version that runs there in the end."""
        found: dict[str, dict[str, str]] = {}
        for environment in self.stage.world.facts.environments.values():
            here = sorted(self.stage.at(environment.name), key=lambda one: natural(one.name))
            found[environment.name] = {
                target.name: self.stage.tag(target.current.version_id if target.current else None) for target in here
            }
        return found

    def json(self) -> dict[str, Any]:
        """As `-o json` prints it."""
        return {
            "scenario": self.script.title,
            "file": self.script.file,
            "timeline": [line.json() for line in self.timeline.lines],
            "runs": self.ends_with(),
            "expectations": {
                "checked": self.checked,
                "failed": [
                    {"at": instant(one.at), "line": one.line, "sentence": one.sentence} for one in self.failures
                ],
            },
        }


def play(script: Script) -> Played:
    """Play a script to its end.

    Fails: `Invalid` when an act names something that is not there then, with its line; and when the story takes more
           steps than `events_max`.
    """
    stage = Stage(_world(script), {one.name: one.view for one in script.targets}, script.metadata)
    stage.stored_at = {one.name: script.starts_at - STORED_BEFORE for one in script.policies}
    stage.policies = {one.name: one for one in script.policies}
    stage.match()
    timeline = Timeline(stage)
    played = Played(script, stage, timeline)
    actor = Actor(script.conduct, {one.name: one.environment for one in script.targets})
    stage.traffic = actor.traffic
    story = Scenario(stage.world, actor.agent(), steps_max=script.events_max)

    def watch(plan: Plan) -> None:
        stage.remember(plan)
        timeline.catch_up()
        timeline.tell_holds(one.target_id for one in plan.target_decisions)

    story.watch = watch
    stage.cancel, stage.measure_again = story.cancel, story.measure_again
    for moment in script.moments:
        at = moment.at.replace(microsecond=0) + END_OF_SECOND if moment.expected else moment.at
        story.at(at, _happening(played, moment))
    for one in watched(script.objectives, actor.traffic) if actor.traffic is not None else ():
        story.at(script.starts_at, _reading(played, one))
    try:
        story.run(until=script.ends_at + END_OF_SECOND)
    except Refused as error:
        raise Invalid(f"{script.file}: {error.message}") from error
    timeline.catch_up()
    return played


def _happening(played: Played, moment: Moment) -> Callable[[World], None]:
    def happen(_: World) -> None:
        played.timeline.catch_up()
        for doing in moment.doings:
            try:
                tellings = doing(played.stage)
            except Refused as error:
                raise Invalid(f"line {moment.line}: {error.message}") from error
            if moment.expected:
                played.checked += 1
                played.failures += [Failure(moment.at, moment.line, one.what) for one in tellings]
            played.timeline.tell(tellings)

    return happen


def _reading(played: Played, objective: Watched) -> Callable[[World], Happening]:
    """Reads an objective, tells of another class, and reads it again an interval later."""

    def read(world: World) -> Happening:
        changed = objective.read(world)
        if changed is not None:
            told = Telling("objective", f"{objective.written.name} is {changed.kind.replace('_', ' ')}", changed.reason)
            played.timeline.catch_up()
            played.timeline.tell([told])
        return Happening(objective.written.objective.scrape.total_seconds(), read)

    return read


def _world(script: Script) -> World:
    """The world before anything happened."""
    deployment_id = derived_id("deployment", script.deployment)
    environments = {}
    for place in script.places:
        environment_id = derived_id("environment", place.name)
        view = {"id": environment_id, "name": place.name, "description": "", "metadata": dict(place.metadata)}
        systems = frozenset(derived_id("system", name) for name in place.systems)
        environments[environment_id] = Environment(environment_id, place.name, systems, view)
    before = script.starts_at - BEFORE
    world = World(
        Facts(
            workspace_id=derived_id("workspace"),
            deployment_id=deployment_id,
            deployment_name=script.deployment,
            supersede=script.supersede,
            environments=environments,
        ),
        before,
    )
    tags = sorted({one.runs for one in script.targets if one.runs and one.runs != NOTHING}, key=natural)
    versions = {tag: world.create_version(tag) for tag in tags}
    targets: dict[str, Target] = {}
    landed: dict[tuple[str, str], Landed] = {}
    for one in script.targets:
        target, version = _target(one, before, versions)
        targets[target.id] = target
        if version is not None:
            landed[target.id, version.id] = Landed(before, before)
    world.begin(targets, landed, at=script.starts_at)
    return world


def _target(placed: PlacedTarget, at: datetime, versions: dict[str, Version]) -> tuple[Target, Version | None]:
    """A target that runs a version, proven, or nothing."""
    environment_id = derived_id("environment", placed.environment)
    resource_id = str(placed.view["id"])
    target_id = derived_id("target", resource_id, environment_id)
    version = versions.get(placed.runs or "")
    release = None
    if version is not None:
        release = ReleaseRef(derived_id("release", target_id, version.id), version.id, "config-1")
    target = Target(
        id=target_id,
        environment_id=environment_id,
        resource_id=resource_id,
        attached_at=at,
        policy_set=None,
        agent="one",
        config_digest="config-1",
        current=release,
        good=release,
        mark=version.id if version else None,
        desired=version.id if version else None,
        last_started_at=at if version else None,
        name=placed.name,
    )
    return target, version
