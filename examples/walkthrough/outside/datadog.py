"""What does Datadog do in the walkthrough? It knows how customers fare in each cluster, and answers who asks.

The API is the stub that Interlock's tests check the metric provider `datadog` against, which follows Datadog's
published one. What is added here are the customers: ten a second in each cluster, of whom two things are counted, as
the agent of Datadog in a real cluster would.

    shop.checkout.calls      who wanted to pay          each with the tags env and version
    shop.checkout.failed     who could not
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request

from running import PORTS, find_stub_servers, serve, tell

find_stub_servers()

from metrics.datadog_server import DatadogServer  # noqa: E402

CLUSTERS = ("staging", "production")
EVERY_S = 0.1


class Datadog(DatadogServer):
    """Datadog with a shop that it watches."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.fares: dict[str, str] = {}
        for cluster in CLUSTERS:
            threading.Thread(target=self.watch, args=(cluster,), daemon=True).start()

    def watch(self, cluster: str) -> None:
        """Let customers pay in a cluster, and count them."""
        while True:
            try:
                paid, version = pay(cluster)
            except (OSError, ValueError):
                version = None
            if version is not None:
                tags = {"env": cluster, "version": version}
                self.note("shop.checkout.calls", 1, **tags)
                self.note("shop.checkout.failed", 0 if paid else 1, **tags)
                self.tell_of(cluster, version, paid=paid)
            time.sleep(EVERY_S)

    def tell_of(self, cluster: str, version: str, *, paid: bool) -> None:
        """Say it when customers fare otherwise than before."""
        fares = f"customers {'can' if paid else 'CANNOT'} pay with {version}"
        if self.fares.get(cluster) != fares:
            self.fares[cluster] = fares
            tell("Datadog", f"{cluster}: {fares}")


def pay(cluster: str) -> tuple[bool, str | None]:
    """One customer: whether they could pay, and with which version; None where nothing runs yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORTS[cluster]}/checkout", timeout=5) as answer:
            return True, json.load(answer)["version"]
    except urllib.error.HTTPError as refused:
        return False, json.load(refused).get("version")


if __name__ == "__main__":
    serve(Datadog, port=PORTS["datadog"])
