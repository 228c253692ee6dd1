"""What can be asked of a server? One method per question, in the words of the contract.

Lookups by name (`find_…`) give None when there is nothing of that name; everything else raises what `calls.py`
says. A workspace may be given by id or by slug; the server takes both wherever a workspace's id is expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self, cast

from interlock.client.calls import PAGE_MAX, RETRIES_MAX, Calls, Wire, path
from interlock.client.transport import Carries
from interlock.model.errors import NotFound


class Client:
    """One workspace of one server, with one key.

    Takes: `workspace` is an id or a slug; `timeout_s` bounds each try; `retries_max` is how often what is harmless to
           ask twice is asked again (`calls.py`); `transport` replaces what carries the requests.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        workspace: str = "",
        timeout_s: float = 30.0,
        retries_max: int = RETRIES_MAX,
        transport: Carries | None = None,
    ) -> None:
        self.calls = Calls(url, api_key=api_key, timeout_s=timeout_s, retries_max=retries_max, transport=transport)
        self.workspace = workspace

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.calls.close()

    def _in(self, *segments: str) -> str:
        """A path inside the workspace."""
        return path("workspaces", self.workspace, *segments)

    def _found(self, target: str) -> Wire | None:
        """One object, or None where the server says 404."""
        try:
            return cast("Wire", self.calls.request("GET", target))
        except NotFound:
            return None

    def _write(self, method: str, target: str, body: object | None = None) -> Wire:
        return cast("Wire", self.calls.request(method, target, body=body) or {})

    # The server -------------------------------------------------------------------------------------------------------

    def is_ready(self) -> bool:
        """Whether the server answers and its database does too."""
        return self.calls.request("GET", "/readyz") is not None

    def list_workspaces(self) -> list[Wire]:
        """The workspaces that this key's user may see."""
        return cast("list[Wire]", self.calls.request("GET", path("workspaces"))["workspaces"])

    # Inventory --------------------------------------------------------------------------------------------------------

    def list_systems(self) -> Iterator[Wire]:
        """Every system, in order of creation."""
        return self.calls.items(self._in("systems"))

    def get_system(self, system_id: str) -> Wire:
        """One system with its linked `deployments` and `environments`."""
        return cast("Wire", self.calls.request("GET", self._in("systems", system_id)))

    def put_system(self, system_id: str, body: Wire) -> Wire:
        """Create or replace a system by id."""
        return self._write("PUT", self._in("systems", system_id), body)

    def link_deployment(self, system_id: str, deployment_id: str) -> Wire:
        """Put a deployment into a system. Doing it twice changes nothing."""
        return self._write("PUT", self._in("systems", system_id, "deployments", deployment_id))

    def link_environment(self, system_id: str, environment_id: str) -> Wire:
        """Put an environment into a system. Doing it twice changes nothing."""
        return self._write("PUT", self._in("systems", system_id, "environments", environment_id))

    def list_environments(self) -> Iterator[Wire]:
        """Every environment."""
        return self.calls.items(self._in("environments"))

    def find_environment(self, name: str) -> Wire | None:
        """The environment of this name, with its `systems`."""
        return self._found(self._in("environments", "name", name))

    def put_environment(self, environment_id: str, body: Wire) -> Wire:
        """Create or replace an environment by id."""
        return self._write("PUT", self._in("environments", environment_id), body)

    def list_deployments(self) -> Iterator[Wire]:
        """Every deployment: items `{deployment, systems}`."""
        return self.calls.items(self._in("deployments"))

    def find_deployment(self, name: str) -> Wire | None:
        """The deployment of this name: `{deployment, systems, variables}`."""
        return self._found(self._in("deployments", "name", name))

    def put_deployment(self, deployment_id: str, body: Wire) -> Wire:
        """Create or replace a deployment by id."""
        return self._write("PUT", self._in("deployments", deployment_id), body)

    def list_job_agents(self) -> Iterator[Wire]:
        """Every job agent."""
        return self.calls.items(self._in("job-agents"))

    def put_job_agent(self, agent_id: str, body: Wire) -> Wire:
        """Create or replace a job agent by id."""
        return self._write("PUT", self._in("job-agents", agent_id), body)

    def list_resources(self, *, cel: str | None = None, items_max: int | None = None) -> Iterator[Wire]:
        """Every resource that the selector `cel` matches."""
        return self.calls.items(self._in("resources"), query={"cel": cel}, items_max=items_max)

    def find_resource(self, identifier: str) -> Wire | None:
        """The resource with this identifier."""
        return self._found(self._in("resources", "identifier", identifier))

    def put_resource(self, identifier: str, body: Wire) -> Wire:
        """Create or replace a resource by identifier; its provider stays."""
        return self._write("PUT", self._in("resources", "identifier", identifier), body)

    def delete_resource(self, identifier: str) -> Wire:
        """Remove a resource; its targets are detached and their history stays."""
        return self._write("DELETE", self._in("resources", "identifier", identifier))

    def list_resource_variables(self, identifier: str) -> Iterator[Wire]:
        """Variables of a resource: items `{resourceId, key, value}`."""
        return self.calls.items(self._in("resources", "identifier", identifier, "variables"))

    def patch_resource_variables(self, identifier: str, variables: Wire) -> Wire:
        """Replace all variables of a resource."""
        return self._write("PATCH", self._in("resources", "identifier", identifier, "variables"), variables)

    def find_resource_provider(self, name: str) -> Wire | None:
        """The resource provider of this name."""
        return self._found(self._in("resource-providers", "name", name))

    def put_resource_provider(self, body: Wire) -> Wire:
        """Create or replace a resource provider by name: the answer is the provider."""
        return self._write("PUT", self._in("resource-providers"), body)

    def list_provider_resources(self, name: str) -> list[Wire]:
        """The resources of a provider in the order last set."""
        answer = self.calls.request("GET", self._in("resource-providers", "name", name, "resources"))
        return cast("list[Wire]", answer["items"])

    def set_resources(self, provider_id: str, resources: Sequence[Wire]) -> Wire:
        """Replace everything that a provider offers: its other resources are removed."""
        return self._write("PUT", self._in("resource-providers", provider_id, "set"), {"resources": list(resources)})

    # Variables --------------------------------------------------------------------------------------------------------

    def list_deployment_variables(self, deployment_id: str) -> Iterator[Wire]:
        """A deployment's variables: items `{variable, values}`."""
        return self.calls.items(self._in("deployments", deployment_id, "variables"))

    def put_deployment_variables(self, deployment_id: str, body: Wire) -> Wire:
        """Make a deployment's variables exactly these, as one change: `{variables: [{key, description?, values}]}`."""
        return self._write("PUT", self._in("deployments", deployment_id, "variables"), body)

    def list_variable_sets(self) -> Iterator[Wire]:
        """Every variable set, in the order in which they are tried."""
        return self.calls.items(self._in("variable-sets"))

    def create_variable_set(self, body: Wire) -> Wire:
        """Create a variable set; the server chooses its id."""
        return self._write("POST", self._in("variable-sets"), body)

    def put_variable_set(self, set_id: str, body: Wire) -> Wire:
        """Change a variable set."""
        return self._write("PUT", self._in("variable-sets", set_id), body)

    def list_relationship_rules(self) -> Iterator[Wire]:
        """Every relationship rule."""
        return self.calls.items(self._in("relationship-rules"))

    def put_relationship_rule(self, rule_id: str, body: Wire) -> Wire:
        """Create or replace a relationship rule by id."""
        return self._write("PUT", self._in("relationship-rules", rule_id), body)

    # Policies and freezes ---------------------------------------------------------------------------------------------

    def list_policies(self) -> Iterator[Wire]:
        """Every policy, rules as they were written."""
        return self.calls.items(self._in("policies"))

    def put_policy(self, policy_id: str, body: Wire) -> Wire:
        """Create or replace a policy by id: the answer is the whole policy."""
        return self._write("PUT", self._in("policies", policy_id), body)

    def list_slots(self, *, items_max: int | None = None) -> Iterator[Wire]:
        """Slot groups with their `holders`: those that somebody waits for first, then the fullest."""
        return self.calls.items(self._in("slots"), items_max=items_max)

    def list_freezes(self) -> Iterator[Wire]:
        """The freezes in force."""
        return self.calls.items(self._in("freezes"))

    def freeze(self, body: Wire) -> Wire:
        """Stop every hand-over in a scope, from the commit of this write on."""
        return self._write("POST", self._in("freezes"), body)

    def thaw(self, freeze_id: str, *, reason: str) -> Wire:
        """End a freeze."""
        return self._write("POST", self._in("freezes", freeze_id, "thaw"), {"reason": reason})

    def extend_freeze(self, freeze_id: str, *, expires_at: str | None) -> Wire:
        """Move the end of a freeze; None: until somebody thaws it."""
        return self._write("POST", self._in("freezes", freeze_id, "extend"), {"expiresAt": expires_at})

    # Overrides --------------------------------------------------------------------------------------------------------

    def list_pins(self, *, deployment_id: str | None = None) -> Iterator[Wire]:
        """The pins in force."""
        return self.calls.items(self._in("pins"), query={"deploymentId": deployment_id})

    def pin(self, body: Wire) -> Wire:
        """Pin a deployment, an environment of it or a target to a version."""
        return self._write("POST", self._in("pins"), body)

    def remove_pin(self, pin_id: str, *, reason: str) -> Wire:
        """End a pin."""
        return self._write("POST", self._in("pins", pin_id, "remove"), {"reason": reason})

    def list_skips(self, *, deployment_id: str | None = None) -> Iterator[Wire]:
        """The skips of rules and freezes in force."""
        return self.calls.items(self._in("skips"), query={"deploymentId": deployment_id})

    def skip(self, body: Wire) -> Wire:
        """Let a version pass a rule, every rule of a kind, or a freeze."""
        return self._write("POST", self._in("skips"), body)

    def remove_skip(self, skip_id: str, *, reason: str) -> Wire:
        """Take a skip back."""
        return self._write("POST", self._in("skips", skip_id, "remove"), {"reason": reason})

    def list_quarantines(self) -> Iterator[Wire]:
        """What targets do not take again by themselves."""
        return self.calls.items(self._in("quarantines"))

    def clear_quarantine(self, quarantine_id: str, *, reason: str) -> Wire:
        """Let a target take again what failed on it."""
        return self._write("POST", self._in("quarantines", quarantine_id, "clear"), {"reason": reason})

    def cancel_job(self, job_id: str, *, reason: str) -> Wire:
        """Ask for a job's end: asked for, not assumed."""
        return self._write("POST", self._in("jobs", job_id, "cancel"), {"reason": reason})

    # Rollouts ---------------------------------------------------------------------------------------------------------

    def list_rollouts(self, *, state: str | None = "live") -> Iterator[Wire]:
        """Rollouts, newest first; `live` are those that are open, paused or halted."""
        return self.calls.items(self._in("rollouts"), query={"state": state})

    def get_rollout(self, rollout_id: str) -> Wire:
        """A rollout, with what people said about it."""
        return cast("Wire", self.calls.request("GET", self._in("rollouts", rollout_id)))

    def get_rollout_places(self, rollout_id: str) -> Wire:
        """Where each target of a rollout stands, wave by wave."""
        return cast("Wire", self.calls.request("GET", self._in("rollouts", rollout_id, "places")))

    def steer_rollout(self, rollout_id: str, *, step: str, reason: str, **more: object) -> Wire:
        """`pause` (perhaps with `expiresAt`), `resume`, `speed-up` (with its fields), `promote` or `abort` one."""
        return self._write("POST", self._in("rollouts", rollout_id, step), {"reason": reason, **more})

    # Orders -----------------------------------------------------------------------------------------------------------

    def place_orders(self, body: Wire) -> Wire:
        """Ask for a redeploy, a force or a rollback: the answer lists the `orders`, and the targets that `refused`."""
        return self._write("POST", self._in("orders"), body)

    def list_orders(self, *, state: str | None = "open") -> Iterator[Wire]:
        """Orders, newest first."""
        return self.calls.items(self._in("orders"), query={"state": state})

    def withdraw_order(self, order_id: str, *, reason: str) -> Wire:
        """Take an open order back."""
        return self._write("POST", self._in("orders", order_id, "withdraw"), {"reason": reason})

    # Versions and approvals -------------------------------------------------------------------------------------------

    def list_versions(self, deployment_id: str, *, items_max: int | None = None) -> Iterator[Wire]:
        """Versions of a deployment, newest first."""
        return self.calls.items(self._in("deployments", deployment_id, "versions"), items_max=items_max)

    def upsert_version(
        self,
        deployment_id: str,
        *,
        tag: str,
        name: str = "",
        status: str = "ready",
        metadata: Mapping[str, str] | None = None,
        config: Wire | None = None,
        job_agent_config: Wire | None = None,
        created_at: str | None = None,
        needs: Mapping[str, str] | None = None,
    ) -> Wire:
        """Create a version, or answer with the one that has this tag.

        Takes: `needs` is deployment id -> which version of it must run beside this one (CEL); None changes nothing.
        """
        body: Wire = {
            "tag": tag,
            "name": name,
            "status": status,
            "metadata": dict(metadata or {}),
            "config": config or {},
        }
        if job_agent_config is not None:
            body["jobAgentConfig"] = job_agent_config
        if created_at is not None:
            body["createdAt"] = created_at
        if needs is not None:
            body["dependencies"] = {key: {"versionSelector": text} for key, text in needs.items()}
        return self._write("POST", self._in("deployments", deployment_id, "versions"), body)

    def change_version(self, version_id: str, body: Wire) -> Wire:
        """Change what is sent of a version, as in `{"status": "rejected", "rollback": true}`."""
        return self._write("PATCH", self._in("deployment-versions", version_id), body)

    def plan_version(
        self,
        deployment_id: str,
        *,
        tag: str,
        config: Wire | None = None,
        job_agent_config: Wire | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Wire:
        """Ask what a version would change, before it exists. Gives the plan, still empty."""
        version: Wire = {"tag": tag, "config": config or {}, "metadata": dict(metadata or {})}
        if job_agent_config is not None:
            version["jobAgentConfig"] = job_agent_config
        return self._write("POST", self._in("deployments", deployment_id, "plan"), {"version": version})

    def get_plan(self, deployment_id: str, plan_id: str) -> Wire:
        """A plan with what is known of it; `status` is computing until every target's result is there."""
        return cast("Wire", self.calls.request("GET", self._in("deployments", deployment_id, "plan", plan_id)))

    def list_approval_requests(self, *, status: str | None = "open") -> Iterator[Wire]:
        """Requests for approval, newest first; by default those still open."""
        return self.calls.items(self._in("approval-requests"), query={"status": status})

    def answer_request(self, request_id: str, *, verdict: str, digest: str, comment: str | None = None) -> Wire:
        """Approve or reject exactly what was shown.

        Takes: `verdict` is approved or rejected; `digest` is the request's.
        Fails: `Outdated` when what the request shows is no longer that.
        """
        body = {"verdict": verdict, "digest": digest, "comment": comment}
        return self._write("POST", self._in("approval-requests", request_id, "approvals"), body)

    # What happens -----------------------------------------------------------------------------------------------------

    def list_targets(self, *, deployment_id: str | None = None, items_max: int | None = None) -> Iterator[Wire]:
        """Release targets with what each runs and goes for."""
        query = {"deploymentId": deployment_id}
        return self.calls.items(self._in("release-targets"), query=query, items_max=items_max)

    def list_jobs(self, *, items_max: int | None = None) -> Iterator[Wire]:
        """Jobs, newest first: items `{job, release, deployment, environment, resource}`."""
        return self.calls.items(self._in("jobs"), items_max=items_max)

    def get_job(self, job_id: str) -> Wire:
        """One job with its dispatch context."""
        return cast("Wire", self.calls.request("GET", self._in("jobs", job_id)))

    def explain_deployment(self, deployment_id: str) -> Wire:
        """What a deployment waits for, and why, in sentences."""
        return cast("Wire", self.calls.request("GET", self._in("deployments", deployment_id, "explain")))

    def explain_target(self, target_key: str, *, version: str | None = None) -> Wire:
        """What one release target waits for, and why; `standing` is the rule tree of this instant.

        Takes: `version` is an id or a tag; else the one that it goes for.
        """
        target = self._in("release-targets", target_key, "explain")
        return cast("Wire", self.calls.request("GET", target, query={"version": version}))

    def explain_version(
        self, deployment_id: str, version: str, *, environment: str, resource: str | None = None
    ) -> Wire:
        """Where a version stands in an environment now, and why."""
        target = self._in("deployments", deployment_id, "versions", version, "explain")
        query = {"environment": environment, "resource": resource}
        return cast("Wire", self.calls.request("GET", target, query=query))

    def explain_job(self, job_id: str) -> Wire:
        """Why a job was allowed, what became of it, and where its version stands now."""
        return cast("Wire", self.calls.request("GET", self._in("jobs", job_id, "explain")))

    def can_deploy(self, deployment_id: str, version: str, *, environment: str, resource: str | None = None) -> Wire:
        """Whether a version may go into an environment now: `answer` is allow, hold or person."""
        target = self._in("deployments", deployment_id, "versions", version, "can-deploy")
        query = {"environment": environment, "resource": resource}
        return cast("Wire", self.calls.request("GET", target, query=query))

    def list_policies_in_force(
        self, environment: str, *, deployment: str | None = None, resource: str | None = None
    ) -> list[Wire]:
        """Every policy with how many targets of an environment it governs, and why."""
        query = {"deployment": deployment, "resource": resource}
        answer = self.calls.request("GET", self._in("environments", environment, "policies"), query=query)
        return cast("list[Wire]", answer["items"])

    def trace_version(self, version_id: str) -> Wire:
        """What a version went through: its stages, decisions and events, in order; events as far as there are."""
        target = self._in("deployment-versions", version_id, "trace")
        found: Wire = self.calls.request("GET", target)
        page = found
        while page["cut"] and page["events"]:
            page = self.calls.request("GET", target, query={"after": page["events"][-1]["seq"]})
            found["events"].extend(page["events"])
        return found

    def replay(self, decision_id: str) -> Wire:
        """Decide a decision, or a round, again: `agrees` says whether it is decided the same today."""
        return cast("Wire", self.calls.request("GET", self._in("decisions", decision_id, "replay")))

    def delete_policy(self, policy_id: str) -> None:
        """End a policy. Targets that only its rules held may start at once."""
        self.calls.request("DELETE", self._in("policies", policy_id))

    def ask_what_if(self, changes: Sequence[Wire]) -> Wire:
        """Ask what policies would change: {policyId, policy} or {policyId, delete: true} each; answered later."""
        return cast("Wire", self.calls.request("POST", self._in("what-if"), body={"changes": list(changes)}))

    def get_what_if(self, what_if_id: str) -> Wire:
        """A question about policies, and its answer when it is there."""
        return cast("Wire", self.calls.request("GET", self._in("what-if", what_if_id)))

    def forecast(self, deployment_id: str, *, version: str | None = None, environment: str | None = None) -> Wire:
        """When each target of a deployment could start at the earliest."""
        query = {"version": version, "environment": environment}
        path = self._in("deployments", deployment_id, "forecast")
        return cast("Wire", self.calls.request("GET", path, query=query))

    def list_ledger(
        self, *, subject: str | None = None, after: int = 0, items_max: int | None = None
    ) -> Iterator[Wire]:
        """The ledger in its order, from the place after `after`.

        Takes: `subject` is `kind:id`.
        """
        seen = 0
        while items_max is None or seen < items_max:
            limit = PAGE_MAX if items_max is None else min(PAGE_MAX, items_max - seen)
            query = {"subject": subject, "after": after, "limit": limit}
            page = self.calls.request("GET", self._in("ledger"), query=query)
            yield from page["items"]
            seen += len(page["items"])
            if page["lastSeq"] == after:
                return
            after = page["lastSeq"]

    def follow_ledger(self, *, subject: str | None = None, after: int = 0) -> Iterator[Wire]:
        """The ledger as it grows, from the place after `after`; ends when the server does."""
        target = self._in("ledger", "stream") + (f"?subject={subject}" if subject else "")
        for _, event in self.calls.events(target, last_event_id=str(after)):
            yield event

    # People -----------------------------------------------------------------------------------------------------------

    def list_groups(self) -> Iterator[Wire]:
        """The groups of people, by name."""
        return self.calls.items(self._in("groups"))

    def put_group(self, name: str, members: Sequence[str]) -> Wire:
        """Make a group, or say anew who is in it."""
        return self._write("PUT", self._in("groups", name), {"members": list(members)})

    def delete_group(self, name: str) -> Wire:
        """End a group."""
        return self._write("DELETE", self._in("groups", name))

    def create_key(
        self,
        *,
        user: str,
        role: str,
        name: str = "",
        scopes: Sequence[str] | None = None,
        expires_at: str | None = None,
    ) -> Wire:
        """Make a key for a user of this workspace, who is created when new: `key` is shown this once."""
        body: Wire = {"user": user, "role": role, "name": name}
        if scopes:
            body["scopes"] = list(scopes)
        if expires_at is not None:
            body["expiresAt"] = expires_at
        return self._write("POST", self._in("keys"), body)

    def list_keys(self) -> Iterator[Wire]:
        """Keys, newest first: of all members for one who may write members, else the caller's own."""
        return self.calls.items(self._in("keys"))

    def revoke_key(self, key_id: str) -> Wire:
        """End a key."""
        return self._write("DELETE", self._in("keys", key_id))
