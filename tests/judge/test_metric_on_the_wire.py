"""How a metric is read from the wire: closed, every fault with its path, and given back as it came."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.model.errors import Invalid
from interlock.model.verification import parse_metric, render_metric

PATH = "rules[0].verification.metrics[0]"
LEAST: dict[str, Any] = {
    "name": "health",
    "intervalSeconds": 10,
    "count": 3,
    "successCondition": "result.ok",
    "provider": {"type": "http", "url": "http://x"},
}
FULL = LEAST | {
    "successThreshold": 2,
    "failureCondition": "!result.ok",
    "failureThreshold": 0,
    "errorsMax": 3,
    "warmUpSeconds": 1.5,
    "dryRun": True,
}


@pytest.mark.parametrize("body", [LEAST, FULL], ids=["least", "full"])
def test_what_was_written_comes_back_and_nothing_is_added(body: dict[str, Any]) -> None:
    assert render_metric(parse_metric(body, path=PATH)) == body


def test_a_missing_success_threshold_and_a_zero_one_mean_the_same() -> None:
    assert parse_metric(LEAST, path=PATH).success_threshold is None
    assert parse_metric(LEAST | {"successThreshold": 0}, path=PATH).success_threshold is None


def test_an_empty_failure_condition_is_none() -> None:
    assert parse_metric(LEAST | {"failureCondition": ""}, path=PATH).failure_condition is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"count": 0}, "count"),
        ({"count": None}, "count"),
        ({"count": "3"}, "count"),
        ({"intervalSeconds": 0}, "intervalSeconds"),
        ({"intervalSeconds": None}, "intervalSeconds"),
        ({"successCondition": None}, "successCondition"),
        ({"successThreshold": -1}, "successThreshold"),
        ({"failureThreshold": 1.5}, "failureThreshold"),
        ({"errorsMax": -1}, "errorsMax"),
        ({"warmUpSeconds": -1}, "warmUpSeconds"),
        ({"dryRun": "yes"}, "dryRun"),
        ({"provider": None}, "provider"),
        ({"provider": "http"}, "provider"),
        ({"provider": {"url": "http://x"}}, "provider.type"),
        ({"treshold": 3}, "treshold"),
    ],
)
def test_each_fault_is_named_with_its_path(change: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_metric(LEAST | change, path=PATH)
    assert f"{PATH}.{field}" in [error.path for error in refused.value.fields]


def test_kayenta_takes_as_many_looks_as_are_kept_whole() -> None:
    compared = {key: value for key, value in LEAST.items() if key != "successCondition"}
    compared["compare"] = {"judge": "kayenta", "value": "result.json[side]"}
    assert parse_metric(compared | {"count": 500}, path=PATH).count == 500
    with pytest.raises(Invalid, match="must be at most 500 with kayenta"):
        parse_metric(compared | {"count": 501}, path=PATH)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        parse_metric({}, path=PATH)
    assert {error.path.rpartition(".")[2] for error in refused.value.fields} == {
        "name",
        "provider",
        "intervalSeconds",
        "count",
        "successCondition",
    }
