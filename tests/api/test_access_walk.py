"""Who gets through to which operation? Every operation × every role × foreign, expired, revoked and no key × an agent's
token.

The expectation is the table in `access/operations.py`. One server in this process, one database; what is refused must
also write nothing, so the whole database is compared before and after.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.conftest import OURS, Api
from api.story import World, until, working
from interlock.access import OPERATIONS, PERMISSIONS, Needs, Permission, Role, operation_of
from interlock.store.principals import save_key, save_member, save_principal
from interlock.store.workspaces import create_workspace

PREFIX = "/api/v1/workspaces/{workspaceId}"
LATER = "2099-01-01T00:00:00Z"

# What a call sends, where the operation must get as far as the question where its object lies.
SYSTEM = {"name": "taken"}
ENVIRONMENT = {"name": "taken"}
DEPLOYMENT = {"name": "taken", "slug": "taken"}
VERSION = {"tag": "taken", "status": "ready"}
REASON = {"reason": "taken"}
SUBSCRIPTION = {
    "name": "taken",
    "channel": "webhook",
    "url": "https://example.org/hook",
    "kinds": ["system.*"],
    "scope": {"kind": "deployment", "id": "{deploymentId}"},
}
BODIES: dict[str, Any] = {
    "POST /W/subscriptions": SUBSCRIPTION,
    "PUT /W/subscriptions/{subscriptionId}": SUBSCRIPTION,
    "PUT /W/systems/{systemId}": SYSTEM,
    "PUT /W/environments/{environmentId}": ENVIRONMENT,
    "PUT /W/deployments/{deploymentId}": DEPLOYMENT,
    "POST /W/deployments/{deploymentId}/versions": VERSION,
    "POST /W/deployments/{deploymentId}/plan": {"version": {**VERSION, "name": "", "metadata": {}, "config": {}}},
    "PATCH /W/deployment-versions/{deploymentVersionId}": {"name": "taken"},
    "PATCH /W/deploymentversions/{deploymentVersionId}": {"name": "taken"},
    "PUT /W/deployment-versions/{deploymentVersionId}/dependencies/{dependencyDeploymentId}": {
        "versionSelector": "version.tag == '1'"
    },
    "PUT /W/deployment-versions/{deploymentVersionId}/user-approval-records": {"status": "approved"},
    "PUT /W/deployments/{deploymentId}/variables": {"variables": []},
    "PUT /W/deployment-variables/{variableId}": {"deploymentId": "{deploymentId}", "key": "taken"},
    "PUT /W/deployment-variable-values/{valueId}": {
        "deploymentVariableId": "{variableId}",
        "priority": 1,
        "value": "taken",
    },
    "PUT /W/jobs/{jobId}/status": {"status": "successful"},
    "POST /W/jobs/{jobId}/cancel": REASON,
    "POST /W/jobs/{jobId}/reject": REASON,
    "POST /W/jobs/{jobId}/comments": {"text": "taken"},
    "POST /W/jobs/{jobId}/heartbeat": {"attempt": 1},
    "POST /W/jobs/{jobId}/metrics/{metric}/results": {"id": "run-1", "result": {}},
    "POST /W/verifications/{verificationId}/metrics/{metric}/results": {"id": "run-1", "result": {}},
    "POST /W/verifications/{verificationId}/accept": REASON,
    "POST /W/verifications/{verificationId}/fail": REASON,
    "POST /W/deployments/{deploymentId}/saturation": {
        "name": "pool",
        "value": 0.5,
        "highAbove": 0.8,
        "saturatedAbove": 0.9,
    },
    "POST /W/rollouts/{rolloutId}/pause": REASON,
    "POST /W/rollouts/{rolloutId}/resume": REASON,
    "POST /W/rollouts/{rolloutId}/speed-up": {**REASON, "bakeSeconds": 0},
    "POST /W/rollouts/{rolloutId}/promote": REASON,
    "POST /W/rollouts/{rolloutId}/abort": REASON,
    "POST /W/pins": {"versionId": "{deploymentVersionId}", **REASON},
    "POST /W/pins/{pinId}/remove": REASON,
    "POST /W/skips": {"versionId": "{deploymentVersionId}", "ruleId": "{ruleId}", "expiresAt": LATER, **REASON},
    "POST /W/skips/{skipId}/remove": REASON,
    "POST /W/freezes": {"scope": {"kind": "deployment", "id": "{deploymentId}"}, **REASON},
    "POST /W/freezes/{freezeId}/extend": {"expiresAt": LATER},
    "POST /W/freezes/{freezeId}/thaw": REASON,
    "POST /W/orders": {"kind": "redeploy", "deployment": "{deploymentId}", **REASON},
    "POST /W/orders/{orderId}/withdraw": REASON,
    "POST /W/approval-requests/{requestId}/approvals": {"verdict": "approved", "digest": "d"},
    "POST /W/quarantines/{quarantineId}/clear": REASON,
    "POST /W/members": {
        "user": "taken",
        "role": "viewer",
        "scope": {"kind": "deployment", "id": "{deploymentId}"},
    },
    "POST /W/role-bindings": {
        "user": "ada",
        "role": "viewer",
        "scope": {"kind": "deployment", "id": "{deploymentId}"},
    },
}
QUERIES = {"GET /W/ledger/stream": {"after": "no number"}}  # else it would not end
OPEN_WITHOUT_AN_OBJECT = {
    "POST /W/approval-requests/{requestId}/approvals",
    "POST /W/quarantines/{quarantineId}/clear",
    "POST /W/orders/{orderId}/withdraw",
    "POST /W/verifications/{verificationId}/metrics/{metric}/results",
    "POST /W/verifications/{verificationId}/accept",
    "POST /W/verifications/{verificationId}/fail",
    "POST /W/verifications/{verificationId}/again",
    "POST /W/subscriptions/{subscriptionId}/deliveries/{deliveryId}/park",
    "POST /W/subscriptions/{subscriptionId}/deliveries/{deliveryId}/redeliver",
    "DELETE /W/deployment-versions/{deploymentVersionId}/dependencies/{dependencyDeploymentId}",
    "DELETE /W/role-bindings/{bindingId}",
}
"""Operations within a scope whose object this world does not hold; their own tests hold one."""


class Walk:
    """The world that is walked through: a workspace with one of each thing, and keys of everybody."""

    def __init__(self, api: Api, app: Any, client_of: Any, ids: dict[str, str]) -> None:
        self.api, self.client_of, self.ids = api, client_of, ids
        self.operations = [
            (method.upper(), path, operation_of(method.upper(), path))
            for path, methods in app.openapi()["paths"].items()
            for method in methods
        ]

    def filled(self, path: str, *, workspace: str | None = None, known: bool = True) -> str:
        """A path with real ids, or with ids that name nothing."""

        def one(match: re.Match[str]) -> str:
            name = match.group(1)
            if name == "workspaceId":
                return workspace or self.api.workspace
            return self.ids.get(name, str(uuid.uuid4())) if known else str(uuid.uuid4())

        return re.sub(r"\{(\w+)\}", one, path)

    def body(self, operation: str) -> Any:
        """What to send, with real ids in it."""
        text = json.dumps(BODIES.get(operation, {}))
        return json.loads(re.sub(r"\{(\w+)\}", lambda m: self.ids.get(m.group(1), m.group()), text))

    async def call(self, client: Any, method: str, path: str, operation: str, **how: Any) -> Any:
        sends = {} if method in {"GET", "DELETE"} else {"json": self.body(operation)}
        return await client.request(method, self.filled(path, **how), params=QUERIES.get(operation), **sends)


@pytest.fixture
async def walk(api: Api, app: Any, client_of: Any, store: Any, settings: Any) -> Walk:
    world = await World(api).build(agent_type="http-pull", config={"pool": "a"}, rules=[])
    ids = world.ids
    async with working(store, settings):  # until three jobs wait to be claimed; then nothing moves by itself
        await world.version("1")

        async def queued() -> bool:
            path = f"/job-agents/{ids['agent']}/jobs?status=queued"
            return bool((await api.get(path)).json()["total"] == 3)

        await until(queued, "nothing was offered")
    version_id = (await api.get(f"/deployments/{ids['deployment']}/versions")).json()["items"][0]["id"]
    job = (await api.get(f"/job-agents/{ids['agent']}/jobs")).json()["items"][0]
    target = (await api.get("/release-targets")).json()["items"][0]
    made: dict[str, Any] = {}
    for name, path, body in (
        ("variableSetId", "/variable-sets", {"name": "s", "selector": "true", "priority": 0, "variables": []}),
        ("relationshipRuleId", "/relationship-rules", {"name": "r", "reference": "r", "cel": "true"}),
        ("freezeId", "/freezes", {"reason": "r", "scope": {"kind": "deployment", "id": ids["deployment"]}}),
        (
            "policyId",
            "/policies",
            {"name": "p", "selector": "true", "rules": [{"versionCooldown": {"intervalSeconds": 1}}]},
        ),
        (
            "subscriptionId",
            "/subscriptions",
            {**SUBSCRIPTION, "scope": {"kind": "deployment", "id": ids["deployment"]}},
        ),
        ("tokenId", f"/job-agents/{ids['agent']}/tokens", {}),
        ("principalId", "/members", {"user": "mona", "role": "viewer"}),
        (
            "bindingId",
            "/role-bindings",
            {"user": "mona", "role": "viewer", "scope": {"kind": "deployment", "id": ids["deployment"]}},
        ),
        ("keyId", "/keys", {"user": "mona", "role": "viewer"}),
    ):
        answer = await api.post(path, body)
        assert answer.status_code < 300, (path, answer.text)
        made[name] = answer.json()["id"]
    policy = (await api.get(f"/policies/{made['policyId']}")).json()
    pin = await api.post("/pins", {"versionId": version_id, "reason": "r"})
    skip = await api.post(
        "/skips", {"versionId": version_id, "ruleId": policy["rules"][0]["id"], "reason": "r", "expiresAt": LATER}
    )
    assert pin.status_code == 201 and skip.status_code == 201, (pin.text, skip.text)
    made |= {"pinId": pin.json()["id"], "skipId": skip.json()["id"]}
    variable_id, value_id = str(uuid.uuid4()), str(uuid.uuid4())
    await api.put(f"/deployment-variables/{variable_id}", {"deploymentId": ids["deployment"], "key": "k"})
    await api.put(
        f"/deployment-variable-values/{value_id}",
        {"deploymentVariableId": variable_id, "priority": 1, "value": "v"},
    )
    await api.put("/groups/leads", {"members": ["mona"]})
    await api.put("/roles/releaser", {"permissions": ["version:write"]})
    await api.put("/resource-providers", {"name": "prov"})
    rollouts = (await api.get("/rollouts")).json()["items"]
    provider = (await api.get("/resource-providers/name/prov")).json()
    return Walk(
        api,
        app,
        client_of,
        {
            **made,
            "systemId": ids["system"],
            "environmentId": ids["staging"],
            "deploymentId": ids["deployment"],
            "dependencyDeploymentId": ids["deployment"],
            "jobAgentId": ids["agent"],
            "deploymentVersionId": version_id,
            "versionId": version_id,
            "jobId": job["id"],
            "decisionId": job["decisionId"],
            "releaseId": job["releaseId"],
            "releaseTargetKey": "-".join(target[each]["id"] for each in ("resource", "environment", "deployment")),
            "rolloutId": rollouts[0]["id"],
            "providerId": provider["id"],
            "ruleId": policy["rules"][0]["id"],
            "variableId": variable_id,
            "valueId": value_id,
            "identifier": "s-1",
            "name": "shop-api",
            "groupName": "leads",
            "roleName": "releaser",
            "workspaceSlug": "shop",
        },
    )


@pytest.fixture
async def key_with(store: Any, api: Api) -> Any:
    """`await key_with("vera", role="viewer")`: a key by the store, faster than by the API."""

    async def make(name: str, *, role: str | None = None, role_id: str | None = None, **more: Any) -> str:
        scope = {key: more.pop(key) for key in ("scope_kind", "scope_id") if key in more}
        async with store.tx(actor=OURS, cause="test", workspace_id=api.workspace) as tx:
            principal_id = await save_principal(tx, name)
            if role is not None:
                await save_member(tx, api.workspace, principal_id=principal_id, role=role, role_id=role_id, **scope)
            return await save_key(tx, principal_id, **more)

    return make


@pytest.fixture
def contents(store: Any) -> Any:
    """`await contents()`: table -> digest of its rows, but for what a use notes of itself and what runs by itself."""

    async def read() -> dict[str, str]:
        beside = {"work", "ledger_order", "round", "blob", "metric_count", "feed"}
        found = {}
        async with store.read() as conn:
            for (table,) in await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
                if table not in beside:
                    rows = await conn.fetch(f"SELECT (to_jsonb(t) - 'last_used_at')::text FROM \"{table}\" t")
                    found[table] = hashlib.sha256("\n".join(sorted(row[0] for row in rows)).encode()).hexdigest()
        return found

    return read


def test_every_operation_has_a_row_and_every_row_an_operation(app: Any) -> None:
    """A new route without a row fails here, and its calls with 500."""
    offered = {
        operation_of(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods
    }
    assert offered - set(OPERATIONS) == set()
    assert set(OPERATIONS) - offered == set()


def may(needs: Needs, role: Role) -> bool:
    return not needs.permissions or bool(needs.permissions & (PERMISSIONS[role] | {Permission.READ}))


async def test_every_role_gets_through_to_what_its_row_says_and_to_nothing_else(
    walk: Walk, key_with: Any, contents: Any
) -> None:
    clients = {role: walk.client_of(await key_with(f"the-{role}", role=role.value)) for role in Role}
    before = await contents()
    wrong, through = [], []
    for method, path, operation in walk.operations:
        for role, client in clients.items():
            if OPERATIONS[operation].public:
                continue  # for anybody; a webhook's own signature is its tests' affair
            if may(OPERATIONS[operation], role):
                through.append((method, path, operation, role))
                continue
            answer = await walk.call(client, method, path, operation)
            if answer.status_code != 403 or not {"error", "message"} <= answer.json().keys():
                wrong.append(f"{role} {operation}: {answer.status_code} {answer.text[:200]}")
    assert not wrong, "\n".join(["", *wrong])
    assert await contents() == before, "what was refused wrote something"
    for method, path, operation, role in sorted(through, key=lambda each: each[2] == "DELETE /W"):
        answer = await walk.call(clients[role], method, path, operation, known=method == "GET")
        signed = operation.endswith(("/webhook", "/callback"))  # these ask for a signature, of whoever calls
        if answer.status_code in ({403} if signed else {401, 403}) or answer.status_code >= 500:
            wrong.append(f"{role} {operation}: {answer.status_code} {answer.text[:200]}")
    assert not wrong, "\n".join(["", *wrong])


async def test_who_is_nobody_here_sees_and_changes_nothing(
    walk: Walk, key_with: Any, contents: Any, store: Any, api: Api
) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    expired = await key_with("ada", expires_at=past)
    revoked = await key_with("ada")
    stranger = await key_with("olga")
    async with store.tx(actor=OURS, cause="test") as tx:
        olga = await save_principal(tx, "olga")
        elsewhere = await create_workspace(tx, "Olga's", slug="olgas", creator_id=olga)
    listed = (await api.get("/keys?limit=100")).json()["items"]
    revoked_id = next(key["id"] for key in listed if key["prefix"] == revoked.partition(".")[0])
    assert (await api.delete(f"/keys/{revoked_id}")).status_code == 200
    clients = {
        "no key": (None, 401),
        "an expired key": (expired, 401),
        "a revoked key": (revoked, 401),
        "a key of another workspace": (stranger, 404),
    }
    opened = {who: (walk.client_of(key), status) for who, (key, status) in clients.items()}
    before = await contents()
    wrong = []
    for method, path, operation in walk.operations:
        needs = OPERATIONS[operation]
        for who, (client, expected) in opened.items():
            if needs.public or (expected == 404 and path == "/api/v1/workspaces"):
                continue
            answer = await walk.call(client, method, path, operation)
            if answer.status_code != expected:
                wrong.append(f"{who} {operation}: {answer.status_code} {answer.text[:200]}")
    assert not wrong, "\n".join(["", *wrong])
    assert await contents() == before
    # the same ids under the path of a workspace that is the stranger's own: they name nothing there
    client = walk.client_of(stranger)
    shops = {table: digest for table, digest in before.items() if table in await _tables_of_a_workspace(store)}
    seen_before = await _rows_of(store, walk.api.workspace, shops)
    for method, path, operation in walk.operations:
        if not path.startswith(PREFIX + "/") or not re.search(r"\{(?!workspaceId)\w+\}", path):
            continue
        answer = await walk.call(client, method, path, operation, workspace=elsewhere)
        made_anew = method == "PUT" and re.search(r"\{(name|identifier|groupName|roleName)\}$", path)
        if answer.status_code < 400 and not made_anew:
            wrong.append(f"{operation}: {answer.status_code} {answer.text[:200]}")
        if answer.status_code >= 500:
            wrong.append(f"{operation}: {answer.status_code} {answer.text[:200]}")
    assert not wrong, "\n".join(["", *wrong])
    assert await _rows_of(store, walk.api.workspace, shops) == seen_before


async def test_ids_of_another_workspace_in_a_body_name_nothing(
    walk: Walk, key_with: Any, store: Any, client_of: Any
) -> None:
    stranger = await key_with("olga")
    async with store.tx(actor=OURS, cause="test") as tx:
        olga = await save_principal(tx, "olga")
        elsewhere = await create_workspace(tx, "Olga's", slug="olgas", creator_id=olga)
    own = Api(client_of(stranger), elsewhere)
    system = (await own.post("/systems", {"name": "mine"})).json()["id"]
    deployment = (await own.post("/deployments", {"name": "mine", "slug": "mine"})).json()["id"]
    version = (await own.post(f"/deployments/{deployment}/versions", VERSION)).json()["id"]
    await own.put("/resource-providers", {"name": "prov"})
    theirs = walk.ids
    selector = {"selector": "true", "priority": 0}
    calls = [
        ("PUT", f"/systems/{system}/deployments/{theirs['deploymentId']}", None),
        ("PUT", f"/systems/{system}/environments/{theirs['environmentId']}", None),
        ("PUT", f"/systems/{theirs['systemId']}/deployments/{deployment}", None),
        ("PUT", f"/deployment-versions/{version}/dependencies/{theirs['deploymentId']}", {"versionSelector": "true"}),
        ("PUT", f"/deployment-variables/{uuid.uuid4()}", {"deploymentId": theirs["deploymentId"], "key": "k"}),
        ("PUT", f"/deployment-variables/{theirs['variableId']}", {"deploymentId": deployment, "key": "k"}),
        (
            "PUT",
            f"/deployment-variable-values/{uuid.uuid4()}",
            {"deploymentVariableId": theirs["variableId"], "priority": 1, "value": 1},
        ),
        (
            "PUT",
            f"/deployment-variable-values/{theirs['valueId']}",
            {"deploymentVariableId": theirs["variableId"], "priority": 1, "value": 1},
        ),
        ("PUT", f"/variable-sets/{theirs['variableSetId']}", {"name": "x", "variables": [], **selector}),
        ("PUT", f"/job-agents/{theirs['jobAgentId']}", {"name": "x", "type": "http-pull", "config": {}}),
        ("PUT", f"/systems/{theirs['systemId']}", SYSTEM),
        ("PUT", f"/environments/{theirs['environmentId']}", ENVIRONMENT),
        ("PUT", f"/deployments/{theirs['deploymentId']}", DEPLOYMENT),
        ("PUT", f"/policies/{theirs['policyId']}", {"name": "x", "selector": "true", "rules": []}),
        ("PUT", f"/relationship-rules/{theirs['relationshipRuleId']}", {"name": "x", "reference": "x", "cel": "true"}),
        ("PUT", f"/resource-providers/{theirs['providerId']}/set", {"resources": []}),
        ("PUT", "/resource-providers", {"id": theirs["providerId"], "name": "prov-x"}),
        ("POST", "/pins", {"versionId": theirs["deploymentVersionId"], "reason": "r"}),
        ("POST", "/pins", {"versionId": version, "environmentId": theirs["environmentId"], "reason": "r"}),
        (
            "POST",
            "/skips",
            {"versionId": theirs["deploymentVersionId"], "ruleId": theirs["ruleId"], "reason": "r", "expiresAt": LATER},
        ),
        ("POST", "/skips", {"versionId": version, "ruleId": theirs["ruleId"], "reason": "r", "expiresAt": LATER}),
        ("POST", "/skips", {"versionId": version, "freezeId": theirs["freezeId"], "reason": "r", "expiresAt": LATER}),
        ("POST", "/freezes", {"scope": {"kind": "deployment", "id": theirs["deploymentId"]}, "reason": "r"}),
        ("POST", "/freezes", {"scope": {"kind": "system", "id": theirs["systemId"]}, "reason": "r"}),
        ("POST", "/freezes", {"scope": {"kind": "environment", "id": theirs["environmentId"]}, "reason": "r"}),
        ("POST", "/orders", {"kind": "redeploy", "target": theirs["releaseTargetKey"], "reason": "r"}),
        ("POST", "/orders", {"kind": "redeploy", "deployment": theirs["deploymentId"], "reason": "r"}),
        (
            "POST",
            "/orders",
            {
                "kind": "force",
                "deployment": deployment,
                "version": theirs["versionId"],
                "reason": "r",
                "expiresAt": LATER,
            },
        ),
        ("POST", "/members", {"user": "x", "role": "viewer", "scope": {"kind": "system", "id": theirs["systemId"]}}),
        ("POST", "/members", {"user": "x", "role": "releaser"}),
        ("POST", "/role-bindings", {"user": "ada", "role": "viewer"}),
        ("POST", "/role-bindings", {"user": theirs["principalId"], "role": "viewer"}),
        ("POST", "/role-bindings", {"group": "leads", "role": "viewer"}),
        ("POST", "/role-bindings", {"key": theirs["keyId"], "role": "viewer"}),
        (
            "POST",
            "/role-bindings",
            {"user": "olga", "role": "viewer", "scope": {"kind": "deployment", "id": theirs["deploymentId"]}},
        ),
        (
            "POST",
            "/keys",
            {"user": "olga", "bindings": [{"role": "viewer", "scope": {"kind": "system", "id": theirs["systemId"]}}]},
        ),
        ("POST", f"/job-agents/{theirs['jobAgentId']}/tokens", {}),
        ("PUT", "/groups/mine", {"members": ["mona"]}),
    ]
    before = await _rows_of(store, walk.api.workspace, await _tables_of_a_workspace(store))
    wrong = []
    for method, path, body in calls:
        answer = await own.call(method, path, **({} if body is None else {"json": body}))
        if answer.status_code not in {400, 404, 409}:
            wrong.append(f"{method} {path} {body}: {answer.status_code} {answer.text[:200]}")
    # what a body merely mentions is stored as text at most: it selects nothing across the border
    agents = {"jobAgents": [{"ref": theirs["jobAgentId"], "config": {}, "selector": ""}], **DEPLOYMENT}
    said = await own.put(f"/deployments/{deployment}", agents)
    assert said.status_code < 500
    assert not wrong, "\n".join(["", *wrong])
    assert await _rows_of(store, walk.api.workspace, before) == before
    assert (await own.get("/release-targets")).json()["total"] == 0
    for path in (
        "/jobs",
        "/ledger",
        "/rollouts",
        "/resources",
        "/members",
        "/keys",
        "/groups",
        "/roles",
        "/role-bindings",
    ):
        for word in (theirs["deploymentId"], theirs["principalId"], "mona", "releaser"):
            assert word not in (await own.get(path)).text, f"{path} tells of {word}"


async def test_an_agents_token_claims_and_reports_its_own_jobs_and_nothing_else(
    walk: Walk, api: Api, contents: Any, client_of: Any, store: Any, settings: Any
) -> None:
    agent = walk.ids["jobAgentId"]
    token = (await api.post(f"/job-agents/{agent}/tokens", {"name": "west"})).json()["token"]
    other = str(uuid.uuid4())
    await api.put(f"/job-agents/{other}", {"name": "other", "type": "http-pull", "config": {}})
    others = (await api.post(f"/job-agents/{other}/tokens", {})).json()["token"]
    mine, foreign = client_of(token), client_of(others)
    before = await contents()
    wrong = []
    own = {operation for operation, needs in OPERATIONS.items() if needs.agents}
    assert own == {
        "GET /W/job-agents/{jobAgentId}/jobs",
        "POST /W/job-agents/{jobAgentId}/jobs/{jobId}/claim",
        "POST /W/jobs/{jobId}/heartbeat",
        "PUT /W/jobs/{jobId}/status",
    }
    for method, path, operation in walk.operations:
        if OPERATIONS[operation].public:
            continue
        for who, client in (("its own", mine), ("another agent's", foreign)):
            expected = 404 if operation in own else 403
            if operation in own and who == "its own":
                continue
            answer = await walk.call(client, method, path, operation)
            if answer.status_code != expected:
                wrong.append(f"{who} token, {operation}: {answer.status_code} {answer.text[:200]}")
    assert not wrong, "\n".join(["", *wrong])
    assert await contents() == before
    base = f"/api/v1/workspaces/{api.workspace}"
    freed = await api.post(f"/freezes/{walk.ids['freezeId']}/thaw", {"reason": "go"})
    assert freed.status_code == 200

    async def offered() -> Any:
        listed = await mine.get(f"{base}/job-agents/{agent}/jobs?status=queued")
        assert listed.status_code == 200
        for job in listed.json()["items"]:
            claimed = await mine.post(f"{base}/job-agents/{agent}/jobs/{job['id']}/claim")
            if claimed.status_code == 200:
                return claimed.json()
        return None

    async with working(store, settings):
        job = await until(offered, "no job could be claimed")
    assert job["dispatchContext"]["deployment"]["name"] == "shop-api"
    said = await mine.put(f"{base}/jobs/{job['id']}/status", json={"status": "successful"})
    assert said.status_code == 202
    told = (await api.get("/ledger", params={"kind": "job.claimed"})).json()["items"][-1]
    assert told["actor"]["kind"] == "agent" and told["actor"]["id"] == agent
    listed = (await api.get(f"/job-agents/{agent}/tokens")).json()["items"]
    assert "lastUsedAt" in listed[0] and "token" not in listed[0]
    assert (await api.delete(f"/job-agents/{agent}/tokens/{listed[0]['id']}")).status_code == 200
    assert (await mine.get(f"{base}/job-agents/{agent}/jobs")).status_code == 401
    assert (await foreign.get(f"{base}/job-agents/{other}/jobs")).status_code == 200
    assert (await api.delete(f"/job-agents/{other}")).status_code == 202
    assert (await foreign.get(f"{base}/job-agents/{other}/jobs")).status_code == 401, "its agent is gone"


async def test_a_role_over_one_deployment_reaches_its_objects_and_no_others(
    walk: Walk, api: Api, key_with: Any, contents: Any
) -> None:
    """An admin over another deployment may write nothing of this one; an admin over this one reaches all of it."""
    elsewhere = (await api.post("/deployments", {"name": "other", "slug": "other"})).json()["id"]
    other = walk.client_of(await key_with("otto", role="admin", scope_kind="deployment", scope_id=elsewhere))
    here = walk.client_of(
        await key_with("hana", role="admin", scope_kind="deployment", scope_id=walk.ids["deploymentId"])
    )
    before = await contents()
    wrong, reaching = [], []
    for method, path, operation in walk.operations:
        needs = OPERATIONS[operation]
        if needs.public or not needs.permissions or Permission.READ in needs.permissions:
            continue
        for who, client in (("otto", other), ("hana", here)):
            if not needs.within or who == "otto":
                answer = await walk.call(client, method, path, operation)
                missing = operation in OPEN_WITHOUT_AN_OBJECT and answer.status_code == 404
                if answer.status_code != 403 and not missing:
                    wrong.append(f"{who} {operation}: {answer.status_code} {answer.text[:200]}")
            elif "system" not in operation and "environment" not in operation:
                reaching.append((method, path, operation))
    assert not wrong, "\n".join(["", *wrong])
    assert await contents() == before
    for method, path, operation in sorted(
        reaching, key=lambda each: (each[0] == "DELETE", each[2].endswith("deployments/{deploymentId}"))
    ):
        answer = await walk.call(here, method, path, operation)
        if answer.status_code in {401, 403} or answer.status_code >= 500:
            wrong.append(f"hana {operation}: {answer.status_code} {answer.text[:200]}")
    assert not wrong, "\n".join(["", *wrong])


async def _tables_of_a_workspace(store: Any) -> dict[str, str]:
    async with store.read() as conn:
        rows = await conn.fetch(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'workspace_id' "
            "WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
        )
    beside = {"work", "round", "ledger_order", "ledger"}
    return {row[0]: "" for row in rows if row[0] not in beside}


async def _rows_of(store: Any, workspace_id: str, tables: dict[str, str]) -> dict[str, str]:
    """table -> digest of a workspace's rows."""
    found = {}
    async with store.read() as conn:
        for table in tables:
            rows = await conn.fetch(
                f"SELECT (to_jsonb(t) - 'rules_fence')::text FROM \"{table}\" t WHERE t.workspace_id = $1", workspace_id
            )
            found[table] = hashlib.sha256("\n".join(sorted(row[0] for row in rows)).encode()).hexdigest()
    return found
