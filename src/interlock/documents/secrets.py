"""Which values of a document does nobody see, and when does a mark mean what stands already?

The table of secret fields is the server's own (`model/secret.py`). A difference in a secret is shown as a difference
and nothing more. A mark that was written back (`••••4c1f0a9e`, as an export without secrets has it) is the stored
value: it is sent as it is and counts as no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.documents.kind import Body
from interlock.model.secret import MASK, Where, digits_of, is_reference, is_secret

PLACES: Mapping[tuple[str, str], Where] = {
    ("JobAgent", "config"): Where.AGENT_CONFIG,
    ("Deployment", "jobAgentConfig"): Where.AGENT_CONFIG,
    ("Deployment", "jobAgents"): Where.AGENT_CONFIG,
    ("Workflow", "jobAgents"): Where.AGENT_CONFIG,
    ("Policy", "rules"): Where.RULES,
}
"""(kind, key) -> which table of secret fields counts there."""

ANOTHER = f"{MASK} (another value)"


def hidden(kind: str, body: Body, beside: Body | None = None) -> dict[str, Any]:
    """The body as it may be shown.

    Takes: `beside` is what it is compared with: a secret that differs from the one there says so.
    """
    other = beside or {}
    return {key: _hidden(value, other.get(key), PLACES.get((kind, key)), ()) for key, value in body.items()}


def unmasked(body: Body, standing: Body | None) -> dict[str, Any]:
    """The body with what stands in place of every mark."""
    return {key: _unmasked(value, (standing or {}).get(key)) for key, value in body.items()}


def _hidden(value: Any, other: Any, where: Where | None, path: tuple[str, ...]) -> Any:
    if is_reference(value):
        return value
    if isinstance(value, Mapping):
        there = other if isinstance(other, Mapping) else {}
        if value.get("sensitive") is True:
            return {key: _sealed(key, each, there.get(key)) for key, each in value.items()}
        return {key: _hidden(each, there.get(key), where, (*path, str(key))) for key, each in value.items()}
    if isinstance(value, list):
        beside = other if isinstance(other, list) else []
        return [
            _hidden(each, beside[place] if place < len(beside) else None, where, path)
            for place, each in enumerate(value)
        ]
    if where is None or value is None or value == "" or not is_secret(where, path):
        return value
    return MASK if other in (None, value) else ANOTHER


def _sealed(key: str, value: Any, other: Any) -> Any:
    """What a sensitive variable says: its values are secret as a whole."""
    if key == "value" and not is_reference(value):
        return MASK if other in (None, value) else ANOTHER
    if key == "values" and isinstance(value, list):
        beside = other if isinstance(other, list) else []
        return [
            {
                inner: _sealed(inner, each, beside[place].get(inner) if place < len(beside) else None)
                for inner, each in one.items()
            }
            for place, one in enumerate(value)
        ]
    return value


def _unmasked(value: Any, standing: Any) -> Any:
    if isinstance(value, Mapping):
        there = standing if isinstance(standing, Mapping) else {}
        return {key: _unmasked(each, there.get(key)) for key, each in value.items()}
    if isinstance(value, list):
        beside = standing if isinstance(standing, list) else []
        return [_unmasked(each, beside[place] if place < len(beside) else None) for place, each in enumerate(value)]
    return standing if standing is not None and digits_of(value) is not None else value
