"""What is deployed in the walkthrough? A cluster in which the shop runs, whose behaviour depends on its version.

    PATCH /apis/apps/v1/namespaces/shop/deployments/shop-api    what Argo CD applies: which version runs from now on
    GET /version     {"version", "cluster"}: what runs here
    GET /checkout    what customers call

v1.2.4 has a bug that no test found: its process is healthy, and whoever pays gets an error.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from running import PORTS, end_with_parent, tell

BUGGY = {"v1.2.4"}
DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/shop-api"


class Cluster(ThreadingHTTPServer):
    """One cluster: a name, and the version that runs in it."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", PORTS[name]), Call)
        self.name = name
        self.version: str | None = None


class Call(BaseHTTPRequestHandler):
    """One call of a customer, or of Argo CD."""

    server: Cluster

    def do_GET(self) -> None:
        match self.path, self.server.version:
            case "/version", version:
                self.answer(200, {"version": version, "cluster": self.server.name})
            case _, None:
                self.answer(503, {"error": "nothing runs here yet"})
            case "/checkout", version if version in BUGGY:
                self.answer(500, {"error": "cannot read the price of None", "version": version})
            case "/checkout", version:
                self.answer(200, {"paid": True, "version": version})
            case _:
                self.answer(404, {"error": "no such page"})

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != DEPLOYMENT:
            self.answer(404, {"message": "not found"})
            return
        (container,) = body["spec"]["template"]["spec"]["containers"]
        self.server.version = container["image"].rpartition(":")[2]
        tell(self.server.name, f"the shop runs {self.server.version}")
        self.answer(200, body)

    def answer(self, status: int, body: object) -> None:
        """Say something as JSON."""
        raw = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *said: object) -> None:
        """Customers are not told of."""


if __name__ == "__main__":
    end_with_parent()
    Cluster(sys.argv[1]).serve_forever()
