"""A receiver of jobs that is faithful to what the docs ask of one: it checks the signature and knows its keys.

It verifies by the specification of Standard Webhooks, written here anew and not with the product's own code, checks
what it is sent, and starts nothing twice for one key. `inputs.way` says how a job goes: `quick` (over when it is
asked), `slow` (it runs on).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .stub_server import Answer, Call, StubServer

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
JOB_KEYS = {
    "jobId",
    "attempt",
    "idempotencyKey",
    "callback",
    "timeoutSeconds",
    "authorization",
    "inputs",
    "context",
}
CANCEL_KEYS = {"jobId", "attempt", "idempotencyKey", "callback", "externalId"}


def is_signed(call: Call, secret: str) -> bool:
    """By the specification: `v1,` and the HMAC-SHA256 of `id.timestamp.body`, of a timestamp within five minutes."""
    told = call.headers
    stamp = told.get("webhook-timestamp", "")
    if not stamp.isdigit() or abs(time.time() - int(stamp)) > 300:
        return False
    said = f"{told.get('webhook-id')}.{stamp}.".encode() + call.raw
    key = base64.b64decode(secret.removeprefix("whsec_"))
    right = "v1," + base64.b64encode(hmac.new(key, said, hashlib.sha256).digest()).decode()
    return right in told.get("webhook-signature", "").split(" ")


@dataclass
class WebhookServer(StubServer):
    """`started` counts the jobs that it began; `says` is what it answers a start with."""

    secret: str = SECRET
    jobs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    says: dict[str, Any] | None = None
    started: int = 0

    def __post_init__(self) -> None:
        self.on("POST", "/jobs", self.take)
        self.on("GET", "/jobs", self.tell)

    def take(self, call: Call) -> Answer:
        if not is_signed(call, self.secret):
            return 401, {"message": "not signed"}
        data, kind = call.body["data"], call.body["type"]
        if call.headers["idempotency-key"] != data["idempotencyKey"] != call.headers["webhook-id"]:
            return 400, {"message": "three keys that differ"}
        wanted = {"job.start": JOB_KEYS, "job.cancel": CANCEL_KEYS}.get(kind)
        if wanted is None or set(data) != wanted:
            return 400, {"message": f"{kind} with {sorted(data)}"}
        key = (data["jobId"], str(data["attempt"]))
        if kind == "job.cancel":
            if key in self.jobs and not self.jobs[key]["finishedAt"]:
                self.end(key, "cancelled")
            return 202, {}
        if key not in self.jobs:
            self.started += 1
            self.jobs[key] = {"status": "inProgress", "finishedAt": None, "body": call.raw}
            if data["inputs"].get("way") != "slow":
                self.end(key, "successful")
        return 202, self.says if self.says is not None else {"externalId": f"run-{data['jobId']}"}

    def end(self, key: tuple[str, str], status: str) -> None:
        self.jobs[key] |= {"status": status, "finishedAt": datetime.now(UTC).isoformat()}

    def tell(self, call: Call) -> Answer:
        if not is_signed(call, self.secret):
            return 401, {"message": "not signed"}
        found = self.jobs.get((call.query["jobId"], call.query["attempt"]))
        if found is None:
            return 404, {"message": "no such job"}
        return 200, {"status": found["status"], "finishedAt": found["finishedAt"]}
