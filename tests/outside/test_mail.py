"""Is a letter handed to a real mail server, in every way that the settings know, and is its answer understood?"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from interlock.outside.mail import Letter, Mail, MailServer
from receivers import mail_server

LETTER = Letter("k1", ["ada@example.org"], "Hé\r\nBcc: x@example.org", "text", "<p>html</p>")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return public, private


def tls_of(folder: Path) -> tuple[ssl.SSLContext, Path]:
    public, private = certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public


def server(port: int, **more: Any) -> MailServer:
    return MailServer(**{"host": "localhost", "port": port, "sender": "il@example.org", "tls": "none", **more})


async def test_a_letter_arrives_as_text_and_html_and_a_subject_adds_no_header() -> None:
    with mail_server() as box:
        sent = await Mail(server(box.port)).send(LETTER)
    assert (sent.outcome, sent.status) == ("delivered", 250)
    (letter,) = box.letters
    assert letter["Subject"] == "Hé Bcc: x@example.org" and letter["Bcc"] is None
    assert letter["Message-ID"] == "<k1@example.org>" and letter["Auto-Submitted"] == "auto-generated"
    assert letter.get_body(("plain",)).get_content().strip() == "text"
    assert letter.get_body(("html",)).get_content().strip() == "<p>html</p>"
    assert box.envelopes == [["ada@example.org"]]


async def test_starttls_and_a_password_are_used_and_a_strangers_certificate_is_not_trusted(tmp_path: Path) -> None:
    context, public = tls_of(tmp_path)

    def checked(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"il", b"pw"), handled=False)

    more = {"tls_context": context, "require_starttls": True, "authenticator": checked, "auth_required": True}
    with mail_server(**more) as box:
        good = server(box.port, tls="starttls", user="il", password="pw", ca_file=str(public))
        assert (await Mail(good).send(LETTER)).outcome == "delivered"
        wrong = server(box.port, tls="starttls", user="il", password="no", ca_file=str(public))
        refused = await Mail(wrong).send(LETTER)
        assert (refused.outcome, refused.status) == ("failed", 535) and "password" in refused.error
        stranger = await Mail(server(box.port, tls="starttls", user="il", password="pw")).send(LETTER)
        assert stranger.outcome == "failed" and "certificate" in stranger.error.lower()
        plain = await Mail(server(box.port)).send(LETTER)
        assert (plain.outcome, plain.status) == ("refused", 530)
    assert len(box.letters) == 1


async def test_what_the_server_refuses_is_told_apart_from_what_may_work_later() -> None:
    with mail_server() as box:
        box.refuse = "nobody"
        refused = await Mail(server(box.port)).send(Letter("k", ["nobody@example.org"], "s", "t", "h"))
        assert (refused.outcome, refused.status) == ("refused", 550)
        some = Letter("k", ["nobody@example.org", "ada@example.org"], "s", "t", "h")
        sent = await Mail(server(box.port)).send(some)
        assert sent.outcome == "delivered" and sent.error == "Not taken for nobody@example.org."
        away = box.port
    later = await Mail(server(away, timeout_s=5.0)).send(LETTER)
    assert (later.outcome, later.status) == ("failed", None) and f"localhost:{away}" in later.error


async def test_without_a_server_nothing_is_sent_and_it_is_said() -> None:
    skipped = await Mail(None).send(LETTER)
    assert skipped.outcome == "skipped" and "INTERLOCK_SMTP_HOST" in skipped.error


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_server_without_tls_is_told_nothing_where_tls_is_asked_for(tls: str) -> None:
    with mail_server() as box:
        failed = await Mail(server(box.port, tls=tls, timeout_s=5.0)).send(LETTER)
    assert failed.outcome == "failed" and box.letters == []
