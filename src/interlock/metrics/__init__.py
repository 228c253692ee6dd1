"""What do we measure with? One file per metric provider; this file says what a provider is and lists them.

A provider is one verb: `measure` asks the outside once and gives its answer as a map, which the metric's conditions see
as `result`. It never waits on purpose: a provider that needs time says not before when it wants to be asked again.

    Reading      an answer, good or bad: the conditions judge it
    NotBefore    nothing to say yet
    ProviderUnavailable, Rejected    no answer: the measurement is errored, not failed

Text in a provider's config may hold placeholders, `{{ resource.config.host }}`, filled at each measurement from the
context of the job that is verified.

To add one: copy `sleep.py`, keep its shape, let its module docstring be its user page, add it to METRICS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import ClassVar, Protocol

from interlock.judge.conditions import ResultFields, check_conditions, judge_result
from interlock.metrics.argo_cd import ArgoCdMetric
from interlock.metrics.comparing import compare_sides, compared_checks
from interlock.metrics.datadog import DatadogMetric
from interlock.metrics.http import HttpMetric
from interlock.metrics.prometheus import PrometheusMetric
from interlock.metrics.reading import NotBefore, Reading, kept
from interlock.metrics.sleep import SleepMetric
from interlock.metrics.terraform_cloud_run import TerraformCloudRunMetric
from interlock.model.errors import FieldError, Invalid, Rejected, Unavailable
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec
from interlock.outside.http import Http

__all__ = ["METRICS", "Metric", "NotBefore", "Reading", "build_metrics", "check_metric", "take_measurement"]


class Metric(Protocol):
    """What every provider offers.

    `kind` is the wire's `type`. `result_fields` are the fields of its answers with their CEL types.
    """

    kind: ClassVar[str]
    result_fields: ClassVar[ResultFields]

    def check_config(self, config: Mapping[str, object], path: str) -> None:
        """Refuse a provider's object when it is written.

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

        Takes: `context` is the dispatch context of the verified job; `due_at` the instant this measurement was due.
        Fails: `ProviderUnavailable` or `Rejected`: there is no answer.
        """
        ...


METRICS: tuple[type[Metric], ...] = (
    HttpMetric,
    PrometheusMetric,
    DatadogMetric,
    ArgoCdMetric,
    TerraformCloudRunMetric,
    SleepMetric,
)


def build_metrics(http: Http) -> dict[str, Metric]:
    """One provider of each kind, by kind, as the composition root wants them."""
    built: tuple[Metric, ...] = (
        HttpMetric(http),
        PrometheusMetric(http),
        DatadogMetric(http),
        ArgoCdMetric(http),
        TerraformCloudRunMetric(http),
        SleepMetric(),
    )
    return {metric.kind: metric for metric in built}


def check_metric(spec: MetricSpec, metrics: Mapping[str, Metric], *, path: str) -> None:
    """Refuse a metric whose provider is unknown, whose provider's keys are wrong, or whose conditions are.

    Why:   `parse_metric` reads the shape; what a provider takes and answers only the provider knows.
    Takes: `path` of the metric in the request (`rules[0].verification.metrics[1]`).
    Fails: `Invalid` naming every wrong field.
    """
    metric = metrics.get(spec.provider_kind)
    if metric is None:
        allowed = f"must be one of {', '.join(sorted(metrics))}"
        raise Invalid(f"{path}.provider.type {allowed}.", fields=[FieldError(f"{path}.provider.type", allowed)])
    wrong: list[FieldError] = []
    try:
        metric.check_config(spec.provider, f"{path}.provider")
    except Invalid as refused:
        wrong += refused.fields
    if spec.compare is None:
        checks: list[Callable[[], None]] = [lambda: check_conditions(spec, metric.result_fields, path=path)]
    else:
        checks = compared_checks(spec, spec.compare, metric.check_config, path=path)
    for check in checks:
        try:
            check()
        except Invalid as refused:
            wrong += refused.fields
    if wrong:
        raise Invalid("; ".join(f"{error.path}: {error.message}" for error in wrong[:5]), fields=wrong)


async def take_measurement(
    spec: MetricSpec,
    context: Mapping[str, object],
    *,
    metrics: Mapping[str, Metric],
    due_at: datetime,
    now: datetime,
    timeout_s: float,
) -> Measurement | NotBefore:
    """Ask a metric's provider once and judge the answer.

    Gives: the measurement as it is stored (measured at `now`, its result cut short), or the instant to ask again.
    Fails: never for what the outside does: that is an errored measurement with the reason.
    """
    metric = metrics.get(spec.provider_kind)
    if metric is None:
        return Measurement(MeasurementStatus.ERRORED, now, f"There is no metric provider `{spec.provider_kind}`.")

    async def ask(provider: Mapping[str, object]) -> Reading | NotBefore:
        return await metric.measure(provider, context, due_at=due_at, now=now, timeout_s=timeout_s)

    try:
        if spec.compare is not None:
            return await compare_sides(spec, spec.compare, ask, context, now=now)
        reading = await ask(spec.provider)
    except (Unavailable, Rejected) as silent:
        return Measurement(MeasurementStatus.ERRORED, now, silent.message)
    if isinstance(reading, NotBefore):
        return reading
    status, message = judge_result(spec, reading.result, metric.result_fields)
    return Measurement(status, now, message, {key: kept(value) for key, value in reading.result.items()})
