"""How is one rule asked? For the tables of examples: a rule on the wire, some facts and an instant give a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from interlock.decide.facts import Facts
from interlock.decide.index import Index
from interlock.decide.lift import Lift, with_lifts
from interlock.decide.rules import RULE_BY_KIND, parse_rules
from interlock.decide.subjects import EnvironmentVersion, TargetMove
from interlock.decide.verdict import Verdict
from interlock.simulate.world import World, policy
from worlds import MONDAY, an_environment, version_id


def at(text: str) -> datetime:
    """An instant: `2026-03-09 09:00` is UTC, `2026-03-09 09:00+01:00` is not."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def judged(world: World, rule: Mapping[str, object], tag: str, environment: str) -> Verdict:
    """What one rule over an environment says of a version now."""
    (parsed,) = policy("example", [rule], first_stored_at=MONDAY).rules
    subject = EnvironmentVersion(Index(world.snapshot()), world.environment(environment), world.version(tag), "forward")
    module = RULE_BY_KIND[parsed.kind]
    if getattr(module, "joint", False):
        return module.evaluate(subject, (parsed,), world.now)
    return module.evaluate(subject, parsed.params, world.now)


def judged_target(world: World, rule: Mapping[str, object], tag: str, target: str) -> Verdict:
    """What one rule over a target says of a version now."""
    (parsed,) = parse_rules([rule])
    subject = TargetMove(Index(world.snapshot()), world.target(target), world.version(tag), "forward")
    return RULE_BY_KIND[parsed.kind].evaluate(subject, parsed.params, world.now)


def lifts_of(world: World, rule: Mapping[str, object], tag: str, environment: str) -> tuple[Lift, ...]:
    """What one rule over an environment offers against what it says of a version now."""
    (parsed,) = policy("example", [rule], first_stored_at=MONDAY).rules
    subject = EnvironmentVersion(Index(world.snapshot()), world.environment(environment), world.version(tag), "forward")
    return RULE_BY_KIND[parsed.kind].lifts(subject, parsed.params, judged(world, rule, tag, environment))


def happens(world: World, *lifts: Lift) -> None:
    """The facts become what they would be."""
    world.facts, world.now = with_lifts(world.facts, world.now, lifts)


def an_empty_subject(tag: str = "v1", environment: str = "production") -> EnvironmentVersion:
    """A version on its way into an environment in which nothing is."""
    from worlds import a_version

    here = an_environment(environment)
    facts = Facts("workspace", "deployment", environments={here.id: here}, versions=(a_version(tag),))
    assert facts.versions[0].id == version_id(tag)
    return EnvironmentVersion(Index(facts), here, facts.versions[0], "forward")
