"""REST for applying: many writes as one, all of them or none.

What stands in files belongs together: a deployment without the policy that guards it should not exist for a second.
So the requests that would make it so are sent as one. Each is handled exactly as if it came alone, by its own route,
with its own checks and permissions, but all of them within one transaction: later ones see what earlier ones wrote, and
when one is refused nothing is written. Every refusal is told, not the first alone.

    POST …/apply  {"dryRun": false, "requests": [{"method": "PUT", "path": "systems/<id>", "body": {…}}, …]}

`dryRun` does the same and then undoes it: what only the server can judge is judged by the code that would write it.
`path` is what follows the workspace in the request's own path, encoded as it would be there. Headers of the whole
request count for each. Jobs, versions and approvals have no place here: they are events, not something that stands.

Source: these paths are ours; decision record 0021.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

import orjson
from fastapi import Request
from pydantic import Field
from starlette.responses import Response
from starlette.types import Message
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.paths import W, noun_router
from interlock.model.errors import Stale, StoreUnavailable
from interlock.store.tx import RolledBack
from interlock.web.answers import Json
from interlock.web.bodies import Bool, ClosedBody, Text
from interlock.web.errors import refusal
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("apply")

REQUESTS_MAX = 5_000
"""How many requests one call may hold: about ten seconds of one transaction. A fleet goes as one provider's `set`."""

NOUNS = frozenset(
    {
        "deployment-variable-values",
        "deployment-variables",
        "deployments",
        "environments",
        "freezes",
        "groups",
        "job-agents",
        "policies",
        "relationship-rules",
        "resource-providers",
        "resources",
        "roles",
        "slos",
        "subscriptions",
        "systems",
        "variable-sets",
        "workflows",
    }
)
"""The first segment of a path that may be sent here: what stands, not what happens."""

_OWN_HEADERS = frozenset({b"content-length", b"content-type", b"transfer-encoding", b"idempotency-key", b"if-match"})
"""What the whole request says of itself alone."""


class Sent(ClosedBody):
    """One request. `at` is the sender's own word for where it comes from (`fleet.yaml:12`), told with a refusal."""

    method: Literal["PUT", "POST", "PATCH", "DELETE"]
    path: Annotated[Text, Field(min_length=1)]
    body: Any = None
    at: Text | None = None
    ifMatch: Text | None = None


class ApplyBody(ClosedBody):
    """The requests in their order."""

    requests: Annotated[list[Sent], Field(max_length=REQUESTS_MAX)]
    dryRun: Bool = False


class Applied(TypedDict):
    """What one request was answered."""

    status: int
    body: NotRequired[Any]


class ApplyAnswer(TypedDict):
    """What every request was answered, in their order, and whether it was written."""

    written: bool
    results: list[Applied]


@router.post(W + "/apply", response_model=ApplyAnswer, responses={412: {}})
async def apply(here: InWorkspace, request: Request, body: ApplyBody) -> Response:
    """Write everything that these requests ask for, or nothing. `dryRun`: say whether it would be written."""
    here.require(Permission.READ)
    async with here.store.joined(unchanged=any(sent.ifMatch for sent in body.requests)):
        results = [await _answer(request, sent, here) for sent in body.requests]
        refused = [n for n, (status, _) in enumerate(results) if status >= 400]
        if refused or body.dryRun:
            raise RolledBack
    if refused:
        return _refused(body, results, refused)
    return Json(
        {
            "written": not body.dryRun,
            "results": [{"status": status, "body": answer} for status, answer in results],
        }
    )


async def _answer(request: Request, sent: Sent, here: Here) -> tuple[int, Any]:
    """What the sent request's own route answers: (status, its JSON).

    Fails: `Stale` when the transaction lost a race, so that all of it is done again; `StoreUnavailable` likewise.
    """
    path, _, query = sent.path.lstrip("/").partition("?")
    if path.partition("/")[0] not in NOUNS:
        return 400, {"message": f"{path} is nothing that can be applied.", "code": "NOT_APPLICABLE"}
    room = request.scope["path"].removesuffix("/apply")
    raw = b"" if sent.body is None else orjson.dumps(sent.body)
    headers = [pair for pair in request.scope["headers"] if pair[0] not in _OWN_HEADERS]
    headers += [(b"content-length", str(len(raw)).encode()), (b"content-type", b"application/json")]
    if sent.ifMatch:
        headers.append((b"if-match", sent.ifMatch.encode("latin-1", "replace")))
    scope = {
        **request.scope,
        "method": sent.method,
        "path": f"{room}/{path}",
        "raw_path": f"{room}/{path}".encode("ascii", "replace"),
        "query_string": query.encode("ascii", "replace"),
        "headers": headers,
        "state": {**request.scope["state"], "tries_max": 1, "around": here},
    }
    scope = {key: value for key, value in scope.items() if key not in {"route", "endpoint", "path_params"}}
    status, parts = 500, list[bytes]()

    async def receive() -> Message:
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await request.app.router(scope, receive, send)
    said = b"".join(parts)
    answer = orjson.loads(said) if said else None
    if status >= 500:
        message = str(answer.get("message")) if isinstance(answer, Mapping) else ""
        raise (
            Stale(message)
            if isinstance(answer, Mapping) and answer.get("code") == "BUSY"
            else StoreUnavailable(message)
        )
    return status, answer


def _refused(body: ApplyBody, results: list[tuple[int, Any]], refused: list[int]) -> Json:
    """The answer when something was refused: which requests, and why each. Its status is the first one's."""
    details: list[dict[str, Any]] = []
    for n in refused:
        status, answer = results[n]
        sent = body.requests[n]
        said = answer if isinstance(answer, Mapping) else {}
        told = {"request": n, "method": sent.method, "path": sent.path, "at": sent.at, "status": status}
        told |= {"code": said.get("code"), "message": said.get("message"), "details": said.get("details")}
        details.append({key: value for key, value in told.items() if value is not None})
    first = details[0]
    where = first.get("at") or f"{first['method']} {first['path']}"
    more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
    return refusal(
        results[refused[0]][0],
        f"Nothing was written. {where} was refused: {first.get('message')}{more}",
        code=first.get("code") or "NOT_APPLIED",
        details={"refusals": details},
    )
