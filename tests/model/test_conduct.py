"""What the configs say of the conduct towards an agent is read, checked, and kept out of what a target runs with."""

import pytest

from interlock.model.conduct import AGENT_WIDE, KEYS, Conduct, check_conduct, read_conduct, without_conduct
from interlock.model.errors import Invalid

GOOD = {
    "startTimeoutSeconds": 5,
    "timeoutSeconds": 0.5,
    "cancelTimeoutSeconds": 60,
    "pollIntervalSeconds": 2,
    "settleSeconds": 30,
    "repeatUncertain": True,
    "ratePerMinute": 120,
    "rateBurst": 3,
    "breakerFailures": 2,
    "breakerPauseSeconds": 10,
}


def test_every_key_is_read_and_nothing_said_is_the_default():
    assert set(GOOD) == set(KEYS)
    assert read_conduct(GOOD) == Conduct(5.0, 0.5, 60.0, 2.0, 30.0, True, 120.0, 3, 2, 10.0)
    assert read_conduct({}) == Conduct()
    assert read_conduct(GOOD).rate_interval_s == 0.5


@pytest.mark.parametrize("name", sorted(KEYS))
def test_a_wrong_value_is_refused_with_its_field_and_read_as_none(name):
    wrong = "yes" if name == "repeatUncertain" else 0
    with pytest.raises(Invalid) as refused:
        check_conduct({name: wrong}, path="jobAgents[1].config", of_agent=True)
    assert [error.path for error in refused.value.fields] == [f"jobAgents[1].config.{name}"]
    assert read_conduct({name: wrong}) == Conduct()
    for other in (True if name != "repeatUncertain" else 1, "soon", {}):
        with pytest.raises(Invalid):
            check_conduct({name: other}, path="config", of_agent=True)
    check_conduct({name: None}, path="config", of_agent=True)


def test_what_all_jobs_share_belongs_on_the_agent():
    check_conduct(GOOD, path="config", of_agent=True)
    with pytest.raises(Invalid) as refused:
        check_conduct(GOOD, path="jobAgentConfig")
    assert {error.path for error in refused.value.fields} == {f"jobAgentConfig.{name}" for name in AGENT_WIDE}


def test_the_rest_is_left_for_the_agent():
    assert without_conduct({**GOOD, "url": "x"}) == {"url": "x"}
    assert without_conduct(GOOD, keep=["timeoutSeconds"]) == {"timeoutSeconds": 0.5}


def test_looks_of_jobs_spread_and_stay_near_their_interval():
    every = [Conduct().poll_s(10.0, job_id=str(number)) for number in range(200)]
    assert all(9 <= each <= 11 for each in every)
    assert max(every) - min(every) > 1.5
    assert Conduct().poll_s(10.0, job_id="7") == every[7]
    assert Conduct(poll_interval_s=2.0).poll_s(10.0, job_id="7") == every[7] / 5
    assert Conduct(poll_interval_s=2.0).poll_s(None, job_id="7") is None, "an agent that reports by itself"
