"""What does metadata say of a deployment? How critical it is.

    interlock/tier    1, 2, 3 or 4; 1 is what must never be away

What is malformed is refused when it is written, because a rule would never match it; what was stored before its key
meant anything is read as not said.

Source: definitions.md E1 (default reaction) and E8 (tier); guide docs/guides/error-budgets.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.model.errors import FieldError
from interlock.model.wire import refusal

TIER = "interlock/tier"
TIERS = ("1", "2", "3", "4")


def check_deployment_facts(metadata: Mapping[str, str]) -> None:
    """Refuse what means nothing.

    Fails: `Invalid`, naming the key and what it may hold.
    """
    said = metadata.get(TIER)
    if said is not None and read_tier(said) is None:
        raise refusal([FieldError(f'metadata["{TIER}"]', f"must be one of {', '.join(TIERS)}")])


def read_tier(text: str | None) -> str | None:
    """The tier; None where it was not said, or is none."""
    plain = (text or "").strip()
    return plain if plain in TIERS else None
