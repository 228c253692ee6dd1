"""Which values of a document does nobody see, and when does a mark mean what stands already?

The table of secret fields is the server's own (`model/secret.py`). A difference in a secret is shown as a difference
and nothing more. A mark that was written back (`••••4c1f0a9e`, as an export without secrets has it) is the stored
value: it is sent as it is and counts as no change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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

WHOLE: Mapping[str, tuple[str, ...]] = {"Subscription": ("secret",)}
"""Kind -> keys that are secret as they are."""


def hidden(kind: str, body: Body, beside: Body | None = None) -> dict[str, Any]:
    """The body as it may be shown.

    Takes: `beside` is what it is compared with: a secret that differs from the one there says so.
    """
    other = beside or {}
    shown = {key: _hidden(value, other.get(key), PLACES.get((kind, key)), ()) for key, value in body.items()}
    chat = ("url",) if body.get("channel") == "slack" else ()
    for key in (*WHOLE.get(kind, ()), *chat):
        if shown.get(key):
            shown[key] = _mark(shown[key], other.get(key))
    return shown


def unmasked(body: Body, standing: Body | None) -> dict[str, Any]:
    """The body with what stands in place of every mark."""
    return {key: _unmasked(value, (standing or {}).get(key)) for key, value in body.items()}


def _hidden(value: Any, other: Any, where: Where | None, path: tuple[str, ...]) -> Any:
    if is_reference(value):
        return value
    if isinstance(value, Mapping):
        there = other if isinstance(other, Mapping) else {}
        if set(value) == {"sensitive"} and not isinstance(value["sensitive"], bool):
            return {"sensitive": _mark(value["sensitive"], there.get("sensitive"))}
        return {key: _hidden(each, there.get(key), where, (*path, str(key))) for key, each in value.items()}
    if isinstance(value, list):
        beside = _beside(value, other)
        return [_hidden(each, there, where, path) for each, there in zip(value, beside, strict=True)]
    if where is None or value is None or value == "" or not is_secret(where, path):
        return value
    return _mark(value, other)


def _mark(value: Any, other: Any) -> str:
    """The mark of a secret; of another one than stands beside it, with a word."""
    shown = value if digits_of(value) else MASK
    return str(shown) if other in (None, value) else f"{shown} (another value)"


def _unmasked(value: Any, standing: Any) -> Any:
    if isinstance(value, Mapping):
        there = standing if isinstance(standing, Mapping) else {}
        return {key: _unmasked(each, there.get(key)) for key, each in value.items()}
    if isinstance(value, list):
        return [_unmasked(each, there) for each, there in zip(value, _beside(value, standing), strict=True)]
    return standing if standing is not None and digits_of(value) is not None else value


def _beside(listed: list[Any], other: Any) -> list[Any]:
    """For each entry of a list the one of the other list that it answers to: of the same name, and so on in order.

    Why:    a mark stands for the secret of *its* entry; an entry that was put before it must not shift it.
    """
    known = dict(_counted(other if isinstance(other, list) else []))
    return [known.get(place) for place, _ in _counted(listed)]


def _counted(listed: list[Any]) -> Iterator[tuple[tuple[str, int], Any]]:
    counts: dict[str, int] = {}
    for each in listed:
        name = _name_of(each)
        counts[name] = counts.get(name, -1) + 1
        yield (name, counts[name]), each


def _name_of(each: Any) -> str:
    """What an entry is known by: its name, key or reference; a rule by its kind."""
    if not isinstance(each, Mapping):
        return ""
    named = next(
        (each[key] for key in ("name", "key", "ref", "resourceSelector") if isinstance(each.get(key), str)), ""
    )
    return str(named) or ",".join(sorted(map(str, each)))
