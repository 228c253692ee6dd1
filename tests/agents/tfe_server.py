"""Terraform Cloud's API as far as the agent relies on it: workspaces, variables, notification configurations, runs.

Written after HashiCorp's published API reference (Runs, Workspaces, Workspace Variables, Notification Configurations,
Plans, Cost Estimates, Policy Checks): JSON:API documents both ways, `application/vnd.api+json` or 415, the errors'
shape, which states a run passes, when it may be confirmed, discarded or cancelled, one run of a workspace at a time,
sensitive values that are never told again, names that are there once.

How a run goes is in its workspace's name: `slow` plans for ever, `stuck` applies for ever, `same` has nothing to
change, `broken` errors; `soft` fails a policy softly, `hard` for good, `opa` in a stage after the plan;
every other one plans a change.

A run goes one state further each time it is looked at; with `step_s`, one every so many seconds, as a server does. As a
process: `python -m tests.agents.tfe_server [port] [step_s]` says its address and serves.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

if __package__:
    from .stub_server import Answer, Call, StubServer, serving
else:  # pragma: no cover - started by its path
    from stub_server import Answer, Call, StubServer, serving

MEDIA_TYPE = "application/vnd.api+json"
FINAL = frozenset(
    {"applied", "planned_and_finished", "errored", "discarded", "canceled", "force_canceled", "policy_soft_failed"}
)
OVERRIDABLE = ("policy_override", "post_plan_awaiting_decision")
PLANNED = ("pending", "plan_queued", "planning", "planned", "cost_estimating", "cost_estimated")
CHECKED = (*PLANNED, "policy_checking", "policy_checked")
APPLIED = ("confirmed", "apply_queued", "applying", "applied")
WAITING = frozenset({"planned", "cost_estimated", "policy_checked", "post_plan_completed"})
WORKSPACE_KEYS = frozenset(
    {
        "name",
        "description",
        "execution-mode",
        "agent-pool-id",
        "terraform-version",
        "working-directory",
        "auto-apply",
        "allow-destroy-plan",
        "file-triggers-enabled",
        "global-remote-state",
        "queue-all-runs",
        "speculative-enabled",
        "trigger-prefixes",
        "trigger-patterns",
        "vcs-repo",
    }
)
RUN_KEYS = frozenset(["auto-apply", "is-destroy", "message", "plan-only", "refresh", "variables"])
VARIABLE_KEYS = frozenset(["key", "value", "description", "category", "hcl", "sensitive"])


def error(status: int, title: str, detail: str = "") -> Answer:
    return status, {"errors": [{"status": str(status), "title": title, **({"detail": detail} if detail else {})}]}


NOT_FOUND = error(404, "not found")


class Refused(Exception):
    def __init__(self, answer: Answer) -> None:
        self.answer = answer


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass
class TfeServer(StubServer):
    """`brief`: a run passes few states before it waits. `lag` hides the newest runs from the lists.
    `refuses_notifications`: it cannot reach the address.
    """

    token: str = "team-token"
    organization: str = "acme"
    step_s: float = 0.0
    lag: int = 0
    refuses_notifications: bool = False
    shows_plans: bool = True
    brief: bool = False
    workspaces: dict[str, dict[str, Any]] = field(default_factory=dict)
    variables: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    notifications: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        one, api = "([^/]+)", "/api/v2"
        for method, path, answer in (
            ("GET", f"/organizations/{one}/workspaces/{one}", self.show_workspace),
            ("POST", f"/organizations/{one}/workspaces", self.create_workspace),
            ("PATCH", f"/workspaces/{one}", self.update_workspace),
            ("GET", f"/workspaces/{one}/vars", self.list_variables),
            ("POST", f"/workspaces/{one}/vars", self.create_variable),
            ("PATCH", f"/workspaces/{one}/vars/{one}", self.update_variable),
            ("DELETE", f"/workspaces/{one}/vars/{one}", self.delete_variable),
            ("GET", f"/workspaces/{one}/notification-configurations", self.list_notifications),
            ("POST", f"/workspaces/{one}/notification-configurations", self.create_notification),
            ("PATCH", f"/notification-configurations/{one}", self.update_notification),
            ("GET", f"/workspaces/{one}/runs", self.list_runs),
            ("POST", "/runs", self.create_run),
            ("GET", f"/runs/{one}", self.show_run),
            ("GET", f"/runs/{one}/policy-checks", self.list_policy_checks),
            ("GET", f"/runs/{one}/task-stages", self.list_stages),
            ("GET", f"/task-stages/{one}/policy-evaluations", self.list_evaluations),
            ("POST", f"/runs/{one}/actions/apply", self.apply),
            ("POST", f"/runs/{one}/actions/discard", self.discard),
            ("POST", f"/runs/{one}/actions/cancel", self.cancel),
            ("GET", f"/plans/{one}/json-output", self.show_changes),
        ):
            self.on(method, api + path, lambda call, answer=answer: self.answered(call, answer))
        self.on("GET", f"/archive/{one}", self.show_archive)

    def answered(self, call: Call, answer: Any) -> Answer:
        if call.headers.get("authorization") != f"Bearer {self.token}":
            return error(401, "unauthorized")
        if call.method in {"POST", "PATCH"} and call.headers.get("content-type") != MEDIA_TYPE:
            return error(415, "unsupported media type")
        try:
            return answer(call)
        except Refused as refused:
            return refused.answer

    def body(self, call: Call, kind: str, keys: frozenset[str]) -> dict[str, Any]:
        """The attributes of a JSON:API document of the right type, with no key that the API has not."""
        data = (call.body or {}).get("data") if isinstance(call.body, dict) else None
        if not isinstance(data, dict) or data.get("type") != kind:
            raise Refused(error(422, "invalid document", f"data.type must be {kind}"))
        attributes = data.get("attributes") or {}
        unknown = set(attributes) - keys
        if unknown:
            raise Refused(error(422, "invalid attribute", f"{', '.join(sorted(unknown))} is no attribute of {kind}"))
        return dict(attributes)

    def id_of(self, prefix: str) -> str:
        return f"{prefix}-{next(self.numbers):016}"

    # Workspaces -----------------------------------------------------------------------------------------------------

    def by_name(self, name: str) -> dict[str, Any] | None:
        return next((one for one in self.workspaces.values() if one["attributes"]["name"] == name), None)

    def by_id(self, call: Call) -> dict[str, Any]:
        if call.groups[0] not in self.workspaces:
            raise Refused(NOT_FOUND)
        return self.workspaces[call.groups[0]]

    def show_workspace(self, call: Call) -> Answer:
        found = self.by_name(call.groups[1]) if call.groups[0] == self.organization else None
        return (200, {"data": found}) if found else NOT_FOUND

    def checked_workspace(self, call: Call, there: str | None) -> dict[str, Any]:
        attributes = self.body(call, "workspaces", WORKSPACE_KEYS)
        name = attributes.get("name", "")
        if (there is None or "name" in attributes) and not re.fullmatch(r"[A-Za-z0-9_-]{1,90}", name):
            raise Refused(error(422, "invalid attribute", "Name can only contain letters, numbers, - and _"))
        other = self.by_name(name) if name else None
        if other is not None and other["id"] != there:
            raise Refused(error(422, "invalid attribute", "Name has already been taken"))
        for key in ("auto-apply", "queue-all-runs", "speculative-enabled"):
            if not isinstance(attributes.get(key, False), bool):
                raise Refused(error(422, "invalid attribute", f"{key} must be a boolean"))
        if attributes.get("execution-mode", "remote") not in {"remote", "local", "agent"}:
            raise Refused(error(422, "invalid attribute", "Execution mode is not included in the list"))
        repo = attributes.get("vcs-repo")
        if repo and not (repo.get("identifier") and {"oauth-token-id", "github-app-installation-id"} & set(repo)):
            raise Refused(error(422, "invalid attribute", "vcs-repo needs identifier and oauth-token-id"))
        return attributes

    def create_workspace(self, call: Call) -> Answer:
        if call.groups[0] != self.organization:
            return NOT_FOUND
        attributes = self.checked_workspace(call, None)
        defaults = {
            "auto-apply": False,
            "execution-mode": "remote",
            "terraform-version": "1.9.8",
            "working-directory": None,
            "description": None,
            "vcs-repo": None,
            "locked": False,
        }
        workspace_id = self.id_of("ws")
        project = ((call.body["data"].get("relationships") or {}).get("project") or {}).get("data")
        self.workspaces[workspace_id] = {
            "id": workspace_id,
            "type": "workspaces",
            "attributes": {**defaults, **attributes, "created-at": now(), "updated-at": now()},
            "relationships": {"project": {"data": project or {"type": "projects", "id": "prj-default"}}},
        }
        self.variables[workspace_id] = {}
        return 201, {"data": self.workspaces[workspace_id]}

    def update_workspace(self, call: Call) -> Answer:
        there = self.by_id(call)
        there["attributes"] |= {**self.checked_workspace(call, there["id"]), "updated-at": now()}
        there["relationships"] |= call.body["data"].get("relationships") or {}
        return 200, {"data": there}

    # Variables ------------------------------------------------------------------------------------------------------

    def told(self, variable: Mapping[str, Any]) -> dict[str, Any]:
        attributes = dict(variable["attributes"])
        return {**variable, "attributes": attributes | ({"value": None} if attributes["sensitive"] else {})}

    def list_variables(self, call: Call) -> Answer:
        return 200, {"data": [self.told(one) for one in self.variables[self.by_id(call)["id"]].values()]}

    def checked_variable(self, call: Call, there: dict[str, Any] | None) -> dict[str, Any]:
        defaults = {"value": "", "description": None, "hcl": False, "sensitive": False}
        given = self.body(call, "vars", VARIABLE_KEYS)
        merged = {**(there["attributes"] if there else defaults), **given}
        if not merged.get("key") or merged.get("category") not in {"terraform", "env"}:
            raise Refused(error(422, "invalid attribute", "Category is not included in the list, or Key is blank"))
        if not isinstance(merged["value"], str):
            raise Refused(error(422, "invalid attribute", "Value must be a string"))
        if there and there["attributes"]["sensitive"] and not merged["sensitive"]:
            raise Refused(error(422, "invalid attribute", "Sensitive variables cannot be made non-sensitive"))
        for other in self.variables[call.groups[0]].values():
            same = all(other["attributes"][name] == merged[name] for name in ("key", "category"))
            if same and other is not there:
                raise Refused(error(422, "invalid attribute", "Key has already been taken"))
        return merged

    def create_variable(self, call: Call) -> Answer:
        there, variable_id = self.by_id(call), self.id_of("var")
        attributes = self.checked_variable(call, None)
        self.variables[there["id"]][variable_id] = {"id": variable_id, "type": "vars", "attributes": attributes}
        return 201, {"data": self.told(self.variables[there["id"]][variable_id])}

    def one_variable(self, call: Call) -> dict[str, Any]:
        found = self.variables[self.by_id(call)["id"]].get(call.groups[1])
        if found is None:
            raise Refused(NOT_FOUND)
        return found

    def update_variable(self, call: Call) -> Answer:
        found = self.one_variable(call)
        if call.body["data"].get("id") != found["id"]:
            return error(422, "invalid document", "data.id must be the variable's")
        found["attributes"] = self.checked_variable(call, found)
        return 200, {"data": self.told(found)}

    def delete_variable(self, call: Call) -> Answer:
        found = self.one_variable(call)
        del self.variables[call.groups[0]][found["id"]]
        return 204, None

    def values(self, name: str) -> dict[str, str]:
        """A workspace's variables, key -> value, for a test."""
        found = self.by_name(name)
        variables = self.variables[found["id"]].values() if found else ()
        return {one["attributes"]["key"]: one["attributes"]["value"] for one in variables}

    # Notifications --------------------------------------------------------------------------------------------------

    def list_notifications(self, call: Call) -> Answer:
        there = self.by_id(call)["id"]
        mine = [one for one in self.notifications.values() if one["workspace"] == there]
        told = [{**one, "attributes": {**one["attributes"], "token": None}} for one in mine]
        return 200, {"data": [{key: value for key, value in one.items() if key != "workspace"} for one in told]}

    def checked_notification(self, call: Call) -> dict[str, Any]:
        keys = frozenset({"destination-type", "enabled", "name", "token", "triggers", "url"})
        attributes = self.body(call, "notification-configurations", keys)
        known = {"created", "planning", "needs_attention", "applying", "completed", "errored"}
        if set(attributes.get("triggers") or ()) - {f"run:{one}" for one in known}:
            raise Refused(error(422, "invalid attribute", "Triggers is invalid"))
        if attributes.get("enabled") and self.refuses_notifications:
            raise Refused(error(400, "bad request", "Unable to complete the verification request"))
        return attributes

    def create_notification(self, call: Call) -> Answer:
        there, its_id = self.by_id(call), self.id_of("nc")
        attributes = self.checked_notification(call)
        if not attributes.get("name") or not attributes.get("url") or not attributes.get("destination-type"):
            return error(422, "invalid attribute", "Name, URL and destination type can't be blank")
        kind = "notification-configurations"
        self.notifications[its_id] = {"id": its_id, "type": kind, "workspace": there["id"], "attributes": attributes}
        return 201, {"data": {"id": its_id, "type": kind, "attributes": {**attributes, "token": None}}}

    def update_notification(self, call: Call) -> Answer:
        found = self.notifications.get(call.groups[0])
        if found is None:
            return NOT_FOUND
        found["attributes"] |= self.checked_notification(call)
        return 200, {"data": {"id": found["id"], "type": found["type"], "attributes": found["attributes"]}}

    # Runs -----------------------------------------------------------------------------------------------------------

    def create_run(self, call: Call) -> Answer:
        attributes = self.body(call, "runs", RUN_KEYS)
        named = ((call.body["data"].get("relationships") or {}).get("workspace") or {}).get("data") or {}
        there = self.workspaces.get(str(named.get("id")))
        if there is None or named.get("type") != "workspaces":
            return NOT_FOUND
        run_id, plan_only = self.id_of("run"), attributes.get("plan-only") is True
        for one in attributes.get("variables") or ():
            if set(one) != {"key", "value"} or not isinstance(one["value"], str):
                return error(422, "invalid attribute", "Variables must have a key and a value")
        name = there["attributes"]["name"]
        self.runs[run_id] = {
            "id": run_id,
            "type": "runs",
            "workspace": there["id"],
            "states": self.states(name, plan_only=plan_only),
            "stepped_at": time.monotonic(),
            "attributes": {
                "status": "pending",
                "message": attributes.get("message") or "Queued manually via the Terraform Enterprise API",
                "auto-apply": attributes.get("auto-apply", there["attributes"]["auto-apply"]) and not plan_only,
                "plan-only": plan_only,
                "is-destroy": False,
                "has-changes": False,
                "source": "tfe-api",
                "created-at": now(),
                "status-timestamps": {"plan-queueable-at": now()},
                "variables": attributes.get("variables") or [],
            },
        }
        return 201, {"data": self.shown(self.runs[run_id])}

    def states(self, name: str, *, plan_only: bool) -> list[str]:
        """The states that a run passes after its first, until it waits for somebody."""
        if self.brief and "soft" not in name:
            return ["planned", "policy_checked"]
        if "slow" in name:
            return ["plan_queued", "planning"]
        if "opa" in name:
            return [*PLANNED[1:], "post_plan_running", "post_plan_awaiting_decision"]
        if "broken" in name:
            return ["plan_queued", "planning", "errored"]
        if "same" in name or plan_only:
            return [*PLANNED[1:], "planned_and_finished"]
        if "hard" in name:
            return [*PLANNED[1:], "policy_checking", "errored"]
        return [*PLANNED[1:], "policy_checking", "policy_override"] if "soft" in name else list(CHECKED[1:])

    def step(self, run: dict[str, Any]) -> None:
        """One state further, if its turn has come and nothing waits for somebody."""
        earlier = itertools.takewhile(lambda one: one is not run, self.runs.values())
        unfinished = (one for one in earlier if one["attributes"]["status"] not in FINAL)
        blocked = any(one["workspace"] == run["workspace"] and not one["attributes"]["plan-only"] for one in unfinished)
        if run["states"] and (run["attributes"]["plan-only"] or not blocked):
            self.enter(run, run["states"].pop(0))
            if not run["states"] and run["attributes"]["status"] in WAITING and run["attributes"]["auto-apply"]:
                run["states"] = list(APPLIED[1:])

    def enter(self, run: dict[str, Any], state: str) -> None:
        name = self.workspaces[run["workspace"]]["attributes"]["name"]
        run["attributes"]["status"] = state
        run["attributes"]["status-timestamps"][f"{state.replace('_', '-')}-at"] = now()
        run["attributes"]["has-changes"] |= state == "planned" and "same" not in name

    def go_on(self, run: dict[str, Any]) -> None:
        if self.step_s <= 0:
            self.step(run)
            return
        while time.monotonic() >= run["stepped_at"] + self.step_s:
            run["stepped_at"] += self.step_s
            self.step(run)

    def waits(self, run: dict[str, Any]) -> bool:
        attributes = run["attributes"]
        ready = attributes["status"] in WAITING and not run["states"]
        return ready and not attributes["plan-only"] and not attributes["auto-apply"]

    def shown(self, run: dict[str, Any]) -> dict[str, Any]:
        status = run["attributes"]["status"]
        actions = {
            "is-confirmable": self.waits(run),
            "is-discardable": self.waits(run) or status in {"pending", *OVERRIDABLE},
            "is-cancelable": status in {"pending", "plan_queued", "planning", "apply_queued", "applying"},
            "is-force-cancelable": False,
        }
        plan = {"data": {"type": "plans", "id": run["id"].replace("run", "plan")}}
        return {
            "id": run["id"],
            "type": "runs",
            "attributes": {**run["attributes"], "actions": actions},
            "relationships": {
                "plan": plan,
                "workspace": {"data": {"type": "workspaces", "id": run["workspace"]}},
                "task-stages": {"data": [{"type": "task-stages", "id": one["id"]} for one in self.stages(run)]},
            },
            "links": {"self": f"/api/v2/runs/{run['id']}"},
        }

    def one_run(self, call: Call) -> dict[str, Any]:
        found = self.runs.get(call.groups[0])
        if found is None:
            raise Refused(NOT_FOUND)
        return found

    def show_run(self, call: Call) -> Answer:
        run = self.one_run(call)
        self.go_on(run)
        included = []
        asked = call.query.get("include", "").split(",")
        passed = run["attributes"]["status-timestamps"]
        if "plan" in asked:
            changes = int(run["attributes"]["has-changes"])
            counts = {"resource-additions": 2 * changes, "resource-changes": changes, "resource-destructions": 0}
            status = "finished" if "planned-at" in passed else "running"
            plan = {"status": status, "has-changes": bool(changes), **counts, "resource-imports": 0}
            included.append({"id": run["id"].replace("run", "plan"), "type": "plans", "attributes": plan})
        if "cost_estimate" in asked and "cost-estimated-at" in passed:
            cost = {"status": "finished", "prior-monthly-cost": "10.0", "proposed-monthly-cost": "35.488"}
            cost |= {"delta-monthly-cost": "25.488", "error-message": None}
            included.append({"id": run["id"].replace("run", "ce"), "type": "cost-estimates", "attributes": cost})
        return 200, {"data": self.shown(run), "included": included}

    def list_runs(self, call: Call) -> Answer:
        there, wanted = self.by_id(call)["id"], call.query.get("filter[operation]")
        mine = [one for one in self.runs.values() if one["workspace"] == there]
        mine = mine[: len(mine) - self.lag]
        found = [
            one for one in reversed(mine) if not wanted or one["attributes"]["plan-only"] == (wanted == "plan_only")
        ]
        return 200, {"data": [self.shown(one) for one in found[: int(call.query.get("page[size]", 20))]]}

    def list_policy_checks(self, call: Call) -> Answer:
        run = self.one_run(call)
        soft = int(run["attributes"]["status"] == "policy_override")
        result = {"passed": 3 - soft, "total-failed": soft, "hard-failed": 0, "soft-failed": soft, "advisory-failed": 0}
        status = "soft_failed" if soft else "passed"
        check = {"result": {**result, "result": not soft}, "scope": "organization", "status": status}
        return 200, {"data": [{"id": run["id"].replace("run", "polchk"), "type": "policy-checks", "attributes": check}]}

    def stages(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        name = self.workspaces[run["workspace"]]["attributes"]["name"]
        if "opa" not in name:
            return []
        status = "passed" if run["attributes"]["status"] == "post_plan_completed" else "awaiting_override"
        stage = {"status": status, "stage": "post_plan"}
        return [{"id": run["id"].replace("run", "ts"), "type": "task-stages", "attributes": stage}]

    def list_stages(self, call: Call) -> Answer:
        return 200, {"data": self.stages(self.one_run(call))}

    def list_evaluations(self, call: Call) -> Answer:
        counts = {"advisory-failed": 0, "errored": 0, "mandatory-failed": 1, "passed": 2}
        evaluation = {"status": "failed", "policy-kind": "opa", "result-count": counts}
        its_id = call.groups[0].replace("ts", "poleval")
        return 200, {"data": [{"id": its_id, "type": "policy-evaluations", "attributes": evaluation}]}

    def apply(self, call: Call) -> Answer:
        run = self.one_run(call)
        if not self.waits(run):
            return error(409, "transition not allowed", "Run was not paused for confirmation")
        name = self.workspaces[run["workspace"]]["attributes"]["name"]
        self.enter(run, "confirmed")
        run["applied"] = run.get("applied", 0) + 1
        run["states"] = list(APPLIED[1:3] if "stuck" in name else APPLIED[1:])
        run["stepped_at"] = time.monotonic()
        return 202, None

    def discard(self, call: Call) -> Answer:
        run = self.one_run(call)
        if not self.shown(run)["attributes"]["actions"]["is-discardable"]:
            return error(409, "transition not allowed", "Run was not paused for confirmation or priority")
        run["states"] = []
        self.enter(run, "discarded")
        return 202, None

    def cancel(self, call: Call) -> Answer:
        run = self.one_run(call)
        if not self.shown(run)["attributes"]["actions"]["is-cancelable"]:
            return error(409, "transition not allowed", "Run was not planning or applying")
        run["states"] = []
        self.enter(run, "canceled")
        return 202, None

    def override(self, run_id: str) -> None:
        """Somebody overrides the soft failure in Terraform Cloud."""
        stage = self.runs[run_id]["attributes"]["status"] == "post_plan_awaiting_decision"
        self.enter(self.runs[run_id], "post_plan_completed" if stage else "policy_checked")

    def show_changes(self, call: Call) -> Answer:
        if not self.shows_plans:
            return NOT_FOUND
        return 307, {"location": f"{self.url}/archive/{call.groups[0]}"}

    def show_archive(self, call: Call) -> Answer:
        if "authorization" in call.headers:
            return error(400, "the address is signed: it takes no token")
        changes = [
            {"address": "aws_instance.web", "change": {"actions": ["update"]}},
            {"address": "aws_s3_bucket.logs", "change": {"actions": ["no-op"]}},
            {"address": "aws_instance.old", "change": {"actions": ["delete", "create"]}},
        ]
        return 200, {"format_version": "1.2", "resource_changes": changes}


async def main() -> None:
    """Serve until the process ends."""
    server = TfeServer(step_s=float(sys.argv[2]) if len(sys.argv) > 2 else 0.5)
    async with serving(server, port=int(sys.argv[1]) if len(sys.argv) > 1 else 0):
        print(server.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
