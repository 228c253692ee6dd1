"""How single flags are read."""

from __future__ import annotations

from datetime import timedelta

import click
import pytest

from interlock.cli.ledger import is_routine, line
from interlock.cli.places import parse_duration
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
    assert line(event).split() == [
        *("2026-03-09T09:00:00.123Z", "interlock", "job.status_changed", "api/prod/eu-1", "1.4.0"),
        *("pending", "->", "inProgress"),
    ]


def test_an_event_is_told_in_the_names_of_what_it_refers_to():
    event = {
        "at": "2026-03-09T09:00:00Z",
        "kind": "approval.given",
        "actor": {"kind": "user", "id": "18a501ed-d50a-4acc-80e8-c76f295113a0", "name": "grace"},
        "subject": {"kind": "approval", "id": "7568206c-bb18-4512-9ce7-52e95179da96"},
        "refs": [
            {"kind": "version", "id": "bfb7fb6a-e21e-4290-a17f-2aa5048b23e8", "name": "1.4.0"},
            {"kind": "environment", "id": "ec3426c2-d42b-48d6-9539-c0a78215ea54", "name": "production"},
            {"kind": "deployment", "id": "994f8d6d-2dc2-4d83-8bd9-1f185e4a199f", "name": "api"},
        ],
        "body": {"packageSeen": True},
    }
    assert line(event).split() == ["2026-03-09T09:00:00.000Z", "grace", "approval.given", "api/production", "1.4.0"]


@pytest.mark.parametrize(
    ("kind", "body", "routine"),
    [
        ("move.started", {}, True),
        ("move.failed", {}, False),
        ("job.status_changed", {"to": "successful"}, True),
        ("job.status_changed", {"to": "failure"}, False),
        ("job.status_changed", {"to": "actionRequired"}, False),
    ],
)
def test_only_the_steps_of_a_healthy_move_are_routine(kind, body, routine):
    assert is_routine({"kind": kind, "body": body}) is routine


def test_an_event_without_names_shows_its_subject():
    event = {"at": "2026-03-09T09:00:00Z", "kind": "key.revoked", "subject": {"kind": "key", "id": "8f14"}, "body": {}}
    assert line(event).split()[-1] == "key:8f14"
