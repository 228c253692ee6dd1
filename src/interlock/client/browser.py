"""How does a terminal get a key of its person? By the browser, where they are signed in by whatever means.

The terminal keeps a secret and shows its challenge in the address that it opens. The person lets it in with one click;
the browser then brings a code to 127.0.0.1, at a port that is listened on for this alone, or the person types it. The
code and the secret together are good for one key.

Source: RFC 8252 section 7.3 (loopback redirection), RFC 7636 (PKCE, S256); decision record 0028.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import secrets
import time
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qs, urlencode, urlsplit

from interlock.client.calls import Calls, Wire

WAIT_S = 300.0
"""As long as the server keeps a code."""

SAID = b"<!doctype html><title>interlock</title><p>Done. You can go back to your terminal.</p>"
UNKNOWN = b"<!doctype html><title>interlock</title><p>This did not come from your terminal.</p>"


@dataclass(slots=True)
class BrowserLogin:
    """One sign-in of one terminal. `name` is what the person sees that they let in."""

    url: str
    name: str
    _verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    _state: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    _listener: http.server.HTTPServer | None = None
    _code: str | None = None

    def address(self, *, listen: bool) -> str:
        """What the browser is to open.

        Takes: without `listen` the page shows a code to type, as on a machine without a browser.
        """
        digest = hashlib.sha256(self._verifier.encode()).digest()
        query = {"challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), "name": self.name}
        if listen:
            self._listener = self._listening()
            query |= {"port": str(self._listener.server_address[1]), "state": self._state}
        root = self.url.rstrip("/").removesuffix("/api")
        return f"{root}/login?{urlencode(query)}"

    def wait(self, *, timeout_s: float = WAIT_S) -> str | None:
        """The code that the browser brings; None when it does not in time."""
        listener, until_s = self._listener, time.monotonic() + timeout_s
        assert listener is not None, "nobody listens"
        with listener:
            while self._code is None and time.monotonic() < until_s:
                listener.timeout = min(1.0, max(0.0, until_s - time.monotonic()))
                listener.handle_request()
        return self._code

    def key_for(self, code: str) -> Wire:
        """The key for a code: `{key, user, expiresAt}`.

        Fails: `Unauthorized` when the code is over or another terminal's.
        """
        body = {"code": code.strip(), "verifier": self._verifier}
        with Calls(self.url, api_key="") as calls:
            return cast("Wire", calls.request("POST", "/login", body=body))

    def _listening(self) -> http.server.HTTPServer:
        login = self

        class Taking(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                known = secrets.compare_digest(query.get("state", [""])[0].encode(), login._state.encode())
                if known and query.get("code"):
                    login._code = query["code"][0]
                self.send_response(200 if known else 400)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(SAID if known else UNKNOWN)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: the terminal is the person's."""

        return http.server.HTTPServer(("127.0.0.1", 0), Taking)
