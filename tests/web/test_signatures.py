"""Did this webhook come from the tool that says so, and is it new?"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.requests import Request

from interlock.model.errors import TooLarge, Unauthorized
from interlock.model.event import Actor
from interlock.store.deliveries import Delivery, note_delivery
from interlock.store.tx import Store
from interlock.web.signatures import ARGO_WORKFLOWS, GITHUB, INTERLOCK, TERRAFORM_CLOUD, Scheme, receive, signature

NOW = datetime(2026, 3, 9, 9, 0, tzinfo=UTC)
BODY = b'{"run": 1}'
OURS = Actor("system", "00000000-0000-0000-0000-000000000000")


def request(body: bytes = BODY, **headers: str) -> Request:
    async def parts() -> AsyncIterator[dict[str, Any]]:
        for start in range(0, len(body), 4):
            yield {"type": "http.request", "body": body[start : start + 4], "more_body": True}
        yield {"type": "http.request", "body": b"", "more_body": False}

    arriving = parts()

    async def next_part() -> dict[str, Any]:
        return await anext(arriving)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": named}, next_part)


async def came(scheme: Scheme, *secrets: str, body: bytes = BODY, **headers: str) -> Delivery:
    return await receive(request(body, **headers), scheme, secrets=secrets, now=NOW)


async def test_the_signature_that_github_documents_is_right() -> None:
    """The example of GitHub's page on validating deliveries."""
    sent = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    found = await came(GITHUB, "It's a Secret to Everybody", body=b"Hello, World!", x_hub_signature_256=sent)
    assert found.body == b"Hello, World!"


async def test_any_of_several_secrets_may_have_signed() -> None:
    sent = signature(GITHUB, BODY, secret="old")
    assert (await came(GITHUB, "new", "old", x_hub_signature_256=sent)).body == BODY
    assert (await came(GITHUB, "old", "new", x_hub_signature_256=sent.upper())).body == BODY


@pytest.mark.parametrize("secrets", [(), ("",), ("other",)])
async def test_without_the_secret_nothing_is_taken(secrets: tuple[str, ...]) -> None:
    with pytest.raises(Unauthorized):
        await came(GITHUB, *secrets, x_hub_signature_256=signature(GITHUB, BODY, secret="right"))
    with pytest.raises(Unauthorized):
        await came(GITHUB, *secrets, x_hub_signature_256=signature(GITHUB, BODY, secret=""))


async def test_one_changed_byte_is_refused() -> None:
    with pytest.raises(Unauthorized):
        await came(GITHUB, "s", body=b'{"run": 2}', x_hub_signature_256=signature(GITHUB, BODY, secret="s"))


async def test_the_signature_is_over_the_bytes_as_they_came() -> None:
    spaced = b'{ "run" :\n1 }'
    assert (
        await came(GITHUB, "s", body=spaced, x_hub_signature_256=signature(GITHUB, spaced, secret="s"))
    ).body == spaced


async def test_terraform_cloud_signs_with_sha512() -> None:
    sent = hmac.new(b"s", BODY, hashlib.sha512).hexdigest()
    assert (await came(TERRAFORM_CLOUD, "s", x_tfe_notification_signature=sent)).body == BODY


async def test_argo_sends_the_secret_itself() -> None:
    assert (await came(ARGO_WORKFLOWS, "Bearer hush", authorization="Bearer hush")).body == BODY
    for wrong in ("Bearer hus", "bearer hush", ""):
        with pytest.raises(Unauthorized):
            await came(ARGO_WORKFLOWS, "Bearer hush", authorization=wrong)


@pytest.mark.parametrize(("age_s", "taken"), [(0, True), (299, True), (-299, True), (301, False), (-301, False)])
async def test_a_signed_instant_must_be_of_now(age_s: int, taken: bool) -> None:
    stamp = str(int((NOW - timedelta(seconds=age_s)).timestamp()))
    sent = signature(INTERLOCK, stamp.encode() + b"." + BODY, secret="s")
    if taken:
        await came(INTERLOCK, "s", x_interlock_timestamp=stamp, x_interlock_signature=sent)
    else:
        with pytest.raises(Unauthorized, match="timestamp"):
            await came(INTERLOCK, "s", x_interlock_timestamp=stamp, x_interlock_signature=sent)


@pytest.mark.parametrize("stamp", ["", "now", "-1", "1e9", "9" * 12, "9" * 40])
async def test_an_instant_that_is_none_is_refused(stamp: str) -> None:
    with pytest.raises(Unauthorized):
        await came(INTERLOCK, "s", x_interlock_timestamp=stamp, x_interlock_signature="v1=0")


async def test_an_old_instant_cannot_be_made_new() -> None:
    old, now = str(int(NOW.timestamp()) - 3600), str(int(NOW.timestamp()))
    sent = signature(INTERLOCK, old.encode() + b"." + BODY, secret="s")
    with pytest.raises(Unauthorized, match="signature"):
        await came(INTERLOCK, "s", x_interlock_timestamp=now, x_interlock_signature=sent)


async def test_a_large_body_is_refused_before_its_signature_is_looked_at() -> None:
    with pytest.raises(TooLarge, match="1,048,576 bytes"):
        await came(GITHUB, "s", content_length=str(2**30))
    with pytest.raises(TooLarge):
        await receive(request(b"x" * 100), GITHUB, secrets=["s"], body_bytes_max=99, now=NOW)


async def test_a_delivery_is_new_once_whatever_its_header_says(store: Store) -> None:
    sent = signature(GITHUB, BODY, secret="s")
    first = await came(GITHUB, "s", x_hub_signature_256=sent, x_github_delivery="1")
    second = await came(GITHUB, "s", x_hub_signature_256=sent, x_github_delivery="2")
    async with store.tx(actor=OURS, cause="test") as tx:
        assert await note_delivery(tx, first)
    async with store.tx(actor=OURS, cause="test") as tx:
        assert not await note_delivery(tx, second)


async def test_a_delivery_whose_work_failed_may_come_again(store: Store) -> None:
    delivery = await came(GITHUB, "s", x_hub_signature_256=signature(GITHUB, BODY, secret="s"))

    async def fail() -> None:
        async with store.tx(actor=OURS, cause="test") as tx:
            assert await note_delivery(tx, delivery)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with store.tx(actor=OURS, cause="test") as tx:
        assert await note_delivery(tx, delivery)
