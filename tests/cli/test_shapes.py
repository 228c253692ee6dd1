"""Do the shapes tell the truth? Every answer of the client is compared, field by field, with what it is typed as."""

from __future__ import annotations

import time
import uuid
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from cli.test_commands import FLEET
from interlock.client import shapes
from interlock.client.client import Client

WAIT_S = 30.0

MORE = """
type: System
name: shop
description: all of it
---
type: Policy
name: ask
selector: environment.name == "production"
rules:
  - anyApproval: {minApprovals: 1}
  - concurrency: {maxInFlight: 1, groupBy: 'resource.metadata["env"]'}
---
type: Environment
name: production
resourceSelector: "true"
---
type: VariableSet
name: names
selector: "true"
variables: {region: eu}
---
type: RelationshipRule
name: beside
reference: beside
cel: from.kind == to.kind
"""


def faults(value: Any, hint: Any, at: str) -> list[str]:
    """Where a value is not what a type says; fields that the type does not know count."""
    if hint is Any:
        return []
    if get_origin(hint) in {NotRequired, Required}:
        return faults(value, get_args(hint)[0], at)
    if is_typeddict(hint):
        if not isinstance(value, dict):
            return [f"{at} is {value!r}, no {hint.__name__}"]
        fields = get_type_hints(hint)
        return [
            *(f"{at} lacks {name}" for name in hint.__required_keys__ - value.keys()),
            *(f"{at} has {name} too" for name in value.keys() - fields.keys()),
            *(
                fault
                for name in value.keys() & fields.keys()
                for fault in faults(value[name], fields[name], f"{at}.{name}")
            ),
        ]
    match get_origin(hint):
        case origin if origin is list:
            return [fault for each in value for fault in faults(each, get_args(hint)[0], f"{at}[]")]
        case origin if origin is dict:
            return [fault for key, each in value.items() for fault in faults(each, get_args(hint)[1], f"{at}[{key!r}]")]
        case origin if origin is Literal:
            return [] if value in get_args(hint) else [f"{at} is {value!r}, none of {get_args(hint)}"]
        case origin if origin in {Union, UnionType}:
            return [] if any(not faults(value, one, at) for one in get_args(hint)) else [f"{at} is {value!r}"]
    if hint in {None, NoneType}:
        return [] if value is None else [f"{at} is not null"]
    return [] if isinstance(value, hint) and (hint is bool or not isinstance(value, bool)) else [f"{at} is {value!r}"]


@pytest.mark.parametrize(
    ("value", "hint", "wrong"),
    [
        ({"kind": "x"}, shapes.Ref, []),
        ({"kind": "x", "id": "1", "name": "n", "more": 1}, shapes.Ref, ["it has more too"]),
        ({}, shapes.Ref, ["it lacks kind"]),
        ({"kind": 1}, shapes.Ref, ["it.kind is 1"]),
        ([{}], list[shapes.Ref], ["it[] lacks kind"]),
        (True, int, ["it is True"]),
        (None, str | None, []),
        ("x", Literal["y"], ["it is 'x', none of ('y',)"]),
    ],
)
def test_the_comparison_sees_what_is_wrong(value, hint, wrong):
    assert faults(value, hint, "it") == wrong


def wait_for(ask):
    until = time.monotonic() + WAIT_S
    while not (found := ask()):
        assert time.monotonic() < until
        time.sleep(0.1)
    return found


def test_every_answer_is_what_it_is_typed_as(client: Client, interlock):
    seen: set[str] = set()

    def check(hint, value):
        values = value if isinstance(value, list) else [value]
        assert values, f"no {hint.__name__} to look at"
        assert [fault for each in values for fault in faults(each, hint, hint.__name__)] == []
        seen.add(hint.__name__)
        return values[0]

    interlock("apply", "-f", "-", stdin=FLEET + "---" + MORE)
    check(shapes.Workspace, client.list_workspaces())
    check(shapes.Workspace, client.get_workspace())
    system = check(shapes.System, list(client.list_systems()))
    check(shapes.SystemWithLinks, client.get_system(system["id"]))
    check(shapes.Environment, list(client.list_environments()))
    production = check(shapes.Environment, client.find_environment("production"))
    check(shapes.DeploymentAndSystems, list(client.list_deployments()))
    api = check(shapes.DeploymentAndSystems, client.find_deployment("api"))["deployment"]
    agent = check(shapes.JobAgent, list(client.list_job_agents()))
    check(shapes.JobAgent, client.get_job_agent(agent["id"]))
    check(shapes.Resource, list(client.list_resources()))
    ending = check(shapes.Ending, client.preview_ending("environment", "production"))
    assert ending["ends"]["targets"] == 1
    client.patch_resource_variables("host/one", {"port": 1})
    check(shapes.ResourceVariable, list(client.list_resource_variables("host/one")))
    check(shapes.Deployment, list(client.list_deployments_of_resource("host/one")))
    check(shapes.Provider, client.put_resource_provider({"id": api["id"], "name": "p", "metadata": {}}))
    body = {"variables": [{"key": "region", "values": [{"value": "eu", "priority": 1}]}]}
    client.put_deployment_variables(api["id"], body)
    variable = check(shapes.VariableWithValues, list(client.list_deployment_variables(api["id"])))
    check(shapes.VariableValue, client.get_deployment_variable_value(variable["values"][0]["id"]))
    check(shapes.VariableSet, list(client.list_variable_sets()))
    check(shapes.RelationshipRule, list(client.list_relationship_rules()))
    check(shapes.Policy, list(client.list_policies()))
    check(shapes.Freeze, client.freeze({"reason": "audit", "scope": {"kind": "deployment", "id": api["id"]}}))
    report = {"title": "it answers 500", "deployments": ["api"], "environments": ["production"], "gates": False}
    incident = check(shapes.ReportedIncident, client.report_incident({**report, "links": {"a": "https://b"}}))
    check(shapes.Incident, client.resolve_incident(incident["id"], reason="over"))
    check(shapes.Incident, list(client.list_incidents(over=True)))
    check(
        shapes.ToldAlerts, client.receive_alerts({"alerts": [{"labels": {"a": "b"}, "status": "firing"}]}, gates="none")
    )
    reading = {"name": "pool", "value": 0.3, "environment": "production"}
    check(shapes.PostedSaturation, client.post_saturation("api", reading))
    check(shapes.Saturation, client.list_saturations(api["id"]))
    check(shapes.Saturation, client.forget_saturation("api", "pool", environment="production"))

    version = check(shapes.Version, client.upsert_version("api", tag="1.0.0", config={"a": 1}))
    check(shapes.Version, list(client.list_versions("api")))
    check(shapes.Target, list(client.list_targets()))
    client.thaw(check(shapes.Freeze, list(client.list_freezes()))["id"], reason="done")
    request = wait_for(lambda: list(client.list_approval_requests()))[0]
    check(shapes.ApprovalRequest, request)
    check(shapes.ApprovalRequest, client.answer_request(request["id"], verdict="approved", digest=request["digest"]))
    wait_for(lambda: all("current" in target for target in client.list_targets()))
    check(shapes.Target, list(client.list_targets()))
    job = check(shapes.JobWithRelease, list(client.list_jobs()))
    check(shapes.Job, client.get_job(job["id"]))
    check(shapes.Release, client.get_release(job["releaseId"]))
    check(shapes.SlotGroup, list(client.list_slots()))
    rollout = check(shapes.Rollout, list(client.list_rollouts(state=None)))
    check(shapes.Rollout, client.get_rollout(rollout["id"]))
    check(shapes.Places, client.get_rollout_places(rollout["id"]))
    asked = client.plan_version(api["id"], tag="2")
    check(
        shapes.Plan,
        wait_for(lambda: [p] if (p := client.get_plan(api["id"], asked["id"]))["status"] != "computing" else []),
    )

    where = {"versionId": version["id"], "environmentId": production["id"], "reason": "r"}
    pin = check(shapes.Pin, client.pin(where))
    check(shapes.Pin, client.remove_pin(pin["id"], reason="r"))
    skip = check(shapes.Skip, client.skip({**where, "ruleKind": "anyApproval"}))
    check(shapes.Skip, client.remove_skip(skip["id"], reason="r"))
    client.freeze({"reason": "again"})
    placed = client.place_orders({"kind": "redeploy", "deployment": "api", "reason": "r"})
    check(shapes.PlacedOrders, placed)
    check(shapes.Order, client.withdraw_order(placed["orders"][0]["id"], reason="r"))

    check(shapes.Event, list(client.list_ledger()))
    check(shapes.NewKey, client.create_key(user="vera", role="viewer", name="n"))
    check(shapes.Key, list(client.list_keys()))
    check(shapes.Member, list(client.list_members()))
    check(shapes.Group, client.put_group("sre", ["vera"]))
    told = {"name": "ci", "channel": "webhook", "url": "http://127.0.0.1:9/", "kinds": ["system.*"]}
    made = check(shapes.Subscription, client.create_subscription(told))
    check(shapes.Subscription, list(client.list_subscriptions()))
    check(shapes.Subscription, client.put_subscription(made["id"], {**told, "scope": {"kind": "workspace"}}))
    check(shapes.Subscription, client.rotate_subscription_secret(made["id"]))
    sent = check(shapes.Delivery, client.test_subscription(made["id"]))
    check(shapes.Delivery, [wait_for(lambda: list(client.list_deliveries(made["id"], state="parked")))[0]])
    check(shapes.Delivery, client.redeliver(made["id"], sent["id"]))
    check(shapes.Subscription, client.pause_subscription(made["id"]))
    check(shapes.Subscription, client.resume_subscription(made["id"], from_now=True))
    check(shapes.Accepted, client.delete_subscription(made["id"]))
    check(shapes.Permission, list(client.list_permissions()))
    check(shapes.Role, list(client.list_roles()))
    check(shapes.Role, client.put_role("looker", ["read"]))
    client.create_role_binding({"role": "looker", "user": "vera"})
    check(shapes.Binding, list(client.list_role_bindings()))
    check(shapes.NewAgentToken, client.create_agent_token(agent["id"], name="t"))
    check(shapes.AgentToken, list(client.list_agent_tokens(agent["id"])))
    check(shapes.JobAgentType, list(client.list_job_agent_types()))
    entry = {"name": "a", "ref": agent["id"], "config": {}, "selector": "true"}
    flow = check(shapes.Workflow, client.create_workflow({"name": "smoke", "inputs": [], "jobAgents": [entry]}))
    client.thaw(next(client.list_freezes())["id"], reason="go on")
    check(shapes.WorkflowRun, client.run_workflow(flow["id"], {}))
    asks = {"name": "hands", "type": "manual", "config": {"instructions": "Turn it.", "dueInMinutes": 5}}
    client.put_job_agent(hands := str(uuid.uuid4()), asks)
    client.put_job_agent(puller := str(uuid.uuid4()), {"name": "west", "type": "http-pull", "config": {}})
    agents = [{"name": one[:8], "ref": one, "config": {}, "selector": "true"} for one in (hands, puller)]
    flow = client.create_workflow({"name": "by hand", "inputs": [], "jobAgents": agents})
    client.run_workflow(flow["id"], {})
    task = check(shapes.Task, wait_for(lambda: list(client.list_tasks()))[0])
    client.take_task(task["jobId"])
    check(shapes.Task, client.comment_task(task["jobId"], "hello"))
    check(shapes.Task, client.complete_task(task["jobId"], comment="done"))
    offered = wait_for(lambda: list(client.list_agent_jobs(puller, status="queued")))[0]
    claimed = client.claim_job(puller, offered["id"], lease_s=60.0)
    check(shapes.Heartbeat, client.heartbeat_job(claimed["id"], attempt=claimed["attempt"]))
    client.post_result(claimed["id"], "smoke", result_id="run-1", result={"failed": 0})
    check(shapes.PostedResult, next(client.list_results(claimed["id"])))
    asks = {"good": "sum(increase(good[{{.window}}]))", "total": "sum(increase(total[{{.window}}]))"}
    objective = {"name": "checkout", "target": 99.9, "windowDays": 28, **asks}
    nobody = {"type": "prometheus", "address": "http://127.0.0.1:1"}
    slo = check(shapes.Slo, client.create_slo({**objective, "selector": "true", "provider": nobody}))
    check(shapes.SloReadings, client.list_slo_readings(slo["id"]))
    check(shapes.Accepted, client.put_system(system["id"], {"name": "renamed"}))

    parts = {
        "Named",
        "Tagged",
        "TargetRef",
        "TargetResource",
        "TargetMove",
        "BitingFreeze",
        "Need",
        "Variable",
        "Removed",
        "SubscriptionScope",
        "TaskComment",
        "AgentHealth",
    }
    parts |= {"Scope", "PointsAtIt", "PlanResult", "PlanTarget", "Steering", "Place", "Wave", "Ref", "Quarantine"}
    parts |= {"ToldAlert", "SloStatus", "SloReading", "BurnThreshold"}
    parts |= {"Verification", "VerificationMetric", "VerificationSaid"}  # test_verification.py looks at these
    every = {name for name, one in vars(shapes).items() if is_typeddict(one) and one.__module__ == shapes.__name__}
    assert every - seen == parts
