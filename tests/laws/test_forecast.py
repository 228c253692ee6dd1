"""Does a forecast name the instants at which targets then start, if every job takes what it said?

Worlds with all paces and gates together, looked at before or in the middle of a rollout: nothing fails, everybody
approves, and each start must come when the forecast said, to the second. Slots that environments share are left out: a
forecast lets one environment after the other take them.
"""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlock.decide.forecast import Durations, forecast
from interlock.simulate.agents import Behaviour, Run, StubAgent
from interlock.simulate.scenario import Scenario
from laws.test_laws import LOOK
from worlds import METRIC, a_fleet, set_policies

JOB_S, VERIFY_S = 37.0, 11.0
"""No multiple of anything that rules are written in: where two things fall on one instant, microseconds decide."""

AGENT = Behaviour(run=lambda tag, target, attempt: Run(run_s=JOB_S), verify_s=VERIFY_S)

ROLLOUTS = st.fixed_dictionaries(
    {
        "rolloutType": st.sampled_from(["linear", "linear-normalized"]),
        "timeScaleInterval": st.sampled_from([0, 10, 60, 601]),
        "whileVerifying": st.sampled_from(["wait", "overlap"]),
    },
    optional={"maxInFlight": st.integers(1, 3)},
)
WAVES = st.one_of(
    st.fixed_dictionaries(
        {
            "rolloutType": st.just("waves"),
            "waves": st.sampled_from([[1, "100%"], [2, "50%", "100%"], ["100%"]]),
            "bakeSeconds": st.sampled_from([0, 90, 900]),
        },
        optional={"maxInFlight": st.integers(1, 3)},
    ),
    st.fixed_dictionaries(
        {"rolloutType": st.just("exponential"), "whileVerifying": st.sampled_from(["wait", "overlap"])},
        optional={"failureDomains": st.just(["zone"])},
    ),
)
WINDOWS = st.fixed_dictionaries(
    {
        "rrule": st.sampled_from(["FREQ=HOURLY", "FREQ=DAILY;BYHOUR=9,12", "FREQ=HOURLY;INTERVAL=2"]),
        "durationMinutes": st.sampled_from([3, 20, 45]),
        "timezone": st.sampled_from(["UTC", "Europe/Berlin"]),
        "allowWindow": st.sampled_from([True, True, False]),
    }
)
PROGRESSIONS = st.fixed_dictionaries(
    {
        "dependsOnEnvironmentSelector": st.just('environment.name == "staging"'),
        "minimumSuccessPercentage": st.sampled_from([100, 50, 1]),
        "minimumSoakTimeSeconds": st.sampled_from([0, 300]),
        "requireVerificationPassed": st.booleans(),
    }
)
RULES = st.lists(
    st.one_of(
        ROLLOUTS.map(lambda params: {"gradualRollout": params}),
        ROLLOUTS.map(lambda params: {"gradualRollout": params}),
        WAVES.map(lambda params: {"gradualRollout": params}),
        WINDOWS.map(lambda params: {"deploymentWindow": params}),
        PROGRESSIONS.map(lambda params: {"environmentProgression": params}),
        st.sampled_from([{"concurrency": {"maxInFlight": 1}}, {"concurrency": {"maxPercentage": 40}}]),
        st.sampled_from([{"versionCooldown": {"intervalSeconds": 900}}, {"anyApproval": {"minApprovals": 1}}]),
        st.sampled_from([0.5, 0.3]).map(
            lambda cap: {"errorBudget": {"reactions": [{"class": ["slow_burn"], "then": {"paceCap": cap}}]}}
        ),
        st.sampled_from(["jobSuccess", "jobCreated"]).map(
            lambda trigger: {"verification": {"triggerOn": trigger, "metrics": [METRIC]}}
        ),
    ),
    max_size=4,
)


@settings(LOOK, suppress_health_check=list(HealthCheck))
@given(
    sizes=st.tuples(st.integers(0, 3), st.integers(1, 7)),
    production=RULES,
    staging=RULES,
    everywhere=RULES.map(lambda rules: [one for one in rules if "concurrency" not in one]),
    warm=st.booleans(),
    before_s=st.sampled_from([0, 0, 20, 45, 130, 700, 4000]),
    freeze_s=st.sampled_from([None, None, 500]),
    unlabelled=st.sampled_from([None, None, 1]),
)
def test_targets_start_when_it_was_forecast(
    sizes, production, staging, everywhere, warm, before_s, freeze_s, unlabelled
):
    named = zip(("staging", "production"), sizes, strict=True)
    names = {name: [f"{name}-{n}" for n in range(size)] for name, size in named}
    world = a_fleet(names, runs="v0")
    for number, name in enumerate(names["production"]):
        if number != unlabelled:
            world.label(name, zone=f"zone-{number % 2}")
    if warm:  # one target is busy with something else; two would be free again within microseconds of each other
        world.order("redeploy", "production-0")
    story = Scenario(world, StubAgent(AGENT), steps_max=3000)
    story.run(until=world.now + timedelta(seconds=20 if warm else 0))
    both = ["staging", "production"]
    set_policies(world, {"p": (["production"], production), "s": (["staging"], staging), "all": (both, everywhere)})
    world.read_budget("checkout", "slow_burn", fresh_for=timedelta(days=9))
    version = world.create_version("v1")
    for environment in names:
        world.say("bob", "approved", "v1", environment)
    if freeze_s is not None:
        world.freeze(environments=["production"], expires_at=world.now + timedelta(seconds=freeze_s))
    story.run(until=world.now + timedelta(seconds=before_s))
    now = world.now
    durations = Durations(timedelta(seconds=JOB_S), timedelta(seconds=VERIFY_S))
    known = dict.fromkeys(world.facts.environments, durations)
    expected = {one.target_id: one for one in forecast(world.snapshot(), now, version, known)}
    first = len(world.ledger)
    story.run(until=now + timedelta(days=2))
    moves = {move.id: move for plan in story.plans for move in plan.moves if move.version_id == version.id}
    jobs = {job.job.id: moves[job.move_id] for plan in story.plans for job in plan.jobs if job.move_id in moves}
    starts = {
        jobs[told.subject].target_id: told.at
        for told in world.ledger[first:]
        if told.kind == "job.handed_over" and told.subject in jobs
    }
    about = f"{sizes=} {production=} {staging=} {everywhere=} {warm=} {before_s=} {freeze_s=} {unlabelled=}"
    for target in world.facts.targets.values():
        said, at = expected[target.id], starts.get(target.id)
        if said.state == "starts" and said.starts_at <= now + timedelta(days=2):
            assert at is not None, (target.name, said, about)
            assert abs(at - said.starts_at) < timedelta(seconds=1), (target.name, at, said, about)
        else:
            assert at is None, (target.name, at, said, about)
