"""The tools' APIs that agents meet in tests stand on the server that comes with the product."""

from __future__ import annotations

from interlock.agents.loopback import FAULTS as ALL_FAULTS
from interlock.agents.loopback import Answer, Call, LoopbackServer, Misbehaviour, serving

StubServer = LoopbackServer

FAULTS = tuple(
    (dict(one.how), one.refuses, one.said or "did not answer")
    for one in ALL_FAULTS
    if not (one.missing or one.clashes or "cut_after" in one.how or "late_s" in one.how)
)
"""What is done wrong, whether that is a no, what is said. The suite's own section has them all."""

__all__ = ["FAULTS", "Answer", "Call", "Misbehaviour", "StubServer", "serving"]
