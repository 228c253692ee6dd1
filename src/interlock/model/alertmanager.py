"""What does a notification of Alertmanager say? The webhook's body, version 4, read alert by alert.

A notification is a group of alerts, each with its own status, so the group's status is not looked at. An alert is known
by its fingerprint, which Alertmanager computes of its labels; where an old one sends none, they are digested here.

How an alert says what it is about:

    labels.interlock_deployment   names or ids of deployments, separated by commas (the label's name can be chosen)
    labels.interlock_environment  the same of environments: it bites only there; without it, everywhere
    labels.interlock_gate         "true" or "false": whether it gates, whatever its severity
    labels.severity               which words mean what stands in `incident.WORDS`

Annotations of the same names serve where a label would split a group. A deployment may also say itself which alerts are
about it: `metadata["interlock/alerts"]` holds labels, as in `service=checkout, team=shop`, all of which must be there.

What is malformed is read as well as it can be; nothing here refuses, because Alertmanager does not send again what was
refused.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config; decision record on incidents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from interlock.model.canonical import digest
from interlock.model.incident import LABELS_MAX, LINKS_MAX, NAME_MAX, TITLE_MAX, VALUE_MAX

VERSION = "4"
DEPLOYMENT = "interlock_deployment"
ENVIRONMENT = "interlock_environment"
GATE = "interlock_gate"
SEVERITY = "severity"

METADATA = "interlock/alerts"
"""The metadata key by which a deployment says which alerts are about it."""

ALERTS_MAX = 500
"""So many alerts of one notification are read, those that fire first; the answer says how many were left out."""

NAMES_MAX = 50


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. `deployments` and `environments` are as it names them; `gates` None: its severity says."""

    fingerprint: str
    firing: bool
    title: str
    severity: str | None
    gates: bool | None
    deployments: tuple[str, ...]
    environments: tuple[str, ...]
    started_at: datetime | None
    ended_at: datetime | None
    labels: Mapping[str, str]
    links: Mapping[str, str]


def read_alerts(
    body: Mapping[str, object], *, deployment_label: str = DEPLOYMENT, environment_label: str = ENVIRONMENT
) -> tuple[Alert, ...]:
    """The alerts of a notification, those that fire first; one that names nothing and has no labels is left out."""
    listed = body.get("alerts")
    found = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, Sequence) else []
    external = _text(body.get("externalURL"))
    read = (_read(one, external, deployment_label, environment_label) for one in found)
    return tuple(sorted((one for one in read if one is not None), key=lambda one: not one.firing))


def _read(body: Mapping[str, object], external: str, deployment_label: str, environment_label: str) -> Alert | None:
    labels, annotations = _texts(body.get("labels")), _texts(body.get("annotations"))
    fingerprint = _text(body.get("fingerprint"))[:NAME_MAX]
    if not fingerprint and not labels:
        return None

    def said(name: str) -> str:
        return labels.get(name) or annotations.get(name) or ""

    gate = said(GATE).strip().lower()
    links = {
        "Alertmanager": external,
        "Query": _text(body.get("generatorURL")),
        "Runbook": annotations.get("runbook_url") or annotations.get("runbook") or "",
        "Dashboard": annotations.get("dashboard_url")
        or annotations.get("dashboard")
        or _text(body.get("dashboardURL")),
    }
    title = annotations.get("summary") or annotations.get("description") or annotations.get("message")
    return Alert(
        fingerprint=fingerprint or digest(labels)[:32],
        firing=body.get("status") != "resolved",
        title=_line(title or labels.get("alertname") or "an alert")[:TITLE_MAX],
        severity=said("interlock_severity") or said(SEVERITY) or None,
        gates=gate == "true" if gate in {"true", "false"} else None,
        deployments=names_in(said(deployment_label)),
        environments=names_in(said(environment_label)),
        started_at=read_instant(body.get("startsAt")),
        ended_at=read_instant(body.get("endsAt")),
        labels={key[:NAME_MAX]: value[:VALUE_MAX] for key, value in sorted(labels.items())[:LABELS_MAX]},
        links={name: url for name, url in list(links.items())[:LINKS_MAX] if _is_address(url)},
    )


def names_in(text: str) -> tuple[str, ...]:
    """The names in a list that is separated by commas, each once."""
    return tuple(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))[:NAMES_MAX]


def matchers_of(text: str) -> Mapping[str, str]:
    """The labels that a deployment asks for; none where the text says none that can be read."""
    pairs = [each.partition("=") for each in text.split(",") if each.strip()]
    if not pairs or not all(name.strip() and equals for name, equals, _ in pairs):
        return {}
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def picked_by_labels(labels: Mapping[str, str], wanted: Iterable[tuple[str, Mapping[str, str]]]) -> frozenset[str]:
    """The deployments whose labels an alert has, all of them.

    Takes: (deployment id, the labels that it asks for).
    """
    return frozenset(
        deployment_id
        for deployment_id, asked in wanted
        if asked and all(labels.get(name) == value for name, value in asked.items())
    )


def read_instant(value: object) -> datetime | None:
    """An instant as Go writes it; None for its zero (year 1), which means that there is none, and for what is none."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    if at.year <= 1 or at.tzinfo is None:
        return None
    return at.astimezone(UTC)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _line(text: str) -> str:
    return " ".join(text.split())


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name): one for name, one in value.items() if isinstance(one, str)}


def _is_address(url: str) -> bool:
    return url.startswith(("https://", "http://")) and len(url) <= 2_000
