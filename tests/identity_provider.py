"""An identity provider as a process of its own, on loopback: discovery, a login without a form, codes, tokens, keys.

It keeps the protocol's rules that matter to a client (one use of a code, PKCE, the redirect URI, client
authentication), and does wrong on request: `PUT /faults` with any of `nonce`, `audience`, `issuer`, `expired`,
`unsigned`, `other_key`, `slow`, `down`, and `PUT /person` says who signs in next. `POST /rotate` takes another signing
key and forgets the old one.

    python identity_provider.py <port file>
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

CLIENT_ID, CLIENT_SECRET = "interlock", "s3cret of the client"
ADA = {
    "sub": "u-ada",
    "email": "ada@example.org",
    "email_verified": True,
    "preferred_username": "ada.l",
    "groups": ["platform"],
}


class Provider:
    """What the tests say to the process."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer

    def person(self, **claims: Any) -> None:
        httpx.put(f"{self.issuer}/person", json={**ADA, **claims}).raise_for_status()

    def faults(self, *names: str) -> None:
        httpx.put(f"{self.issuer}/faults", json=list(names)).raise_for_status()

    def rotate(self) -> None:
        httpx.post(f"{self.issuer}/rotate").raise_for_status()

    def sign(self, **claims: Any) -> str:
        """A token with these claims, signed as its own: what a CI system would hand to a job."""
        answer = httpx.post(f"{self.issuer}/sign", json=claims)
        answer.raise_for_status()
        return answer.text


@contextmanager
def running(folder: Path) -> Iterator[Provider]:
    """The process, ready; ended with the block."""
    port_file = folder / "port"
    process = subprocess.Popen([sys.executable, __file__, str(port_file)])
    try:
        deadline = time.monotonic() + 30
        while not port_file.exists():
            assert process.poll() is None and time.monotonic() < deadline, "the provider did not start"
            time.sleep(0.05)
        issuer = f"http://127.0.0.1:{port_file.read_text()}"
        while True:
            try:
                httpx.get(f"{issuer}/jwks").raise_for_status()
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline, "the provider does not answer"
                time.sleep(0.05)
        yield Provider(issuer)
    finally:
        process.kill()
        process.wait()


def build(issuer: str) -> Any:
    """The provider's app."""
    from joserfc import jwt
    from joserfc.jwk import RSAKey
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
    from starlette.routing import Route

    state: dict[str, Any] = {"person": dict(ADA), "faults": set(), "codes": {}}

    def new_key() -> Any:
        return RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig"})

    state["key"] = new_key()

    async def discovery(_: Request) -> Response:
        if "down" in state["faults"]:
            return PlainTextResponse("no", status_code=502)
        return JSONResponse(
            {
                "issuer": "https://elsewhere.test" if "wrong_discovery" in state["faults"] else issuer,
                "authorization_endpoint": f"{issuer}/authorize",
                "token_endpoint": f"{issuer}/token",
                "jwks_uri": f"{issuer}/jwks",
            }
        )

    async def jwks(_: Request) -> Response:
        return JSONResponse({"keys": [state["key"].as_dict(private=False)]})

    async def authorize(request: Request) -> Response:
        query = request.query_params
        assert query["response_type"] == "code" and query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256" and "openid" in query["scope"].split()
        if "refuses" in state["faults"]:
            sent = {"error": "access_denied", "error_description": "Not today.", "state": query["state"]}
            return RedirectResponse(f"{query['redirect_uri']}?{urlencode(sent)}", status_code=302)
        code = secrets.token_urlsafe(16)
        state["codes"][code] = {**dict(query), "person": dict(state["person"])}
        sent = {"code": code, "state": query["state"]}
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(sent)}", status_code=302)

    async def token(request: Request) -> Response:
        faults = state["faults"]
        if "slow" in faults:
            await asyncio.sleep(30)
        if "token_down" in faults:
            return PlainTextResponse("no", status_code=503)
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        form = dict(await request.form())
        asked = state["codes"].pop(form.get("code"), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(str(form.get("code_verifier")).encode()).digest())
        if (
            request.headers.get("authorization") != f"Basic {basic}"
            or asked is None
            or asked["redirect_uri"] != form.get("redirect_uri")
            or asked["code_challenge"] != challenge.rstrip(b"=").decode()
        ):
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        now = int(time.time())
        claims = {
            **asked["person"],
            "iss": "https://elsewhere.test" if "issuer" in faults else issuer,
            "aud": "another-client" if "audience" in faults else CLIENT_ID,
            "iat": now - 7200 if "expired" in faults else now,
            "exp": now - 3600 if "expired" in faults else now + 300,
            "nonce": "another" if "nonce" in faults else asked["nonce"],
        }
        return JSONResponse({"access_token": "x", "token_type": "Bearer", "id_token": signed(claims)})

    def signed(claims: dict[str, Any]) -> str:
        if "unsigned" in state["faults"]:
            parts = [{"alg": "none"}, claims]
            return ".".join(
                [*(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts), ""]
            )
        key = new_key() if "other_key" in state["faults"] else state["key"]
        return str(jwt.encode({"alg": "RS256", "kid": state["key"].kid}, claims, key))

    async def person(request: Request) -> Response:
        state["person"] = await request.json()
        return PlainTextResponse("")

    async def faults(request: Request) -> Response:
        state["faults"] = set(await request.json())
        return PlainTextResponse("")

    async def rotate(_: Request) -> Response:
        state["key"] = new_key()
        return PlainTextResponse("")

    async def sign(request: Request) -> Response:
        now = int(time.time())
        return PlainTextResponse(signed({"iss": issuer, "iat": now, "exp": now + 300, **(await request.json())}))

    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", discovery),
            Route("/jwks", jwks),
            Route("/authorize", authorize),
            Route("/token", token, methods=["POST"]),
            Route("/person", person, methods=["PUT"]),
            Route("/faults", faults, methods=["PUT"]),
            Route("/rotate", rotate, methods=["POST"]),
            Route("/sign", sign, methods=["POST"]),
        ]
    )


def main(port_file: Path) -> None:
    import uvicorn

    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    app = build(f"http://127.0.0.1:{port}")
    written = port_file.with_suffix(".part")
    written.write_text(str(port))
    written.rename(port_file)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[bound])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
