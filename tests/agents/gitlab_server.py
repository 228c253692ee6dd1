"""GitLab's API as far as the agent relies on it: pipelines with variables, a list that lags, cancel.

The answers follow the published REST reference (Pipelines API v4). The `ref` says how a pipeline goes: `quick` (it
succeeds at once), `slow` (it runs on), or what `outcomes` maps it to.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .stub_server import Answer, Call, StubServer


@dataclass
class GitLabServer(StubServer):
    """`lag` hides the newest pipelines from the list, `lag_s` those that are younger."""

    token: str = "glpat-token"
    pipelines: list[dict[str, Any]] = field(default_factory=list)
    variables: dict[int, list[dict[str, str]]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    lag: int = 0
    lag_s: float = 0.0
    made_at_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        home = r"/api/v4/projects/shop%2Fdeploy"
        for method, path, answer in (
            ("POST", home + "/pipeline", self.create),
            ("GET", home + "/pipelines", self.list),
            ("GET", home + "/pipelines/([^/]+)", self.get),
            ("GET", home + "/pipelines/([^/]+)/variables", self.get_variables),
            ("POST", home + "/pipelines/([^/]+)/cancel", self.cancel),
            ("GET", home + "/pipelines/([^/]+)/jobs", self.jobs),
        ):
            self.on(method, path, lambda call, answer=answer: self.signed_in(call) or answer(call))

    def signed_in(self, call: Call) -> Answer | None:
        return None if call.headers.get("private-token") == self.token else (401, {"message": "401 Unauthorized"})

    def create(self, call: Call) -> Answer:
        number, at = len(self.pipelines) + 1, datetime.now(UTC).isoformat()
        status = self.outcomes.get(call.body["ref"], "running" if call.body["ref"] == "slow" else "success")
        self.pipelines.append(
            {
                "id": number,
                "status": status,
                "ref": call.body["ref"],
                "source": "api",
                "sha": "b" * 40,
                "web_url": f"https://gitlab.com/shop/deploy/-/pipelines/{number}",
                "updated_at": at,
                "finished_at": at if status in {"success", "failed", "canceled"} else None,
            }
        )
        self.made_at_s.append(time.monotonic())
        self.variables[number] = call.body["variables"]
        return 201, self.pipelines[-1]

    def list(self, call: Call) -> Answer:
        listed = sum(at_s + self.lag_s <= time.monotonic() for at_s in self.made_at_s) if self.lag_s else None
        return 200, list(reversed(self.pipelines[: len(self.pipelines) - self.lag][:listed]))

    def _one(self, call: Call) -> dict[str, Any] | None:
        return next((one for one in self.pipelines if str(one["id"]) == call.groups[0]), None)

    def get(self, call: Call) -> Answer:
        found = self._one(call)
        return (404, {"message": "404 Not found"}) if found is None else (200, found)

    def get_variables(self, call: Call) -> Answer:
        return 200, self.variables.get(int(call.groups[0]), [])

    def jobs(self, call: Call) -> Answer:
        if call.query.get("scope[]") != "failed":
            return 400, {"message": "scope does not have a valid value"}
        return 200, [{"name": "apply", "status": "failed", "failure_reason": "script_failure"}]

    def cancel(self, call: Call) -> Answer:
        found = self._one(call)
        if found is None:
            return 404, {"message": "404 Not found"}
        at = datetime.now(UTC).isoformat()
        found |= {"status": "canceled", "updated_at": at, "finished_at": at}
        return 200, found
