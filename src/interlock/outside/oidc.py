"""How does Interlock learn from an identity provider who somebody is? OpenID Connect, authorization code with PKCE.

    discover    what the provider says of itself, kept for an hour; its issuer must be the one that was set
    address     where the browser goes: with `state`, `nonce` and a PKCE challenge, all of them ours
    exchange    the code that the browser brought back, for an ID token, over our own connection
    verify      the token's signature, issuer, audience, times and nonce; then who it is about

Keys rotate without notice: a token that names a key which is not known has the keys fetched again, once. Only
signatures with a provider's private key count; `none` and shared-secret algorithms are not in the list. The access
token is not used and not kept.

Authlib makes the authorization request and the code exchange, joserfc checks the token.

Source: OpenID Connect Core 1.0, sections 3.1.2, 3.1.3; Discovery 1.0, section 4; RFC 7636 (PKCE); RFC 9700 (current
practice).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import orjson
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from interlock.clock import monotonic_s, utc_now
from interlock.model.errors import ProviderUnavailable, Rejected, Unauthorized, Unavailable
from interlock.model.identity import Asked, Identity
from interlock.outside.http import Http

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
METADATA_S = 3600.0
TIMEOUT_S = 10.0
LEEWAY_S = 60
"""How far the provider's clock may be from ours."""

AGE_MAX_S = 600
"""How old a token may be that was just issued to us."""

GROUPS_MAX = 500
"""How many groups of a token are looked at; a provider that sends more should be asked for fewer."""

_FAMILIES = [import_module(name) for name in ("httpx", "httpx2") if find_spec(name) is not None]
SILENT: tuple[type[Exception], ...] = (*(family.HTTPError for family in _FAMILIES), TimeoutError, ValueError)
"""What Authlib's client raises without a fitting answer: it is an httpx2 client where that is installed."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the provider says of itself, as far as it is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class IdentityProvider:
    """One provider. Made once a process; it keeps what the provider said, and its keys."""

    def __init__(
        self,
        issuer: str,
        *,
        client_id: str,
        client_secret: str | None = None,
        scopes: str = "openid email profile",
        groups_claim: str = "groups",
        http: Http | None = None,
    ) -> None:
        self.issuer = issuer
        self.client_id = client_id
        self._client_secret = client_secret
        self._scopes = scopes
        self._groups_claim = groups_claim
        # the operator of this installation chose the address, so it may be on the private network
        self._http = http or Http(allow_private_addresses=True)
        self._metadata: Metadata | None = None
        self._metadata_until_s = 0.0
        self._keys: KeySet | None = None

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()

    async def discover(self) -> Metadata:
        """What the provider says of itself.

        Fails: `ProviderUnavailable` when it does not answer, or not as a provider does.
        """
        if self._metadata is None or monotonic_s() > self._metadata_until_s:
            url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
            self._metadata = _metadata(await self._get(url), issuer=self.issuer)
            self._metadata_until_s = monotonic_s() + METADATA_S
        return self._metadata

    async def address(self, asked: Asked) -> str:
        """Where to send the browser.

        Fails: `ProviderUnavailable`.
        """
        metadata = await self.discover()
        async with self._client(asked) as client:
            url, _state = client.create_authorization_url(
                metadata.authorization_endpoint, state=asked.state, nonce=asked.nonce, code_verifier=asked.verifier
            )
        return str(url)

    async def identify(self, asked: Asked, *, code: str) -> Identity:
        """Who the browser that brought this code back belongs to.

        Fails: `ProviderUnavailable`; `Unauthorized` for a code that is not taken, or a token that does not fit.
        """
        metadata = await self.discover()
        try:
            async with asyncio.timeout(TIMEOUT_S), self._client(asked) as client:
                token = await client.fetch_token(
                    metadata.token_endpoint, grant_type="authorization_code", code=code, code_verifier=asked.verifier
                )
        except OAuthError as refused:
            raise Unauthorized(
                f"The identity provider did not take the code ({refused.error}). Sign in again."
            ) from refused
        except SILENT as broken:
            raise _unavailable(self.issuer, broken) from broken
        text = token.get("id_token")
        if not isinstance(text, str):
            raise Unauthorized("The identity provider sent no ID token. Is the scope `openid` set?")
        return self._identity(await self.verify(text, audience=self.client_id, nonce=asked.nonce))

    async def verify(self, text: str, *, audience: str, nonce: str | None = None) -> Mapping[str, Any]:
        """The claims of a token that this provider signed for this audience, and that is valid now.

        Takes: `nonce` must be the token's where it is given.
        Fails: `Unauthorized` with what is wrong; `ProviderUnavailable` when the keys cannot be fetched.
        """
        keys = self._keys or await self._fetch_keys()
        try:
            token = jwt.decode(text, keys, algorithms=list(ALGORITHMS))
        except (JoseError, ValueError):
            # signed by a key that is new to us, or by nobody: the provider's keys of this moment tell which
            try:
                token = jwt.decode(text, await self._fetch_keys(), algorithms=list(ALGORITHMS))
            except (JoseError, ValueError) as refused:
                raise Unauthorized("The identity provider's token is not signed by one of its keys.") from refused
        wrong = _wrong(token.claims, issuer=self.issuer, audience=audience, nonce=nonce)
        if wrong is not None:
            raise Unauthorized(f"The identity provider's token is not for this sign-in: {wrong}.")
        return token.claims

    async def _fetch_keys(self) -> KeySet:
        metadata = await self.discover()
        found = await self._get(metadata.jwks_uri)
        try:
            self._keys = KeySet.import_key_set(
                {"keys": [key for key in found["keys"] if key.get("use", "sig") == "sig"]}
            )
        except (JoseError, KeyError, TypeError, ValueError, AttributeError) as broken:
            raise _unavailable(self.issuer, broken) from broken
        return self._keys

    async def _get(self, url: str) -> Any:
        try:
            answer = await self._http.send("GET", url, timeout_s=TIMEOUT_S)
            if answer.status != 200 or answer.truncated:
                raise Unavailable(f"{urlsplit(url).hostname} answered {answer.status}.")
            return orjson.loads(answer.body)
        except (Unavailable, Rejected, ValueError) as broken:
            raise _unavailable(self.issuer, broken) from broken

    def _client(self, asked: Asked) -> AsyncOAuth2Client:
        return AsyncOAuth2Client(
            client_id=self.client_id,
            client_secret=self._client_secret,
            scope=self._scopes,
            redirect_uri=asked.redirect_uri,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if self._client_secret else "none",
            timeout=TIMEOUT_S,
            trust_env=False,
            follow_redirects=False,
        )

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        groups = claims.get(self._groups_claim)
        if isinstance(groups, str):
            groups = groups.split(",")
        names = [each.strip() for each in groups if isinstance(each, str)] if isinstance(groups, Sequence) else []
        email = claims.get("email")
        username = claims.get("preferred_username")
        return Identity(
            issuer=self.issuer,
            subject=str(claims["sub"]),
            email=email.strip().lower() if isinstance(email, str) and "@" in email else None,
            email_verified=claims.get("email_verified") in (True, "true"),
            username=username.strip() if isinstance(username, str) and username.strip() else None,
            groups=tuple(name for name in names[:GROUPS_MAX] if name),
        )


def _metadata(found: Any, *, issuer: str) -> Metadata:
    """The provider's document, checked.

    Fails: `ProviderUnavailable`.
    """
    try:
        metadata = Metadata(
            str(found["issuer"]),
            str(found["authorization_endpoint"]),
            str(found["token_endpoint"]),
            str(found["jwks_uri"]),
        )
    except (KeyError, TypeError) as missing:
        raise _unavailable(issuer, missing) from missing
    if metadata.issuer.rstrip("/") != issuer.rstrip("/"):
        raise ProviderUnavailable(
            f"The identity provider at {issuer} calls itself {metadata.issuer}. Set INTERLOCK_OIDC_ISSUER to that."
        )
    return metadata


def _wrong(claims: Mapping[str, Any], *, issuer: str, audience: str, nonce: str | None) -> str | None:
    """What is wrong with a token's claims, in words; None when nothing is."""
    now = utc_now().timestamp()
    audiences = claims.get("aud")
    audiences = [audiences] if isinstance(audiences, str) else audiences
    expires, issued, sooner = (claims.get(name) for name in ("exp", "iat", "nbf"))
    if str(claims.get("iss", "")).rstrip("/") != issuer.rstrip("/"):
        return "it has another issuer"
    if not isinstance(audiences, list) or audience not in audiences:
        return "it is meant for another audience"
    if (len(audiences) > 1 or "azp" in claims) and nonce is not None and claims.get("azp") != audience:
        return "it was issued to another party"
    if not isinstance(expires, int | float) or expires < now - LEEWAY_S:
        return "it has expired"
    if not isinstance(issued, int | float) or issued > now + LEEWAY_S or issued < now - AGE_MAX_S - LEEWAY_S:
        return "it was issued at another time"
    if isinstance(sooner, int | float) and sooner > now + LEEWAY_S:
        return "it is not valid yet"
    if nonce is not None and claims.get("nonce") != nonce:
        return "it does not carry our nonce"
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        return "it says of nobody who they are"
    return None


def _unavailable(issuer: str, cause: BaseException) -> ProviderUnavailable:
    said = str(cause) or type(cause).__name__
    return ProviderUnavailable(f"The identity provider {issuer} does not answer as it should: {said}")
