"""Placeholders: dotted paths, and an error where a path leads nowhere."""

from __future__ import annotations

import pytest

from interlock.model.errors import Invalid, Rejected
from interlock.outside.templates import check_text, render_text

CONTEXT = {
    "resource": {
        "name": "prod-eu-1",
        "config": {"port": 8080, "zones": ["a", "b"]},
        "metadata": {"team.example/owner": "x", "a.b": "c"},
    },
    "version": {"tag": "1.0.0"},
    "variables": {"canary": True, "share": 0.5, "whole": 3.0, "none": None, "map": {}},
}


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("plain", "plain"),
        ("{{ resource.name }}", "prod-eu-1"),
        ("{{.resource.name}}:{{resource.config.port}}", "prod-eu-1:8080"),
        ("{{ resource.config.zones.1 }}", "b"),
        ("{{ resource.metadata.a.b }}", "c"),
        ("{{ variables.canary }} {{ variables.share }} {{ variables.whole }}", "true 0.5 3"),
        ("{ not one }", "{ not one }"),
    ],
)
def test_a_path_gives_what_stands_there(text: str, rendered: str) -> None:
    check_text(text, field="f")
    assert render_text(text, CONTEXT, field="f") == rendered


@pytest.mark.parametrize(
    "path",
    [
        "resource.nam",
        "resource.name.first",
        "nothing",
        "resource.config.zones.2",
        "variables.none",
        "variables.map",
        "resource",
    ],
)
def test_a_path_that_gives_no_text_is_rejected_by_name(path: str) -> None:
    with pytest.raises(Rejected, match=rf"^f: .*`{path}`"):
        render_text(f"{{{{ {path} }}}}", CONTEXT, field="f")


@pytest.mark.parametrize(
    "text",
    [
        "{{ }}",
        "{{ a | upper }}",
        "{{ if a }}x{{ end }}",
        "{{ a..b }}",
        "{{ a",
        "a }}",
        '{{ index .a "b" }}',
        "{{ a. }}",
        "{{ 1a }}",
    ],
)
def test_what_is_no_path_is_refused_when_written(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_text(text, field="config.x")
    assert refused.value.fields[0].path == "config.x"


def test_a_value_is_not_rendered_again() -> None:
    assert render_text("{{ a }}", {"a": "{{ b }}", "b": "no"}, field="f") == "{{ b }}"


def test_a_text_that_grows_too_long_is_rejected() -> None:
    with pytest.raises(Rejected, match="longer than"):
        render_text("{{ a }}" * 10, {"a": "x" * 10_000}, field="f")
