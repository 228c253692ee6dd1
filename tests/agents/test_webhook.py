"""Is a job posted, signed, once a key, and is what the receiver says read? Against a receiver on loopback."""

from __future__ import annotations

import base64
import dataclasses
from datetime import UTC, datetime

import pytest

from interlock.agents.webhook import WebhookAgent
from interlock.model.errors import AgentUnavailable, Rejected
from interlock.model.job import JobStatus, Observation
from interlock.model.secret import Where, is_secret
from interlock.outside.http import Http

from .conformance import AUTHORIZATION, CALLBACK, AgentConformance, Faults, Rehearsal, job_of, started
from .stub_server import serving
from .webhook_server import SECRET, WebhookServer


@pytest.fixture
async def server():
    async with serving(WebhookServer()) as stub:
        yield stub


@pytest.fixture
async def agent():
    async with Http(allow_private_addresses=True) as http:
        yield WebhookAgent(http)


SITE = {"resource": {"name": "prod-eu-1"}}


def config(server: WebhookServer, way: str = "quick", **more: object) -> dict[str, object]:
    url = f"{server.url}/jobs"
    return {"url": url, "secret": server.secret, "inputs": {"way": way, "to": "{{ resource.name }}"}, **more}


@pytest.fixture
def rehearsal(server, agent) -> Rehearsal:
    asked = {"statusUrl": f"{server.url}/jobs"}
    return Rehearsal(
        agent=agent,
        quick=config(server, **asked),
        slow=config(server, "slow", **asked),
        wrong=(
            ({"url": 5}, "config.url"),
            ({"url": "ftp://hooks.example"}, "config.url"),
            ({"statusUrl": "hooks.example"}, "config.statusUrl"),
            ({"secret": 5}, "config.secret"),
            ({"secret": ""}, "config.secret"),
            ({"secret": "hush"}, "config.secret"),
            ({"secret": f"{SECRET} whsec_short"}, "config.secret"),
            ({"headers": ["a"]}, "config.headers"),
            ({"headers": {str(n): "" for n in range(21)}}, "config.headers"),
            ({"headers": {"X-Team": 5}}, "config.headers.X-Team"),
            ({"headers": {"X-Team": "a\nb"}}, "config.headers.X-Team"),
            ({"headers": {"X Team": "a"}}, "config.headers.X Team"),
            ({"headers": {"Webhook-Id": "a"}}, "config.headers.Webhook-Id"),
            ({"headers": {"Host": "a"}}, "config.headers.Host"),
            ({"inputs": {"a": 5}}, "config.inputs.a"),
            ({"inputs": {"a": "{{ x | y }}"}}, "config.inputs.a"),
            ({"withSecrets": "yes"}, "config.withSecrets"),
            ({"token": "x"}, "config.token"),
        ),
        runs=lambda: server.started,
        server=server,
    )


class TestConformance(AgentConformance):
    """The suite that every agent passes."""


class TestFaults(Faults):
    """Every call meets every fault."""


async def test_the_receiver_gets_all_it_needs_and_no_secret(server, agent, rehearsal):
    job = dataclasses.replace(
        job_of(rehearsal, config(server, "slow")), shown={"variables": {"password": "••••1a2b3c4d"}}, timeout_s=60
    )
    expires = dataclasses.replace(AUTHORIZATION, expires_at=datetime(2026, 3, 9, tzinfo=UTC))
    seen = await agent.start(job, expires)
    (call,) = server.calls
    assert call.body == {
        "type": "job.start",
        "data": {
            "jobId": job.id,
            "attempt": 1,
            "idempotencyKey": f"{job.id}-1",
            "callback": {"url": CALLBACK.url, "token": CALLBACK.token},
            "timeoutSeconds": 60,
            "authorization": {
                "decisionId": expires.decision_id,
                "targetId": expires.target_id,
                "releaseDigest": "sha256:0",
                "expiresAt": "2026-03-09T00:00:00+00:00",
            },
            "inputs": {"way": "slow", "to": "prod-eu-1"},
            "context": {"variables": {"password": "••••1a2b3c4d"}},
        },
    }
    assert (seen.status, seen.external_id) == (JobStatus.IN_PROGRESS, f"run-{job.id}")
    assert "token" not in repr(job)


async def test_the_values_of_variables_are_sent_where_the_config_asks_for_them_and_no_other_secret(
    server, agent, rehearsal
):
    given = config(server, "slow", withSecrets=True)
    job = dataclasses.replace(
        job_of(rehearsal, given),
        context={"variables": {"password": "open"}, "jobAgentConfig": given, **SITE},
        shown={"variables": {"password": "••••"}, "jobAgentConfig": {"secret": "••••"}},
    )
    await agent.start(job, AUTHORIZATION)
    assert server.calls[0].body["data"]["context"] == {
        "variables": {"password": "open"},
        "jobAgentConfig": {"secret": "••••"},
    }


async def test_what_is_sent_again_is_the_same_to_the_byte(server, agent, rehearsal):
    job = job_of(rehearsal, rehearsal.slow)
    server.next_is(method="POST", cut_after=True)
    with pytest.raises(AgentUnavailable):
        await agent.start(job, AUTHORIZATION)
    await agent.start(job, AUTHORIZATION)
    first, second = server.calls
    assert first.raw == second.raw
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == f"{job.id}-1"
    assert server.started == 1


async def test_while_a_secret_is_changed_both_sign(server, agent, rehearsal):
    newer = "whsec_" + base64.b64encode(b"n" * 32).decode()
    given = config(server, secret=f"{newer} {server.secret}", headers={"Authorization": "Bearer me"})
    agent.check_config(given)
    seen = await agent.start(job_of(rehearsal, given), AUTHORIZATION)
    assert seen.status is JobStatus.IN_PROGRESS
    assert server.calls[0].headers["authorization"] == "Bearer me"


async def test_a_wrong_secret_is_a_no(server, agent, rehearsal):
    server.secret = "whsec_" + base64.b64encode(b"o" * 32).decode()
    with pytest.raises(Rejected, match="refused the credentials"):
        await agent.start(job_of(rehearsal, {**config(server), "secret": SECRET}), AUTHORIZATION)


# what the answer to a start says -> status, message, and what else of it is kept
ANSWERS = [
    ({"status": "successful", "message": "done"}, JobStatus.SUCCESSFUL, "done"),
    ({"status": "actionRequired"}, JobStatus.ACTION_REQUIRED, None),
    ({"status": "ok"}, JobStatus.IN_PROGRESS, "The receiver has accepted it."),
    ({"status": {"code": 1}, "message": 5}, JobStatus.IN_PROGRESS, "The receiver has accepted it."),
    ({"status": "pending", "message": "queued behind 3"}, JobStatus.IN_PROGRESS, "queued behind 3"),
    ({}, JobStatus.IN_PROGRESS, "The receiver has accepted it."),
]


@pytest.mark.parametrize(("says", "status", "message"), ANSWERS)
async def test_the_answer_to_a_start_may_say_how_it_goes(server, agent, rehearsal, says, status, message):
    server.says = says
    seen = await agent.start(job_of(rehearsal, rehearsal.slow), AUTHORIZATION)
    assert (seen.status, seen.message) == (status, message)


async def test_all_that_a_receiver_says_is_kept_as_far_as_it_can_be_read(server, agent, rehearsal):
    server.says = {
        "links": {"Log": "https://log.example/1", "Bad": "javascript:alert(1)", "Odd": 5},
        "metadata": {"region": "eu", "odd": ["a"]},
        "output": "42 objects",
        "applied": ["Service/shop/web", 5],
        "artifacts": "none",
    }
    seen = await agent.start(job_of(rehearsal, rehearsal.slow), AUTHORIZATION)
    assert (seen.links, seen.metadata) == ({"Log": "https://log.example/1"}, {"region": "eu"})
    assert (seen.output, seen.applied, seen.artifacts) == ("42 objects", ("Service/shop/web",), ())


@pytest.mark.parametrize("said", [b"ok", b"", b'"ok"', b"  accepted\n"])
async def test_whatever_a_2xx_says_it_accepts(server, agent, rehearsal, said):
    server.next_is(status=201, body=said)
    seen = await agent.start(job_of(rehearsal, rehearsal.slow), AUTHORIZATION)
    assert seen.status is JobStatus.IN_PROGRESS


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503])
async def test_what_is_no_answer_is_sent_again(server, agent, rehearsal, status):
    server.next_is(status=status, headers={"Retry-After": "4"})
    with pytest.raises(AgentUnavailable) as silent:
        await agent.start(job_of(rehearsal, rehearsal.slow), AUTHORIZATION)
    assert silent.value.retry_after_s in {4, None}


async def test_without_a_status_url_a_run_is_as_it_was(server, agent, rehearsal):
    job, _ = await started(agent, job_of(rehearsal, config(server, "slow")))
    assert await agent.observe(job) == Observation(None)
    assert await agent.find(job) is None
    asked = await agent.cancel(job)
    assert asked is not None
    assert asked.status is None
    assert [call.body["type"] for call in server.calls] == ["job.start", "job.cancel"]
    assert server.calls[1].headers["idempotency-key"] == f"{job.id}-1-cancel"
    assert server.calls[1].body["data"]["externalId"] == f"run-{job.id}"


async def test_a_status_that_is_none_of_ours_is_not_taken_for_one(server, agent, rehearsal):
    job, _ = await started(agent, job_of(rehearsal, rehearsal.slow))
    server.jobs[job.id, "1"]["status"] = "finished"
    with pytest.raises(AgentUnavailable, match="'finished', which is none of actionRequired, cancelled"):
        await agent.observe(job)


async def test_what_is_missing_is_said_before_anything_is_called(server, agent, rehearsal):
    with pytest.raises(Rejected, match="lacks url, secret"):
        await agent.start(job_of(rehearsal, {}), AUTHORIZATION)
    with pytest.raises(Rejected, match="nowhere to call back to"):
        await agent.start(dataclasses.replace(job_of(rehearsal, rehearsal.quick), callback=None), AUTHORIZATION)
    with pytest.raises(Rejected, match=r"config.secret: Must be a signing secret"):
        await agent.start(job_of(rehearsal, config(server, secret="hush")), AUTHORIZATION)
    assert server.calls == []


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        (("secret",), True),
        (("headers", "Authorization"), True),
        (("headers", "Accept-Language"), False),
        (("url",), False),
        (("inputs", "to"), False),
    ],
)
async def test_what_signs_and_signs_in_is_sealed(path, secret):
    assert is_secret(Where.AGENT_CONFIG, path) is secret
