"""Does every operation keep to the OpenAPI document, whatever is sent? Requests made by schemathesis from the document.

Checked of every answer: it is no 5xx, its status and media type are declared, its body fits the schema, and the headers
that the document calls required are there. Cases are half in the document's sense valid, half not.

A generated id names nothing, and a generated selector is no CEL; so most of the time those are replaced by what the
world has, by the name of the parameter or field. What reads comes first, what deletes last. The cases are seeded: the
same document gives the same requests.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.conformance import closed
from api.story import World, until
from interlock.clock import utc_now

CASES = {GenerationMode.POSITIVE: 2, GenerationMode.NEGATIVE: 1}
"""Requests an operation, by whether the document allows them."""

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ORDER = {"get": 0, "post": 1, "put": 1, "patch": 1, "delete": 2}
SIGN_IN = frozenset({"x-api-key", "authorization", "cookie"})
CONDITIONS = frozenset({"if-match", "if-none-match", "idempotency-key"})
CONDITIONS_AT = "/policies"
REAL = 0.85
"""How often something real takes the place of what was generated."""


async def known_words(api: Any, world: World, key_of: Any) -> dict[str, list[Any]]:
    """Name of a parameter or field -> values that mean something in this world."""
    ids = world.ids
    deployment, production = ids["deployment"], ids["production"]

    async def made(path: str, body: Any, *, put: bool = False) -> Any:
        answer = await (api.put if put else api.post)(path, body)
        assert answer.is_success, answer.text
        return answer.json()

    async def listed(path: str) -> list[Any]:
        async def some() -> list[Any]:
            return list((await api.get(path)).json()["items"])

        return list(await until(some, f"{path} lists nothing"))

    gate = {"name": "gate", "rules": [{"anyApproval": {"minApprovals": 1}}]}
    policies = [(await made("/policies", {**gate, "name": name}))["id"] for name in ("gate", "p", "q")]
    version = await world.version("2")
    asked = await listed("/approval-requests")
    targets, jobs = await listed("/release-targets"), await listed("/jobs")
    other = (await made("/deployments", {"name": "other", "slug": "other"}))["id"]
    variable, value = str(uuid.uuid4()), str(uuid.uuid4())
    await made(f"/deployment-variables/{variable}", {"deploymentId": deployment, "key": "k"}, put=True)
    said = {"deploymentVariableId": variable, "priority": 1, "value": 1}
    await made(f"/deployment-variable-values/{value}", said, put=True)
    pins = [
        (await made("/pins", {"versionId": version, "environmentId": e, "reason": "x"}))["id"]
        for e in (None, production)
    ]
    skip = {"versionId": version, "ruleKind": "anyApproval", "reason": "now"}
    freeze = {"reason": "no", "scope": {"kind": "deployment", "id": other}}
    soon = (utc_now() + timedelta(days=7)).isoformat()
    order = {"kind": "force", "deployment": "shop-api", "environment": "production", "version": "1"}
    order |= {"reason": "so", "expiresAt": soon}
    selectors = ["resource.kind == 'Host'", "true", "deployment.name == 'other'", "((("]
    await made("/groups/owners", {"members": ["ada"]}, put=True)
    await key_of("bea", "approver")
    keys = [one["id"] for one in await listed("/keys") if one["user"]["name"] == "bea"]
    members = [one["id"] for one in await listed("/members") if one["name"] == "bea"]
    agent = f"jobAgent.id == '{ids['agent']}'"
    entry = {"name": "a", "ref": ids["agent"], "config": {}, "selector": "true"}
    workflow = (await made("/workflows", {"name": "w", "slug": "w", "inputs": [], "jobAgents": [entry]}))["id"]
    told = {"name": "t", "channel": "email", "to": ["a@example.org"], "kinds": ["freeze.set"]}
    return {
        "workspaceId": [api.workspace],
        "workspaceSlug": ["shop"],
        "systemId": [ids["system"]],
        "deploymentId": [deployment, other],
        "deployment": ["shop-api"],
        "dependencyDeploymentId": [other],
        "environmentId": [ids["staging"], production],
        "environment": ["staging", "production"],
        "environmentIds": [[production]],
        "name": ["shop-api", "staging", "p"],
        "deploymentVersionId": [version],
        "versionId": [version],
        "version": [version, "1"],
        "jobAgentId": [ids["agent"]],
        "policyId": policies[1:],
        "identifier": ["s-1", "p-1"],
        "resource": ["s-1"],
        "resourceId": [one["resourceId"] for one in targets],
        "providerId": [(await made("/resource-providers", {"name": "p"}, put=True))["id"]],
        "variableId": [variable],
        "deploymentVariableId": [variable],
        "valueId": [value],
        "variableSetId": [(await made("/variable-sets", {"name": "v", "selector": "true", "variables": []}))["id"]],
        "relationshipRuleId": [
            (await made("/relationship-rules", {"name": "r", "reference": "vpc", "cel": "from.id == to.id"}))["id"]
        ],
        "releaseTargetKey": [one["key"] for one in targets],
        "target": [one["key"] for one in targets],
        "freezeId": [(await made("/freezes", freeze))["id"]],
        "pinId": pins,
        "skipId": [(await made("/skips", skip))["id"]],
        "orderId": [one["id"] for one in (await made("/orders", order))["orders"]],
        "rolloutId": [one["id"] for one in await listed("/rollouts")],
        "requestId": [one["id"] for one in asked],
        "digest": [one["digest"] for one in asked],
        "jobId": [one["id"] for one in jobs],
        "releaseId": [one["releaseId"] for one in jobs],
        "decisionId": [one["decisionId"] for one in jobs],
        "planId": [(await made(f"/deployments/{deployment}/plan", {"version": {"tag": "9"}}))["id"]],
        "whatIfId": [(await made("/what-if", {"changes": [{"policyId": policies[1], "delete": True}]}))["id"]],
        "principalId": members,
        "workflowId": [workflow],
        "slug": ["w"],
        "inputs": [{}],
        "subscriptionId": [(await made("/subscriptions", told))["id"]],
        "roleName": [(await made("/roles/turner", {"permissions": ["read", "steer"]}, put=True))["name"]],
        "permission": ["steer", "read"],
        "user": ["bea"],
        "members": [["ada"]],
        "groupName": ["owners", "others"],
        "keyId": keys,
        "resourceSelector": selectors,
        "jobAgentSelector": [agent, "((("],
        "selector": selectors,
        "versionSelector": ["version.tag == '1'"],
        "cel": ["true", "resource.kind == 'Host'", "version.tag == '1'", "deployment.name == 'other'", "((("],
        "filter": ["true", "version.tag == '1'"],
        "expiresAt": [soon, None],
        "createdAt": ["2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z"],
        "rules": [[], gate["rules"], [{"retry": {"maxRetries": 1}}]],
        "limit": [1, 50],
        "offset": [0, 2],
    }


def easier(parameters: list[Any], words: dict[str, list[Any]], *, path: str) -> Iterator[Any]:
    """The parameters, those of the path as a choice of what there is and what there is not.

    Why:    most of the time went into making ids, letter by letter. The headers that make a write safe have tests of
            their own, and nearly every generated one ends its request early: they stay where `CONDITIONS_AT` says.
    """
    for each in parameters:
        if each["in"] == "path":
            yield {**each, "schema": {"enum": [*words.get(each["name"], []) * 4, "x", str(uuid.UUID(int=1))]}}
        elif each["name"].lower() not in CONDITIONS or CONDITIONS_AT in path:
            yield each


def made_real(value: Any, words: dict[str, list[Any]], chance: random.Random) -> Any:
    """The same, with what is known by name put in."""
    if isinstance(value, dict):
        return {
            key: chance.choice(words[key])
            if key in words and chance.random() < REAL
            else made_real(inner, words, chance)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [made_real(each, words, chance) for each in value]
    return value


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # it is the server's, in another thread
async def test_no_operation_answers_what_the_document_does_not_say(pulled: World, api: Any, key_of: Any) -> None:
    words = await known_words(api, pulled, key_of)
    document = (await api.raw.get("/api/openapi.json")).json()
    document["components"] = closed(document["components"])
    document["paths"] = closed(document["paths"])
    for path, item in document["paths"].items():
        for operation in item.values():
            operation["parameters"] = list(easier(operation.get("parameters", []), words, path=path))
    schema = schemathesis.openapi.from_dict(document)
    loop = asyncio.get_running_loop()
    client = api.raw
    client.event_hooks = {"response": []}

    def send(case: Any) -> httpx.Response:
        kwargs = case.as_transport_kwargs(base_url="http://interlock.test")
        kwargs.pop("timeout", None)
        sent = requests.Request(**{k: v for k, v in kwargs.items() if k not in {"allow_redirects", "verify", "cert"}})
        ready = sent.prepare()
        headers = [(name, value) for name, value in ready.headers.items() if name.lower() != "content-length"]
        body = ready.body.encode() if isinstance(ready.body, str) else ready.body
        request = client.build_request(ready.method, ready.url, headers=headers, content=body)
        return asyncio.run_coroutine_threadsafe(client.send(request), loop).result()

    found: list[str] = []
    operations = sorted(
        (each.ok() for each in schema.get_all_operations()),
        key=lambda one: (ORDER[one.method], one.path.endswith("/{workspaceId}"), one.path),
    )
    statuses: list[int] = []

    def ask(operation: Any, mode: GenerationMode, cases: int) -> None:
        @hypothesis.seed(1)
        @hypothesis.settings(
            max_examples=cases,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(operation.as_strategy(generation_mode=mode), st.integers(0, 2**32))
        def each(case: Any, seed: int) -> None:
            chance = random.Random(seed)
            if "workspaceId" in case.path_parameters:
                case.path_parameters["workspaceId"] = api.workspace
            case.headers = {name: text for name, text in (case.headers or {}).items() if name.lower() not in SIGN_IN}
            case.cookies = {}
            case.query = made_real(dict(case.query or {}), words, chance)
            case.body = made_real(case.body, words, chance)
            answer = send(case)
            statuses.append(answer.status_code)
            case.validate_response(answer, checks=CHECKS)

        try:
            each()
        except Unsatisfiable:  # nothing that it takes can be wrong
            return
        except (Exception, FailureGroup) as fault:
            found.append(f"{operation.method.upper()} {operation.path} ({mode}): {fault}")

    def all_of_them() -> None:
        for operation in operations:
            if operation.path.endswith("/stream"):
                continue
            for mode, cases in CASES.items():
                if mode is GenerationMode.POSITIVE or operation.body or operation.query:
                    ask(operation, mode, cases)

    await asyncio.to_thread(all_of_them)
    assert not found, f"{len(found)} of {len(statuses)} requests:\n\n" + "\n\n".join(found)
    done = sum(status < 300 for status in statuses)
    assert done > len(statuses) / 3, "too little of what was asked for was done: the world lacks what it needs"
