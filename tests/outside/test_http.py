"""What leaves the process is bounded in time, size and direction."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

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
        "http://169.254.169.254/latest/meta-data/",
        "http://100.64.0.1/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://[::1]/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
    ],
)
async def test_a_literal_private_address_is_refused_before_anything_is_called(url: str) -> None:
    async with Http() as guarded:
        assert "INTERLOCK_ALLOW_PRIVATE_ADDRESSES=1" in str(guarded.check_url(url))
        with pytest.raises(Rejected, match="not an address of the public internet"):
            await guarded.send("GET", url)


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
