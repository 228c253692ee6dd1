"""How is a metric's progress written down between two measurements? As a small object, and read back the same.

What is carried is all that the next measurement needs, so that a verification of ten thousand measurements costs each
of them as much as the first: of a metric that is judged alone its counts, of counts and means that are compared what
their judges know of all looks so far (`seen`). Kayenta's judge wants all points at its end; of it what its verification
needs is carried: the shift behind a class is only told in its reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from interlock.judge.canary import Class, Classified
from interlock.judge.comparison import SIDES, Averaged, Seen
from interlock.judge.machine import MetricProgress
from interlock.judge.means import Moments
from interlock.judge.sequential import Finding, Split, Weighed
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
    if progress.seen is not None:
        body["seen"] = _write_seen(progress.seen)
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
        seen=_read_seen(body["seen"]) if "seen" in body else None,
        window=tuple(mark == "1" for mark in body["window"]),
    )


def _write_seen(seen: Seen) -> dict[str, Any]:
    if isinstance(seen, Averaged):
        moments = {side: _moments(getattr(seen, side)) for side in SIDES}
        return {"looks": seen.looks, "decided": seen.decided, **moments}
    return {
        "looks": seen.looks,
        "finding": seen.finding.value,
        "totals": [seen.canary_bad, seen.canary_total, seen.baseline_bad, seen.baseline_total],
        "split": [seen.split.surplus, seen.split.spread],
        "harms": list(seen.harms),
        "safeties": list(seen.safeties),
        "told": list(seen.told),
        "masses": [[place, bad] for place, bad in seen.masses.items()],
    }


def _read_seen(body: Mapping[str, Any]) -> Seen:
    if "masses" not in body:
        canary, baseline = (Moments(body[side][0], *_floats(body[side][1:])) for side in SIDES)
        return Averaged(body["looks"], canary, baseline, body["decided"])
    totals = body["totals"]
    canary_bad, baseline_bad, exposed = body["told"]
    return Weighed(
        looks=body["looks"],
        finding=Finding(body["finding"]),
        canary_bad=totals[0],
        canary_total=totals[1],
        baseline_bad=totals[2],
        baseline_total=totals[3],
        split=Split(*_floats(body["split"])),
        harms=_floats(body["harms"]),
        safeties=_floats(body["safeties"]),
        told=(canary_bad, baseline_bad, float(exposed)),
        masses={place: float(bad) for place, bad in body["masses"]},
    )


def _moments(one: Moments) -> list[float | str]:
    """Numbers so large that their squares are none are written as words: JSON has no infinity."""
    return [one.count, *(value if math.isfinite(value) else str(value) for value in (one.mean, one.squares))]


def _floats(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(one) for one in values)


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
