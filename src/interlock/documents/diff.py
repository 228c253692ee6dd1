"""What would change? Both sides of a step as YAML, line against line, secrets masked.

    --- Policy guard (the server)
    +++ Policy guard (fleet.yaml:18)
    @@ -3,5 +3,5 @@
     rules:
     - anyApproval:
    -    minApprovals: 1
    +    minApprovals: 2

Source: the unified format of POSIX `diff -u`, which people and tools read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import unified_diff
from typing import Any

from interlock.documents.plan import Step
from interlock.documents.secrets import hidden
from interlock.documents.text import render_body

CONTEXT_LINES = 3


def diff_lines(step: Step) -> Iterator[str]:
    """The difference that a step makes; nothing for one that changes nothing."""
    if step.verdict == "unchanged":
        return
    stands = None if step.before is None else _in_order_of(hidden(step.kind, step.before), step.after)
    before = [] if stands is None else render_body(stands).splitlines()
    after = [] if step.after is None else render_body(hidden(step.kind, step.after, step.before)).splitlines()
    yield from unified_diff(
        before,
        after,
        fromfile="/dev/null" if step.before is None else f"{step.kind} {step.name} (the server)",
        tofile="/dev/null" if step.after is None else f"{step.kind} {step.name} ({step.at or 'the files'})",
        n=CONTEXT_LINES,
        lineterm="",
    )


def _in_order_of(value: Any, other: Any) -> Any:
    """The value with its keys in the order of the other's: the server does not keep the one in which they came."""
    if isinstance(value, Mapping):
        like = other if isinstance(other, Mapping) else {}
        keys = [*(key for key in like if key in value), *(key for key in value if key not in like)]
        return {key: _in_order_of(value[key], like.get(key)) for key in keys}
    if isinstance(value, list):
        beside = other if isinstance(other, list) else []
        return [_in_order_of(each, beside[place] if place < len(beside) else None) for place, each in enumerate(value)]
    return value
