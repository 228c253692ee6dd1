"""In which ways does an agent's tool misbehave, and what does each mean for a job? `FAULTS`.

The suite (`conformance.py`) goes through them; the tool's API stands on the server of `outside/loopback.py`, which can
be imported from here too. For the tests of agents, ours and yours; nothing of the running product loads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interlock.outside.loopback import Answer, Call, LoopbackServer, Misbehaviour, serving

__all__ = ["FAULTS", "Answer", "Call", "Fault", "LoopbackServer", "Misbehaviour", "serving"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a tool misbehaves.

    Takes: `refuses`: the tool said no, for good; else nobody knows whether anything was done. `missing`: it says that
           what is asked for is not there, which may be an answer. `clashes`: it says that what is asked for is so
           already, which may be one, too. `said` is what people read of it.
    """

    name: str
    how: Mapping[str, Any]
    said: str
    refuses: bool = False
    missing: bool = False
    clashes: bool = False
    slow: bool = False

    @property
    def retry_after_s(self) -> float | None:
        """The wait that the tool asks for."""
        asked = self.how.get("headers", {}).get("Retry-After")
        return None if asked is None else float(asked)


FAULTS: tuple[Fault, ...] = (
    Fault("400", {"status": 400, "body": b"plain words"}, "plain words", refuses=True),
    Fault("401", {"status": 401, "body": b'{"message": "bad token"}'}, "refused the credentials", refuses=True),
    Fault("403", {"status": 403, "body": b'{"message": "may not"}'}, "may not", refuses=True),
    Fault("404", {"status": 404, "body": b'{"message": "not here"}'}, "not here", refuses=True, missing=True),
    Fault("409", {"status": 409, "body": b'{"message": "is so already"}'}, "is so already", refuses=True, clashes=True),
    Fault("422", {"status": 422, "body": b'{"message": "no such ref"}'}, "no such ref", refuses=True),
    Fault("redirect", {"status": 302, "headers": {"Location": "/login"}}, "redirects", refuses=True),
    Fault("429", {"status": 429, "headers": {"Retry-After": "7"}}, "429"),
    Fault("403-asks-to-wait", {"status": 403, "headers": {"Retry-After": "9"}, "body": b"slow down"}, "403"),
    Fault("500", {"status": 500, "body": b"<html>oh</html>"}, "500"),
    Fault("503", {"status": 503, "headers": {"Retry-After": "2"}}, "503"),
    Fault("garbage", {"status": 200, "body": b"<html>hello"}, "no JSON"),
    Fault("cut-before", {"cut": True}, "could not be reached"),
    Fault("cut-after", {"cut_after": True}, "could not be reached"),
    Fault("slow", {"wait_s": 30.0}, "", slow=True),
    Fault("slow-answer", {"late_s": 30.0}, "", slow=True),
)
