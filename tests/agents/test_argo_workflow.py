"""Is a Workflow submitted once, followed and terminated? Against an Argo Server on loopback."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from interlock.agents.argo_workflow import ArgoWorkflowAgent
from interlock.model.errors import AgentUnavailable, Invalid, Rejected
from interlock.model.job import JobStatus, Observation
from interlock.outside.go_templates import GoTemplates
from interlock.outside.http import Http

from .argo_workflow_server import ArgoWorkflowServer
from .conformance import AUTHORIZATION, AgentConformance, Faults, Rehearsal, job_of, started
from .stub_server import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEMPLATE = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: whatever
  labels: {version: "{{ .version.tag }}+x"}
spec:
  entrypoint: WAY
  arguments: {parameters: [{name: tag, value: "{{ .version.tag }}"}, {name: said, value: '{{ "{{workflow.name}}" }}'}]}
"""


def config(server: ArgoWorkflowServer, way: str = "quick", **more: object) -> dict[str, object]:
    template = TEMPLATE.replace("WAY", way)
    return {"serverUrl": server.url, "apiKey": server.token, "template": template, "namespace": "ci", **more}


@pytest_asyncio.fixture(loop_scope="module")
async def server():
    async with serving(ArgoWorkflowServer()) as stub:
        yield stub


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def templates():
    """One process that renders, for the whole file."""
    made = GoTemplates()
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def agent(templates):
    async with Http(allow_private_addresses=True) as http:
        yield ArgoWorkflowAgent(http, templates)


@pytest.fixture
def rehearsal(server, agent) -> Rehearsal:
    return Rehearsal(
        agent=agent,
        quick=config(server, name="deploy"),
        slow=config(server, "slow"),
        wrong=(
            ({"serverUrl": 5}, "config.serverUrl"),
            ({"serverUrl": "ftp://argo.example"}, "config.serverUrl"),
            ({"apiKey": 5}, "config.apiKey"),
            ({"webhookSecret": ["a"]}, "config.webhookSecret"),
            ({"template": "{{ .a"}, "config.template"),
            ({"template": ""}, "config.template"),
            ({"name": 5}, "config.name"),
            ({"namespace": 5}, "config.namespace"),
            ({"namespace": "{{ x | y }}"}, "config.namespace"),
            ({"httpInsecure": "yes"}, "config.httpInsecure"),
            ({"url": "https://argo.example"}, "config.url"),
        ),
        runs=lambda: server.submitted,
        server=server,
    )


class TestConformance(AgentConformance):
    """The suite that every agent passes."""


class TestFaults(Faults):
    """Every call meets every fault."""


async def test_the_workflow_is_what_the_template_says_under_the_attempts_own_name(server, agent, rehearsal):
    job, seen = await started(agent, job_of(rehearsal, rehearsal.quick))
    ((key, workflow),) = server.workflows.items()
    assert key == ("ci", f"deploy-{job.id}-1")
    assert workflow["metadata"]["labels"] == {"version": "1.0.0-x", "job-id": job.id, "interlock/attempt": "1"}
    values = {one["name"]: one["value"] for one in workflow["spec"]["arguments"]["parameters"]}
    assert values == {"tag": "1.0.0", "said": "{{workflow.name}}"}
    assert (seen.status, seen.external_id) == (JobStatus.SUCCESSFUL, "/".join(key))
    assert seen.metadata == {"argo/phase": "Succeeded", "argo/progress": "1/1", "argo/uid": "uid-1"}
    assert agent.links(job, seen) == {"Argo Workflow": f"{server.url}/workflows/ci/{key[1]}"}


NAMED = [
    ({"name": "Deploy_Shop!"}, "", "deploy-shop"),
    ({"name": "x" * 60}, "", "x" * 24),
    ({"name": "mine"}, "generateName: Theirs-", "theirs"),
    ({}, "", "job"),
    ({"name": "ü"}, "", "job"),
]


@pytest.mark.parametrize(("more", "own", "prefix"), NAMED, ids=str)
async def test_a_name_is_made_fit_and_short_enough_for_a_label(server, agent, rehearsal, more, own, prefix):
    given = config(server, **more)
    given["template"] = str(given["template"]).replace("name: whatever", own or "annotations: {}")
    job, _ = await started(agent, job_of(rehearsal, given))
    ((_, name),) = server.workflows
    assert name == f"{prefix}-{job.id}-1"
    assert len(name) <= 63


async def test_the_namespace_is_the_configs_then_the_templates_then_default(server, agent, rehearsal):
    server.namespaces = frozenset({"prod-eu-1", "theirs", "default"})
    own = config(server, namespace="{{ resource.name }}")
    theirs = config(server)
    del theirs["namespace"]
    plain = dict(theirs)
    theirs["template"] = str(theirs["template"]).replace("name: whatever", "namespace: theirs")
    for one in (own, theirs, plain):
        await started(agent, job_of(rehearsal, one))
    assert [place for place, _ in server.workflows] == ["prod-eu-1", "theirs", "default"]


# what the Workflow's status says -> the job's status, and what its message says
POD = {"id": "p", "name": "w.p", "displayName": "apply", "type": "Pod", "phase": "Failed", "message": "exit code 3"}
STEPS = {
    "id": "s",
    "name": "w.s",
    "displayName": "w",
    "type": "Steps",
    "phase": "Failed",
    "message": "child 'p' failed",
}
WAITING = {"id": "x", "name": "w.x", "displayName": "ok?", "type": "Suspend", "phase": "Running", "templateName": "ask"}
SAYS = [
    ({}, JobStatus.SUCCESSFUL, "The Workflow succeeded."),
    ({"phase": "Pending"}, JobStatus.IN_PROGRESS, "is pending"),
    ({"phase": "Running", "progress": "2/5"}, JobStatus.IN_PROGRESS, "is running, 2/5 steps done"),
    (
        {"phase": "Failed", "nodes": {"s": STEPS, "p": POD}, "message": "child 'p' failed"},
        JobStatus.FAILURE,
        "apply: exit code 3",
    ),
    ({"phase": "Failed", "nodes": {"s": STEPS}}, JobStatus.FAILURE, "w: child 'p' failed"),
    ({"phase": "Error", "message": "no such template"}, JobStatus.FAILURE, "no such template"),
    ({"phase": "Error", "nodes": None}, JobStatus.FAILURE, "ended as Error"),
    ({"phase": "Running", "nodes": {"x": WAITING}}, JobStatus.ACTION_REQUIRED, "waits in ok?. A person resumes it"),
    ({"phase": "Running", "nodes": {"x": {**WAITING, "phase": "Succeeded"}}}, JobStatus.IN_PROGRESS, "running"),
    (
        {
            "phase": "Running",
            "nodes": {"x": WAITING},
            "storedWorkflowTemplateSpec": {"templates": [{"name": "ask", "suspend": {"duration": "20"}}]},
        },
        JobStatus.IN_PROGRESS,
        "running",
    ),
]


@pytest.mark.parametrize(("state", "status", "said"), SAYS)
async def test_phase_and_nodes_say_how_the_job_goes(server, agent, rehearsal, state, status, said):
    server.outcomes["odd"] = state
    job, _ = await started(agent, job_of(rehearsal, config(server, "odd")))
    seen = await agent.observe(job)
    assert seen.status is status
    assert said in seen.message
    assert (seen.finished_at is not None) == status.terminal


async def test_many_failed_steps_are_told_in_part(server, agent, rehearsal):
    nodes = {str(n): {**POD, "id": str(n), "displayName": f"step-{n}"} for n in range(14)}
    server.outcomes["odd"] = {"phase": "Failed", "nodes": nodes}
    _, seen = await started(agent, job_of(rehearsal, config(server, "odd")))
    assert seen.message.startswith("step-0: exit code 3; step-1: ")
    assert seen.message.endswith("step-9: exit code 3 And 4 more.")


async def test_a_suspended_workflow_waits_for_a_person(server, agent, rehearsal):
    given = config(server, "slow")
    given["template"] = str(given["template"]) + "  suspend: true\n"
    _, seen = await started(agent, job_of(rehearsal, given))
    assert (seen.status, seen.message) == (
        JobStatus.ACTION_REQUIRED,
        "The Workflow is suspended. A person resumes it in Argo.",
    )


async def test_one_that_the_controller_has_not_seen_yet_is_in_progress(server, agent, rehearsal):
    _, seen = await started(agent, job_of(rehearsal, config(server, "submitted")))
    assert (seen.status, seen.message) == (JobStatus.IN_PROGRESS, "The Workflow is submitted.")


async def test_its_outputs_are_metadata_of_the_job(server, agent, rehearsal):
    parameters = [{"name": "digest", "value": "sha256:1"}, {"name": "none"}]
    server.outcomes["odd"] = {"outputs": {"parameters": parameters}}
    _, seen = await started(agent, job_of(rehearsal, config(server, "odd")))
    assert seen.metadata["argo/output/digest"] == "sha256:1"
    assert "argo/output/none" not in seen.metadata


async def test_a_start_whose_answer_was_lost_is_followed_and_not_done_twice(server, agent, rehearsal):
    job = job_of(rehearsal, rehearsal.slow)
    server.next_is(method="POST", cut_after=True)
    with pytest.raises(AgentUnavailable, match="could not be reached"):
        await agent.start(job, AUTHORIZATION)
    assert (await agent.find(job)).status is JobStatus.IN_PROGRESS
    seen = await asyncio.gather(*(agent.start(job, AUTHORIZATION) for _ in range(4)))
    assert {one.status for one in seen} == {JobStatus.IN_PROGRESS}
    assert server.submitted == 1


async def test_an_attempt_after_another_is_a_workflow_of_its_own(server, agent, rehearsal):
    job, _ = await started(agent, job_of(rehearsal, rehearsal.quick))
    again = dataclasses.replace(job, attempt=2)
    assert await agent.find(again) is None, "what was recorded is another attempt's"
    await agent.start(again, AUTHORIZATION)
    assert server.submitted == 2
    assert (await agent.observe(again)).external_id == f"ci/deploy-{job.id}-2"


async def test_a_cancel_that_comes_too_late_leaves_the_workflow_as_it_ended(server, agent, rehearsal):
    job, _ = await started(agent, job_of(rehearsal, rehearsal.slow))
    (key,) = server.workflows

    def ends_meanwhile(call):
        server.end(*key)
        return server.terminate(call)

    server.routes = [(m, p, ends_meanwhile if m == "PUT" else a) for m, p, a in server.routes]
    assert (await agent.cancel(job)).status is JobStatus.SUCCESSFUL


async def test_a_namespace_that_is_not_there_is_a_no(server, agent, rehearsal):
    with pytest.raises(Rejected, match='namespaces "other" not found'):
        await agent.start(job_of(rehearsal, config(server, namespace="other")), AUTHORIZATION)


async def test_without_a_token_nothing_signs_in(server, agent, rehearsal):
    given = config(server)
    del given["apiKey"]
    with pytest.raises(Rejected, match="refused the credentials"):
        await agent.start(job_of(rehearsal, given), AUTHORIZATION)
    assert "authorization" not in server.calls[0].headers


# what the template says, what the failed job says
UNUSABLE = [
    ("{{ .nope }}", "no Workflow"),
    ("a: [", "no YAML"),
    ("kind: CronWorkflow", "no Workflow"),
    ("{kind: Workflow, spec: 5}", "no Workflow with a spec"),
    ("{kind: Workflow, spec: {}, metadata: 5}", "metadata is no map"),
    ('{{ fail "why" }}', "why"),
]


@pytest.mark.parametrize(("template", "said"), UNUSABLE)
async def test_what_is_no_workflow_fails_the_job_before_anything_is_called(server, agent, rehearsal, template, said):
    with pytest.raises(Rejected, match=said):
        await agent.start(job_of(rehearsal, config(server, template=template)), AUTHORIZATION)
    assert server.calls == []


async def test_what_is_missing_is_said_before_anything_is_called(server, agent, rehearsal):
    with pytest.raises(Rejected, match="lacks serverUrl, template"):
        await agent.find(dataclasses.replace(job_of(rehearsal, {"apiKey": "x"}), external_id=f"ci/x-{'0' * 36}-1"))


async def test_argos_own_placeholders_are_explained_when_a_template_is_written(agent):
    with pytest.raises(Invalid, match=r'Argo\'s own placeholders are written {{ "{{workflow.name}}" }}'):
        agent.check_config({"template": "kind: Workflow\nspec: {x: '{{workflow.name}}'}"})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate that nobody signed, as Argo Server makes itself one: its file, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ArgoProj")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(
        made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return file


async def test_a_certificate_that_nobody_signed_is_taken_only_where_the_config_says_so(agent, rehearsal, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    stub = ArgoWorkflowServer()
    listening = await asyncio.start_server(stub.serve, "127.0.0.1", 0, ssl=context)
    async with listening:
        stub.port = listening.sockets[0].getsockname()[1]
        url = stub.url.removeprefix("http://")
        with pytest.raises(AgentUnavailable, match="certificate"):
            await agent.start(job_of(rehearsal, config(stub) | {"serverUrl": url}), AUTHORIZATION)
        given = config(stub, httpInsecure=True) | {"serverUrl": url}
        assert (await agent.start(job_of(rehearsal, given), AUTHORIZATION)).status is JobStatus.SUCCESSFUL


async def test_links_need_a_workflow(server, agent, rehearsal):
    assert agent.links(job_of(rehearsal, config(server)), Observation(None)) == {}
