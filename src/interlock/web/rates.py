"""How much may one caller ask? So many requests a second, with a burst; the next one hears 429 and when to come back.

Who is counted, each with a bucket of tokens that fills at its rate:

    a key, or a session         `rate_per_s`, `rate_burst`
    a user, over all their keys four times as much
    an address without a valid key    `stranger_rate_per_s`, `stranger_burst`: each 401 and each request without a key
    an address that signs in    `sign_in_rate_per_s`, `sign_in_burst`: forms and callbacks of a sign-in

A key that has opened the door lately is known by a digest, so an address that others of the same network have used up
does not lock it out. Whoever watches (`/api/healthz`, `readyz`, `version`, `/metrics`), the OpenAPI document and static
files are never counted. A rate of 0 switches a tier off.

Buckets live in the memory of one process: with three API processes behind a balancer a key may get up to three times
as much. That is what they are for, the protection of a process; a row a request in the database would cost more than
what it guards.

Source: RFC 6585, section 4 (429); RFC 9110, section 10.2.3 (Retry-After).
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interlock.clock import monotonic_s
from interlock.settings import Settings
from interlock.web.errors import refusal

KEPT_MAX = 10_000
"""Buckets of one tier; the one used longest ago is forgotten, which fills it."""

USER_SHARE = 4
"""How much more a user gets, over all keys and sessions, than one of them."""

PROTECTED = "/api/v1/"
SIGNS_IN = ("/sign-in", "/api/login")
SESSION_COOKIE = "interlock_session"


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens a second, and how many there may be at once."""

    per_s: float
    burst: int

    def times(self, share: int) -> Rate:
        """The same for a group."""
        return Rate(self.per_s * share, self.burst * share)


class Buckets:
    """The buckets of one tier, by whom they belong to."""

    def __init__(self, rate: Rate, *, now_s: Callable[[], float] = monotonic_s) -> None:
        self.rate = rate
        self._now_s = now_s
        self._filled: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str) -> float:
        """Take one token. Gives 0, or the seconds until there is one."""
        rate, now = self.rate, self._now_s()
        if rate.per_s <= 0:
            return 0.0
        tokens, at = self._filled.get(who, (float(rate.burst), now))
        tokens = min(float(rate.burst), tokens + (now - at) * rate.per_s)
        wait_s = 0.0 if tokens >= 1 else (1 - tokens) / rate.per_s
        self._filled[who] = (tokens - 1 if tokens >= 1 else tokens, now)
        self._filled.move_to_end(who)
        if len(self._filled) > KEPT_MAX:
            self._filled.popitem(last=False)
        return wait_s

    def give_back(self, who: str) -> None:
        """Take back that a token was taken."""
        if who in self._filled:
            tokens, at = self._filled[who]
            self._filled[who] = (min(float(self.rate.burst), tokens + 1), at)


class RateLimits:
    """ASGI middleware, outside of sign-in, so that a stranger's flood costs no look at the database."""

    def __init__(self, app: ASGIApp, *, settings: Settings, now_s: Callable[[], float] = monotonic_s) -> None:
        self.app = app
        rate = Rate(settings.rate_per_s, settings.rate_burst)
        self.keys = Buckets(rate, now_s=now_s)
        self.users = Buckets(rate.times(USER_SHARE), now_s=now_s)
        self.strangers = Buckets(Rate(settings.stranger_rate_per_s, settings.stranger_burst), now_s=now_s)
        self.signing_in = Buckets(Rate(settings.sign_in_rate_per_s, settings.sign_in_burst), now_s=now_s)
        self._user_by_key: OrderedDict[str, str] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"].startswith(PROTECTED):
            await self._protected(scope, receive, send)
        elif _signs_in(scope):
            wait_s = self.signing_in.take(address_of(scope))
            await (self._refuse(wait_s, self.signing_in.rate) if wait_s else self.app)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _protected(self, scope: Scope, receive: Receive, send: Send) -> None:
        key, address = credential_of(HTTPConnection(scope)), address_of(scope)
        user = self._user_by_key.get(key or "")
        if key is not None and user is not None:
            wait_s = self.keys.take(key) or self.users.take(user)
            tier = self.keys
        else:
            wait_s = self.strangers.take(address)
            tier = self.strangers
        if wait_s:
            await self._refuse(wait_s, tier.rate)(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        answered = 0

        async def noted(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start" and not answered:
                answered = message["status"]
                caller = state.get("caller")
                if key is not None and caller is not None and user is None:
                    self._know(key, caller.id, address)
                elif key is not None and answered == 401:
                    self._user_by_key.pop(key, None)
            await send(message)

        await self.app(scope, receive, noted)

    def _know(self, key: str, user: str, address: str) -> None:
        """A key has opened the door: from now on it is counted by itself."""
        self.strangers.give_back(address)
        self.keys.take(key)
        self.users.take(user)
        self._user_by_key[key] = user
        if len(self._user_by_key) > KEPT_MAX:
            self._user_by_key.popitem(last=False)

    @staticmethod
    def _refuse(wait_s: float, rate: Rate) -> ASGIApp:
        after_s = max(1, math.ceil(wait_s))
        answer = refusal(
            429,
            f"Too many requests: {rate.per_s:g} a second are answered here, {rate.burst} at once. Come back in "
            f"{after_s} s.",
            code="RATE_LIMITED",
            details={"perSecond": rate.per_s, "burst": rate.burst, "retryAfterSeconds": after_s},
        )
        answer.headers["Retry-After"] = str(after_s)
        return answer


def credential_of(request: HTTPConnection) -> str | None:
    """A digest of the key or session that a request carries; None for a stranger's."""
    text = request.headers.get("x-api-key") or request.headers.get("authorization")
    text = text or request.cookies.get(SESSION_COOKIE)
    return hashlib.sha256(text.encode()).hexdigest()[:32] if text else None


def address_of(scope: Scope) -> str:
    """The client's address; of IPv6 the network of 64 bits, which is what one client has."""
    host = str((scope.get("client") or ("unknown",))[0])
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network(f"{address}/64", strict=False).network_address)
    return host


def _signs_in(scope: Scope) -> bool:
    """Whether a request may make a session or a key: the form that is sent, and whatever lies below it (an identity
    provider), and a terminal's.
    """
    path: str = scope["path"]
    return (path in SIGNS_IN and scope["method"] == "POST") or path.startswith(tuple(f"{one}/" for one in SIGNS_IN))
