"""Where is what a decision rested on? In a content-addressed store: bytes under the SHA-256 of what they say.

Facts are stored in shards (256 targets each, one shard per other kind), so that a round that changed little adds
little. The digest is over the canonical JSON, the bytes are compressed.

Source: core.md section 6.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from interlock.decide.codec import encode
from interlock.decide.facts import Facts
from interlock.store.queries import Conn, queries
from interlock.store.tx import Change

Q = queries("blob")

COMPRESSION = 1
"""The fastest level: facts are repetitive, and a round waits for this."""


@dataclass(frozen=True, slots=True)
class Packed:
    """The shards of some facts, ready to be stored: shard name -> digest as hex, and the bytes by digest."""

    digests: Mapping[str, str]
    bodies: Mapping[bytes, bytes]


def packed(facts: Facts) -> Packed:
    """The facts as they are stored. Nothing but work, so it may be done in a thread."""
    digests: dict[str, str] = {}
    bodies: dict[bytes, bytes] = {}
    for name, body in encode(facts):
        digest = hashlib.sha256(body).digest()
        digests[name] = digest.hex()
        bodies[digest] = zlib.compress(body, COMPRESSION)
    return Packed(digests, bodies)


def store_blobs(shards: Packed) -> Change:
    """The change that stores what is not stored yet."""
    ordered = sorted(shards.bodies)
    return Change(Q.store_blobs, (ordered, [shards.bodies[digest] for digest in ordered]))


async def load_blobs(conn: Conn, digests: Mapping[str, str]) -> dict[str, bytes]:
    """The bytes of named digests; a name whose blob retention removed is absent."""
    wanted = [bytes.fromhex(digest) for digest in digests.values()]
    found = {row["digest"].hex(): zlib.decompress(row["body"]) for row in await conn.fetch(Q.load_blobs, wanted)}
    return {name: found[digest] for name, digest in digests.items() if digest in found}
