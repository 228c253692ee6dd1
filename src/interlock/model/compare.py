"""How is a canary compared with a baseline? The `compare` of a metric, as the policy's revision froze it.

```json
{"name": "errors", "intervalSeconds": 60, "count": 60,
 "provider": {"type": "http", "url": "http://metrics/errors"},
 "compare": {"judge": "sequential", "bad": "result.json[side].bad", "total": "result.json[side].total",
             "share": 0.1}}
```

| key | default | meaning |
|---|---|---|
| `judge` | `sequential` | counts of bad events; or `means`, `kayenta` (all points of up to 500 looks), `threshold` |
| `canary`, `baseline` | none | what the provider has instead (`provider`), and what `side` says (`label`) |
| `bad`, `total` | for sequential | CEL over `result` and `side`: bad events and all events since the last look |
| `value` | for the others | CEL over `result` and `side`: a number, or a list of numbers |
| `share` | unknown | the part of the traffic that the canary was given; a split far from it ends as inconclusive |
| `alpha` | 0.01 | how often a harmless rollout may be stopped; split over all that is judged at every look in it |
| `samplesMin`, `samplesMax` | 100, none | a side before anything is said; both together, which end it |
| `safeBelow` | 1.5 | sequential: safe when the ratio of the rates is surely below this |
| `higherIsWorse`, `tolerated` | true, 0.1 | means: safe when surely worse by less than this part of the baseline's |
| `solver` | `exact` | kayenta: or `kayenta-compat` |
| `direction` | `either` | kayenta: `increase` or `decrease` when only that is minded |
| `critical`, `mustHaveData` | false | kayenta: not Pass makes the score 0; no data counts against it |
| `nanStrategy` | `remove` | kayenta: or `replace`, with 0 |
| `outlierFactor` | none | kayenta: leave out what lies so many quartile ranges outside; Kayenta's own is 3 |
| `effect` | `meanRatio` | kayenta: or `cles` |
| `allowedIncrease`, `allowedDecrease` | 1.0 (`cles` 0.5) | kayenta: the effect from which it is High, Low |
| `criticalIncrease`, `criticalDecrease` | 1.0 (`cles` 0.5) | kayenta: the effect from which it is critical |
| `group`, `weight` | `default`, a share | kayenta: the metric's group, and that group's percent of the score |
| `passScore`, `marginalScore` | 95, 75 | kayenta: of all metrics the strictest counts; marginal is inconclusive |
| `increase`, `decrease` | free | threshold: by how much the canary may be higher, lower |
| `ratioMax`, `ratioMin` | free | threshold: canary / baseline |

Source: issue "Verification that acts"; definitions.md E2 and E3. The judges stand in `judge/comparison.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from interlock.model.wire import Fields

JUDGES = ("sequential", "means", "kayenta", "threshold")
JUDGED_AT_EVERY_LOOK = frozenset({"sequential", "means"})
KAYENTA_LOOKS_MAX = 500
"""So many looks Kayenta's judge may take: it wants every point at its end, and more samples than these are thinned."""

EXPRESSION_MAX = 4_000
LABEL_MAX = 500


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: what its provider has instead, and its name in expressions ("" where it has none)."""

    provider: Mapping[str, object] = field(default_factory=dict, repr=False)
    label: str = ""


@dataclass(frozen=True, slots=True)
class Compare:
    """See the table above. Texts are "" and numbers None where they were not given."""

    judge: str = "sequential"
    canary: Side = field(default_factory=Side)
    baseline: Side = field(default_factory=Side)
    bad: str = ""
    total: str = ""
    value: str = ""
    share: float | None = None
    alpha: float = 0.01
    samples_min: int = 100
    samples_max: int | None = None
    safe_below: float = 1.5
    higher_is_worse: bool = True
    tolerated: float = 0.1
    solver: str = "exact"
    direction: str = "either"
    critical: bool = False
    must_have_data: bool = False
    nan_strategy: str = "remove"
    outlier_factor: float | None = None
    effect: str = "meanRatio"
    allowed_increase: float | None = None
    allowed_decrease: float | None = None
    critical_increase: float | None = None
    critical_decrease: float | None = None
    group: str = "default"
    weight: float | None = None
    pass_score: float = 95.0
    marginal_score: float = 75.0
    increase: float | None = None
    decrease: float | None = None
    ratio_max: float | None = None
    ratio_min: float | None = None

    @property
    def asks_twice(self) -> bool:
        """Whether each side is asked for on its own."""
        return bool(self.canary.provider or self.baseline.provider)

    @property
    def expressions(self) -> Mapping[str, str]:
        """wire name -> CEL text, of those that its judge reads."""
        if self.judge == "sequential":
            return {"bad": self.bad, "total": self.total}
        return {"value": self.value}


def read_compare(fields: Fields) -> Compare:
    """Take the object's fields. Faults are left in `fields`."""
    judge = fields.choice("judge", allowed=JUDGES, default="sequential")
    counts = judge == "sequential"
    compare = Compare(
        judge=judge,
        canary=_side(fields, "canary"),
        baseline=_side(fields, "baseline"),
        bad=fields.text("bad", required=counts, maximum=EXPRESSION_MAX),
        total=fields.text("total", required=counts, maximum=EXPRESSION_MAX),
        value=fields.text("value", required=not counts, maximum=EXPRESSION_MAX),
        share=_number(fields, "share", 0.0, 1.0),
        alpha=_number(fields, "alpha", 1e-9, 0.5) or 0.01,
        samples_min=fields.integer("samplesMin", default=100, minimum=1),
        samples_max=fields.optional_integer("samplesMax", minimum=1),
        safe_below=_number(fields, "safeBelow", 1.01, 1000.0) or 1.5,
        higher_is_worse=fields.boolean("higherIsWorse", default=True),
        tolerated=fields.number("tolerated", default=0.1, minimum=0.0, maximum=1000.0) or 0.0,
        solver=fields.choice("solver", allowed=("exact", "kayenta-compat"), default="exact"),
        direction=fields.choice("direction", allowed=("either", "increase", "decrease"), default="either"),
        critical=fields.boolean("critical", default=False),
        must_have_data=fields.boolean("mustHaveData", default=False),
        nan_strategy=fields.choice("nanStrategy", allowed=("remove", "replace"), default="remove"),
        outlier_factor=_number(fields, "outlierFactor", 0.0, 1000.0),
        effect=fields.choice("effect", allowed=("meanRatio", "cles"), default="meanRatio"),
        allowed_increase=_number(fields, "allowedIncrease", 0.0, 1e6),
        allowed_decrease=_number(fields, "allowedDecrease", 0.0, 1e6),
        critical_increase=_number(fields, "criticalIncrease", 0.0, 1e6),
        critical_decrease=_number(fields, "criticalDecrease", 0.0, 1e6),
        group=fields.text("group", default="default", maximum=200) or "default",
        weight=_number(fields, "weight", 0.0, 100.0),
        pass_score=_score(fields, "passScore", 95.0),
        marginal_score=_score(fields, "marginalScore", 75.0),
        increase=_number(fields, "increase", 0.0, 1e18),
        decrease=_number(fields, "decrease", 0.0, 1e18),
        ratio_max=_number(fields, "ratioMax", 0.0, 1e9),
        ratio_min=_number(fields, "ratioMin", 0.0, 1e9),
    )
    if compare.share in {0.0, 1.0}:
        fields.wrong("share", "must be above 0 and below 1")
    if compare.marginal_score > compare.pass_score:
        fields.wrong("marginalScore", f"must not lie above passScore, which is {compare.pass_score:g}")
    if judge == "threshold" and None is compare.increase is compare.decrease is compare.ratio_max is compare.ratio_min:
        fields.wrong("judge", "threshold needs increase, decrease, ratioMax or ratioMin")
    if not compare.asks_twice and not any("side" in text for text in compare.expressions.values()):
        fields.wrong("canary", "must say what differs: a provider a side, or `side` in the expressions")
    return compare


def render_compare(compare: Compare) -> dict[str, object]:
    """The wire's form; what has its default stays absent."""
    body: dict[str, object] = {"judge": compare.judge}
    for name, side in (("canary", compare.canary), ("baseline", compare.baseline)):
        rendered: dict[str, object] = {}
        if side.provider:
            rendered["provider"] = dict(side.provider)
        if side.label:
            rendered["label"] = side.label
        if rendered:
            body[name] = rendered
    plain = Compare()
    for wire, attribute in _PLAIN:
        value = getattr(compare, attribute)
        if value != getattr(plain, attribute):
            body[wire] = value
    return body


_PLAIN = (
    ("bad", "bad"),
    ("total", "total"),
    ("value", "value"),
    ("share", "share"),
    ("alpha", "alpha"),
    ("samplesMin", "samples_min"),
    ("samplesMax", "samples_max"),
    ("safeBelow", "safe_below"),
    ("higherIsWorse", "higher_is_worse"),
    ("tolerated", "tolerated"),
    ("solver", "solver"),
    ("direction", "direction"),
    ("critical", "critical"),
    ("mustHaveData", "must_have_data"),
    ("nanStrategy", "nan_strategy"),
    ("outlierFactor", "outlier_factor"),
    ("effect", "effect"),
    ("allowedIncrease", "allowed_increase"),
    ("allowedDecrease", "allowed_decrease"),
    ("criticalIncrease", "critical_increase"),
    ("criticalDecrease", "critical_decrease"),
    ("group", "group"),
    ("weight", "weight"),
    ("passScore", "pass_score"),
    ("marginalScore", "marginal_score"),
    ("increase", "increase"),
    ("decrease", "decrease"),
    ("ratioMax", "ratio_max"),
    ("ratioMin", "ratio_min"),
)
"""wire name -> attribute, of what is no side."""


def _side(fields: Fields, name: str) -> Side:
    inner = fields.mapping(name)
    if not inner:
        return Side()
    side = Fields(inner, f"{fields.path}.{name}")
    found = Side(side.mapping("provider"), side.text("label", maximum=LABEL_MAX))
    if "type" in found.provider:
        side.wrong("provider.type", "is that of the metric")
    side.refuse_rest()
    fields.errors.extend(side.errors)
    return found


def _number(fields: Fields, name: str, least: float, most: float) -> float | None:
    return fields.number(name, default=None, minimum=least, maximum=most)


def _score(fields: Fields, name: str, default: float) -> float:
    value = fields.number(name, default=default, minimum=0.0, maximum=100.0)
    return default if value is None else value
