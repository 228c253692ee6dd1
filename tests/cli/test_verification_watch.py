"""`interlock verification watch`: what it draws of what the server says, and how it ends."""

from __future__ import annotations

import json

import pytest

from interlock.cli.exit_codes import DONE, FAILED, LATE, UNCLEAR
from interlock.cli.verification_watch import LEVELS, Screen, follow, outcome, shown, spark
from interlock.client import Client
from interlock.client.transport import Answer
from interlock.model.errors import Unavailable


def metric(values, *, statuses=None, state="running", unit="ratio", **more):
    statuses = statuses or ["passed"] * len(values)
    return {
        "id": "m",
        "name": "error-rate",
        "state": state,
        "says": "",
        "count": 10,
        "intervalSeconds": 1.0,
        "counts": {word: statuses.count(word) for word in ("passed", "failed", "inconclusive", "errored")},
        "points": [
            {"at": f"2026-03-09T09:00:{number:02}Z", "status": status} for number, status in enumerate(statuses)
        ],
        "panels": [{"title": "t", "unit": unit, "lines": [{"role": "value", "name": "value", "values": values}]}]
        if values
        else [],
        **more,
    }


def series(*metrics, state="running", **more):
    about = "shop-api 1.4.0 on edge-1 in production"
    return {"id": "4c1f0000", "about": about, "state": state, "says": "It is so.", "metrics": list(metrics), **more}


def test_a_metric_is_a_small_line_with_its_counts_its_last_value_and_when_it_is_next():
    values = [0.0, None, 0.07, 0.01]
    line = shown(
        metric(values, statuses=["passed", "errored", "failed", "passed"], nextAt="2026-03-09T09:00:40.5Z"), over=False
    )
    assert spark(line, LEVELS) == "▁x█▂"
    assert line.says() == ("running, 3 of 10 (2 passed, 1 failed, 1 errored), last 1 %, next 2026-03-09T09:00:40Z")


def test_what_has_no_numbers_and_what_all_are_alike_can_be_drawn():
    assert spark(shown(metric([]), over=False), LEVELS) == ""
    assert spark(shown(metric([5.0, 5.0], unit="ms"), over=False), LEVELS) == "▁▁"
    assert shown(metric([5.0], unit="ms"), over=True).says() == "ended with it, 1 of 10 (1 passed), last 5 ms"


def test_a_metric_that_is_measured_as_long_as_its_rollout_is_open_has_no_most():
    endless = {key: value for key, value in metric([0.01, 0.02]).items() if key != "count"}
    assert shown(endless, over=False).counts == "2 so far (2 passed)"


def test_a_judge_of_all_looks_counts_none_of_them_as_inconclusive():
    compared = metric([0.01, 0.02], statuses=["inconclusive"] * 2, judge="sequential")
    assert shown(compared, over=False).counts == "2 of 10"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"state": "running"}, None),
        ({"state": "passed"}, DONE),
        ({"state": "failed"}, FAILED),
        ({"state": "inconclusive"}, UNCLEAR),
        ({"state": "inconclusive", "held": True}, UNCLEAR),
        ({"state": "inconclusive", "held": True, "againAt": "2026-03-09T09:00:00Z"}, None),
    ],
)
def test_it_ends_when_nothing_more_is_measured_by_itself(said, code):
    assert outcome(said) == code


def test_into_a_pipe_goes_a_line_for_each_change_and_no_control_code(capsys):
    screen = Screen("table")
    screen.show(series(metric([0.01])))
    screen.show(series(metric([0.01])))
    screen.show(series(metric([0.01, 0.02])))
    screen.end(series(metric([0.01, 0.02]), state="passed"), code=DONE)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert [line.partition("  ")[2] for line in out.splitlines()[:-1]] == [
        "shop-api 1.4.0 on edge-1 in production: running",
        "error-rate: running, 1 of 10 (1 passed), last 1 %",
        "error-rate: running, 2 of 10 (2 passed), last 2 %",
    ]
    assert out.splitlines()[-1] == "shop-api 1.4.0 on edge-1 in production: It is so."


def test_json_is_an_object_for_each_change_without_the_points(capsys):
    screen = Screen("json")
    screen.show(series(metric([0.01])))
    screen.show(series(metric([0.01, 0.02])))
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["metrics"][0]["last"]["values"] for each in told] == [{"value": 0.01}, {"value": 0.02}]
    assert "points" not in told[0]["metrics"][0]


def test_what_a_person_has_to_say_is_told_with_the_command(capsys):
    Screen("table").end(series(state="inconclusive", held=True), code=UNCLEAR)
    said = capsys.readouterr().err
    assert "interlock verification accept|fail|again 4c1f0000" in said


def test_what_is_measured_again_by_itself_says_when_and_says_it_once(capsys):
    screen = Screen("table")
    held = {"state": "inconclusive", "held": True, "againAt": "2026-03-09T10:00:00.123456Z"}
    for _ in range(2):
        screen.show(series(metric([0.01], state="inconclusive"), **held))
    screen.show(series(metric([0.01], state="inconclusive"), **held, message="new"))
    told = capsys.readouterr().out
    assert told.count("nothing could tell; measured again at 2026-03-09T10:00:00Z") == 1
    assert "interlock verification accept|fail|again 4c1f0000" in told


class Flaky:
    """Carries one request well and the next not at all; then all is over."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def exchange(self, request):
        answer = self.answers.pop(0)
        if answer is None:
            raise Unavailable("The server cannot be reached.")
        return Answer(200, {}, json.dumps(answer).encode())

    def close(self):
        pass


def test_it_goes_on_across_a_broken_connection_and_waits_for_what_does_not_exist_yet(capsys):
    answers = (series(metric([0.01])), None, None, series(metric([0.01, 0.02]), state="failed"))
    client = Client("http://h", api_key="k", workspace="w", transport=Flaky(*answers), retries_max=0)
    ids = iter([None, None, "4c1f0000"])
    code = follow(client, lambda: next(ids), Screen("table"), sleep=lambda _: None)
    said = capsys.readouterr()
    assert code == FAILED
    assert said.err.splitlines() == [
        "It has no verification yet. Waiting for one.",
        "The server cannot be reached. Trying again.",
        "shop-api 1.4.0 on edge-1 in production: It is so.",
    ]


def test_it_gives_up_when_the_time_is_over(capsys):
    client = Client("http://h", api_key="k", workspace="w", transport=Flaky(series(metric([0.01]))))
    assert follow(client, lambda: "4c1f0000", Screen("name"), until_s=0.0, sleep=lambda _: None) == LATE
    assert capsys.readouterr().out == "verification/4c1f0000\n"
