"""What identifies a thing: lower-case UUIDv4 text, and the fixed-width key of a release target.

Ids are text everywhere in Python: the wire, JSON, the ledger and the pure core all want text, and a
str hashes several times faster than a `uuid.UUID`. The database stores real `uuid` columns; the codec
in `store/tx.py` translates at that edge.

Source: contract.md section e, "Identifiers and URLs".
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import NamedTuple

from interlock.model.errors import Invalid

NIL = "00000000-0000-0000-0000-000000000000"
_OID = uuid.NAMESPACE_OID.bytes
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")


def new_id() -> str:
    """A fresh random id. Called at the edges only (api, workers, store); never in the pure rooms."""
    return str(uuid.uuid4())


def is_id(text: str) -> bool:
    """Whether the text has the shape of an id."""
    return _UUID.fullmatch(text) is not None


def derived_id(*parts: str) -> str:
    """A name-based id: the same parts give the same id, so that a plan decided twice names the same rows.

    Why:    `decide` is pure and may not draw random ids. A round names thousands, so it is written out here, five times
            as fast as `uuid.uuid5`.
    Source: RFC 9562 section 5.5 (UUIDv5), OID namespace.
    """
    found = bytearray(hashlib.sha1(_OID + "\x1f".join(parts).encode(), usedforsecurity=False).digest()[:16])
    found[6] = found[6] & 0x0F | 0x50
    found[8] = found[8] & 0x3F | 0x80
    text = found.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class TargetKey(NamedTuple):
    """The wire's release target key: `{resourceId}-{environmentId}-{deploymentId}`, 110 characters."""

    resource_id: str
    environment_id: str
    deployment_id: str

    def __str__(self) -> str:
        return f"{self.resource_id}-{self.environment_id}-{self.deployment_id}"


def parse_target_key(text: str) -> TargetKey:
    """Split a key by position.

    Fails: `Invalid` when the length or one of the three ids is wrong.
    """
    parts = (text[0:36], text[37:73], text[74:110])
    if len(text) != 110 or text[36] != "-" or text[73] != "-" or not all(map(is_id, parts)):
        raise Invalid("A release target key is {resourceId}-{environmentId}-{deploymentId}.", field="releaseTargetKey")
    return TargetKey(*(part.lower() for part in parts))
