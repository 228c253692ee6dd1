"""Is a webhook signed as the specification says, and does the guide's snippet agree?"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from interlock.outside.standard_webhooks import is_secret, new_secret, signature, signed_headers

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "being-told.md"


def snippet() -> Any:
    """The function that the guide gives to receivers, made by executing the guide."""
    text = re.search(r"(?s)```python\n(.*?)```", GUIDE.read_text())
    assert text is not None
    scope: dict[str, Any] = {}
    exec(compile(text.group(1), str(GUIDE), "exec"), scope)  # noqa: S102 our own page
    return scope["is_from_interlock"]


def test_the_specifications_own_example_has_this_signature() -> None:
    """https://github.com/standard-webhooks/standard-webhooks: the values that its libraries test with."""
    body = b'{"test": 2432232314}'
    given = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=body,
    )
    assert given == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("number", [0, 1])
def test_the_guides_snippet_takes_what_either_secret_signed(number: int) -> None:
    verify, secrets, body = snippet(), [new_secret(), new_secret()], '{"type": "rollout.halted", "é": 1}'.encode()
    headers = signed_headers(secrets, message_id="msg_1", timestamp=int(time.time()), body=body)
    assert verify(headers, body, secret=secrets[number])
    assert not verify(headers, body + b" ", secret=secrets[number])
    assert not verify({**headers, "webhook-id": "msg_2"}, body, secret=secrets[number])
    assert not verify(headers, body, secret=new_secret())


def test_the_guides_snippet_takes_nothing_old() -> None:
    secret = new_secret()
    headers = signed_headers([secret], message_id="msg_1", timestamp=int(time.time()) - 600, body=b"{}")
    assert not snippet()(headers, b"{}", secret=secret)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", True),
        ("whsec_", False),
        ("whsec_AAAA", False),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", False),
    ],
)
def test_a_secret_has_the_specified_form(text: str, *, good: bool) -> None:
    assert is_secret(text) is good
