"""How single flags are read."""

from __future__ import annotations

from datetime import timedelta

import click
import pytest

from interlock.cli.freeze import parse_duration
from interlock.cli.ledger import line
from interlock.cli.version import parse_config


def test_dotted_config_becomes_nested_and_keeps_kinds():
    pairs = ["image.tag=1.4.0", "image.pull=true", "replicas=3", "ratio=0.5", "build=007"]
    assert parse_config(pairs) == {
        "image": {"tag": "1.4.0", "pull": True},
        "replicas": 3,
        "ratio": 0.5,
        "build": "007",
    }


@pytest.mark.parametrize("pairs", [["a"], ["=1"], ["a=1", "a.b=2"]])
def test_config_that_makes_no_sense_is_a_usage_error(pairs):
    with pytest.raises(click.BadParameter):
        parse_config(pairs)


@pytest.mark.parametrize(
    ("text", "lasts"),
    [
        ("90s", timedelta(seconds=90)),
        ("2h", timedelta(hours=2)),
        ("1h30m", timedelta(minutes=90)),
        ("1d", timedelta(1)),
    ],
)
def test_durations(text, lasts):
    assert parse_duration(text) == lasts


@pytest.mark.parametrize("text", ["", "2", "h", "2x", "2h!", "-2h"])
def test_what_is_no_duration_is_a_usage_error(text):
    with pytest.raises(click.BadParameter):
        parse_duration(text)


def test_an_event_is_one_line_with_the_names_first():
    event = {
        "at": "2026-03-09T09:00:00.123456Z",
        "kind": "job.status_changed",
        "actor": {"kind": "system", "id": "worker"},
        "subject": {"kind": "job", "id": "8f14e45f-ceea-467f-a8c1-000000000000"},
        "body": {"from": "pending", "to": "inProgress", "why": None, "target": "eu-1", "environment": "prod"}
        | {"deployment": "api", "version": "1.4.0"},
    }
    said = line(event)
    assert said.split() == [
        *("2026-03-09T09:00:00.123", "job.status_changed", "worker", "api/prod/eu-1", "1.4.0"),
        *("from=pending", "to=inProgress"),
    ]


def test_an_event_without_names_shows_its_subject():
    event = {"at": "2026-03-09T09:00:00Z", "kind": "key.revoked", "subject": {"kind": "key", "id": "8f14"}, "body": {}}
    assert line(event).split()[-1] == "key:8f14"
