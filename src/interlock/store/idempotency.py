"""Was this request handled before? The answer to a request with an Idempotency-Key, kept for some hours.

A key belongs to its principal. The transaction that does what the request asks for takes the key first and keeps the
answer last: so there is an answer exactly where something was written, a second request with the key waits for the
first, and a process that dies in between leaves neither. Refusals wrote nothing and are not kept.

An answer may hold what is shown once (the text of a new API key). It is sealed under the key of the request, of which
only a digest is stored: whoever reads the table reads no answer.

Source: draft-ietf-httpapi-idempotency-key-header; DESIGN.md section 5.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from interlock.store.queries import Conn, queries

Q = queries("idempotency")

KEPT_HOURS = 24
"""How long an answer can be had again."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a request was answered. `request_digest` says which request that was."""

    request_digest: bytes
    status: int
    body: bytes
    location: str | None


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The key of a request, of one principal."""

    principal_id: str
    text: str

    @property
    def digest(self) -> bytes:
        """What is stored of it."""
        return hashlib.sha256(f"{self.principal_id}:{self.text}".encode()).digest()

    def seal(self) -> Fernet:
        """What closes and opens its answer."""
        derived = HKDF(SHA256(), 32, salt=self.principal_id.encode(), info=b"interlock kept answer")
        return Fernet(base64.urlsafe_b64encode(derived.derive(self.text.encode())))


async def find_answer(conn: Conn, key: RequestKey) -> Answered | None:
    """The answer that is kept under a key, of whichever request."""
    row = await conn.fetchrow(Q.find_answer, key.principal_id, key.digest)
    if row is None or row["status"] is None:
        return None
    try:
        body = key.seal().decrypt(row["answer"])
    except InvalidToken:  # two keys of one digest: does not happen
        return None
    return Answered(row["request_digest"], row["status"], body, row["location"])


async def take_key(conn: Conn, key: RequestKey, *, request_digest: bytes) -> bool:
    """Take a key for this transaction; waits while another has it. False: another request took it and went through."""
    taken = await conn.fetchval(Q.take_key, key.principal_id, key.digest, request_digest, KEPT_HOURS)
    return taken is not None


async def keep_answer(conn: Conn, key: RequestKey, *, status: int, body: bytes, location: str | None) -> None:
    """Keep what the request is going to be answered."""
    sealed = key.seal().encrypt(body)
    await conn.execute(Q.keep_answer, key.principal_id, key.digest, status, location, sealed)


async def drop_key(conn: Conn, key: RequestKey) -> None:
    """Give a key back: the request was refused, though something was written (a refusal on record)."""
    await conn.execute(Q.drop_key, key.principal_id, key.digest)
