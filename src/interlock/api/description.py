"""How does the API describe itself? OpenAPI 3.1, made from the routes, in which everything that can happen is said.

What an operation answers when it succeeds stands at its route (`response_model`, `status_code`, `responses`). What it
answers when it refuses follows from what it is, so it stands here once: who may call it, whether it has a path that can
name nothing, whether it writes, whether it takes a body. A refusal that does not follow stands at the route by its
status alone (`responses={412: {}}`). All refusals have one shape (`web/errors.py`).

The document is checked against what is really answered: by every test of the API and by generated requests
(`tests/api/conformance.py`, `tests/api/test_schema.py`).

Source: OpenAPI 3.1; contract.md section e, "Errors".
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from interlock.decide.rule_schema import rule_schema
from interlock.web.bodies import API, JsonRoute
from interlock.web.rates import SIGNS_IN
from interlock.web.safe_writes import KEY_MAX, KEY_MIN, Things

Document = dict[str, Any]

PROTECTED = "/api/v1/"

ASKS_BY_POST = ("/search", "/eligible-versions", "/resource-preview", "/release-targets/state")
"""Endings of paths whose POST reads: their question is too long for a URL."""

REFUSALS: Mapping[int, tuple[str, str]] = {
    400: ("Invalid", "The request is malformed: `details` names each field with what is wrong with it."),
    401: ("Unauthorized", "No valid API key or session."),
    403: ("Forbidden", "The caller may not do this here."),
    404: ("NotFound", "The path names something that does not exist, or that the caller may not know of."),
    409: ("Conflict", "It clashes with what is stored, or with what is going on; `code` and `details` say with what."),
    412: ("Outdated", "What the request was made for has changed meanwhile. Get it again and decide again."),
    413: ("TooLarge", "The body is larger than is read here."),
    414: ("PathTooLong", "Path and query are longer than is read here."),
    415: ("NotJson", "The body is not JSON."),
    422: ("KeyUsedBefore", "This Idempotency-Key was sent before with another request."),
    429: ("TooMany", "Too many requests, or too many open streams."),
    431: ("HeadersTooLarge", "The headers are larger than are read here."),
    500: ("Failed", "Interlock failed; its log says why. Nothing was stored."),
    503: ("Unavailable", "The database is away, or others changed the same things again and again. Send it again."),
}
"""Status -> the name of the response in the document, and what it means."""

RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds until it is worth trying again.",
        "schema": {"type": "integer"},
        "required": True,
    }
}

REFUSAL: Document = {
    "type": "object",
    "description": "Every refusal. `error` and `message` are the same sentence.",
    "required": ["error", "message"],
    "additionalProperties": False,
    "properties": {
        "error": {"type": "string"},
        "message": {"type": "string"},
        "code": {"type": "string", "description": "A word that programs can compare."},
        "details": {
            "anyOf": [
                {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
                {"type": "array", "items": {}},
                {"type": "object"},
            ]
        },
    },
    "examples": [
        {
            "error": "name: is required.",
            "message": "name: is required.",
            "code": "BAD_REQUEST",
            "details": [{"path": "name", "message": "is required"}],
        }
    ],
}
FAULT: Document = {
    "type": "object",
    "description": "One field of a request, and what is wrong with it.",
    "required": ["path", "message"],
    "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
}


IF_MATCH: Document = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 1000},
    "description": "The ETag of the GET that this write rests on: 412 when it looks otherwise by now.",
    "example": '"3f8a2c1b9d4e5f60718293a4b5c6d7e8"',
}
IF_NONE_MATCH: Document = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "enum": ["*"]},
    "description": "Write only what is not there yet.",
}
IDEMPOTENCY_KEY: Document = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": KEY_MIN, "maxLength": KEY_MAX, "pattern": "^[!-~]+$"},
    "description": "The same key with the same request gets the same answer again, for 24 hours.",
    "example": "0b6c1f0e-5a3e-4c55-9f5b-6f1f2b7f9d3e",
}
ETAG: Document = {
    "ETag": {
        "description": "What it looks like now; a write may name it in If-Match.",
        "schema": {"type": "string"},
        "required": True,
    }
}
REPLAYED: Document = {
    "Idempotency-Replayed": {
        "description": "This answer was given before to the same Idempotency-Key.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}


A_RULE = "One rule of a policy: exactly one kind, beside what the sender keeps with it (`id`, `createdAt`, `policyId`)."

EXAMPLES: Mapping[str, Document] = {
    "SystemBody": {"name": "shop", "metadata": {"team": "payments"}},
    "EnvironmentBody": {"name": "production", "resourceSelector": "resource.metadata['env'] == 'production'"},
    "DeploymentBody": {
        "name": "shop-api",
        "resourceSelector": "resource.kind == 'Host'",
        "jobAgentSelector": "jobAgent.name == 'runners'",
        "jobAgentConfig": {"workflow": "deploy.yml"},
    },
    "VersionBody": {
        "tag": "v1.4.0",
        "status": "ready",
        "metadata": {"git/commit": "0a1b2c3", "interlock/author": "ada@example.org"},
    },
    "PolicyBody": {
        "name": "production is asked for",
        "selector": "environment.name == 'production'",
        "rules": [
            {"anyApproval": {"minApprovals": 1}},
            {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 300}},
        ],
    },
    "FreezeBody": {"reason": "Incident 4711", "scope": {"kind": "workspace"}, "expiresAt": "2026-12-24T18:00:00Z"},
    "PinBody": {"versionId": "5b0c7f1e-6a0e-4d39-8f55-0d7d5f3d8a11", "reason": "Stays until the migration is done"},
    "SkipBody": {
        "versionId": "5b0c7f1e-6a0e-4d39-8f55-0d7d5f3d8a11",
        "ruleKind": "deploymentWindow",
        "reason": "A fix that cannot wait for Monday",
        "expiresAt": "2026-12-01T12:00:00Z",
    },
    "OrderBody": {"kind": "rollback", "deployment": "shop-api", "environment": "production", "reason": "Errors rise"},
    "ApplyBody": {"dryRun": True, "requests": [{"method": "POST", "path": "systems", "body": {"name": "shop"}}]},
}
"""Bodies as one would send them, by the name of their schema."""


def things_of(routers: Iterable[APIRouter]) -> Things:
    """Which operations of these routers write a thing that GET shows."""
    return Things.of(
        (method, route.path_format.removeprefix(API))
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    )


def described(app: FastAPI) -> Document:
    """The document of this app, made once."""
    if app.openapi_schema is None:
        for route in app.routes:
            if isinstance(route, JsonRoute):
                route.describe_answer()
        schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        components = schema.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas |= {"Refusal": REFUSAL, "Fault": FAULT, "PolicyRule": {"description": A_RULE, **rule_schema()}}
        listed = next(one for one in schemas["PolicyBody"]["properties"]["rules"]["anyOf"] if one["type"] == "array")
        listed["items"] = {"$ref": "#/components/schemas/PolicyRule"}
        for name, example in EXAMPLES.items():
            schemas[name]["examples"] = [example]
        components["responses"] = {REFUSALS[status][0]: _refusal(status) for status in REFUSALS}
        components["securitySchemes"] = {
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": "interlock_session"},
        }
        schema["security"] = [{"apiKey": []}, {"bearer": []}, {"session": []}]
        things: Things = app.state.things
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                _add_headers(operation, things, method=method, template=path.removeprefix(API))
                _complete(operation, method=method, path=path)
        app.openapi_schema = schema
    return app.openapi_schema


def _add_headers(operation: Document, things: Things, *, method: str, template: str) -> None:
    """Say which headers make it safe, where `web/safe_writes.py` reads them."""
    more = []
    if (method.upper(), template) in things.seen_at:
        more = [IF_MATCH, IF_NONE_MATCH] if method == "put" else [IF_MATCH]
    if method == "post" and template.startswith("/v1/") and not template.endswith(ASKS_BY_POST):
        more.append(IDEMPOTENCY_KEY)
        for status, said in operation["responses"].items():
            if status.startswith("2"):
                said["headers"] = {**said.get("headers", {}), **copy.deepcopy(REPLAYED)}
    if more:
        operation["parameters"] = [*operation.get("parameters", ()), *copy.deepcopy(more)]
    if method == "get" and template in things.tagged:
        operation["responses"]["200"]["headers"] = copy.deepcopy(ETAG)


def _complete(operation: Document, *, method: str, path: str) -> None:
    """Say what an operation refuses, and that one outside the protected paths needs no key."""
    operation["responses"].pop("422", None)
    for status in refused(operation, method=method, path=path):
        said = operation["responses"].get(str(status), {})
        if "content" not in said:
            operation["responses"][str(status)] = {"$ref": f"#/components/responses/{REFUSALS[status][0]}"}
    operation["responses"] = dict(sorted(operation["responses"].items()))
    if not path.startswith(PROTECTED):
        operation["security"] = []


def refused(operation: Mapping[str, Any], *, method: str, path: str) -> set[int]:
    """The statuses with which an operation may refuse."""
    statuses = {400, 414, 431, 500, 503} | (REFUSALS.keys() & map(int, operation["responses"]))
    if path.startswith(PROTECTED):
        statuses |= {401, 403, 429}
    if path.startswith(SIGNS_IN):
        statuses |= {429}
    if "{" in path:
        statuses |= {404}
    if method != "get" and not path.endswith(ASKS_BY_POST):
        statuses |= {409}
    if "requestBody" in operation:
        statuses |= {413, 415}
    named = {each["name"].lower() for each in operation.get("parameters", ()) if each["in"] == "header"}
    if "if-match" in named:
        statuses |= {412}
    if "idempotency-key" in named:
        statuses |= {422}
    return statuses


def _refusal(status: int) -> Document:
    said: Document = {
        "description": REFUSALS[status][1],
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
    }
    if status in {429, 503}:
        said["headers"] = copy.deepcopy(RETRY_AFTER)
    if status == 401:
        said["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}}
    return said
