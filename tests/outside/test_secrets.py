"""With which keys are secrets sealed?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from interlock.model.errors import Refused
from interlock.outside.secrets import (
    KeyMissing,
    Keyring,
    identify,
    name_of,
    new_key,
    parse_keys,
    write_first_key,
    write_keys,
)

WORKSPACE = "8e5c4f6e-3c5b-4a6e-9a52-000000000001"


def test_the_first_key_seals_and_every_key_opens() -> None:
    old, new = new_key(), new_key()
    sealed = Keyring([old]).seal(b"hush")
    both = Keyring([new, old])
    assert both.open(sealed) == b"hush"
    assert Keyring([new]).open(both.seal(b"hush")) == b"hush"


def test_a_key_that_is_gone_is_named() -> None:
    old, new = new_key(), new_key()
    sealed = Keyring([old]).seal(b"hush")
    with pytest.raises(KeyMissing, match=f"sealed with key {name_of(old)}.*this process has key {name_of(new)}"):
        Keyring([new]).open(sealed, key=name_of(old))


def test_what_is_sealed_twice_looks_different_and_has_one_id() -> None:
    ring = Keyring([new_key()])
    assert ring.seal(b"hush") != ring.seal(b"hush")
    assert identify(b"k" * 32, WORKSPACE, "hush") == identify(b"k" * 32, WORKSPACE, "hush")


def test_the_id_of_a_value_depends_on_key_and_workspace() -> None:
    ids = {
        identify(b"k" * 32, WORKSPACE, "hush"),
        identify(b"K" * 32, WORKSPACE, "hush"),
        identify(b"k" * 32, WORKSPACE[:-1] + "2", "hush"),
        identify(b"k" * 32, WORKSPACE, ["hush"]),
    }
    assert len(ids) == 4


@pytest.mark.parametrize("text", ["a,b", "a b", "a\nb\n", "# newest first\na\n\nb,a"])
def test_keys_may_be_written_in_any_common_way(text: str) -> None:
    assert parse_keys(text) == ("a", "b")


def test_what_is_no_key_is_refused_without_being_shown() -> None:
    with pytest.raises(Refused) as refused:
        Keyring(["hunter2"])
    assert "hunter2" not in str(refused.value)
    with pytest.raises(Refused, match="1 to 20"):
        Keyring([])


def test_a_key_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "secret.keys"
    write_first_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    first = file.read_text()
    write_first_key(file)
    assert file.read_text() == first
    assert [each.name for each in tmp_path.iterdir()] == ["secret.keys"]
    file.chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        Keyring.of_file(file)


def test_a_running_process_sees_a_new_key_in_its_file(tmp_path: Path) -> None:
    file, old, new = tmp_path / "secret.keys", new_key(), new_key()
    write_keys(file, [old])
    running = Keyring.of_file(file)
    write_keys(file, [new, old])
    os.utime(file, (1, 1))
    assert running.open(Keyring([new]).seal(b"hush")) == b"hush"
    assert running.newest == name_of(new)
