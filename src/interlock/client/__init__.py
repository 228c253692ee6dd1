"""How does a Python program talk to Interlock? The typed client over REST; the command line uses it.

    with Client("http://127.0.0.1:8080", api_key=key, workspace="shop") as client:
        deployment = client.find_deployment("shop-api")
        client.upsert_version(deployment["id"], tag="1.0.0")

Answers are the wire's JSON objects (`contract.md`), typed by `shapes.py`. A refusal is raised as the error of
`model.errors` that its status names, with `status`, `code` and the server's sentence; what cannot be reached is
`Unavailable`. The client imports `model` and nothing else of ours, and beside it only the standard library: every
command waits for this import.
"""

from interlock.client.calls import Calls, Seen, Wire
from interlock.client.client import Client

__all__ = ["Calls", "Client", "Seen", "Wire"]
