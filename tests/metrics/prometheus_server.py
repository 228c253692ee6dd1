"""A real Prometheus on loopback, scraping a small exporter of the test's own.

The exporter serves two counters with a label, as an application would: of requests, and of those that failed. What it
says is the test's to choose.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PROMETHEUS = shutil.which("prometheus")
MISSING = "There is no Prometheus here: apt-get install prometheus"
UP_S = 60.0


@dataclass
class Exporter:
    """What the application tells: track -> (requests, failed), growing with each scrape."""

    growth: dict[str, tuple[int, int]] = field(default_factory=lambda: {"stable": (90, 1), "canary": (10, 2)})
    scrapes: int = 0
    port: int = 0

    def page(self) -> str:
        self.scrapes += 1
        lines = ["# TYPE requests_total counter", "# TYPE failed_total counter"]
        for track, (requests, failed) in self.growth.items():
            lines.append(f'requests_total{{track="{track}"}} {requests * self.scrapes}')
            lines.append(f'failed_total{{track="{track}"}} {failed * self.scrapes}')
        return "\n".join([*lines, *self.service()]) + "\n"

    def service(self) -> list[str]:
        """What every service tells: a tenth of its requests fail, half of them take up to 0.1 s, nine tenths 0.5 s."""
        times = self.scrapes
        requests = "http_requests_total"
        buckets = (("0.1", 5), ("0.5", 9), ("1", 10), ("+Inf", 10))
        quota = "kube_pod_container_resource_limits"
        here = 'service="shop"'
        return [
            f'{requests}{{{here},code="200"}} {9 * times}',
            f'{requests}{{{here},code="500"}} {times}',
            *(f'http_request_duration_seconds_bucket{{{here},le="{le}"}} {n * times}' for le, n in buckets),
            f'container_cpu_usage_seconds_total{{{here},container="web"}} {times * 0.01}',
            f'container_memory_working_set_bytes{{{here},container="web"}} 50',
            f'{quota}{{{here},resource="cpu"}} 1',
            f'{quota}{{{here},resource="memory"}} 200',
            f"used_things{{{here}}} 3",
            f"all_things{{{here}}} 4",
        ]


@dataclass(frozen=True)
class Prometheus:
    """A server that has scraped the exporter a few times."""

    address: str
    exporter: Exporter

    def ask(self, query: str) -> list[object]:
        """What the server itself says, past our provider."""
        url = f"{self.address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: list[object] = json.load(answer)["data"]["result"]
            return found


@contextlib.contextmanager
def exporting() -> Iterator[Exporter]:
    """The exporter, in a thread."""
    exporter = Exporter()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exporter.page().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    exporter.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield exporter
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def serving_prometheus(folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes every 200 ms, once it has scraped three times."""
    assert PROMETHEUS is not None
    with exporting() as exporter:
        config = folder / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
            "scrape_configs:\n"
            f"  - {{job_name: shop, static_configs: [{{targets: ['127.0.0.1:{exporter.port}']}}]}}\n"
        )
        for _ in range(5):  # a port that was free a moment ago may be taken now
            port = _free_port()
            process = subprocess.Popen(
                [
                    PROMETHEUS,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder / f'data-{port}'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--log.level=error",
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"PATH": os.environ["PATH"]},
            )
            found = Prometheus(f"http://127.0.0.1:{port}", exporter)
            try:
                if _is_up(found, process):
                    yield found
                    return
            finally:
                process.terminate()
                process.wait(timeout=30)
    raise AssertionError("Prometheus did not come up.")


def _is_up(server: Prometheus, process: subprocess.Popen[bytes]) -> bool:
    give_up = time.monotonic() + UP_S
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            if server.exporter.scrapes >= 3 and server.ask("requests_total"):
                return True
        time.sleep(0.05)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_scrapes(server: Prometheus, times: int) -> None:
    """Wait for so many more scrapes."""
    wanted, give_up = server.exporter.scrapes + times, time.monotonic() + UP_S
    while server.exporter.scrapes < wanted and time.monotonic() < give_up:
        time.sleep(0.05)
