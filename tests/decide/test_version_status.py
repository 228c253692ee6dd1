"""Which versions deploy? Only ready ones; a paused one keeps what runs and starts nothing new.

Source: issue "Every rule, one pure decision", version status; core.md section 10, outcome 6.
"""

from __future__ import annotations

import pytest

from interlock.model.job import Handover, JobStatus
from interlock.model.version import STATUSES
from worlds import a_fleet, active_job, deploy, finish, hand_over_all, moving, runs, set_policies, version_id

HOSTS = {"production": ["prod-1", "prod-2"]}


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "ready"])
def test_what_is_not_ready_never_starts_and_lets_an_older_one_go(status):
    world = a_fleet(HOSTS)
    world.create_version("v1")
    world.create_version("v2", status=status)
    deploy(world, "v1")
    assert set(runs(world).values()) == {"v1"}
    world.set_version_status("v2", "ready")
    deploy(world, "v2")
    assert set(runs(world).values()) == {"v2"}


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "ready"])
def test_what_stops_being_ready_keeps_running_where_it_runs(status):
    world = a_fleet(HOSTS, runs="v0")
    deploy(world, "v1")
    world.set_version_status("v1", status)
    assert not world.round().moving
    assert set(runs(world).values()) == {"v1"}


@pytest.mark.parametrize("status", ["paused", "rejected", "failed", "building"])
def test_a_job_that_waits_is_withdrawn_and_one_that_runs_goes_on(status):
    world = a_fleet(HOSTS, runs="v0")
    world.create_version("v1")
    world.settle()
    world.hand_over(active_job(world, "prod-1"))
    world.set_version_status("v1", status)
    world.settle()
    assert moving(world) == {"prod-1": "forward v1 running"}
    finish(world, "prod-1")
    world.settle()
    assert runs(world) == {"prod-1": "v1", "prod-2": "v0"}


def test_a_job_that_a_pull_agent_has_not_claimed_is_withdrawn_too():
    world = a_fleet(HOSTS, runs="v0")
    world.create_version("v1")
    world.settle()
    world.offer(active_job(world, "prod-1"))
    world.set_version_status("v1", "paused")
    world.settle()
    assert moving(world) == {}


def test_a_paused_version_takes_no_job_out_until_a_round_has_decided():
    world = a_fleet(HOSTS, runs="v0")
    world.create_version("v1")
    world.settle()
    world.set_version_status("v1", "paused")
    assert hand_over_all(world) == 0


def test_no_retry_starts_while_a_version_is_paused_and_it_does_when_it_is_ready_again():
    world = a_fleet({"production": ["prod-1"]}, {"again": (["production"], [{"retry": {"maxRetries": 2}}])}, runs="v0")
    world.create_version("v1")
    world.settle()
    finish(world, "prod-1", JobStatus.FAILURE)
    world.set_version_status("v1", "paused")
    world.settle()
    move = world.open_move("prod-1")
    assert len(move.jobs) == 1
    world.set_version_status("v1", "ready")
    world.settle()
    assert len(world.open_move("prod-1").jobs) == 2


def test_a_retry_that_waits_is_taken_back_while_its_version_is_paused():
    world = a_fleet({"production": ["prod-1"]}, {"again": (["production"], [{"retry": {"maxRetries": 2}}])}, runs="v0")
    world.create_version("v1")
    world.settle()
    finish(world, "prod-1", JobStatus.FAILURE)
    world.settle()
    world.set_version_status("v1", "paused")
    world.settle()
    jobs = world.open_move("prod-1").jobs
    assert [job.status for job in jobs] == [JobStatus.FAILURE, JobStatus.SKIPPED]
    world.set_version_status("v1", "ready")
    world.settle()
    job = world.open_move("prod-1").jobs[-1]
    assert (job.status, job.handover) == (JobStatus.PENDING, Handover.WAITING)


def test_a_pin_to_a_paused_version_waits_for_it():
    world = a_fleet({"production": ["prod-1"]}, runs="v0")
    world.create_version("v1", status="paused")
    world.pin("v1")
    world.settle()
    assert moving(world) == {}
    world.set_version_status("v1", "ready")
    world.settle()
    assert moving(world) == {"prod-1": "pin v1 admitted"}


def test_a_paused_version_still_takes_its_config():
    """The table of core.md 4: a change of config does not ask for the version's status; what runs is kept current."""
    world = a_fleet({"production": ["prod-1"]}, runs="v0")
    world.set_version_status("v0", "paused")
    world.edit_target("prod-1", config_digest="config-2")
    world.settle()
    assert moving(world) == {"prod-1": "config v0 admitted"}


def test_a_rollback_goes_to_a_version_that_is_paused_by_now():
    rules = [{"rollback": {"onJobStatuses": ["failure"]}}]
    world = a_fleet({"production": ["prod-1"]}, {"back": (["production"], rules)}, runs="v0")
    world.create_version("v1")
    world.settle()
    world.set_version_status("v0", "paused")
    world.hand_over(active_job(world, "prod-1"))
    world.round()
    world.hand_over(active_job(world, "prod-1"))
    world.hear(active_job(world, "prod-1"), JobStatus.FAILURE)
    world.settle()
    assert world.open_move("prod-1").version_id == version_id("v0")


def test_a_newer_version_goes_past_one_that_is_paused():
    world = a_fleet({"production": ["prod-1"]}, runs="v0")
    set_policies(world, {})
    world.create_version("v1", status="paused")
    deploy(world, "v2")
    world.set_version_status("v1", "ready")
    assert not world.round().moving
    assert runs(world) == {"prod-1": "v2"}
