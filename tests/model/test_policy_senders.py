"""What did a write take away that its sender could not have said?"""

from __future__ import annotations

from typing import Any

import pytest

from interlock.model.policy_senders import DOCUMENTED, TERRAFORM, dropped, sender_of, told_dropped


def lost(before: list[dict[str, Any]], after: list[dict[str, Any]], sender: Any = TERRAFORM, **modes: str) -> list[str]:
    said = dropped(
        before,
        after,
        sender=sender,
        mode_before=modes.get("was", "enforce"),
        mode_after=modes.get("becomes", "enforce"),
    )
    return [" ".join(each[key] for key in ("rule", "kind", "field") if key in each) for each in said]


def metric(name: str, provider: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "provider": {"type": provider}, "count": 1, **more}


APPROVAL = {"id": "a", "anyApproval": {"minApprovals": 1}}
RETRY = {"id": "r", "retry": {"maxRetries": 1, "jitter": 1}}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([APPROVAL], [APPROVAL], []),
        ([APPROVAL], [], []),
        ([APPROVAL, RETRY], [APPROVAL], ["r retry"]),
        ([{"id": "b", "rollback": {}}], [], ["b rollback"]),
        (
            [{"id": "a", "anyApproval": {"minApprovals": 1, "approverGroup": "leads"}}],
            [APPROVAL],
            ["a anyApproval anyApproval.approverGroup"],
        ),
        (
            [{"id": "a", "anyApproval": {"minApprovals": 1}, "appliesTo": "config"}],
            [APPROVAL],
            ["a anyApproval appliesTo"],
        ),
        (
            [{"id": "a", "anyApproval": {"minApprovals": 1, "approverGroup": "leads"}}],
            [{"id": "other", "anyApproval": {"minApprovals": 1}}],
            ["a anyApproval anyApproval.approverGroup"],
        ),
        ([{"id": "v", "versionSelector": {"selector": "true", "description": "d"}}], [], []),
        (
            [{"id": "v", "versionSelector": {"selector": "true", "description": "d"}}],
            [{"id": "v", "versionSelector": {"selector": "true"}}],
            [],
        ),
        (
            [{"id": "m", "verification": {"metrics": [metric("x", "http"), metric("y", "sleep", wait=1)]}}],
            [{"id": "m", "verification": {"metrics": [metric("y", "sleep")]}}],
            ["m verification verification.metrics[x]", "m verification verification.metrics[y].wait"],
        ),
        (
            [{"id": "m", "verification": {"metrics": [metric("x", "datadog")], "whileVerifying": "overlap"}}],
            [{"id": "m", "verification": {"metrics": []}}],
            ["m verification verification.whileVerifying"],
        ),
    ],
)
def test_terraform_drops_what_it_has_no_word_for(
    before: list[dict[str, Any]], after: list[dict[str, Any]], expected: list[str]
) -> None:
    assert lost(before, after) == expected


def test_another_client_of_the_contract_knows_retry_but_nothing_of_ours() -> None:
    assert lost([RETRY], [], DOCUMENTED) == []
    assert lost([RETRY], [{"id": "r", "retry": {"maxRetries": 1}}], DOCUMENTED) == ["r retry retry.jitter"]
    assert lost([{"id": "b", "rollback": {}}], [], DOCUMENTED) == ["b rollback"]


def test_the_mode_of_a_policy_is_a_word_of_ours() -> None:
    assert lost([], [], was="observe") == ["mode"]


def test_who_can_say_everything_drops_nothing() -> None:
    assert sender_of("Go-http-client/1.1") is TERRAFORM and sender_of("ctrlc/1.2.3") is DOCUMENTED
    assert sender_of("interlock") is None and sender_of("curl/8") is None and sender_of("") is None


def test_an_event_says_what_was_dropped() -> None:
    body = {"sender": "Terraform", "dropped": [{"rule": "r", "kind": "retry"}, {"field": "mode"}]}
    assert told_dropped(body) == "dropped the retry rule, mode, for which Terraform has no words"
    assert told_dropped({"rules": 1}) is None
