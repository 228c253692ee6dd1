"""What an agent's config may hold is one table: what is refused, what is missing, what is shown, what is sealed."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.agents import AGENTS
from interlock.agents.keys import (
    Address,
    Checked,
    Flag,
    Key,
    Number,
    NumberOrName,
    Secret,
    Template,
    Text,
    TextList,
    TextMap,
    check_complete,
    check_keys,
    lacking,
    schema_of,
    table_of,
)
from interlock.model.errors import FieldError, Invalid
from interlock.model.secret import SECRET_FIELDS, Where


def _even(value: object, field: str) -> list[FieldError]:
    return [] if isinstance(value, int) and value % 2 == 0 else [FieldError(field, "Must be even.")]


KEYS = (
    Key("url", Address(), "where", needed="agent"),
    Key("bare", Address(bare=True), "where, perhaps without a scheme"),
    Key("token", Secret(), "who", needed="agent"),
    Key("template", Template(), "what", needed="job"),
    Key("mode", Text(choices=("fast", "slow")), "how", default="fast"),
    Key("ref", Text(empty=False, filled=True), "which"),
    Key("wait", Number(0, 60), "how long", default=5),
    Key("tries", Number(0, 9, whole=True, above=True), "how often"),
    Key("prune", Flag(), "whether", default=False),
    Key("id", NumberOrName(), "whose"),
    Key("inputs", TextMap(2, reserved=(("job", "Is the job's own."),)), "more"),
    Key("args", TextList(2, items_min=1), "with"),
    Key("even", Checked("even", _even, {"type": "integer", "multipleOf": 2}), "odd is refused"),
)

GOOD: dict[str, Any] = {
    "url": "https://a.example",
    "bare": "a.example",
    "token": {"secretRef": {"provider": "env", "key": "TOKEN"}},
    "template": "name: {{ .resource.name }}",
    "mode": "slow",
    "ref": "{{ version.tag }}",
    "wait": 0.5,
    "tries": 9,
    "prune": True,
    "id": "shop/deploy",
    "inputs": {"a": "1"},
    "args": ["x"],
    "even": 4,
}

BAD = [
    ("url", 5, "config.url"),
    ("url", "", "config.url"),
    ("token", 5, "config.token"),
    ("token", {"other": 1}, "config.token"),
    ("template", 5, "config.template"),
    ("template", "{{ if }", "config.template"),
    ("mode", "medium", "config.mode"),
    ("ref", "", "config.ref"),
    ("ref", "{{ a b }}", "config.ref"),
    ("wait", 61, "config.wait"),
    ("wait", True, "config.wait"),
    ("tries", 0, "config.tries"),
    ("tries", 1.5, "config.tries"),
    ("prune", "true", "config.prune"),
    ("id", "", "config.id"),
    ("id", False, "config.id"),
    ("inputs", ["a"], "config.inputs"),
    ("inputs", {"a": "1", "b": "2", "c": "3"}, "config.inputs"),
    ("inputs", {"job": "1"}, "config.inputs.job"),
    ("inputs", {"a": 1}, "config.inputs.a"),
    ("args", [], "config.args"),
    ("args", ["x", 5], "config.args[1]"),
    ("even", 3, "config.even"),
    ("colour", "red", "config.colour"),
]


def test_a_good_config_passes_and_lacks_nothing() -> None:
    check_keys(GOOD, KEYS, check_url=lambda _: None)
    check_complete(GOOD, KEYS)
    assert lacking(GOOD, KEYS) is None


@pytest.mark.parametrize(("key", "value", "field"), BAD, ids=[f"{n}-{row[0]}" for n, row in enumerate(BAD)])
def test_a_wrong_value_is_refused_by_its_field(key: str, value: object, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_keys({**GOOD, key: value}, KEYS)
    assert [error.path for error in refused.value.fields] == [field]


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        check_keys({"wait": -1, "prune": 1, "zeal": 2}, KEYS)
    assert {error.path for error in refused.value.fields} == {"config.wait", "config.prune", "config.zeal"}


def test_an_address_that_may_not_be_called_is_refused_with_its_scheme_completed() -> None:
    asked: list[str] = []

    def never(url: str) -> str | None:
        asked.append(url)
        return "Is private." if "bare" in url else None

    with pytest.raises(Invalid, match="Is private"):
        check_keys({"url": "http://a.example", "bare": "bare.example"}, KEYS, check_url=never)
    assert asked == ["http://a.example", "https://bare.example"]


def test_what_must_stand_on_the_agent_is_refused_when_missing_and_named_with_its_type() -> None:
    with pytest.raises(Invalid) as refused:
        check_complete({"template": "x", "token": ""}, KEYS)
    assert {error.path: error.message for error in refused.value.fields} == {
        "config.url": "Is missing. Must be a URL.",
        "config.token": "Is missing. Must be a text or a secretRef.",
    }


def test_a_job_lacks_what_nobody_gave() -> None:
    assert lacking({"url": "https://a.example", "token": "t"}, KEYS) == "The job's config lacks template."


def test_the_schema_and_the_table_say_the_same_keys() -> None:
    schema, table = schema_of(KEYS), table_of(KEYS)
    assert list(schema["properties"]) == [key.name for key in KEYS]
    assert schema["required"] == ["url", "token"]
    assert schema["properties"]["wait"] == {
        "type": "number", "minimum": 0, "maximum": 60, "description": "how long", "default": 5,
    }  # fmt: skip
    assert schema["additionalProperties"] is False
    for key in KEYS:
        assert f"| `{key.name}` |" in table
    assert "| `url` | required on the agent |" in table
    assert "| `template` | required |" in table
    assert "| `prune` | false |" in table


def test_what_an_agent_calls_secret_is_sealed_and_nothing_else_is_missing_there() -> None:
    sealed = {field.name for field in SECRET_FIELDS if field.where is Where.AGENT_CONFIG}
    secret = {(agent.kind, key.name) for agent in AGENTS for key in agent.keys if isinstance(key.shape, Secret)}
    assert {name for _, name in secret} <= sealed
    known = {(kind, field.name) for field in SECRET_FIELDS for kind in field.kinds if field.where is Where.AGENT_CONFIG}
    kinds = {agent.kind for agent in AGENTS if not agent.open_ended}
    named = {(kind, name) for kind, name in known if kind in kinds}
    assert named - secret <= {("exec", "secrets"), ("webhook", "headers"), ("webhook", "secret")}
    assert secret <= known
