"""Does the agent trust the cluster's own authority and no other, show its certificate, and use its own pod's account?
Against the stub API server behind TLS that wants a certificate of its callers.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from interlock.agents.kubernetes import KubernetesAgent
from interlock.model.errors import AgentUnavailable, Invalid, Rejected
from interlock.model.job import AgentJob, JobStatus
from interlock.outside.go_templates import GoTemplates
from interlock.outside.http import Http
from interlock.outside.kubernetes_access import OwnPod

from .conformance import AUTHORIZATION, Rehearsal, job_of
from .kubernetes_server import KubernetesServer
from .stub_server import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEMPLATE = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: b}}"


@dataclass(frozen=True)
class Signed:
    certificate: str
    key: str

    def kubeconfig_data(self, of: str) -> str:
        return base64.b64encode((self.certificate if of == "certificate" else self.key).encode()).decode()


def signed(name: str, by: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None):
    """A certificate for 127.0.0.1, by an authority or as one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .sign(by[1] if by else key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return (made, key), Signed(made.public_bytes(Encoding.PEM).decode(), pem)


@dataclass
class Guarded:
    server: KubernetesServer
    port: int
    authority: str
    client: Signed


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory):
    authority, shown = signed("authority")
    _, own = signed("server", authority)
    _, client = signed("interlock", authority)
    folder: Path = tmp_path_factory.mktemp("tls")
    (folder / "own.pem").write_text(own.certificate + own.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")
    context.load_verify_locations(cadata=shown.certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    async with serving(KubernetesServer()) as server:

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            server.peers.append(writer.get_extra_info("peercert") or {})
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await server.serve(reader, writer)

        listening = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
        yield Guarded(server, listening.sockets[0].getsockname()[1], shown.certificate, client)
        listening.close()
        await listening.wait_closed()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def templates():
    made = GoTemplates()
    yield made
    await made.close()


def job_for(agent: KubernetesAgent, config: dict[str, object]) -> AgentJob:
    around = {"deployment": {"id": "d"}, "environment": {"id": "e"}, "resource": {"id": "r"}}
    return job_of(Rehearsal(agent=agent, quick={}, slow={}, wrong=(), context=around), {"template": TEMPLATE, **config})


def kubeconfig(guarded: Guarded, *, authority: str | None = None, cluster: str = "", user: str = "") -> str:
    data = base64.b64encode((authority or guarded.authority).encode()).decode()
    trust = cluster or f"certificate-authority-data: {data}"
    return f"""
        current-context: here
        clusters: [{{name: c, cluster: {{server: "https://127.0.0.1:{guarded.port}", {trust}}}}}]
        contexts: [{{name: here, context: {{cluster: c, user: u, namespace: shop}}}}]
        users: [{{name: u, user: {{token: {guarded.server.token}{user}}}}}]
    """


async def test_the_clusters_own_authority_is_trusted(guarded, templates):
    async with Http(allow_private_addresses=True) as http:
        agent = KubernetesAgent(http, templates)
        seen = await agent.start(job_for(agent, {"kubeconfig": kubeconfig(guarded)}), AUTHORIZATION)
    assert seen.status is JobStatus.IN_PROGRESS
    assert guarded.server.peers[-1] == {}


async def test_another_authority_is_not_trusted_and_nothing_is_sent(guarded, templates):
    _, other = signed("another authority")
    calls = len(guarded.server.calls)
    async with Http(allow_private_addresses=True) as http:
        agent = KubernetesAgent(http, templates)
        for text in (kubeconfig(guarded, authority=other.certificate), kubeconfig(guarded, cluster="x: 1")):
            with pytest.raises(AgentUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await agent.start(job_for(agent, {"kubeconfig": text}), AUTHORIZATION)
    assert len(guarded.server.calls) == calls


async def test_an_unchecked_certificate_is_said_where_readers_see_it(guarded, templates):
    text = kubeconfig(guarded, cluster="insecure-skip-tls-verify: true")
    async with Http(allow_private_addresses=True) as http:
        agent = KubernetesAgent(http, templates)
        with pytest.raises(Invalid, match="insecureSkipTlsVerify"):
            agent.check_config({"kubeconfig": text})
        loose = {"kubeconfig": text, "insecureSkipTlsVerify": True}
        agent.check_config(loose)
        assert (await agent.start(job_for(agent, loose), AUTHORIZATION)).status is JobStatus.IN_PROGRESS


async def test_a_client_certificate_is_shown_and_its_key_is_in_no_file(guarded, templates, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    shown = guarded.client
    data = (
        f", client-certificate-data: {shown.kubeconfig_data('certificate')}"
        f", client-key-data: {shown.kubeconfig_data('key')}"
    )
    async with Http(allow_private_addresses=True) as http:
        agent = KubernetesAgent(http, templates)
        await agent.start(job_for(agent, {"kubeconfig": kubeconfig(guarded, user=data)}), AUTHORIZATION)
    assert guarded.server.peers[-1]["subject"] == ((("commonName", "interlock"),),)
    assert list(tmp_path.iterdir()) == []


async def test_the_own_pods_account_reaches_its_cluster_though_private_addresses_are_not_allowed(
    guarded, templates, tmp_path
):
    for name, value in (("token", guarded.server.token), ("ca.crt", guarded.authority), ("namespace", "shop")):
        (tmp_path / name).write_text(value)
    around = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(guarded.port)}
    async with Http() as strict:
        agent = KubernetesAgent(strict, templates, own_pod=OwnPod(tmp_path, around))
        agent.check_config({"inCluster": True, "template": TEMPLATE})
        job = job_for(agent, {"inCluster": True})
        assert (await agent.start(job, AUTHORIZATION)).status is JobStatus.IN_PROGRESS
        (tmp_path / "token").write_text("outdated")
        with pytest.raises(Rejected, match="refused the credentials"):
            await agent.observe(job)
        (tmp_path / "token").write_text(guarded.server.token)
        assert (await agent.observe(job)).status is JobStatus.SUCCESSFUL
        with pytest.raises(Rejected, match="not an address of the public internet"):
            await agent.start(job_for(agent, {"kubeconfig": kubeconfig(guarded)}), AUTHORIZATION)
        both = {"inCluster": True, "kubeconfig": kubeconfig(guarded)}
        with pytest.raises(Rejected, match="both kubeconfig and inCluster"):
            await agent.start(job_for(agent, both), AUTHORIZATION)
