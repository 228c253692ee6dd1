"""What do we measure with? One file per metric provider; this file says what a provider is and lists them.

A provider is one verb: `measure` asks the outside once and gives its answer as a map, which the metric's conditions see
as `result`. It never waits on purpose: a provider that needs time says not before when it wants to be asked again.

    Reading      an answer, good or bad: the conditions judge it
    NotBefore    nothing to say yet
    ProviderUnavailable, Rejected    no answer: the measurement is errored, not failed

Texts of its config and of conditions may be templates, filled at each measurement from the context of the job that is
verified: `filling.py`. A provider gets them filled.

To add one: copy `sleep.py`, keep its shape, let its module docstring be its user page, add it to METRICS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog

from interlock.judge.conditions import check_conditions, judge_result
from interlock.metrics.argo_cd import ArgoCdMetric
from interlock.metrics.comparing import compare_sides, compared_checks
from interlock.metrics.datadog import DatadogMetric
from interlock.metrics.filling import TIMEOUT_S, Metric, check_filling, holds_template, provider_parts, with_parts
from interlock.metrics.http import HttpMetric
from interlock.metrics.kubernetes import KubernetesMetric
from interlock.metrics.prometheus import PrometheusMetric
from interlock.metrics.reading import NotBefore, Provider, Reading, kept, plain
from interlock.metrics.sleep import SleepMetric
from interlock.metrics.terraform_cloud_run import TerraformCloudRunMetric
from interlock.metrics.webhook import WebhookMetric
from interlock.model.compare import Side
from interlock.model.errors import FieldError, Invalid, Rejected, Unavailable
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec
from interlock.outside.go_templates import GoTemplates
from interlock.outside.http import Http
from interlock.outside.kubernetes_access import OwnPod

__all__ = [
    "METRICS",
    "Metric",
    "Metrics",
    "NotBefore",
    "Provider",
    "Reading",
    "build_metrics",
    "check_metric",
    "close_metrics",
    "provider_parts",
    "take_measurement",
    "with_parts",
]

Metrics = Mapping[str, Metric]
"""kind -> its provider, with what fills its texts around it."""


SPARE_S = 5.0
"""How much longer than it was given a provider may take before it is given up: each ends its own calls by then."""

MESSAGE_MAX = 4_000
"""So many characters of a measurement's reason are kept."""

_CONDITIONS = ("success_condition", "failure_condition")
_log = structlog.get_logger("interlock.metrics")

METRICS: tuple[type[Provider], ...] = (
    HttpMetric,
    PrometheusMetric,
    DatadogMetric,
    KubernetesMetric,
    ArgoCdMetric,
    TerraformCloudRunMetric,
    WebhookMetric,
    SleepMetric,
)


def build_metrics(http: Http, *, own_pod: OwnPod | None = None) -> dict[str, Metric]:
    """One provider of each kind, by kind, as the composition root wants them. `close_metrics` ends them.

    Takes: `own_pod` lets the provider `kubernetes` use the service account of Interlock's own pod.
    """
    templates = GoTemplates(timeout_s=TIMEOUT_S)
    built: tuple[Provider, ...] = (
        HttpMetric(http),
        PrometheusMetric(http),
        DatadogMetric(http),
        KubernetesMetric(http, own_pod=own_pod),
        ArgoCdMetric(http),
        TerraformCloudRunMetric(http),
        WebhookMetric(),
        SleepMetric(),
    )
    return {metric.kind: Metric(metric, templates) for metric in built}


async def close_metrics(metrics: Metrics) -> None:
    """End the process that fills templates. The next template gets a new one."""
    for templates in {id(each.templates): each.templates for each in metrics.values()}.values():
        await templates.close()


def check_metric(spec: MetricSpec, metrics: Metrics, *, path: str) -> None:
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
        known = replace(
            spec,
            success_condition=_known(spec.success_condition),
            failure_condition=_known(spec.failure_condition) if spec.failure_condition else None,
        )
        checks: list[Callable[[], None]] = [lambda: check_conditions(known, metric.result_fields, path=path)]
        checks += [
            partial(check_filling, spec.success_condition, field=f"{path}.successCondition"),
            partial(check_filling, spec.failure_condition or "", field=f"{path}.failureCondition"),
        ]
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
    metrics: Metrics,
    due_at: datetime,
    now: datetime,
    timeout_s: float,
) -> Measurement | NotBefore:
    """Ask a metric's provider once and judge the answer.

    Gives: the measurement as it is stored (measured at `now`, its result cut short), or the instant to ask again.
    Fails: never for what the outside does: that is an errored measurement with the reason.
    """
    taken = await _taken(spec, context, metrics=metrics, due_at=due_at, now=now, timeout_s=timeout_s)
    if isinstance(taken, NotBefore) or taken.message is None:
        return taken
    return replace(taken, message=plain(taken.message)[:MESSAGE_MAX])


async def _taken(
    spec: MetricSpec,
    context: Mapping[str, object],
    *,
    metrics: Metrics,
    due_at: datetime,
    now: datetime,
    timeout_s: float,
) -> Measurement | NotBefore:
    metric = metrics.get(spec.provider_kind)
    if metric is None:
        return Measurement(MeasurementStatus.ERRORED, now, f"There is no metric provider `{spec.provider_kind}`.")

    async def ask(provider: Mapping[str, object]) -> Reading | NotBefore:
        async with asyncio.timeout(timeout_s + SPARE_S):
            return await metric.measure(provider, context, due_at=due_at, now=now, timeout_s=timeout_s)

    try:
        filled = await _filled(spec, metric, context)
        if filled.compare is not None:
            return await compare_sides(filled, filled.compare, ask, now=now)
        reading = await ask(spec.provider)
    except (Unavailable, Rejected) as silent:
        return Measurement(MeasurementStatus.ERRORED, now, silent.message)
    except TimeoutError:
        return Measurement(MeasurementStatus.ERRORED, now, f"There was no answer within {timeout_s:g} s.")
    except Exception as broken:  # noqa: BLE001 - whatever a provider does not foresee, its metric must come to an end
        _log.exception("metric_provider_broke", type=spec.provider_kind)
        said = f"The provider {spec.provider_kind} cannot read that answer ({type(broken).__name__})."
        return Measurement(MeasurementStatus.ERRORED, now, said)
    if isinstance(reading, NotBefore):
        return reading
    status, message = judge_result(filled, reading.result, metric.result_fields)
    if message is not None:  # people wrote the template; what it was filled with may be a secret
        for name in _CONDITIONS:
            written, text = getattr(spec, name), getattr(filled, name)
            message = message.replace(text, written) if text and text != written else message
    if status is MeasurementStatus.ERRORED and reading.why:
        message = f"{reading.why} {message}"
    return Measurement(status, now, message, {key: kept(value) for key, value in reading.result.items()})


async def _filled(spec: MetricSpec, metric: Metric, context: Mapping[str, object]) -> MetricSpec:
    """The metric with its conditions, or its comparison's expressions, filled. Its provider fills its own texts."""
    if spec.compare is None:
        failure = spec.failure_condition
        return replace(
            spec,
            success_condition=await metric.fill(spec.success_condition, context, field="successCondition"),
            failure_condition=await metric.fill(failure, context, field="failureCondition") if failure else None,
        )
    compare = spec.compare

    async def side(name: str, given: Side) -> Side:
        return replace(given, label=await metric.fill(given.label, context, field=f"compare.{name}.label"))

    return replace(
        spec,
        compare=replace(
            compare,
            canary=await side("canary", compare.canary),
            baseline=await side("baseline", compare.baseline),
            bad=await metric.fill(compare.bad, context, field="compare.bad"),
            total=await metric.fill(compare.total, context, field="compare.total"),
            value=await metric.fill(compare.value, context, field="compare.value"),
        ),
    )


def _known(condition: str) -> str:
    """A condition as far as it is known before it is filled."""
    return "true" if holds_template(condition) else condition
