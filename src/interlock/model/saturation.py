"""How full is something that a deployment runs on? A number, the bounds that give it a level, and until when it counts.

    normal      below both bounds
    high        from `high_above` on
    saturated   from `saturated_above` on
    unknown     read too long ago, or by nobody: never normal

A reading is posted by whoever measures: a collector, a script, an alert rule. Its bounds come with it, so that what
counts as full is said where it is known.

Source: issue "Error budgets and signals"; requirement R003-59.
"""

from __future__ import annotations

NORMAL = "normal"
HIGH = "high"
SATURATED = "saturated"
UNKNOWN = "unknown"

LEVELS = (NORMAL, HIGH, SATURATED, UNKNOWN)
READ_LEVELS = (NORMAL, HIGH, SATURATED)

NAME_MAX = 100
SIGNALS_MAX = 50
"""A deployment has so many signals at most."""

HIGH_ABOVE = 0.8
SATURATED_ABOVE = 0.95
FRESH_S = 300
FRESH_MAX_S = 7 * 86_400


def level_of(value: float, *, high_above: float, saturated_above: float) -> str:
    """The level of a number, from its bounds."""
    if value >= saturated_above:
        return SATURATED
    return HIGH if value >= high_above else NORMAL
