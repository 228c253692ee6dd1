"""Which fields are secret, and what stands in their place?"""

from __future__ import annotations

from typing import Any

import pytest

from interlock.inventory.targets import deep_merge
from interlock.model.errors import Invalid
from interlock.model.secret import Where, filled, ids_in, is_secret, marker, masked, refuse_markers, sealed

A, B = "4c1f0a9e-0000-4000-8000-000000000001", "99aa00bb-0000-4000-8000-000000000002"
IDS = {"hush": A, "other": B}


def seal(document: Any, *, before: Any = None, where: Where = Where.AGENT_CONFIG) -> Any:
    return sealed(document, where=where, before=before, seal=lambda value: IDS[value])


@pytest.mark.parametrize(
    ("where", "path", "secret"),
    [
        (Where.AGENT_CONFIG, ("apiKey",), True),
        (Where.AGENT_CONFIG, ("serverUrl",), False),
        (Where.AGENT_CONFIG, ("nested", "token"), True),
        (Where.AGENT_CONFIG, ("secrets", "anything"), True),
        (Where.RULES, ("verification", "metrics", "provider", "apiKey"), True),
        (Where.RULES, ("verification", "metrics", "provider", "headers", "Authorization"), True),
        (Where.RULES, ("verification", "metrics", "provider", "headers", "Accept"), False),
        (Where.RULES, ("verification", "metrics", "provider", "headers", "value"), True),
        (Where.RULES, ("verification", "metrics", "provider", "headers", "key"), False),
        (Where.RULES, ("verification", "metrics", "provider", "authentication", "oauth2", "clientSecret"), True),
        (Where.RULES, ("anyApproval", "token"), False),
    ],
)
def test_the_table_says_which_fields_are_secret(where: Where, path: tuple[str, ...], secret: bool) -> None:
    assert is_secret(where, path) is secret


def test_a_secret_leaves_the_document_and_comes_back() -> None:
    stored = seal({"serverUrl": "argo.test", "apiKey": "hush", "retries": 3})
    assert stored == {"serverUrl": "argo.test", "apiKey": marker(A), "retries": 3}
    assert masked(stored)["apiKey"] == "••••4c1f0a9e"
    assert filled(stored, {A: "hush"})["apiKey"] == "hush"
    assert filled(stored, {})["apiKey"] == "••••4c1f0a9e"


def test_a_mark_that_is_written_back_keeps_the_secret() -> None:
    before = seal({"apiKey": "hush", "token": "other"})
    assert seal(masked(before), before=before) == before


def test_a_mark_of_another_object_is_refused_with_its_place() -> None:
    with pytest.raises(Invalid, match=r"config\.apiKey ••••4c1f0a9e stands for a secret that is not stored here"):
        seal({"apiKey": "••••4c1f0a9e"}, before=seal({"apiKey": "other"}))


def test_what_stands_empty_is_no_secret() -> None:
    assert seal({"apiKey": "", "token": None}) == {"apiKey": "", "token": None}


def test_nobody_can_write_a_marker() -> None:
    with pytest.raises(Invalid, match="word of ours"):
        seal({"note": {"$secret": A}})
    with pytest.raises(Invalid, match=r"value\[0\]\.a\.\$secret"):
        refuse_markers([{"a": {"$secret": A}}], field="value")


def test_a_reference_stays_in_clear_and_is_checked() -> None:
    vault = {"secretRef": {"provider": "vault", "path": "shop/db", "key": "password"}}
    assert seal({"apiKey": vault}) == {"apiKey": vault}
    with pytest.raises(Invalid, match=r"config\.apiKey\.secretRef\.path"):
        seal({"apiKey": {"secretRef": {"provider": "vault"}}})
    with pytest.raises(Invalid, match=r"secretRef\.version is not known here"):
        seal({"apiKey": {"secretRef": {"provider": "vault", "path": "a", "version": "2"}}})


def test_every_secret_of_a_document_is_named() -> None:
    stored = seal([{"apiKey": "hush"}, {"deep": {"token": "other"}}])
    assert list(ids_in(stored)) == [A, B]


def test_a_config_is_merged_over_a_secret_as_a_whole() -> None:
    reference = {"secretRef": {"provider": "vault", "path": "shop/db", "key": "password"}}
    assert deep_merge({"token": reference}, {"token": marker(A)}) == {"token": marker(A)}
    shorter = {"secretRef": {"provider": "env", "path": "TOKEN"}}
    assert deep_merge({"token": reference}, {"token": shorter}) == {"token": shorter}
