"""How long does one `decide()` take? 10,000 targets × 5 candidate versions × 4 gates, and how it grows.

Each target selects a policy with approval, progression, window and versionSelector. Of the five candidates newer than
what runs the newer four are held (nobody approved them), so that all gates of all five are asked, and the oldest is
admitted. With pace `gradual` it goes one target a minute, so that every target waits for an instant of its own. In
`again` the facts hold the decisions of a round before, as they do in real life.

With `five` the five rules that act on most moves are on together: gradualRollout, concurrency (a tenth of each of ten
zones at once), verification, anyApproval, deploymentWindow. The newest of the five candidates is approved; one target
in ten starts, the others wait for a slot. What a target costs must not grow with their number.

`first` is a round in a fresh process (target keys are hashed once), `again` the median of five. `decide` waits for
nothing, so CPU time is what it takes; it includes Python's garbage collection over all those facts.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from interlock.decide import decide
from interlock.decide.facts import Approval, Environment, Facts, Landed, ReleaseRef, Slot, Target, Version
from interlock.decide.plan import applied
from interlock.inventory.selector import Scope, parse_expression
from interlock.inventory.slots import SlotRule, slot_keys_of
from interlock.model.ids import derived_id
from interlock.simulate.world import policy

NOW = datetime(2026, 3, 9, 10, 0, tzinfo=UTC)
BUDGET_MS = 150

GATES = [
    {"anyApproval": {"minApprovals": 1}},
    {"environmentProgression": {"dependsOnEnvironmentSelector": 'environment.name == "staging"'}},
    {"deploymentWindow": {"rrule": "FREQ=DAILY;BYHOUR=9", "durationMinutes": 480, "timezone": "Europe/Berlin"}},
    {"versionSelector": {"selector": '!version.tag.contains("-rc")'}},
]
PACE = [{"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60}}]
FIVE = [
    {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 0, "whileVerifying": "overlap"}},
    {"concurrency": {"maxPercentage": 10, "groupBy": 'resource.metadata["zone"]'}},
    {
        "verification": {
            "metrics": [
                {
                    "name": "health",
                    "intervalSeconds": 60,
                    "count": 5,
                    "successCondition": "result.ok",
                    "provider": {"type": "sleep", "durationSeconds": 1},
                }
            ]
        }
    },
    {"anyApproval": {"minApprovals": 1}},
    {"deploymentWindow": {"rrule": "FREQ=DAILY;BYHOUR=9", "durationMinutes": 480, "timezone": "Europe/Berlin"}},
]
ZONES = 10


def a_version(number: int) -> Version:
    """Version `number`, an hour apart."""
    tag, at = f"1.{number}.0", NOW - timedelta(hours=10 - number)
    version_id = derived_id("version", tag)
    return Version(version_id, tag, "ready", at, derived_id("change", tag), view={"tag": tag, "metadata": {}})


def some_facts(targets: int, *, paced: bool) -> Facts:
    """A deployment on so many production targets that run version 0, with five newer candidates."""
    versions = tuple(a_version(number) for number in range(6))
    staging = Environment(derived_id("staging"), "staging", frozenset({"shop"}), {"name": "staging"})
    production = Environment(derived_id("production"), "production", frozenset({"shop"}), {"name": "production"})
    policies = {one.id: one for one in (policy("gates", GATES), policy("pace", PACE if paced else []))}
    members: dict[str, Target] = {}
    for number in range(targets + 1):
        environment = production if number else staging
        target_id = derived_id("target", str(number))
        release = ReleaseRef(derived_id("release", target_id), versions[0].id, "config")
        members[target_id] = Target(
            id=target_id,
            environment_id=environment.id,
            resource_id=derived_id("resource", str(number)),
            attached_at=NOW - timedelta(days=30),
            policy_set="set" if number else "none",
            agent="one",
            config_digest="config",
            current=release,
            good=release,
            mark=versions[0].id if number else versions[5].id,
            desired=versions[0].id,
            name=f"host-{number}",
        )
    on_staging = derived_id("target", "0")
    return Facts(
        workspace_id="workspace",
        deployment_id=derived_id("deployment"),
        deployment_name="shop-api",
        environments={staging.id: staging, production.id: production},
        targets=members,
        versions=versions,
        policies=policies,
        policy_sets={"set": tuple(policies), "none": ()},
        landed_by_target_version={(on_staging, one.id): Landed(NOW, NOW) for one in versions},
        approvals_by_version_environment={
            (versions[1].id, production.id): (Approval("olga", "olga", "approved", NOW),)
        },
    )


def with_five_rules(facts: Facts) -> Facts:
    """The same deployment under five rules, its targets in ten zones, its newest version approved."""
    five = policy("five", FIVE)
    limiting = SlotRule(five.id, five.rules[1].id, parse_expression('resource.metadata["zone"]', Scope.GROUP_KEY))
    views = [
        {"id": target.id, "metadata": {"zone": f"z{n % ZONES}"}} for n, target in enumerate(facts.targets.values())
    ]
    picked = [(five.id,) if target.policy_set == "set" else () for target in facts.targets.values()]
    keys = slot_keys_of([limiting], views, picked, environment={}, deployment={})
    targets = {
        target.id: replace(target, slot_keys=mine) for target, mine in zip(facts.targets.values(), keys, strict=True)
    }
    newest = max(facts.versions, key=lambda version: version.age_key)
    production = facts.targets[derived_id("target", "1")].environment_id
    return replace(
        facts,
        targets=targets,
        policies={five.id: five},
        policy_sets={"set": (five.id,), "none": ()},
        slots={key: Slot(size) for key, size in Counter(one.key for mine in keys for one in mine if one.key).items()},
        approvals_by_version_environment={(newest.id, production): (Approval("olga", "olga", "approved", NOW),)},
    )


def measured(facts: Facts) -> tuple[float, float, int]:
    """(first, median again, moves) in milliseconds of CPU."""
    gc.collect()
    began = time.process_time()
    plan = decide(facts, NOW)
    first_ms = (time.process_time() - began) * 1000
    settled = applied(facts, replace(plan, moves=(), jobs=(), rollouts=()), NOW)
    again = []
    for _ in range(5):
        gc.collect()
        began = time.process_time()
        decide(settled, NOW)
        again.append((time.process_time() - began) * 1000)
    return first_ms, statistics.median(again), len(plan.moves)


def main() -> int:
    """Print the table."""
    print("decide(): 5 candidate versions × 4 gates; milliseconds of CPU")
    print(f"{'targets':>9} {'rules':>8} {'first':>8} {'again':>8} {'µs/target':>10} {'moves':>6}")
    for targets in (100, 1_000, 10_000, 100_000):
        for name in ("none", "gradual", "five"):
            facts = some_facts(targets, paced=name == "gradual")
            first_ms, again_ms, moves = measured(with_five_rules(facts) if name == "five" else facts)
            row = f"{targets:>9,} {name:>8} {first_ms:>8.1f} {again_ms:>8.1f}"
            row += f" {again_ms * 1000 / targets:>10.2f} {moves:>6,}"
            print(row + (f"   (budget {BUDGET_MS})" if targets == 10_000 else ""))
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
    sys.exit(main())
