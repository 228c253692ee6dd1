"""How does a letter leave? Over SMTP, to the one server that the operator set up; by TLS unless they said otherwise.

Only the operator says which server is called, so no guard stands in front of it. The library blocks, so a letter is
handed over in a thread, bounded by a timeout for each step; few at once.

What was written into a header by a person (a subject, a name) cannot become another header: the library refuses line
breaks, and they are taken out before.

Source: RFC 5321, RFC 3207 (STARTTLS), RFC 8314 (TLS from the beginning), RFC 3834 (automatic letters).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

from interlock.clock import monotonic_s, utc_now
from interlock.model.subscription import Attempt

AT_ONCE_MAX = 4
ADDRESS = re.compile(r"[^\s@<>,;:\"\\()\[\]]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
ADDRESS_MAX = 320


def is_address(text: str) -> bool:
    """Whether a text is an e-mail address and nothing besides."""
    return len(text) <= ADDRESS_MAX and ADDRESS.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class MailServer:
    """The server as the settings name it. `tls` is starttls, tls (from the beginning) or none."""

    host: str
    port: int
    sender: str
    tls: str = "starttls"
    user: str | None = None
    password: str | None = None
    ca_file: str | None = None
    timeout_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter to be sent. `key` names it for ever: a letter that arrives twice is recognised by it."""

    key: str
    to: Sequence[str]
    subject: str
    text: str
    html: str


class Mail:
    """Hands letters to a server; None says that there is none."""

    def __init__(self, server: MailServer | None) -> None:
        self.server = server
        self._places = asyncio.Semaphore(AT_ONCE_MAX)

    async def send(self, letter: Letter) -> Attempt:
        """Hand over one letter. Never raises for what the server says."""
        if self.server is None:
            return Attempt("skipped", error="No mail server is set up (INTERLOCK_SMTP_HOST).")
        began_s = monotonic_s()
        async with self._places:
            outcome, status, said = await asyncio.to_thread(_hand_over, self.server, letter)
        return Attempt(outcome, status, said, round((monotonic_s() - began_s) * 1000))


def _hand_over(server: MailServer, letter: Letter) -> tuple[str, int | None, str]:
    """As (outcome, SMTP status, error)."""
    try:
        with contextlib.closing(_connect(server)) as smtp:
            if server.user is not None:
                smtp.login(server.user, server.password or "")
            refused = smtp.send_message(_mime(server, letter), from_addr=server.sender, to_addrs=list(letter.to))
            with contextlib.suppress(smtplib.SMTPException, OSError):
                smtp.quit()
    except smtplib.SMTPRecipientsRefused as no:
        return _refused(no.recipients)
    except smtplib.SMTPAuthenticationError as no:  # the operator's fault, not the letter's: it may be put right
        return "failed", no.smtp_code, f"The mail server does not accept the user name and password ({no.smtp_code})."
    except smtplib.SMTPResponseException as no:
        outcome = "refused" if 500 <= no.smtp_code < 600 else "failed"
        return outcome, no.smtp_code, f"The mail server answered {no.smtp_code}: {_one_line(no.smtp_error)}"
    except smtplib.SMTPNotSupportedError as no:
        return "failed", None, f"The mail server cannot do what the settings ask for: {no}"
    except (smtplib.SMTPException, OSError, ValueError) as broken:  # TLS and timeouts are OSErrors
        return "failed", None, f"{server.host}:{server.port}: {_one_line(str(broken)) or type(broken).__name__}"
    if refused:
        return "delivered", 250, f"Not taken for {', '.join(sorted(refused))}."
    return "delivered", 250, ""


def _connect(server: MailServer) -> smtplib.SMTP:
    context = ssl.create_default_context(cafile=server.ca_file)
    if server.tls == "tls":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=server.timeout_s, context=context)
    smtp = smtplib.SMTP(server.host, server.port, timeout=server.timeout_s)
    try:
        if server.tls == "starttls":
            smtp.starttls(context=context)
    except BaseException:
        smtp.close()
        raise
    return smtp


def _mime(server: MailServer, letter: Letter) -> EmailMessage:
    message = EmailMessage()
    message["From"] = server.sender
    message["To"] = [Address(addr_spec=each) for each in letter.to]
    message["Subject"] = _one_line(letter.subject)[:200]
    message["Date"] = format_datetime(utc_now())
    message["Message-ID"] = f"<{letter.key}@{server.sender.rpartition('@')[2].strip('<> ')}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    return message


def _refused(recipients: dict[str, tuple[int, bytes]]) -> tuple[str, int | None, str]:
    """Nobody got it: for good only where that was said of everybody."""
    codes = [code for code, _ in recipients.values()]
    said = "; ".join(f"{who}: {code} {_one_line(why)}" for who, (code, why) in sorted(recipients.items())[:5])
    outcome = "refused" if all(500 <= code < 600 for code in codes) else "failed"
    return outcome, codes[0] if codes else None, f"The mail server takes none of the addresses: {said}"


def _one_line(text: str | bytes) -> str:
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return " ".join(plain.split())[:500]
