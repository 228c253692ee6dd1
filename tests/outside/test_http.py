"""What leaves the process is bounded in time, size and direction."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from interlock.model.errors import Rejected, Unavailable
from interlock.outside.http import Http, is_public

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(answer: bytes | Serve) -> AsyncIterator[int]:
    """A server on a free port of loopback that says `answer` to everybody."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def http_answer(status: str = "200 OK", body: bytes = b"{}", *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers])
    return head.encode() + b"\r\n\r\n" + body


def names(**addresses: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses[host.partition(".")[0]].split(",")

    return resolve


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    async with Http(allow_private_addresses=True) as client:
        yield client


async def test_an_answer_with_any_status_is_an_answer(http: Http) -> None:
    async with serving(http_answer("503 Service Unavailable", b"busy", "X-Two: a", "X-Two: b")) as port:
        answer = await http.send("GET", f"http://127.0.0.1:{port}/healthz")
    assert (answer.status, answer.text, answer.truncated) == (503, "busy", False)
    assert [value for name, value in answer.headers if name == "x-two"] == ["a", "b"]


async def test_redirects_are_not_followed(http: Http) -> None:
    async with serving(http_answer("302 Found", b"", "Location: http://169.254.169.254/")) as port:
        assert (await http.send("GET", f"http://127.0.0.1:{port}/")).status == 302


async def test_an_answer_is_read_up_to_its_limit_and_marked(http: Http) -> None:
    async with serving(http_answer(body=b"x" * 5000)) as port:
        answer = await http.send("GET", f"http://127.0.0.1:{port}/", answer_bytes_max=1000)
    assert (len(answer.body), answer.truncated) == (1000, True)


async def test_a_compressed_answer_is_not_unpacked(http: Http) -> None:
    async with serving(http_answer("200 OK", b"\x1f\x8b123", "Content-Encoding: gzip")) as port:
        assert (await http.send("GET", f"http://127.0.0.1:{port}/")).body == b"\x1f\x8b123"


async def test_one_deadline_covers_an_answer_that_drips(http: Http) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _number in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(drip) as port:
        with pytest.raises(Unavailable, match=r"within 0\.2 s"):
            await http.send("GET", f"http://127.0.0.1:{port}/", timeout_s=0.2)


@pytest.mark.parametrize("answer", [b"", b"not http\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"])
async def test_no_whole_answer_is_unavailable(http: Http, answer: bytes) -> None:
    async with serving(answer) as port:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
            await http.send("GET", f"http://127.0.0.1:{port}/")


async def test_nobody_there_is_unavailable(http: Http) -> None:
    async with serving(b"") as port:
        pass
    with pytest.raises(Unavailable, match="could not be reached"):
        await http.send("GET", f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "url",
    ["ftp://x/", "x", "", "http://", "file:///etc/passwd", "http://user:secret@x/", "http://[::1", "http://x:99999/"],
)
async def test_what_is_no_url_is_rejected(http: Http, url: str) -> None:
    with pytest.raises(Rejected):
        await http.send("GET", url)


async def test_a_header_that_would_split_the_request_is_rejected(http: Http) -> None:
    with pytest.raises((Rejected, Unavailable)):
        await http.send("GET", "http://127.0.0.1:1/", headers={"X": "a\r\nY: b"})


# The address guard


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://any.localhost/",
        "http://10.1.2.3/",
        "http://192.168.0.1/",
        "http://100.64.0.1/",
        "http://[::1]/",
        "http://[fd00::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[2001::f5ff:fffe]/",
        "http://[64:ff9b:1::1]/",
        "http://[::7f00:1]/",
        "http://198.18.0.1/",
        "http://240.0.0.1/",
    ],
)
async def test_a_literal_private_address_is_refused_before_anything_is_called(url: str) -> None:
    async with Http() as guarded:
        assert "INTERLOCK_ALLOW_PRIVATE_ADDRESSES=1" in str(guarded.check_url(url))
        with pytest.raises(Rejected, match="not an address of the public internet"):
            await guarded.send("GET", url)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.1.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
    ],
)
async def test_where_a_cloud_hands_out_credentials_is_a_setting_of_its_own(host: str) -> None:
    async with Http(allow_private_addresses=True) as guarded:
        assert "INTERLOCK_ALLOW_METADATA_ADDRESSES=1" in str(guarded.check_url(f"http://{host}/latest/meta-data/"))
        with pytest.raises(Rejected, match="hands out credentials"):
            await guarded.send("GET", f"http://{host}/")
    async with Http(allow_private_addresses=True, allow_metadata_addresses=True) as open_to_all:
        assert open_to_all.check_url(f"http://{host}/") is None


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "224.0.0.1", "[ff02::1]", "[::ffff:0.0.0.0]"])  # noqa: S104 - called
async def test_what_is_no_single_machine_is_never_called(host: str) -> None:
    async with Http(allow_private_addresses=True, allow_metadata_addresses=True) as open_to_all:
        assert "no single machine" in str(open_to_all.check_url(f"http://{host}/"))


async def test_a_name_that_changes_its_answer_reaches_nothing_of_ours() -> None:
    """DNS rebinding: the first answer is public, every later one is loopback, where a real server counts its guests."""
    guests: list[int] = []
    answers = iter(["192.88.99.1"])

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        guests.append(1)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return [next(answers, "127.0.0.1")]

    async with serving(note) as port, Http(resolve=resolve) as guarded:
        with pytest.raises((Unavailable, Rejected)):
            await guarded.send("GET", f"http://rebinding.example:{port}/", timeout_s=0.3)
        with pytest.raises(Rejected, match=r"rebinding\.example is 127\.0\.0\.1"):
            await guarded.send("GET", f"http://rebinding.example:{port}/")
    assert guests == []


async def test_a_redirect_across_the_guard_is_an_answer_and_is_not_followed() -> None:
    guests: list[int] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        guests.append(1)

    async with serving(note) as inner:
        away = http_answer("307 Temporary Redirect", b"", f"Location: http://127.0.0.1:{inner}/secret")
        async with serving(away) as outer, Http(allow_private_addresses=True) as http:
            answer = await http.send("POST", f"http://127.0.0.1:{outer}/", body=b"token")
    assert (answer.status, guests) == (307, [])


async def test_host_and_sni_stay_the_names_and_the_certificate_is_checked_against_it(tmp_path: Path) -> None:
    heard: dict[str, object] = {}
    certificate = self_signed(tmp_path, "judged.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def note_name(_socket: object, name: str | None, _context: object) -> None:
        heard["sni"] = name

    context.set_servername_callback(note_name)

    async def note_host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        heard["host"] = next(line for line in head.splitlines() if line.lower().startswith("host:"))
        writer.write(http_answer())
        await writer.drain()
        writer.close()

    resolve = names(judged="127.0.0.1", other="127.0.0.1")
    server = await asyncio.start_server(note_host, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server, Http(allow_private_addresses=True, resolve=resolve) as http:
        with pytest.raises(Unavailable, match="certificate verify failed"):
            await http.send("GET", f"https://judged.example:{port}/")
        assert heard == {"sni": "judged.example"}
    async with asyncio.timeout(5):
        await server.wait_closed()
    plain = await asyncio.start_server(note_host, "127.0.0.1", 0)
    port = plain.sockets[0].getsockname()[1]
    async with plain, Http(allow_private_addresses=True, resolve=resolve) as http:
        await http.send("GET", f"http://other.example:{port}/")
    assert str(heard["host"]).lower() == f"host: other.example:{port}"


def self_signed(folder: Path, name: str) -> Path:
    """A certificate of nobody's for this name, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    at = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(days=1))
        .not_valid_after(at + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "server.pem"
    file.write_bytes(private + certificate.public_bytes(pem))
    return file


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "connection"])
async def test_headers_that_say_where_and_how_much_are_ours(http: Http, name: str) -> None:
    with pytest.raises(Rejected, match="written by Interlock alone"):
        await http.send("GET", "http://127.0.0.1:1/", headers={name: "x"})


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "017700000001", "127.1"])
async def test_an_address_in_disguise_is_judged_by_what_it_resolves_to(host: str) -> None:
    async with Http() as guarded:
        with pytest.raises((Rejected, Unavailable)):
            await guarded.send("GET", f"http://{host}/")


async def test_a_name_is_judged_by_all_its_addresses() -> None:
    async with Http(resolve=names(rebound="93.184.216.34,127.0.0.1")) as guarded:
        with pytest.raises(Rejected, match=r"rebound\.example is 127\.0\.0\.1"):
            await guarded.send("GET", "http://rebound.example/")


async def test_the_connection_goes_to_the_address_that_was_judged_not_to_the_name() -> None:
    """A name that answers differently the second time gains nothing: there is no second time."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with serving(http_answer(body=b"here")) as port, Http(allow_private_addresses=True, resolve=resolve) as http:
        answer = await http.send("GET", f"http://no-such-name.example:{port}/")
    assert (answer.text, asked) == ("here", ["no-such-name.example"])


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    resolve = names(two="127.0.0.2,127.0.0.1")
    async with serving(http_answer()) as port, Http(allow_private_addresses=True, resolve=resolve) as http:
        assert (await http.send("GET", f"http://two.example:{port}/")).status == 200


async def test_a_name_nobody_knows_is_unavailable() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise OSError(-2, "Name or service not known")

    async with Http(resolve=resolve) as http:
        with pytest.raises(Unavailable, match="Name or service not known"):
            await http.send("GET", "http://nobody.example/")


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with serving(http_answer()) as port, Http(allow_private_addresses=True) as http:
        assert (await http.send("GET", f"http://127.0.0.1:{port}/")).status == 200


@pytest.mark.parametrize(
    "text", ["93.184.216.34", "2606:2800:220:1::1", "8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))
