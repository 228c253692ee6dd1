"""With which keys are secrets sealed, and where do the keys come from?

Sealing is Fernet (AES-128-CBC, HMAC-SHA256, with the instant), by `cryptography`. A keyring has one key or several: the
first seals, all are tried to open. So a rotation is: put a new key first, seal everything again, take the old key out.

    INTERLOCK_SECRET_KEYS   keys with commas or white space between them, the newest first
    <data>/secret.keys      else this file, one key a line, the newest first; made at the first start, mode 0600

Keys are never in the database: whoever has a dump or a replica of it has no secret. A key file is read again when it
has changed, so that a rotation needs no restart.

What is digested instead of a value (`identify`) is an HMAC-SHA256 under a key of its own, which is random, lies sealed
in the database and never changes: a rotation of the sealing keys changes no digest. Under the same key, with another
beginning, the tokens of callbacks are made.

Source: Fernet's specification; RFC 2104.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from interlock.model.canonical import canonical
from interlock.model.errors import Refused, Unavailable

KEY_FILE = "secret.keys"
KEYS_MAX = 20
IDENTITY_BYTES = 32

CALLBACK_PREFIX = "ilcb_"
_CALLBACK = re.compile(rf"{CALLBACK_PREFIX}([1-9][0-9]{{0,8}})_[A-Za-z0-9_-]{{43}}")


class KeyMissing(Unavailable):
    """No key of ours opens a sealed value: an operator must bring the key back. Nothing is lost meanwhile."""


class Keyring:
    """The sealing keys of a process, the newest first.

    Takes: `file` is where they were read from, None for keys of the environment.
    """

    def __init__(self, keys: Sequence[str], *, file: Path | None = None) -> None:
        self.file = file
        self._stamp: tuple[int, int] | None = None
        self._hold(keys)

    @classmethod
    def of_file(cls, file: Path) -> Self:
        """The keys of a file.

        Fails: `Refused` when it cannot be read, is readable by others, or holds no key.
        """
        ring = cls(_read(file), file=file)
        ring._stamp = _stamp(file)
        return ring

    @property
    def newest(self) -> str:
        """The name of the key that seals: a digest of it that tells keys apart and nothing else."""
        return self._names[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all keys, the newest first."""
        return self._names

    def seal(self, value: bytes) -> bytes:
        """A value, sealed with the newest key."""
        self.follow_file()
        return self._fernet.encrypt(value)

    def open(self, sealed: bytes, *, key: str = "") -> bytes:
        """What was sealed.

        Takes: `key` is the name of the key that sealed it, for the message.
        Fails: `KeyMissing` when none of our keys opens it.
        """
        for last_try in (False, True):
            try:
                return self._fernet.decrypt(sealed)
            except InvalidToken:
                if last_try or not self.follow_file():
                    break
        named = f" (it was sealed with key {key})" if key else ""
        raise KeyMissing(
            f"A secret cannot be opened{named}: this process has {_counted(self._names)}. Bring the key back in "
            f"{self.file or 'INTERLOCK_SECRET_KEYS'}."
        )

    def follow_file(self) -> bool:
        """Read the file again if it changed. Says whether it did."""
        if self.file is None:
            return False
        with contextlib.suppress(OSError, Refused):
            stamp = _stamp(self.file)
            if stamp != self._stamp:
                self._hold(_read(self.file))
                self._stamp = stamp
                return True
        return False

    def _hold(self, keys: Sequence[str]) -> None:
        if not 1 <= len(keys) <= KEYS_MAX:
            raise Refused(f"There must be 1 to {KEYS_MAX} secret keys; {len(keys)} were given.")
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as wrong:
            raise Refused(
                "A secret key is not 32 bytes in URL-safe base64. `interlock secrets key` makes a good one."
            ) from wrong
        self._names = tuple(name_of(key) for key in keys)


def _stamp(file: Path) -> tuple[int, int]:
    found = file.stat()
    return (found.st_mtime_ns, found.st_ino)


def _counted(names: Sequence[str]) -> str:
    return f"key {names[0]}" if len(names) == 1 else f"keys {', '.join(names)}"


def name_of(key: str) -> str:
    """A key's name: eight digits of its SHA-256, which tell nothing of 32 random bytes."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def new_key() -> str:
    """A fresh key."""
    return Fernet.generate_key().decode()


def parse_keys(text: str) -> tuple[str, ...]:
    """Keys as somebody wrote them: with commas or white space between, `#` begins a comment line."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return tuple(dict.fromkeys(key for line in lines for key in re.split(r"[,\s]+", line) if key))


def write_keys(file: Path, keys: Sequence[str]) -> None:
    """Put these keys into a file that only its owner reads, whole or not at all."""
    fresh = file.with_name(f"{file.name}.{uuid.uuid4().hex[:8]}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write("# Keys that seal Interlock's secrets, the newest first. Without them the secrets are lost.\n")
        out.writelines(f"{key}\n" for key in keys)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


def retire_keys(file: Path, keys: Sequence[str]) -> Path:
    """Put keys that seal nothing any more beside the key file, because older backups of the database need them."""
    retired = file.with_name(f"{file.name}.retired")
    with os.fdopen(os.open(retired, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as out:
        out.writelines(f"{key}\n" for key in keys)
        out.flush()
        os.fsync(out.fileno())
    return retired


def write_first_key(file: Path) -> None:
    """Make a key file with a fresh key, unless another process was faster."""
    with contextlib.suppress(FileExistsError):
        fresh = file.with_name(f"{file.name}.{uuid.uuid4().hex[:8]}.new")
        write_keys(fresh, [new_key()])
        try:
            os.link(fresh, file)
        finally:
            fresh.unlink()


def read_keys(file: Path) -> tuple[str, ...]:
    """The keys of a file, the newest first.

    Fails: `Refused` when it cannot be read, or others may read it.
    """
    return _read(file)


def _read(file: Path) -> tuple[str, ...]:
    try:
        if file.stat().st_mode & 0o077:
            raise Refused(f"{file} may be read by others than its owner. Say `chmod 600 {file}`.")
        return parse_keys(file.read_text())
    except OSError as failed:
        raise Refused(f"The secret keys in {file} cannot be read: {failed.strerror or failed}.") from failed


def identify(identity_key: bytes, workspace_id: str, value: object) -> str:
    """The id of a value in a workspace, as a UUID: the first 16 bytes of a keyed digest."""
    said = hmac.new(identity_key, workspace_id.encode() + b"\x1f" + canonical(value), hashlib.sha256)
    return str(uuid.UUID(bytes=said.digest()[:16]))


def callback_token(identity_key: bytes, *, job_id: str, attempt: int) -> str:
    """By what the outside signs in to say how one attempt of a job goes: `ilcb_<attempt>_<digest>`.

    Why:    derived, not drawn: it is stored nowhere, not even its digest, and a start that is sent again holds the
            same one as the start whose answer was lost.
    """
    said = hmac.new(identity_key, f"job callback\x1f{job_id}\x1f{attempt}".encode(), hashlib.sha256).digest()
    return f"{CALLBACK_PREFIX}{attempt}_{base64.urlsafe_b64encode(said).decode().rstrip('=')}"


def attempt_of(identity_key: bytes, token: str, *, job_id: str) -> int | None:
    """The attempt that a callback's token is for; None where it is not one of this job. In constant time."""
    found = _CALLBACK.fullmatch(token)
    if found is None:
        return None
    attempt = int(found[1])
    right = callback_token(identity_key, job_id=job_id, attempt=attempt)
    return attempt if hmac.compare_digest(right.encode(), token.encode()) else None


def new_identity_key() -> bytes:
    """A fresh key for digests."""
    return os.urandom(IDENTITY_BYTES)
