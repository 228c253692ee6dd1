"""What is an objective (SLO), and how is what a client wrote of it read?

    {"name", "target": 99.9, "windowDays": 30, "provider": {…}, "total": …, "good": … or "bad": …,
     "intervalSeconds"?, "minEvents"?, "deployments"?, "selector"?}

`total` and `good` (or `bad`) each say how many events there were in a window: a text, or an object of `query`,
`provider` (what it has instead of the common one) and `value` (CEL over `result`). A text is the query of Prometheus
and Datadog, and of http the value. Each is asked once for every window, whose length the texts hold as `{{.window}}`
or `{{ window }}` ("5m", "30d"), and `{{.windowSeconds}}`.

Source: definitions.md E1; issue "Verification that acts", error budgets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from interlock.judge.budget import WINDOWS, Objective
from interlock.model.errors import FieldError
from interlock.model.wire import Fields, refusal

KINDS = ("prometheus", "datadog", "http")
"""The metric providers that an objective may ask."""

DAYS = (7, 90)
INTERVAL_S = (10, 3_600)
TARGET_PERCENT_MAX = 99.9999
EVENTS_MAX = 1_000_000_000
DEPLOYMENTS_MAX = 500
NAME_MAX = 200
TEXT_MAX = 10_000
COVERED_MAX = 1_000
"""So many deployments an objective covers at most: a change of its class is written to each."""

SPEC = ("target", "windowDays", "provider", "total", "good", "bad", "intervalSeconds", "minEvents")
"""The fields that say what is promised and how it is measured."""

_PATH = "slo"

DAYS_DEFAULT = 30
INTERVAL_S_DEFAULT = 60
EVENTS_DEFAULT = 100


@dataclass(frozen=True, slots=True)
class Side:
    """How one number is asked for: the keys that it has over the provider's, and where the answer has the number."""

    provider: Mapping[str, Any]
    value: str


@dataclass(frozen=True, slots=True)
class SloSpec:
    """An objective, read. `counts_good`: `events` are the good ones, else the bad ones."""

    target_percent: float
    window_days: int
    provider: Mapping[str, Any] = field(repr=False)
    total: Side
    events: Side
    counts_good: bool
    interval_s: int
    events_min: int

    @property
    def objective(self) -> Objective:
        """The promise, as the judge has it."""
        return Objective(
            target=self.target_percent / 100,
            period=timedelta(days=self.window_days),
            events_min=self.events_min,
            scrape=timedelta(seconds=self.interval_s),
        )

    @property
    def windows(self) -> tuple[timedelta, ...]:
        """Every window that is asked for, the shortest first; the period is the last."""
        return (*(one for one in WINDOWS if one < self.objective.period), self.objective.period)

    @property
    def kind(self) -> str:
        """The provider's type."""
        return str(self.provider.get("type", ""))

    def asked(self, side: Side, window: timedelta | None) -> dict[str, Any]:
        """The provider's object with which a side is asked over a window; None: as it is checked."""
        config: dict[str, Any] = _dotted({**self.provider, **side.provider})
        if self.kind == "datadog" and window is not None:
            config["intervalSeconds"] = int(window.total_seconds())
        return config


_WINDOW = re.compile(r"\{\{\s*(window|windowSeconds)\s*\}\}")


def _dotted(value: Any) -> Any:
    """The same with `{{ window }}` as `{{ .window }}`: to a template one word alone is a function."""
    if isinstance(value, str):
        return _WINDOW.sub(r"{{ .\1 }}", value) if "{{" in value else value
    if isinstance(value, Mapping):
        return {key: _dotted(each) for key, each in value.items()}
    return [_dotted(each) for each in value] if isinstance(value, list | tuple) else value


def window_word(window: timedelta) -> str:
    """A window as people and Prometheus write it: `5m`, `2h`, `30d`."""
    seconds = int(window.total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def parse_slo(body: Mapping[str, Any]) -> SloSpec:
    """Read what a client wrote, but for its name, description and whom it covers.

    Fails: `Invalid` naming each wrong field. What the provider takes only the provider knows (`check_slo`).
    """
    fields = Fields(body, _PATH)
    target = fields.number("target", default=None, minimum=0, maximum=1e9, required=True)
    if target is not None and target >= 100:
        fields.wrong("target", "must be below 100: a promise of 100 % leaves no budget, and nothing could ever change")
    elif target is not None and not 0 < target <= TARGET_PERCENT_MAX:
        fields.wrong("target", f"must be per cent, above 0 and at most {TARGET_PERCENT_MAX}")
    elif target is not None and target <= 1:
        fields.wrong("target", "must be per cent, as in 99.9")
    days = fields.integer("windowDays", default=DAYS_DEFAULT, minimum=DAYS[0], maximum=DAYS[1])
    interval_s = fields.integer(
        "intervalSeconds", default=INTERVAL_S_DEFAULT, minimum=INTERVAL_S[0], maximum=INTERVAL_S[1]
    )
    events_min = fields.integer("minEvents", default=EVENTS_DEFAULT, minimum=1, maximum=EVENTS_MAX)
    provider = fields.mapping("provider", required=True)
    kind = str(provider.get("type", ""))
    if provider and kind not in KINDS:
        fields.wrong("provider.type", f"must be one of {', '.join(KINDS)}")
        kind = ""
    total = _side(fields, "total", kind=kind, required=True)
    given = [name for name in ("good", "bad") if body.get(name) is not None]
    if len(given) != 1:
        fields.wrong("good", "or bad must be there, and only one of them")
    sides = {
        name: _side(fields, name, kind=kind, required=name in given and len(given) == 1) for name in ("good", "bad")
    }
    fields.refuse_rest()
    if fields.errors:
        raise refusal([FieldError(one.path.removeprefix(f"{_PATH}."), one.message) for one in fields.errors])
    events = sides[given[0]]
    assert target is not None, "refused above"
    assert total is not None, "refused above"
    assert events is not None, "refused above"
    return SloSpec(target, days, provider, total, events, given[0] == "good", interval_s, events_min)


def _side(fields: Fields, name: str, *, kind: str, required: bool) -> Side | None:
    """One of the two numbers; None where it was not said, or is wrong."""
    said = fields.anything(name)
    if said is None:
        if required:
            fields.wrong(name, "is required: a text, or an object of query, provider and value")
        return None
    whole = {"value" if kind == "http" else "query": said} if isinstance(said, str) else said
    inner = Fields(whole, f"{fields.path}.{name}")
    query = inner.text("query", maximum=TEXT_MAX)
    own = dict(inner.mapping("provider"))
    value = inner.text("value", default="" if kind == "http" else "result.value", maximum=TEXT_MAX)
    if "type" in own:
        inner.wrong("provider.type", "stands in the common provider alone")
    if kind == "http":
        if query:
            inner.wrong("query", "is for prometheus and datadog; an http provider has url and body")
        if not value.strip():
            inner.wrong("value", "is required: CEL over result, as in result.json.good")
    elif kind and not query.strip():
        inner.wrong("query", "is required")
    elif kind == "prometheus":
        own["query"] = query
    elif kind == "datadog":
        own |= {"queries": {"events": query}, "aggregator": own.get("aggregator", "sum")}
    inner.refuse_rest()
    fields.errors.extend(inner.errors)
    return None if inner.errors else Side(own, value)
