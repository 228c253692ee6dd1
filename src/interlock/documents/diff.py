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

from collections.abc import Iterator
from difflib import unified_diff

from interlock.documents.plan import Step
from interlock.documents.secrets import hidden
from interlock.documents.text import render_body

CONTEXT_LINES = 3


def diff_lines(step: Step) -> Iterator[str]:
    """The difference that a step makes; nothing for one that changes nothing."""
    if step.verdict == "unchanged":
        return
    before = [] if step.before is None else render_body(hidden(step.kind, step.before)).splitlines()
    after = [] if step.after is None else render_body(hidden(step.kind, step.after, step.before)).splitlines()
    yield from unified_diff(
        before,
        after,
        fromfile="/dev/null" if step.before is None else f"{step.kind} {step.name} (the server)",
        tofile="/dev/null" if step.after is None else f"{step.kind} {step.name} ({step.at or 'the files'})",
        n=CONTEXT_LINES,
        lineterm="",
    )
