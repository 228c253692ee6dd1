"""GitHub's API as far as the agent relies on it: App tokens, workflow_dispatch, runs with a list that lags, cancel.

The answers follow the published REST reference (Actions: workflows, workflow runs; Apps). `workflow_id` says how a run
goes: `quick.yml` (it succeeds at once), `slow.yml` (it runs on), or what `outcomes` maps it to.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

from .stub_server import Answer, Call, StubServer


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


KEY = RSAKey.generate_key(2048)


@dataclass
class GitHubServer(StubServer):
    """`lag` hides the newest runs from the list, `lag_s` those that are younger; `details` is whether a dispatch is
    answered with its run.
    """

    key: RSAKey = field(default_factory=lambda: KEY)
    token: str = "ghs_token"
    runs: list[dict[str, Any]] = field(default_factory=list)
    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)
    lag: int = 0
    lag_s: float = 0.0
    made_at_s: list[float] = field(default_factory=list)
    details: bool = True
    knows_details: bool = True
    named: bool = True
    tokens: int = 0

    def __post_init__(self) -> None:
        home = r"/repos/example/shop/actions"
        self.on("POST", "/app/installations/([^/]+)/access_tokens", self.make_token)
        for method, path, answer in (
            ("POST", home + "/workflows/([^/]+)/dispatches", self.dispatch),
            ("GET", home + "/workflows/([^/]+)/runs", self.list),
            ("GET", home + "/runs/([^/]+)", self.get),
            ("POST", home + "/runs/([^/]+)/cancel", self.cancel),
            ("GET", home + "/runs/([^/]+)/jobs", self.jobs),
        ):
            self.on(method, path, lambda call, answer=answer: self.signed_in(call) or answer(call))

    def signed_in(self, call: Call) -> Answer | None:
        good = call.headers.get("authorization") == f"Bearer {self.token}"
        return None if good else (401, {"message": "Bad credentials"})

    def make_token(self, call: Call) -> Answer:
        signed = call.headers.get("authorization", "").removeprefix("Bearer ")
        claims = jwt.decode(signed, self.key, algorithms=["RS256"]).claims
        if claims["iss"] != "12" or call.groups[0] != "4711":
            return 404, {"message": "Integration not found"}
        self.tokens += 1
        return 201, {"token": self.token, "expires_at": stamp(datetime.now(UTC) + timedelta(hours=1))}

    def dispatch(self, call: Call) -> Answer:
        if "return_run_details" in call.body and not self.knows_details:
            return 422, {"message": '"return_run_details" is not a permitted key.'}
        number, at = len(self.runs) + 1, datetime.now(UTC)
        run = {
            "id": number,
            "name": f"Deploy {call.body['inputs']['job_id']}" if self.named else "Deploy",
            "display_title": "Deploy",
            "event": "workflow_dispatch",
            "status": "in_progress",
            "conclusion": None,
            "run_attempt": 1,
            "head_sha": "a" * 40,
            "html_url": f"https://github.com/example/shop/actions/runs/{number}",
            "created_at": stamp(at),
            "updated_at": stamp(at),
            "inputs": call.body["inputs"],
            "ref": call.body["ref"],
        }
        if call.groups[0] != "slow.yml":
            run |= self.outcomes.get(call.groups[0], {"status": "completed", "conclusion": "success"})
        self.runs.append(run)
        self.made_at_s.append(time.monotonic())
        if not self.details or "return_run_details" not in call.body:
            return 204, None
        return 200, {"workflow_run_id": number, "run_url": f"{self.url}/x", "html_url": run["html_url"]}

    def list(self, call: Call) -> Answer:
        listed = sum(at_s + self.lag_s <= time.monotonic() for at_s in self.made_at_s) if self.lag_s else None
        seen = self.runs[: len(self.runs) - self.lag][:listed]
        size, page = int(call.query["per_page"]), int(call.query["page"])
        newest = [run for run in reversed(seen) if run["created_at"] >= call.query["created"].removeprefix(">=")]
        return 200, {"total_count": len(newest), "workflow_runs": newest[(page - 1) * size : page * size]}

    def _run(self, call: Call) -> dict[str, Any] | None:
        return next((run for run in self.runs if str(run["id"]) == call.groups[0]), None)

    def get(self, call: Call) -> Answer:
        run = self._run(call)
        return (404, {"message": "Not Found"}) if run is None else (200, run)

    def jobs(self, call: Call) -> Answer:
        run = self._run(call)
        if run is None:
            return 404, {"message": "Not Found"}
        steps = [{"name": "Set up job", "conclusion": "success"}, {"name": "apply", "conclusion": run["conclusion"]}]
        jobs = [
            {"name": "lint", "conclusion": "success", "steps": steps[:1]},
            {"name": "deploy", "conclusion": run["conclusion"], "steps": steps},
        ]
        return 200, {"total_count": len(jobs), "jobs": jobs}

    def cancel(self, call: Call) -> Answer:
        run = self._run(call)
        if run is None:
            return 404, {"message": "Not Found"}
        if run["status"] == "completed":
            return 409, {"message": "Cannot cancel a workflow run that is completed."}
        run |= {"status": "completed", "conclusion": "cancelled", "updated_at": stamp(datetime.now(UTC))}
        return 202, {}
