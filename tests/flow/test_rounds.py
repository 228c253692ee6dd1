"""The loop on the real database, one step at a time."""

import pytest

from tests.store.fleet import Stepper, a_fleet


@pytest.fixture
def stepper(store, tmp_path):
    return Stepper(store, tmp_path)


async def test_a_version_goes_to_every_host_that_nothing_holds(store, stepper):
    fleet = await a_fleet(store, {"one": "prod", "two": "prod"})
    await fleet.version("1.0.0")
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0", "two": "1.0.0"}
    told = await fleet.told()
    assert told.count("job.handed_over") == 2
    assert told[-1] == "rollout.completed"
