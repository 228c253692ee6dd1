"""What is a provider, and what does it give back? The two answers that are no error, and what is worth keeping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from interlock.judge.conditions import ResultFields

TEXT_KEPT_MAX = 2_000
ITEMS_KEPT_MAX = 50
DEPTH_KEPT_MAX = 5
EXACT_MAX = 2**63 - 1
"""Beyond it a whole number is kept as text."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of the outside, as the conditions see it.

    Takes: `why` says why there is no number in it, a sentence for people: a condition cannot be evaluated then.
    """

    result: Mapping[str, object]
    why: str = ""


@dataclass(frozen=True, slots=True)
class NotBefore:
    """Nothing to say yet: ask again at this instant. No measurement is recorded."""

    at: datetime


class Provider(Protocol):
    """What every provider offers."""

    @property
    def kind(self) -> str:
        """The wire's `type`."""
        ...

    @property
    def result_fields(self) -> ResultFields:
        """The fields of its answers with their CEL types."""
        ...

    def check_config(self, config: Mapping[str, object], path: str) -> None:
        """Refuse a provider's object when it is written.

        Why:   a text of it may be a template (`filling.holds_template`), of which only the form is known then.
        Fails: `Invalid` with the path of each wrong field under `path`.
        """
        ...

    async def measure(
        self,
        config: Mapping[str, object],
        context: Mapping[str, object],
        *,
        due_at: datetime,
        now: datetime,
        timeout_s: float,
    ) -> Reading | NotBefore:
        """Ask once.

        Takes: `config` with its texts filled; `context` is the dispatch context of the verified job; `due_at` the
               instant this measurement was due.
        Fails: `ProviderUnavailable` or `Rejected`: there is no answer.
        """
        ...


def kept(value: object, *, depth: int = 0) -> object:
    """A value as it is stored with its measurement: long texts, lists and deep nests cut short, and visibly so.

    Why: the conditions saw the whole answer; people need to see what kind of answer it was, ten thousand times a day.
    """
    match value:
        case str():
            text = plain(value)
            return text if len(text) <= TEXT_KEPT_MAX else f"{text[:TEXT_KEPT_MAX]} [... {len(text)} characters]"
        case Mapping() if depth >= DEPTH_KEPT_MAX:
            return f"[{len(value)} keys]"
        case Mapping():
            items = list(value.items())
            short = {plain(str(key))[:200]: kept(each, depth=depth + 1) for key, each in items[:ITEMS_KEPT_MAX]}
            return short | ({"[...]": f"{len(items)} keys"} if len(items) > ITEMS_KEPT_MAX else {})
        case list() | tuple() if depth >= DEPTH_KEPT_MAX:
            return f"[{len(value)} items]"
        case list() | tuple():
            return [kept(each, depth=depth + 1) for each in value[:ITEMS_KEPT_MAX]] + (
                [f"[... {len(value)} items]"] if len(value) > ITEMS_KEPT_MAX else []
            )
        case int() if abs(value) > EXACT_MAX:
            return str(value)
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


def plain(text: str) -> str:
    """A text that can be kept: JSON may escape what no database and no UTF-8 holds."""
    return (
        text if text.isascii() and "\0" not in text else text.replace("\0", "\ufffd").encode(errors="replace").decode()
    )
