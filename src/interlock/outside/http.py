"""How does Interlock call the world over HTTP? Through one client that is bounded in every direction.

    time       one deadline for the whole call: name, connection, request, answer
    size       an answer is read up to `answer_bytes_max` and marked when it was longer; no compressed one is asked for
    redirects  not followed: a redirect is an answer like another, and may lead where the guard would not let anybody
    address    the guard below

**The address guard.** Who writes a policy or an agent chooses URLs that Interlock's own machine then calls. Without a
guard, that is a way to this machine's services, to the private network and to the cloud's metadata address. So a name
is resolved first, every address it has is judged, and the connection is made to the very address that was judged: a
name that changes its address between look and connection gains nothing. Host header and SNI stay the name's, and TLS
checks the certificate against it. Proxies of the environment are not used: behind one, the guard would judge the wrong
address.

    public                           always
    private, loopback, others        with `allow_private_addresses`
    link-local, cloud metadata       with `allow_metadata_addresses` alone: who asks one for a token is this machine
    multicast, unspecified           never

An IPv4 address inside an IPv6 one (mapped, 6to4, NAT64, Teredo) is judged as what it is. The last kind matters because
those who run their tools on a private network allow it, and the metadata address stands on the same wire.

Source: OWASP SSRF prevention; RFC 6890 (special addresses), RFC 6052, RFC 8215, RFC 3056 and RFC 4380 (IPv4 inside
IPv6); the clouds' documentation of their metadata services.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpcore
import httpx

from interlock.clock import monotonic_s
from interlock.model.errors import Rejected, Unavailable, Unreached
from interlock.settings import Settings

ANSWER_BYTES_MAX = 1024 * 1024
TIMEOUT_S = 30.0
CONNECT_S = 5.0
CONNECTIONS_MAX = 300
KEPT_MAX = 20

sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]
"""The client underneath asks for it several times a call, to learn that this is asyncio; where it is not installed each
of these questions looks through the disk (a tenth of a call's time, measured)."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_OWN = ipaddress.IPv6Network("64:ff9b:1::/48")
"""A network's own translation: into which of its IPv4 addresses, only its operator knows."""

METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # nearly every cloud
        "169.254.170.2",  # AWS, credentials of ECS tasks
        "169.254.170.23",  # AWS, credentials of EKS pods
        "fd00:ec2::254",  # AWS over IPv6
        "fd00:ec2::23",
        "fd20:ce::254",  # Google over IPv6
        "168.63.129.16",  # Azure's wire server, an address of the public internet by its looks
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
    )
)
"""Where clouds hand out this machine's credentials."""

OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade"})
"""Headers that this client writes; a user's would say something else than what was judged and sent."""


class ForbiddenAddress(Rejected):
    """The guard said no. Only another address or another setting helps."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Takes: `headers` in their order, names in lower case. `truncated` when the body was longer than was allowed.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    duration_ms: int
    truncated: bool = False

    @property
    def text(self) -> str:
        """The body as text, in the charset it names, else UTF-8; bytes that are none become U+FFFD."""
        charset = "utf-8"
        for name, value in self.headers:
            if name == "content-type" and "charset=" in value.lower():
                charset = value.lower().partition("charset=")[2].split(";")[0].strip(" \"'")
        try:
            return self.body.decode(charset, "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")


class Http:
    """The client. One for a process; closed at its end.

    Takes: `transport` replaces the network (recorded answers in tests); `resolve` replaces the system's name service;
           `tls` says whom TLS trusts and what it shows, where that is not the machine's own list.
    """

    def __init__(
        self,
        *,
        allow_private_addresses: bool = False,
        allow_metadata_addresses: bool = False,
        user_agent: str = "interlock",
        transport: httpx.AsyncBaseTransport | None = None,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._guard = Guard(private=allow_private_addresses, metadata=allow_metadata_addresses)
        self._network = GuardedNetwork(guard=self._guard, resolve=resolve or _resolve)
        self._transport, self._user_agent, self._resolve = transport, user_agent, resolve
        self._client = self._new_client(_trusted if tls is None else lambda: tls)
        self._credulous: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()
        if self._credulous is not None:
            await self._credulous.aclose()

    def _new_client(self, tls: Callable[[], ssl.SSLContext]) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=self._transport or GuardedTransport(self._network, tls=tls()),
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": self._user_agent, "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S),
        )

    def _client_for(self, *, verify_tls: bool) -> httpx.AsyncClient:
        if verify_tls:
            return self._client
        if self._credulous is None:
            self._credulous = self._new_client(_anyone)
        return self._credulous

    def trusting(self, tls: ssl.SSLContext | None, *, private: bool = False) -> Http:
        """A client with the same guard that trusts others, or shows a certificate of its own. Its maker closes it.

        Takes: `tls` None trusts whom every client does. `private` allows private addresses too, where the operator has
               named the very address that is called.
        """
        return Http(
            allow_private_addresses=self._guard.private or private,
            allow_metadata_addresses=self._guard.metadata,
            user_agent=self._user_agent,
            transport=self._transport,
            resolve=self._resolve,
            tls=tls,
        )

    def check_url(self, url: str) -> str | None:
        """What is wrong with a URL as it is written, as a sentence; None when nothing is.

        Why: a literal address that the guard would refuse anyway is refused when it is written. A name is judged when
               it is called.
        """
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as broken:
            return f"`{url}` is not a URL: {broken}."
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            return f"`{url}` is not an http or https URL."
        if parsed.port is not None and not 0 < parsed.port < 65536:
            return f"`{url}` has no port from 1 to 65535."
        if parsed.userinfo:
            return "A URL must not hold a password. Use a header."
        address = _literal(parsed.host)
        return self._guard.refusal(parsed.host, address) if address is not None else None

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float = TIMEOUT_S,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
        verify_tls: bool = True,
    ) -> Answer:
        """Call and read the answer, whatever its status.

        Takes: `verify_tls` False takes any certificate, where a config says so of its own tool.
        Fails: `Unavailable` when there was no whole answer in time, `Unreached` when nothing was sent either;
               `Rejected` for a URL that is none, or that the guard refuses.
        """
        wrong = self.check_url(url)
        if wrong is not None:
            raise Rejected(wrong)
        own = sorted(OWN_HEADERS & {name.lower() for name in headers or ()})
        if own:
            raise Rejected(f"The header {own[0]} is written by Interlock alone.")
        began_s = monotonic_s()
        host = httpx.URL(url).host
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._client_for(verify_tls=verify_tls).stream(
                    method, url, headers=dict(headers or {}), content=body
                ) as response,
            ):
                kept, truncated = await _read(response, answer_bytes_max)
        except TimeoutError as late:
            raise Unavailable(f"{host} did not answer within {timeout_s:g} s.") from late
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as unreached:
            said = str(unreached) or type(unreached).__name__
            raise Unreached(f"{host} could not be reached: {said}.") from unreached
        except httpx.TimeoutException as late:
            raise Unavailable(f"{host} did not answer in time ({type(late).__name__}).") from late
        except httpx.TransportError as broken:
            raise Unavailable(f"{host} could not be reached: {str(broken) or type(broken).__name__}.") from broken
        except (httpx.InvalidURL, ValueError, UnicodeError) as refused:
            raise Rejected(f"The request to {host} is not valid: {refused}.") from refused
        return Answer(
            status=response.status_code,
            headers=tuple((name.lower(), value) for name, value in response.headers.multi_items()),
            body=kept,
            duration_ms=round((monotonic_s() - began_s) * 1000),
            truncated=truncated,
        )


def guarded_http(settings: Settings) -> Http:
    """The client for what users aim."""
    return Http(
        allow_private_addresses=settings.allow_private_addresses,
        allow_metadata_addresses=settings.allow_metadata_addresses,
    )


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Whom TLS trusts. Read once a process: it takes 15 ms."""
    return httpx.create_ssl_context(trust_env=False)


@functools.cache
def _anyone() -> ssl.SSLContext:
    """For the tools whose config says that nobody signs their certificate."""
    return httpx.create_ssl_context(verify=False, trust_env=False)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over a connection pool whose network is ours."""

    def __init__(self, network: httpcore.AsyncNetworkBackend, *, tls: ssl.SSLContext | None = None) -> None:
        tls = tls or _trusted()
        super().__init__(verify=tls, trust_env=False)
        # httpx has no parameter for the network. The pool it made has not connected to anything yet.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=KEPT_MAX,
            keepalive_expiry=30.0,
            network_backend=network,
        )


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Resolve, judge, and connect to the address that was judged."""

    def __init__(self, *, guard: Guard, resolve: Resolve) -> None:
        self._guard = guard
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to one of the host's addresses, all of which must be allowed."""
        failed: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in await self._allowed(host, port):
            try:
                return await self._network.connect_tcp(
                    address, port, timeout=timeout, local_address=local_address, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as refused:
                failed = refused
        raise failed or httpcore.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Never: a socket of this machine is as private as it gets."""
        raise ForbiddenAddress(f"{path} is a socket of this machine.")

    async def sleep(self, seconds: float) -> None:
        """Wait between two tries of a connection."""
        await asyncio.sleep(seconds)

    async def _allowed(self, host: str, port: int) -> Sequence[str]:
        """The host's addresses.

        Why:   one private address among public ones is refused too: which of them gets called is chance.
        Fails: `ForbiddenAddress`, naming host and address.
        """
        try:
            addresses = await self._resolve(host, port)
        except OSError as unknown:
            raise httpcore.ConnectError(f"the name cannot be resolved ({unknown.strerror or unknown})") from unknown
        for text in addresses:
            refusal = self._guard.refusal(host, ipaddress.ip_address(text.partition("%")[0]))
            if refusal is not None:
                raise ForbiddenAddress(refusal)
        return addresses


@dataclass(frozen=True, slots=True)
class Guard:
    """Which addresses may be called."""

    private: bool = False
    metadata: bool = False

    def refusal(self, host: str, address: Address) -> str | None:
        """Why a host at this address is not called, as a sentence; None when it may be."""
        said = f"{host} is {address}" if host.strip("[]") != str(address) else str(address)
        for one in inside(address):
            if one.is_multicast or one.is_unspecified:
                return f"{said}, which is no single machine."
            if one in METADATA or one.is_link_local:
                if not self.metadata:
                    return (
                        f"{said}, a link-local address or one where a cloud hands out credentials. "
                        "Start Interlock with INTERLOCK_ALLOW_METADATA_ADDRESSES=1 to allow such addresses."
                    )
            elif not (self.private or is_public(one)):
                return (
                    f"{said}, which is not an address of the public internet. "
                    "Start Interlock with INTERLOCK_ALLOW_PRIVATE_ADDRESSES=1 to allow such addresses."
                )
        return None


def inside(address: Address) -> tuple[Address, ...]:
    """The addresses that a packet to this one may reach: the IPv4 ones that hide in it, or itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    if address.teredo is not None:
        return (address, *address.teredo)
    hidden = address.ipv4_mapped or address.sixtofour
    if address in _NAT64:
        hidden = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return (address,) if hidden is None else (hidden,)


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, also when it hides an IPv4 address in an IPv6 one."""
    return all(
        one.is_global
        and not (one.is_multicast or one.is_reserved or one in METADATA)
        and not (isinstance(one, ipaddress.IPv6Address) and one in _NAT64_OWN)
        for one in inside(address)
    )


def _literal(host: str) -> Address | None:
    """The address that a host is without any name service: a literal one, or localhost."""
    if host == "localhost" or host.endswith(".localhost"):
        return ipaddress.IPv4Address("127.0.0.1")
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


async def _resolve(host: str, port: int) -> Sequence[str]:
    """The system's name service, IPv4 first. What is an address already needs none, and no thread to ask it."""
    with contextlib.suppress(ValueError):
        return (str(ipaddress.ip_address(host)),)
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = dict.fromkeys(str(entry[4][0]) for entry in sorted(found, key=lambda entry: entry[0] != socket.AF_INET))
    return tuple(addresses)


async def _read(response: httpx.Response, bytes_max: int) -> tuple[bytes, bool]:
    """The body as it came, up to the limit, and whether there was more."""
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > bytes_max:
            return bytes(body[:bytes_max]), True
    return bytes(body), False
