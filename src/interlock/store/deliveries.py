"""Was this webhook here before? Deliveries that were acted on, for as long as they could be sent again.

Source: issue 4, "Webhooks in".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from interlock.store.queries import queries
from interlock.store.tx import Tx

Q = queries("delivery")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook whose signature was right.

    Takes: `key` is a digest of what was signed. After `until` its own age refuses it.
    """

    source: str
    key: bytes = field(repr=False)
    until: datetime
    body: bytes = field(repr=False)


async def note_delivery(tx: Tx, delivery: Delivery) -> bool:
    """Remember a delivery with what it changes. Says whether it is new: one that was here before changes nothing."""
    row = (delivery.key, delivery.source, delivery.until)
    return await tx.conn.fetchval(Q.note_delivery, *row) is not None
