"""REST for alerts: the address to which Alertmanager sends its notifications.

    receivers:
      - name: interlock
        webhook_configs:
          - url: https://interlock.example.com/api/v1/workspaces/shop/alerts/alertmanager
            send_resolved: true
            http_config: {authorization: {credentials_file: /etc/alertmanager/interlock-key}}

Each alert of a notification becomes an incident of the source `alertmanager`, by its fingerprint: one that fires opens
or renews it, one that is resolved resolves it. What labels mean stands in `model/alertmanager.py`. The answer says of
each what became of it, so that somebody who tries it with curl sees why an alert holds nothing.

Alertmanager does not send again what was refused, so little is: what is too long is cut, and what is too much is left
out and counted.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NotRequired

from fastapi import Query
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.incidents import meant, outcome_says
from interlock.api.paths import W, noun_router
from interlock.model import alertmanager
from interlock.model.alertmanager import ALERTS_MAX, Alert, picked_by_labels, read_alerts
from interlock.model.errors import Invalid
from interlock.model.incident import GATING, LASTS, LASTS_MAX, NAME_MAX, SEVERITIES, Report, read_severity
from interlock.store import incidents
from interlock.store.incidents import Matched
from interlock.web.answers import Json, present
from interlock.web.bodies import WireBody
from interlock.web.shapes import Id
from interlock.web.sign_in import InWorkspace

router = noun_router("alerts")

_MINUTE = timedelta(minutes=1)


class AlertmanagerBody(WireBody):
    """A notification of Alertmanager, version 4. What else it holds is not read."""

    version: str = alertmanager.VERSION
    alerts: Annotated[list[dict[str, Any]], Field(max_length=20_000)]
    externalURL: str = ""
    truncatedAlerts: int = 0


class AlertAnswer(TypedDict):
    """What became of an alert."""

    fingerprint: str
    outcome: Literal["opened", "renewed", "changed", "resolved", "over", "old", "left_out"]
    incidentId: NotRequired[Id]
    severity: str
    gates: bool
    unmatched: NotRequired[list[str]]
    says: str


class AlertsAnswer(TypedDict):
    """What became of a notification. `leftOut` were too many, or not to be read; `truncated` Alertmanager kept back."""

    alerts: list[AlertAnswer]
    leftOut: int
    truncated: int


@router.post(W + "/alerts/alertmanager", response_model=AlertsAnswer)
async def receive_alerts(
    here: InWorkspace,
    body: AlertmanagerBody,
    source: Annotated[
        str, Query(max_length=NAME_MAX, min_length=1, description="Names the Alertmanager, where there are several.")
    ] = "alertmanager",
    deploymentLabel: Annotated[
        str, Query(max_length=NAME_MAX, description="The label that names deployments.")
    ] = alertmanager.DEPLOYMENT,
    environmentLabel: Annotated[
        str, Query(max_length=NAME_MAX, description="The label that names environments.")
    ] = alertmanager.ENVIRONMENT,
    gates: Annotated[
        str, Query(max_length=NAME_MAX, description="The severities that gate, separated by commas.")
    ] = "critical",
    expiresAfterMinutes: Annotated[
        int,
        Query(ge=1, le=LASTS_MAX // _MINUTE, description="How long an alert is open that is not repeated."),
    ] = LASTS // _MINUTE,
) -> Response:
    """Take a notification of Alertmanager: alerts that fire open incidents, or renew them, others resolve them."""
    gating = _severities(gates)
    read = read_alerts(body.model_dump(), deployment_label=deploymentLabel, environment_label=environmentLabel)
    alerts = read[:ALERTS_MAX]
    async with here.tx(Permission.SIGNAL_REPORT, cause="api: alertmanager") as tx:
        now = await tx.conn.fetchval(incidents.Q.now)
        matched = await incidents.match_names(
            tx.conn,
            here.id,
            deployments={name for one in alerts for name in one.deployments},
            environments={name for one in alerts for name in one.environments},
        )
        wanted = await incidents.list_matchers(tx.conn, here.id)
        reports = []
        for one in alerts:
            ends_at = now + expiresAfterMinutes * _MINUTE
            reports.append(_report(one, matched, wanted, source=source, gating=gating, expires_at=ends_at))
        told = await incidents.report_incidents(tx, here.id, reports, author_id=here.caller.id)
        ids = sorted({one.incident_id for one in told if one.incident_id})
        stored = await incidents.load_incidents(tx.conn, here.id, ids)
        about = await incidents.load_deployments(tx.conn, ids)
    answers = [
        present(
            fingerprint=one.report.external_id,
            outcome=one.outcome,
            incidentId=one.incident_id,
            severity=one.report.severity,
            gates=one.report.bites,
            unmatched=list(one.report.unmatched) or None,
            says=outcome_says(
                one, stored.get(one.incident_id or ""), [name for _, name in about.get(one.incident_id or "", ())]
            ),
        )
        for one in told
    ]
    return Json({"alerts": answers, "leftOut": len(body.alerts) - len(alerts), "truncated": body.truncatedAlerts})


def _severities(text: str) -> frozenset[str]:
    """The severities that a receiver says gate; `none` for none."""
    said = frozenset(alertmanager.names_in(text)) - {"none"}
    unknown = sorted(said - set(SEVERITIES))
    if unknown:
        raise Invalid(f"gates names {', '.join(unknown)}; severities are {', '.join(SEVERITIES)}.", field="gates")
    return said if text.strip() else GATING


def _report(
    alert: Alert,
    matched: Matched,
    wanted: tuple[tuple[str, Mapping[str, str]], ...],
    *,
    source: str,
    gating: frozenset[str],
    expires_at: datetime,
) -> Report:
    named, missing = meant(alert.deployments, matched.deployments)
    where, missing_places = meant(alert.environments, matched.environments)
    severity = read_severity(alert.severity)
    return Report(
        source=source,
        external_id=alert.fingerprint,
        title=alert.title,
        severity=severity,
        gates=severity in gating if alert.gates is None else alert.gates,
        expires_at=expires_at,
        started_at=alert.started_at,
        resolved=not alert.firing,
        ended_at=alert.ended_at,
        deployment_ids=named | picked_by_labels(alert.labels, wanted),
        environment_ids=where if alert.environments else None,
        unmatched=(*missing, *missing_places),
        links=alert.links,
        labels=alert.labels,
    )
