"""Where is what a decision rested on? In a content-addressed store: bytes under the SHA-256 of what they say.

Facts are stored in shards (256 targets each, one shard per other kind), so that a round that changed little adds
little. The digest is over the canonical JSON, the bytes are compressed.

Source: core.md section 6.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping

from interlock.decide.codec import encode
from interlock.decide.facts import Facts
from interlock.store.queries import Conn, queries
from interlock.store.tx import Change, Tx

Q = queries("blob")

COMPRESSION = 1
"""The fastest level: facts are repetitive, and a round waits for this."""


async def store_facts(tx: Tx, facts: Facts) -> dict[str, str]:
    """Store the shards of a round's facts that are not stored yet. Gives shard name -> digest as hex."""
    bodies = dict(encode(facts))
    digests = {name: hashlib.sha256(body).digest() for name, body in bodies.items()}
    rows = {digest: zlib.compress(bodies[name], COMPRESSION) for name, digest in digests.items()}
    ordered = sorted(rows)
    await tx.record([Change(Q.store_blobs, (ordered, [rows[digest] for digest in ordered]))])
    return {name: digest.hex() for name, digest in digests.items()}


async def load_blobs(conn: Conn, digests: Mapping[str, str]) -> dict[str, bytes]:
    """The bytes of named digests; a name whose blob retention removed is absent."""
    wanted = [bytes.fromhex(digest) for digest in digests.values()]
    found = {row["digest"].hex(): zlib.decompress(row["body"]) for row in await conn.fetch(Q.load_blobs, wanted)}
    return {name: found[digest] for name, digest in digests.items() if digest in found}
