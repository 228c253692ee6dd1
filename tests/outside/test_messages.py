"""Does a message say what happened, to whom it may concern, and nothing that a name smuggled in?"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from interlock.model.event import KINDS
from interlock.outside.messages import HEADLINES, compose, letter, slack_body, webhook_body

HOSTILE = '<!channel> & "x" <https://evil.example|click>'


def entry(kind: str = "rollout.halted", **more: Any) -> dict[str, Any]:
    return {
        "seq": 7,
        "id": "e1",
        "kind": kind,
        "at": "2026-06-10T18:21:33Z",
        "actor": {"kind": "user", "id": "u1", "name": "ada"},
        "cause": "round",
        "subject": {"kind": "rollout", "id": "r1"},
        "refs": [{"kind": "deployment", "id": "d1", "name": "shop-api"}],
        "body": {"deployment": "shop-api", "environment": "production", "version": "1.4.0", "failed": 2},
        **more,
    }


def told(**more: Any) -> Any:
    templates = more.pop("templates", {})
    return compose(
        more.pop("entry", entry(**more)),
        key="k",
        purpose="event",
        place="https://i.example/w/shop",
        templates=templates,
    )


def test_a_halt_is_told_with_its_place_and_page() -> None:
    message = told()
    assert message.headline == "The rollout of shop-api 1.4.0 in production halted"
    assert message.url == "https://i.example/w/shop/rollouts/r1"
    assert ("Failed", "2") in message.facts and ("By", "ada") in message.facts
    body = orjson.loads(webhook_body(message)[0])
    assert (body["type"], body["timestamp"], body["data"]["seq"]) == ("rollout.halted", "2026-06-10T18:21:33Z", 7)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_event_can_be_told_even_when_nothing_is_known_of_it(kind: str) -> None:
    message = told(
        entry=entry(kind, body={}, refs=[], subject={"kind": "thing", "id": "x"}, actor={"kind": "system", "id": "w"})
    )
    assert message.headline and "{" not in message.headline
    assert orjson.loads(slack_body(message)[0])["blocks"]
    assert letter(message, to=["a@example.org"]).text


def test_every_headline_is_of_a_kind_that_there_is() -> None:
    assert set(HEADLINES) <= set(KINDS)


def test_names_cannot_become_markup_in_a_chat_or_a_letter() -> None:
    message = told(body={"deployment": HOSTILE, "environment": "<b>e</b>", "version": "1"}, refs=[])
    chat = slack_body(message)[0].decode()
    assert "<!channel>" not in chat and "<https://evil" not in chat and "&lt;!channel&gt;" in chat
    html = letter(message, to=["a@example.org"]).html
    assert "<b>e</b>" not in html and "&lt;b&gt;e&lt;/b&gt;" in html


def test_a_users_text_takes_the_place_of_ours_by_kind_then_prefix_then_star() -> None:
    texts = {"*": "any", "rollout.*": "rollout <{{ version }}>", "rollout.paused": "paused"}
    message = told(templates=texts)
    assert message.text == "rollout <1.4.0>"
    assert webhook_body(message) == (b"rollout <1.4.0>", "text/plain; charset=utf-8")
    assert "&lt;1.4.0&gt;" in slack_body(message)[0].decode()
    assert "&lt;1.4.0&gt;" in letter(message, to=["a@b.org"]).html
    assert told(templates={"rollout.halted": '{"v": {{ version | tojson }}}'}).text == '{"v": "1.4.0"}'
    assert webhook_body(told(templates={"*": '{"v": {{ version | tojson }}}'}))[1] == "application/json"


def test_a_body_that_is_too_large_is_cut_to_what_names_it() -> None:
    body = orjson.loads(webhook_body(told(body={"x": "a" * 400_000}))[0])
    assert body["data"]["truncated"] is True and body["data"]["seq"] == 7 and "body" not in body["data"]
