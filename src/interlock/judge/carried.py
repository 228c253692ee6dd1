"""How is a metric's progress written down between two measurements? As a small object, and read back the same.

What is carried is all that the next measurement of a metric that is judged alone needs, so that a verification of ten
thousand measurements costs each of them as much as the first. Of a compared metric it is what its verification needs
when it is over: the shift behind a class is only told in its reason, and is not carried.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from interlock.judge.canary import Class, Classified
from interlock.judge.machine import MetricProgress
from interlock.model.verification import VerificationState

NUMBERS = ("passed", "failed", "inconclusive", "errored", "passes_in_a_row", "errors_in_a_row")


def write_progress(progress: MetricProgress) -> dict[str, Any]:
    """A progress as JSON."""
    body: dict[str, Any] = {name: getattr(progress, name) for name in NUMBERS} | {"state": progress.state.value}
    body["window"] = "".join("1" if failed else "0" for failed in progress.window)
    for name in ("next_at", "decided_at"):
        instant = getattr(progress, name)
        body[name] = instant.isoformat() if instant is not None else None
    found = progress.classified
    body["reason"] = progress.reason
    body["classified"] = found and {"kind": found.kind.value, "critical": found.critical, "reason": found.reason}
    body["numbers"] = dict(progress.numbers)
    return body


def read_progress(body: Mapping[str, Any]) -> MetricProgress:
    """The progress that was written."""
    found = body["classified"]
    return MetricProgress(
        VerificationState(body["state"]),
        **{name: body[name] for name in NUMBERS},
        next_at=_instant(body["next_at"]),
        decided_at=_instant(body["decided_at"]),
        reason=body["reason"],
        classified=Classified(Class(found["kind"]), found["critical"], found["reason"]) if found else None,
        numbers=body.get("numbers") or {},
        window=tuple(mark == "1" for mark in body["window"]),
    )


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
