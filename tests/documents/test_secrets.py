"""Nobody sees a secret in a difference, and a mark stands for what is stored at its own place."""

from __future__ import annotations

from interlock.documents.diff import diff_lines
from interlock.documents.kinds import KIND_BY_NAME
from interlock.documents.plan import Step
from interlock.documents.secrets import hidden, unmasked

AGENT = {"name": "a", "agentType": "argo-cd", "config": {"serverUrl": "https://argo", "apiKey": "open sesame"}}
METRICS = [
    {"name": one, "provider": {"type": "http", "headers": {"authorization": f"Bearer {one}", "accept": "x"}}}
    for one in ("first", "second")
]
GUARD = {"name": "g", "rules": [{"verification": {"metrics": METRICS}}]}


def test_secrets_are_marks_and_another_one_is_told_apart() -> None:
    assert hidden("JobAgent", AGENT)["config"] == {"serverUrl": "https://argo", "apiKey": "••••"}
    other = {**AGENT, "config": {**AGENT["config"], "apiKey": "another"}}
    step = Step("changed", "JobAgent", "a", (), None, AGENT, other)
    lines = list(diff_lines(step))
    assert "-  apiKey: ••••" in lines and "+  apiKey: •••• (another value)" in lines
    assert not any("sesame" in line or "another'" in line for line in lines)


def test_headers_of_a_metric_and_sensitive_variables_are_secret() -> None:
    headers = hidden("Policy", GUARD)["rules"][0]["verification"]["metrics"][0]["provider"]["headers"]
    assert headers == {"authorization": "••••", "accept": "x"}
    variables = [{"key": "k", "values": [{"value": {"sensitive": "s3cret"}}, {"value": 1}]}]
    shown = hidden("Deployment", {"name": "d", "variables": variables})["variables"][0]["values"]
    assert shown == [{"value": {"sensitive": "••••"}}, {"value": 1}]
    chat = {"name": "c", "channel": "slack", "url": "https://hooks.slack.example/T/B/x"}
    assert hidden("Subscription", chat)["url"] == "••••"
    reference = {"sensitive": {"secretRef": {"provider": "env", "path": "X"}}}
    assert (
        hidden("VariableSet", {"variables": {"v": reference["sensitive"]}})["variables"]["v"] == reference["sensitive"]
    )


def test_a_mark_is_what_is_stored_in_its_own_entry_also_when_another_was_put_before_it() -> None:
    shown = hidden("Policy", GUARD)
    assert unmasked(shown, GUARD) == GUARD
    moved = hidden("Policy", GUARD)
    moved["rules"][0]["verification"]["metrics"].insert(0, {"name": "new", "provider": {"type": "sleep"}})
    metrics = unmasked(moved, GUARD)["rules"][0]["verification"]["metrics"]
    assert [each["provider"].get("headers", {}).get("authorization") for each in metrics] == [
        None,
        "Bearer first",
        "Bearer second",
    ]
    assert unmasked(hidden("JobAgent", AGENT), None)["config"]["apiKey"] == "••••", "nothing stored: the server refuses"


def test_a_body_is_whole_without_its_defaults_and_with_what_it_leaves_alone() -> None:
    kind = KIND_BY_NAME["Deployment"]
    assert kind.whole({"name": "d", "resourceSelector": "false", "metadata": {}, "supersede": "wait"}) == {"name": "d"}
