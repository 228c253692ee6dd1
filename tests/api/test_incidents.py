"""Incidents and alerts over REST, on a real database: what they become, what they hold, and how little is refused."""

from __future__ import annotations

from typing import Any

from api.story import World, until

T0, T1, T2, T3 = (f"2026-03-01T10:0{minute}:00Z" for minute in range(4))
NEVER = "0001-01-01T00:00:00Z"


def an_alert(
    fingerprint: str = "a1", *, status: str = "firing", since: str = T0, until_: str = NEVER, **labels: str
) -> Any:
    named = {"alertname": "ErrorsHigh", "severity": "critical", "interlock_deployment": "shop-api", **labels}
    return {
        "status": status,
        "labels": {name: value for name, value in named.items() if value},
        "annotations": {"summary": "checkout answers 500", "runbook_url": "https://runbooks.example.com/500"},
        "startsAt": since,
        "endsAt": until_,
        "generatorURL": "http://prometheus.example.com/graph",
        "fingerprint": fingerprint,
    }


def a_notification(*alerts: Any, truncated: int = 0) -> dict[str, Any]:
    """As Alertmanager's webhook sends it, version 4."""
    return {
        "version": "4",
        "groupKey": '{}:{alertname="ErrorsHigh"}',
        "truncatedAlerts": truncated,
        "status": "firing",
        "receiver": "interlock",
        "groupLabels": {"alertname": "ErrorsHigh"},
        "commonLabels": {"alertname": "ErrorsHigh"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example.com",
        "alerts": list(alerts),
    }


async def told(api: Any, *alerts: Any, **query: Any) -> list[dict[str, Any]]:
    answer = await api.post("/alerts/alertmanager", a_notification(*alerts), params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["alerts"])


async def outcome(api: Any, *alerts: Any, **query: Any) -> str:
    (one,) = await told(api, *alerts, **query)
    return str(one["outcome"])


async def test_an_alert_is_one_incident_however_often_and_in_whatever_order_it_is_told(api, counted):
    await World(api).build(agent_type="http-pull", config={"pool": "a"}, rules=[])
    (opened,) = await told(api, an_alert())
    assert (opened["outcome"], opened["gates"], opened["severity"]) == ("opened", True, "critical")
    assert opened["says"].startswith("Nothing new starts on shop-api until it is resolved, or 20")
    before = await counted()
    (again,) = await told(api, an_alert())
    assert (again["outcome"], again["incidentId"]) == ("renewed", opened["incidentId"])
    after = await counted()
    assert (after["incident"], after["ledger"]) == (before["incident"], before["ledger"]), "renewing is no transition"

    assert await outcome(api, an_alert(severity="info")) == "changed"
    assert await outcome(api, an_alert(status="resolved", until_=T1)) == "resolved"
    assert await outcome(api, an_alert(status="resolved", until_=T1)) == "over"
    assert await outcome(api, an_alert()) == "old", "late news of what is over opens nothing"
    (anew,) = await told(api, an_alert(since=T2))
    assert anew["outcome"] == "opened" and anew["incidentId"] != opened["incidentId"]
    assert await outcome(api, an_alert(status="resolved", until_=T1)) == "old", "the end of the first is not this one's"
    assert (await api.get("/incidents")).json()["total"] == 1
    listed = (await api.get("/incidents", params={"over": "true", "deploymentId": "shop-api"})).json()["items"]
    assert [one["id"] for one in listed] == [anew["incidentId"], opened["incidentId"]]
    assert listed[0]["title"] == "checkout answers 500"
    assert listed[0]["links"]["Runbook"] == "https://runbooks.example.com/500"

    assert await outcome(api, an_alert("b2", status="resolved", since=T0, until_=T1)) == "resolved"
    assert await outcome(api, an_alert("b2")) == "old", "its end came before its beginning"
    assert await outcome(api, an_alert("c3"), source="another") == "opened"
    twice = await told(api, an_alert("d4"), an_alert("d4", status="resolved", until_=T1))
    assert [one["outcome"] for one in twice] == ["resolved", "resolved"], "the last word counts"


async def test_what_an_alert_is_about_is_said_by_labels_annotations_the_receiver_or_the_deployment(api):
    world = await World(api).build(agent_type="http-pull", config={"pool": "a"}, rules=[])
    (nobody,) = await told(api, an_alert("n", interlock_deployment=""))
    assert (nobody["outcome"], nobody["gates"]) == ("opened", False)
    assert nobody["says"] == "It names no deployment that is here, so it holds nothing."
    assert (await api.get(f"/incidents/{nobody['incidentId']}")).json()["deployments"] == []
    (unknown,) = await told(api, an_alert("u", interlock_deployment="shop-api, moon", interlock_environment="prod"))
    assert unknown["unmatched"] == ["moon", "prod"] and not unknown["gates"]
    assert unknown["says"] == "It names no environment that is here, so it holds nothing."
    (there,) = await told(api, an_alert("e", interlock_environment=f"staging,{world.ids['production']}"))
    stored = (await api.get(f"/incidents/{there['incidentId']}")).json()
    assert sorted(one["name"] for one in stored["environments"]) == ["production", "staging"]
    (by_service,) = await told(
        api, an_alert("s", interlock_deployment="", service="shop-api"), deploymentLabel="service"
    )
    assert by_service["gates"]
    (warning,) = await told(api, an_alert("w", severity="warning"))
    assert not warning["gates"] and "It does not gate (warning)" in warning["says"]
    assert (await told(api, an_alert("w2", severity="warning"), gates="critical,warning"))[0]["gates"]
    assert (await told(api, an_alert("w3", severity="warning", interlock_gate="true")))[0]["gates"]
    assert not (await told(api, an_alert("w4", interlock_gate="false")))[0]["gates"]
    assert (await told(api, an_alert("x", severity="")))[0]["severity"] == "critical", (
        "what is not said is not harmless"
    )
    assert (await told(api, an_alert("y", severity="SEV-2")))[0]["severity"] == "warning"

    known = (await api.get("/deployments/name/shop-api")).json()
    body = known.get("deployment", known)
    put = {key: body[key] for key in ("name", "resourceSelector", "jobAgentSelector", "jobAgentConfig") if key in body}
    put |= {"slug": "shop-api", "metadata": {"interlock/alerts": "service=checkout, team=shop"}}
    assert (await api.put(f"/deployments/{world.ids['deployment']}", put)).status_code in {200, 202}
    labels = {"interlock_deployment": "", "service": "checkout"}
    assert not (await told(api, an_alert("m", **labels)))[0]["gates"]
    assert (await told(api, an_alert("m2", **labels, team="shop")))[0]["gates"]


async def test_little_is_refused_and_what_is_left_out_is_said(api, key_of, client_of, workspace_id):
    await World(api).build(agent_type="http-pull", config={"pool": "a"}, rules=[])
    odd = {"status": "firing", "labels": {"a": "b", "n": 1, "long": "x" * 5_000}, "startsAt": "yesterday"}
    answer = await api.post("/alerts/alertmanager", {"alerts": [odd, {}, {"labels": {}}], "truncatedAlerts": 3})
    said = answer.json()
    assert (answer.status_code, len(said["alerts"]), said["leftOut"], said["truncated"]) == (200, 1, 2, 3)
    stored = (await api.get(f"/incidents/{said['alerts'][0]['incidentId']}")).json()
    assert (len(stored["labels"]["long"]), stored["title"], stored["severity"]) == (500, "an alert", "critical")
    assert (await api.post("/alerts/alertmanager", {"alerts": "none"})).status_code == 400
    assert (await api.post("/alerts/alertmanager", a_notification(), params={"gates": "loud"})).status_code == 400
    assert (await api.post("/alerts/alertmanager", {"alerts": [{"x": "y" * 300_000}]})).status_code == 413
    path = f"/api/v1/workspaces/{workspace_id}/alerts/alertmanager"
    stranger = client_of(None)
    for role, status in (("operator", 200), ("developer", 403), ("viewer", 403)):
        bearer = {"Authorization": f"Bearer {await key_of(f'a {role}', role)}"}
        assert (await stranger.post(path, json=a_notification(), headers=bearer)).status_code == status
    assert (await stranger.post(path, json=a_notification())).status_code == 401


async def test_an_incident_is_reported_renewed_and_resolved_by_hand_and_its_source_repeats_it_in_vain(api, store):
    await World(api).build(agent_type="http-pull", config={"pool": "a"}, rules=[])
    body = {
        "source": "pager", "externalId": "INC-7", "title": "checkout answers 500", "deployments": ["shop-api"],
        "environments": ["production"], "startedAt": T0, "expiresAt": "2999-01-01T00:00:00Z",
    }  # fmt: skip
    too_far = await api.post("/incidents", body)
    assert too_far.status_code == 400 and "within 30 days" in too_far.text
    del body["expiresAt"]
    assert (await api.post("/incidents", {**body, "expiresAt": T0})).status_code == 400
    made = await api.post("/incidents", body)
    assert made.status_code == 201
    incident = made.json()
    assert (incident["outcome"], incident["open"], incident["reportedBy"]) == ("opened", True, "ada")
    again = await api.post("/incidents", {**body, "title": "worse"})
    assert (again.status_code, again.json()["outcome"], again.json()["title"]) == (200, "renewed", "worse")
    over = await api.post(f"/incidents/{incident['id']}/resolve", {"reason": "a larger pool"})
    assert (over.json()["open"], over.json()["resolvedBy"], over.json()["resolveReason"]) == (
        False,
        "ada",
        "a larger pool",
    )
    gone = await api.post("/incidents/resolve", {"source": "pager", "externalId": "INC-7"})
    assert (gone.status_code, gone.json()["code"]) == (409, "INCIDENT_OVER")
    assert (await api.post("/incidents/resolve", {"source": "pager", "externalId": "INC-8"})).status_code == 404
    assert (await api.post("/incidents", body)).json()["outcome"] == "old"

    async with store.read() as conn:
        query = "SELECT kind FROM ledger WHERE subject_id = $1 ORDER BY kind"
        kinds = [row["kind"] for row in await conn.fetch(query, incident["id"])]
    assert kinds == ["incident.opened", "incident.resolved"]


async def test_an_alert_takes_back_what_nobody_has_yet_in_one_round_and_its_end_lets_it_go(api, pulled, store):
    """R003-28: a signal of the running system flips a decision that is pending, within one evaluation."""
    path = f"/job-agents/{pulled.ids['agent']}/jobs?status=queued"
    jobs = (await api.get(path)).json()["items"]

    async def rounds() -> int:
        async with store.read() as conn:
            return int(
                await conn.fetchval("SELECT count(*) FROM round WHERE deployment_id = $1", pulled.ids["deployment"])
            )

    before = await rounds()
    await told(api, an_alert(interlock_environment="production"))

    async def only_staging() -> bool:
        return bool((await api.get(path)).json()["total"] == 1)

    await until(only_staging, "the jobs of production were not taken back")
    assert await rounds() == before + 1
    (target, *_) = [
        one for one in (await api.get("/release-targets")).json()["items"] if one["environment"]["name"] == "production"
    ]
    said = (await api.get(f"/release-targets/{target['key']}/explain")).json()["sentences"]
    assert any("An incident is open on shop-api: checkout answers 500 (critical, alertmanager)" in one for one in said)
    assert len(jobs) == 3

    await told(api, an_alert(status="resolved", until_=T1))

    async def all_again() -> bool:
        return bool((await api.get(path)).json()["total"] == 3)

    await until(all_again, "the end of the alert let nothing go")
