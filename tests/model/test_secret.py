"""Which fields are secret, and what stands in their place?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.inventory.targets import deep_merge
from interlock.model.errors import Invalid
from interlock.model.secret import Where, filled, hidden, ids_in, is_secret, marker, masked, refuse_markers, sealed

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


# Any document -------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["apiKey", "token", "secrets", "serverUrl", "nested", "note", "headers", "provider"])
LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet='abc é"\n', max_size=4)
DOCUMENTS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=20
)


def kept() -> tuple[dict[str, Any], Callable[[Any], str]]:
    """A place for secrets, and what puts them there."""
    values: dict[str, Any] = {}

    def put(value: Any) -> str:
        secret_id = f"{len(values):08d}-0000-4000-8000-000000000000"
        values[secret_id] = value
        return secret_id

    return values, put


@given(document=DOCUMENTS, where=st.sampled_from(Where))
def test_any_document_comes_back_as_it_was_and_holds_no_secret_meanwhile(document: Any, where: Where) -> None:
    values, put = kept()
    stored = sealed(document, where=where, seal=put)
    assert filled(stored, values) == document
    assert sorted(ids_in(stored)) == sorted(values)
    assert not list(ids_in(masked(stored)))

    def secret_leaves(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from secret_leaves(inner, (*path, key))
        elif isinstance(value, list):
            for inner in value:
                yield from secret_leaves(inner, path)
        elif value not in (None, "") and is_secret(where, path):
            yield value

    assert list(values.values()) == list(secret_leaves(document, ()))


@given(document=DOCUMENTS)
def test_a_reader_s_copy_that_is_written_back_changes_nothing(document: Any) -> None:
    _, put = kept()
    stored = sealed(document, where=Where.AGENT_CONFIG, seal=put)
    again = sealed(masked(stored), where=Where.AGENT_CONFIG, before=stored, seal=put)
    assert again == stored


PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nqwertyuiop\n-----END KEY-----"


@pytest.mark.parametrize(
    ("value", "text", "shown"),
    [
        ("hunter2", "password is hunter2.", "password is ••••1."),
        ('quo"ted\\x', json.dumps({"a": 'quo"ted\\x'}), '{"a": "••••1"}'),
        ("pässwörd", json.dumps("pässwörd"), '"••••1"'),
        (PEM, "line 2: MIIEvQIBADANBgkqhkiG9w0", "line 2: ••••1"),
        (PEM, f"<{PEM}>", "<••••1>"),
        ({"user": "u", "password": "hunter2"}, "u:hunter2", "u:••••1"),
        (["hunter2", "hunter2-long"], "hunter2-long hunter2", "••••1 ••••1"),
        (1234567, "pin 1234567", "pin ••••1"),
        ("ab", "about", "about"),
        (True, "True and true", "True and true"),
        ("p/w: 12345", "GET /?token=p%2Fw%3A%2012345&x=p%2Fw%3A+12345", "GET /?token=••••1&x=••••1"),
        ("swordfish", "Authorization: Basic c3dvcmRmaXNo", "Authorization: Basic ••••1"),
    ],
)
def test_what_an_agent_repeats_is_hidden(value: Any, text: str, shown: str) -> None:
    assert hidden(text, {"••••1": value}) == shown
