"""Webhook: a job is posted, signed, to a URL; whoever listens there does the work and calls back.

For executors that no other agent knows: a script of your own, a serverless function, Tekton's event listener, a CI
system's trigger. A receiver in thirty lines is in [the guide](../guides/webhook-jobs.md).

```yaml
type: JobAgent
name: hooks
agentType: webhook
config:
  url: https://deploy.example.com/jobs
  secret: {secretRef: {provider: env, path: DEPLOY_WEBHOOK_SECRET}}
  inputs:
    region: "{{ resource.config.region }}"
```

{keys}

**What is sent** is one POST with `{"type": "job.start", "data": {…}}`:

| in `data` | what it is |
|---|---|
| `jobId`, `attempt` | which job; a retry is a new job, an attempt is one hand-over |
| `idempotencyKey` | both, in one text: the header `Idempotency-Key` and `webhook-id`. Start nothing twice for one key |
| `callback` | `{url, token}`: where to say how it goes, below |
| `timeoutSeconds` | how long the run may take, where the config says so |
| `authorization` | `{decisionId, targetId, releaseDigest, expiresAt}`: what allowed it, and until when |
| `inputs` | those of the config, filled |
| `context` | the job's dispatch context: deployment, environment, resource, release, version, variables, … |

It is signed as [Standard Webhooks](https://www.standardwebhooks.com) say: headers `webhook-id`, `webhook-timestamp` and
`webhook-signature`, so any of their libraries can check it. When it is sent again, its body is the same to the byte.

**Secrets**: the context holds marks (`••••1a2b3c4d`) in place of secrets; with `withSecrets: true` the values of the
job's variables, and never those of an agent's or a deployment's config. Send them over https alone.

**The answer**: any 2xx accepts the job. It may be empty, or JSON with what a callback may say (`externalId`, `links`,
…; with a `status`, the job may be over at once). 408, 409, 425, 429, 5xx, silence and a web page are none: it is sent
again with the same key, after the `Retry-After` that it asks for. Every other 4xx, and a redirect, fails the job with
what the answer says.

**The callback**: `POST` to `callback.url` with `Authorization: Bearer <callback.token>`; the token is good for this
attempt of this job alone, and until a day after its end. All fields may be left out:

    {"status": "successful", "message": "…", "externalId": "…", "links": {"Log": "https://…"}, "metadata": {"k": "v"},
     "output": "…", "applied": ["Service/shop/web"], "artifacts": ["registry.example/web@sha256:…"]}

It answers 202 also to what comes late or twice, which is noted and changes nothing; 401 for a wrong token, 429 when it
is called more than once a second for long. Call again until it has answered 202: what is never heard ends as
`timeoutSeconds` says. With `statusUrl`, Interlock asks too.

**Cancel**: a POST of `{"type": "job.cancel", "data": {jobId, attempt, idempotencyKey, externalId, callback}}` to the
same URL. Say `cancelled` by callback, or in the answer, when it has ended.

**Permissions**: none of Interlock's; the token does for the callback. To let only Interlock start jobs, check the
signature.

**Statuses**: inProgress once it is accepted; then what is called back: inProgress, actionRequired, successful,
failure, cancelled, skipped.

**Class**: told. A start that was not answered is sent again with the same key; the receiver is trusted to know it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from interlock.agents.keys import Address, Checked, Flag, Key, TextMap, check_keys, lacking
from interlock.agents.rest import TIMEOUT_S, Clash, Tool
from interlock.clock import utc_now
from interlock.model.errors import AgentUnavailable, FieldError, Rejected
from interlock.model.job import REPORTABLE, AgentClass, AgentJob, Authorization, JobStatus, Observation
from interlock.model.secret import is_masked, is_reference
from interlock.outside.http import OWN_HEADERS, Http
from interlock.outside.standard_webhooks import is_secret, signed_headers
from interlock.outside.templates import render_text

START, CANCEL = "job.start", "job.cancel"

OURS = frozenset({"accept", "content-type", "idempotency-key", "webhook-id", "webhook-signature", "webhook-timestamp"})
"""Headers that the agent writes."""

_HEADERS_MAX, _INPUTS_MAX, _ITEMS_MAX = 20, 50, 200
_FIELDS = ("message", "externalId", "output")


def _wrong_secret(value: object, field: str) -> list[FieldError]:
    if is_reference(value) or is_masked(value):
        return []
    if isinstance(value, str) and value.split() and all(map(is_secret, value.split())):
        return []
    made = "`whsec_` and 24 to 64 bytes in base64; of several the newest first, with spaces between"
    return [FieldError(field, f"Must be a signing secret: {made}.")]


def _wrong_headers(value: object, field: str) -> list[FieldError]:
    if not isinstance(value, Mapping) or len(value) > _HEADERS_MAX:
        return [FieldError(field, f"Must be a map of at most {_HEADERS_MAX} texts.")]
    wrong = []
    for name, text in value.items():
        if str(name).lower() in OURS | OWN_HEADERS:
            wrong.append(FieldError(f"{field}.{name}", "Is written by Interlock."))
        elif not str(name).isascii() or not str(name).replace("-", "").replace("_", "").isalnum():
            wrong.append(FieldError(f"{field}.{name}", "Is no name of a header."))
        elif not is_reference(text) and (not isinstance(text, str) or not text.isprintable()):
            wrong.append(FieldError(f"{field}.{name}", "Must be a text of one line, or a secretRef."))
    return wrong


_SECRET_SCHEMA = {"type": ["string", "object"], "writeOnly": True}
_HEADERS_SCHEMA = {"type": "object", "maxProperties": _HEADERS_MAX, "writeOnly": True}

KEYS = (
    Key("url", Address(), "where jobs are posted to", needed="agent"),
    Key(
        "secret",
        Checked("a signing secret, `whsec_…`", _wrong_secret, _SECRET_SCHEMA),
        'what posts are signed with; sealed. Make one: `echo "whsec_$(openssl rand -base64 32)"`. While it is changed, '
        "two with a space between, the newest first",
        needed="agent",
    ),
    Key(
        "headers",
        Checked(f"a map of at most {_HEADERS_MAX} texts", _wrong_headers, _HEADERS_SCHEMA),
        "more headers, such as `Authorization`; sealed",
    ),
    Key("inputs", TextMap(_INPUTS_MAX), "texts for the receiver, with placeholders (`{{ version.tag }}`); at most 50"),
    Key("withSecrets", Flag(), "send the values of the job's secret variables, not their marks", default=False),
    Key(
        "statusUrl",
        Address(),
        "where a run is asked for with `GET ?jobId=…&attempt=…`, signed over an empty body; it answers like a "
        "callback, and 404 for a run that it does not know",
        shown_default="it is not asked",
    ),
)


class WebhookAgent:
    """A POST a job, a callback for each news of it."""

    kind: ClassVar[str] = "webhook"
    klass: ClassVar[AgentClass] = AgentClass.TOLD
    capabilities: ClassVar[frozenset[str]] = frozenset({"callback"})
    observe_every_s: ClassVar[float | None] = 30.0
    keys: ClassVar[tuple[Key, ...]] = KEYS
    open_ended: ClassVar[bool] = False

    def __init__(self, http: Http, *, now: Callable[[], datetime] = utc_now, call_timeout_s: float = TIMEOUT_S) -> None:
        self._http, self._now, self._call_timeout_s = http, now, call_timeout_s

    def check_config(self, config: Mapping[str, object]) -> None:
        """Refuse unknown keys, wrong types, addresses that are none, a secret that is none, headers that are ours."""
        check_keys(config, self.keys, check_url=self._http.check_url)

    async def start(self, job: AgentJob, authorization: Authorization) -> Observation:
        """Post the job. The same attempt is the same message, under the same key."""
        message = {"type": START, "data": {**_which(job), **_what(job, authorization)}}
        seen = _said(await self._post(job, message, key=_key(job)))
        if seen.status is not None:
            return seen
        return Observation(
            JobStatus.IN_PROGRESS,
            seen.message or "The receiver has accepted it.",
            seen.external_id,
            seen.links,
            seen.metadata,
            seen.output,
            seen.artifacts,
            seen.applied,
        )

    async def find(self, job: AgentJob) -> Observation | None:
        """What the status URL says of the attempt; None where there is none, or it knows of no run."""
        if not job.config.get("statusUrl"):
            return None
        tool = self._tool(job, str(job.config["statusUrl"]), key=_key(job))
        answer = await tool.call("GET", "", query={"jobId": job.id, "attempt": job.attempt}, may_miss=True)
        return None if answer is None else _said(answer, asked=True)

    async def observe(self, job: AgentJob) -> Observation | None:
        """The same; without a status URL the run is as it was, and calls back."""
        return await self.find(job) if job.config.get("statusUrl") else Observation(None)

    async def cancel(self, job: AgentJob) -> Observation | None:
        """Post that the run shall end. That it has, is called back, or said in the answer."""
        data = {**_which(job, ending="-cancel"), "externalId": job.external_id}
        seen = _said(await self._post(job, {"type": CANCEL, "data": data}, key=f"{_key(job)}-cancel"))
        if seen.status is None and job.config.get("statusUrl"):
            return await self.find(job)
        return seen

    def links(self, job: AgentJob, observation: Observation) -> Mapping[str, str]:
        """None but those that the receiver tells."""
        _ = job, observation
        return {}

    async def _post(self, job: AgentJob, message: Mapping[str, object], *, key: str) -> Any:
        """Post a message, and read what is answered; None where that says nothing."""
        tool = self._tool(job, str(job.config.get("url") or ""), key=key)
        try:
            return await tool.call("POST", "", body=message, may_chat=True)
        except Clash as busy:  # the key is known, and its first request not over (draft-ietf-httpapi-idempotency-key)
            raise AgentUnavailable(busy.message) from busy

    def _tool(self, job: AgentJob, url: str, *, key: str) -> Tool:
        """The receiver, with what signs a message of this key.

        Fails: `Rejected` for a config that lacks something.
        """
        if missing := lacking(job.config, KEYS):
            raise Rejected(missing)
        secrets = str(job.config["secret"]).split()
        if wrong := _wrong_secret(" ".join(secrets), "config.secret"):
            raise Rejected(f"config.secret: {wrong[0].message}")
        given = job.config.get("headers")
        more = {str(name): str(text) for name, text in given.items()} if isinstance(given, Mapping) else {}

        def sign(body: bytes) -> dict[str, str]:
            now_s = int(self._now().timestamp())
            return {**signed_headers(secrets, message_id=key, timestamp=now_s, body=body), "Idempotency-Key": key}

        return Tool(self._http, "The receiver", url, more, self._call_timeout_s, sign=sign)


def _key(job: AgentJob) -> str:
    return f"{job.id}-{job.attempt}"


def _which(job: AgentJob, *, ending: str = "") -> dict[str, object]:
    """Which attempt of which job, and where to say how it goes.

    Fails: `Rejected` where nothing could be called back.
    """
    if job.callback is None:
        raise Rejected("There is nowhere to call back to: this job has no token.")
    return {
        "jobId": job.id,
        "attempt": job.attempt,
        "idempotencyKey": _key(job) + ending,
        "callback": {"url": job.callback.url, "token": job.callback.token},
    }


def _what(job: AgentJob, authorization: Authorization) -> dict[str, object]:
    """What is to be done: nothing in it says when it was sent, so that it is the same when it is sent again."""
    given, context = job.config.get("inputs"), dict(job.shown)
    if job.config.get("withSecrets") is True:
        context["variables"] = job.context.get("variables", {})
    expires_at = authorization.expires_at
    return {
        "timeoutSeconds": job.timeout_s,
        "authorization": {
            "decisionId": authorization.decision_id,
            "targetId": authorization.target_id or None,
            "releaseDigest": authorization.release_digest,
            "expiresAt": expires_at.isoformat() if expires_at else None,
        },
        "inputs": {
            str(name): render_text(str(text), job.context, field=f"config.inputs.{name}")
            for name, text in (given.items() if isinstance(given, Mapping) else ())
        },
        "context": context,
    }


def _said(answer: object, *, asked: bool = False) -> Observation:
    """What an answer says of the run, as far as it can be read: what is of another type is not said.

    Takes: `asked` for how it goes, the answer must not be another word than ours. A post may be answered "ok".
    Fails: `AgentUnavailable` for such a word.
    """
    if not isinstance(answer, Mapping):
        return Observation(None)
    status = answer.get("status")
    if not isinstance(status, str) or status not in REPORTABLE:
        if asked:
            known = ", ".join(sorted(REPORTABLE))
            raise AgentUnavailable(f"The receiver says the status is {str(status)[:100]!r}, which is none of {known}.")
        status = None
    text = {name: answer[name] for name in _FIELDS if isinstance(answer.get(name), str)}
    return Observation(
        None if status is None else JobStatus(status),
        text.get("message"),
        text.get("externalId"),
        {name: url for name, url in _texts(answer.get("links")).items() if url.startswith(("https://", "http://"))},
        _texts(answer.get("metadata")),
        text.get("output"),
        _listed(answer.get("artifacts")),
        _listed(answer.get("applied")),
        _instant(answer.get("finishedAt")),
    )


def _texts(found: object) -> dict[str, str]:
    given = list(found.items())[:_ITEMS_MAX] if isinstance(found, Mapping) else []
    return {str(name): text for name, text in given if isinstance(text, str)}


def _listed(found: object) -> tuple[str, ...]:
    return tuple(one for one in found[:_ITEMS_MAX] if isinstance(one, str)) if isinstance(found, list) else ()


def _instant(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None
