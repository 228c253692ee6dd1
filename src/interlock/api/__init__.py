"""What does the REST interface offer? One file per noun: parse, call the store, render.

The interface keeps the public contract's words and paths. A handler checks the request, asks `access` whether the
actor may do it, reads or writes through `store`, and renders. It decides nothing about deployments.

A request passes, from the outside in: raw path, head limit, rate limits, body limit, sign-in, route, body, handler.
What is refused anywhere on this way gets the same error body (`web/errors.py`).

Source: contract.md.
"""

from __future__ import annotations

import itertools

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

import interlock
from interlock.agents import build_agents
from interlock.agents.plugins import add_plugins
from interlock.api import (
    access,
    addresses,
    agent_tokens,
    agents,
    alerts,
    apply,
    approvals,
    bindings,
    callbacks,
    dependencies,
    deployment_plans,
    deployments,
    endings,
    environments,
    forecast,
    freezes,
    groups,
    health,
    in_force,
    incidents,
    inspections,
    jobs,
    keys,
    ledger,
    logins,
    members,
    orders,
    pins,
    policies,
    posted,
    previews,
    providers,
    relationship_rules,
    replays,
    resources,
    roles,
    rollouts,
    saturations,
    series,
    skips,
    slos,
    slots,
    standings,
    subscriptions,
    systems,
    targets,
    tasks,
    traces,
    variable_sets,
    variables,
    verifications,
    versions,
    webhooks,
    what_if,
    workflows,
    workspaces,
)
from interlock.api.description import described, things_of
from interlock.metrics import build_metrics
from interlock.outside.http import guarded_http
from interlock.outside.kubernetes_access import own_pod
from interlock.outside.references import build_references
from interlock.settings import Settings
from interlock.store.opening import Opener
from interlock.store.tx import Store
from interlock.web.bodies import BodyLimit
from interlock.web.errors import install_error_answers
from interlock.web.events import Streams
from interlock.web.heads import HeadLimit
from interlock.web.rates import Buckets, RateLimits
from interlock.web.raw_path import RawPath
from interlock.web.sign_in import SignIn
from interlock.web.signatures import BODY_BYTES_MAX

NOUNS = (
    health,
    logins,
    workspaces,
    systems,
    forecast,
    what_if,
    environments,
    deployments,
    endings,
    versions,
    deployment_plans,
    dependencies,
    agents,
    policies,
    posted,
    resources,
    providers,
    variables,
    variable_sets,
    relationship_rules,
    workflows,
    previews,
    targets,
    jobs,
    series,
    tasks,
    verifications,
    approvals,
    rollouts,
    orders,
    slos,
    slots,
    standings,
    traces,
    in_force,
    inspections,
    replays,
    pins,
    skips,
    freezes,
    incidents,
    alerts,
    saturations,
    members,
    keys,
    groups,
    roles,
    bindings,
    access,
    agent_tokens,
    ledger,
    subscriptions,
    addresses,
    apply,
    webhooks,
    callbacks,
)
"""Every file of this package that has a router; a path that two of them match belongs to the first."""

_ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def build_api(store: Store, settings: Settings) -> FastAPI:
    """The API under `/api`, with its own middleware. What else is served at the address is added to it after."""
    app = FastAPI(
        title="Interlock",
        version=interlock.__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.store = store
    app.state.streams = Streams(settings.streams_max)
    app.state.settings = settings
    app.state.http = guarded_http(settings)
    ours = build_agents(
        exec_root=settings.data.absolute() / "exec",
        exec_enabled=settings.exec_agent,
        http=app.state.http,
        own_pod=own_pod(settings),
    )
    app.state.agents = add_plugins(ours, app.state.http, required=settings.required_agents)
    app.state.metrics = build_metrics(app.state.http, own_pod=own_pod(settings))
    app.state.callbacks = Buckets(callbacks.RATE)
    app.state.opener = Opener(store, build_references(settings))
    for noun in NOUNS:
        app.router.routes.extend(noun.router.routes)
    app.state.things = things_of(noun.router for noun in NOUNS)
    app.add_api_route("/api/{rest:path}", _nothing_here, methods=_ALL_METHODS, include_in_schema=False)
    install_error_answers(app)
    app.openapi = lambda: described(app)  # type: ignore[method-assign]
    app.add_middleware(SignIn, store=store, protected="/api/v1/")
    app.add_middleware(
        BodyLimit,
        bytes_max=settings.body_bytes_max,
        bytes_max_by_ending={
            "/set": settings.set_bytes_max,
            "/apply": settings.set_bytes_max,
            "/webhook": BODY_BYTES_MAX,
            "/callback": BODY_BYTES_MAX,
        },
    )
    app.add_middleware(RateLimits, settings=settings)
    app.add_middleware(HeadLimit)
    app.add_middleware(RawPath)
    return app


async def _nothing_here(request: Request) -> Response:
    """Tell a path that does not exist from one that does not take this method.

    Why: the console is served beside the API and would answer for both.
    """
    ours = itertools.takewhile(lambda route: getattr(route, "endpoint", None) is not _nothing_here, request.app.routes)
    routes = list(ours)
    allowed = [
        method
        for method in _ALL_METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    if allowed:
        raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
    raise HTTPException(404)
