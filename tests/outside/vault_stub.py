"""A process that speaks the part of Vault's HTTP API that reads KV version 2, as HashiCorp documents it.

Source: developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2, "Read secret version", and "HTTP status codes".

    python vault_stub.py        writes `<port>` to stdout, then serves until stdin closes

The tree is sent to PUT /stub as JSON: {"token": …, "sealed": false, "data": {"secret/data/a/b": {…} | null}}; null is a
secret whose newest version was deleted. GET /stub answers how often anything was read.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STATE: dict[str, Any] = {"token": "", "sealed": False, "data": {}, "reads": 0}


class Vault(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        STATE.update({"reads": 0, "sealed": False, **sent})
        self.answer(200, {})

    def do_GET(self) -> None:
        if self.path == "/stub":
            return self.answer(200, {"reads": STATE["reads"]})
        STATE["reads"] += 1
        if STATE["sealed"]:
            return self.answer(503, {"errors": ["Vault is sealed"]})
        if self.headers.get("X-Vault-Token") != STATE["token"]:
            return self.answer(403, {"errors": ["permission denied"]})
        path = self.path.removeprefix("/v1/")
        if path not in STATE["data"]:
            return self.answer(404, {"errors": []})
        found = STATE["data"][path]
        metadata = {"created_time": "2026-03-09T09:00:00.0Z", "custom_metadata": None, "destroyed": False, "version": 2}
        metadata["deletion_time"] = "" if found is not None else "2026-03-10T09:00:00.0Z"
        body = {"request_id": "1", "lease_id": "", "renewable": False, "lease_duration": 0, "wrap_info": None}
        body |= {"data": {"data": found, "metadata": metadata}, "warnings": None, "auth": None}
        return self.answer(200 if found is not None else 404, body)

    def answer(self, status: int, body: Any) -> None:
        said = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vault)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
