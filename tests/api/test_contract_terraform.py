"""Does the Terraform provider work unchanged? Each of its resources and data sources, with the requests that it sends.

Every resource goes through create, read, an empty plan, updates, import and delete (`lifecycle`). What a read means is
written down here as the provider understands it: an attribute that is absent is null, and one that was not configured
and comes back is a difference on every plan.

Source: contract.md section c.
"""

from __future__ import annotations

import uuid
from typing import Any

import orjson
import pytest

from api.contract_rows import stands_for
from api.wire_clients import YEAR_ONE, Config, Terraform, collapsed, escaped, given, is_instant, lifecycle, texts


@pytest.fixture
async def tf(api: Any) -> Terraform:
    provider = Terraform(api.raw, "")
    provider.workspace_id = await provider.resolve("shop")
    return provider


class System:
    """`ctrlplane_system`."""

    async def create(self, tf: Terraform, config: Config) -> str:
        system_id = await tf.made("POST", "/W/systems", 202, self._body(config))
        await tf.created(f"/W/systems/{system_id}")
        return system_id

    async def read(self, tf: Terraform, thing_id: str, state: Config | None) -> Config | None:
        answer = await tf.read(f"/W/systems/{thing_id}")
        if answer is None:
            return None
        assert answer["id"] and answer["name"]
        for linked in ("deployments", "environments"):
            assert isinstance(answer[linked], list)
        return given(
            name=answer["name"], description=answer.get("description"), metadata=texts(answer["metadata"]) or None
        )

    async def update(self, tf: Terraform, thing_id: str, config: Config, state: Config) -> None:
        assert await tf.made("PUT", f"/W/systems/{thing_id}", 202, self._body(config)) == thing_id

    async def delete(self, tf: Terraform, thing_id: str, *, again: bool = False) -> None:
        await tf.must("DELETE", f"/W/systems/{thing_id}", 404 if again else 202)

    def _body(self, config: Config) -> Config:
        return {"metadata": {}, **config}


@stands_for("terraform system")
async def test_system(tf: Terraform) -> None:
    await lifecycle(
        tf,
        System(),
        {"name": "shop"},
        {"name": "shop", "description": "what we sell", "metadata": {"team": "a"}},
        {"name": "shop two", "metadata": {"team": "b"}},
        {"name": "shop two"},
    )


class Environment:
    """`ctrlplane_environment`."""

    async def create(self, tf: Terraform, config: Config) -> str:
        thing_id = await tf.made("POST", "/W/environments", 202, self._body(config))
        await tf.created(f"/W/environments/{thing_id}")
        return thing_id

    async def read(self, tf: Terraform, thing_id: str, state: Config | None) -> Config | None:
        answer = await tf.read(f"/W/environments/{thing_id}")
        return None if answer is None else self.meant(answer)

    @staticmethod
    def meant(answer: Config) -> Config:
        assert answer["id"] and answer["name"] and is_instant(answer["createdAt"])
        return given(
            name=answer["name"],
            description=answer.get("description"),
            resource_selector=answer.get("resourceSelector") or None,
            metadata=texts(answer["metadata"]) or None,
        )

    async def update(self, tf: Terraform, thing_id: str, config: Config, state: Config) -> None:
        assert await tf.made("PUT", f"/W/environments/{thing_id}", 202, self._body(config)) == thing_id

    async def delete(self, tf: Terraform, thing_id: str, *, again: bool = False) -> None:
        await tf.must("DELETE", f"/W/environments/{thing_id}", *((404,) if again else (202, 204)))

    def _body(self, config: Config) -> Config:
        sent = {"metadata": {}, **config}
        if "resource_selector" in sent:
            sent["resourceSelector"] = collapsed(sent.pop("resource_selector"))
        return sent


@stands_for("terraform environment")
async def test_environment(tf: Terraform) -> None:
    await lifecycle(
        tf,
        Environment(),
        {"name": "production"},
        {"name": "production", "resource_selector": 'resource.metadata["env"] == "production"'},
        {"name": "prod", "description": "people pay here", "resource_selector": "true", "metadata": {"tier": "1"}},
        {"name": "prod"},
    )
    first = await Environment().create(tf, {"name": "twice"})
    clash = await tf.send("POST", "/W/environments", {"name": "twice", "metadata": {}})
    assert clash.status_code == 409 and clash.json()["error"] and clash.json()["code"] == "DUPLICATE_NAME"
    await Environment().delete(tf, first)


AGENT_KEYS = {
    "github": {
        "installation_id": "installationId",
        "owner": "owner",
        "repo": "repo",
        "ref": "ref",
        "workflow_id": "workflowId",
    },
    "argocd": {"api_key": "apiKey", "server_url": "serverUrl", "template": "template"},
    "argo_workflow": {
        "api_key": "apiKey",
        "webhook_secret": "webhookSecret",
        "server_url": "serverUrl",
        "template": "template",
        "name": "name",
        "http_insecure": "httpInsecure",
    },
    "terraform_cloud": {
        "address": "address",
        "organization": "organization",
        "template": "template",
        "token": "token",
        "trigger_run_on_change": "triggerRunOnChange",
        "webhook_url": "webhookUrl",
    },
    "test_runner": {"delay_seconds": "delaySeconds", "message": "message", "status": "status"},
}
"""Block -> attribute -> key of the config."""

INFERRED_BY = (
    ("github", {"owner", "repo", "installationId", "workflowId"}),
    ("terraform_cloud", {"organization", "address", "triggerRunOnChange"}),
    ("test_runner", {"delaySeconds", "status"}),
    ("argo_workflow", {"webhookSecret", "httpInsecure", "name"}),
    ("argocd", {"serverUrl", "template", "apiKey"}),
)
"""How the provider tells which block a config is, in this order, where no state says so."""


def block_of(config: Config, state: Config | None) -> str:
    """The block of a deployment's config."""
    if state is not None:
        return next(name for name in AGENT_KEYS if name in state)
    return next(name for name, keys in INFERRED_BY if keys & set(config))


def on_the_wire(block: str, attributes: Config) -> Config:
    return {AGENT_KEYS[block][key]: value for key, value in attributes.items() if value != ""}


def from_the_wire(block: str, config: Config) -> Config:
    names = {key: name for name, key in AGENT_KEYS[block].items()}
    for key in ("installationId", "workflowId", "delaySeconds"):
        assert key not in config or type(config[key]) is int, f"{key} must be a number"
    return {names[key]: value for key, value in config.items()}


class Deployment:
    """`ctrlplane_deployment` since v1.10: a selector of agents, and at most one block for the config."""

    async def create(self, tf: Terraform, config: Config) -> str:
        thing_id = await tf.made("POST", "/W/deployments", 202, self._body(config))
        await tf.created(f"/W/deployments/{thing_id}")
        return thing_id

    async def read(self, tf: Terraform, thing_id: str, state: Config | None) -> Config | None:
        answer = await tf.read(f"/W/deployments/{thing_id}")
        if answer is None:
            return None
        assert isinstance(answer["systems"], list) and isinstance(answer["variables"], list)
        deployment = answer["deployment"]
        assert deployment["id"] == thing_id
        seen = given(
            name=deployment["name"],
            metadata=texts(deployment["metadata"]) or None,
            resource_selector=deployment.get("resourceSelector") or None,
            job_agent_selector=deployment.get("jobAgentSelector") or None,
        )
        if sent := deployment["jobAgentConfig"]:
            block = block_of(sent, state)
            seen[block] = from_the_wire(block, sent)
        return seen

    async def update(self, tf: Terraform, thing_id: str, config: Config, state: Config) -> None:
        assert await tf.made("PUT", f"/W/deployments/{thing_id}", 202, self._body(config)) == thing_id

    async def delete(self, tf: Terraform, thing_id: str, *, again: bool = False) -> None:
        await tf.must("DELETE", f"/W/deployments/{thing_id}", *((404,) if again else (202, 204)))

    def _body(self, config: Config) -> Config:
        sent = {"name": config["name"], "slug": config["name"].lower(), "metadata": config.get("metadata", {})}
        if "resource_selector" in config:
            sent["resourceSelector"] = collapsed(config["resource_selector"])
        if "job_agent_selector" in config:
            sent["jobAgentSelector"] = config["job_agent_selector"]
        for block in AGENT_KEYS:
            if wire := on_the_wire(block, config.get(block, {})):
                sent["jobAgentConfig"] = wire
        return sent


BLOCKS: list[Config] = [
    {"github": {"installation_id": 7, "owner": "acme", "repo": "shop", "ref": "main", "workflow_id": 12345678901}},
    {"argocd": {"api_key": "key-of-argo", "server_url": "https://argo.test", "template": "{{ .a }}"}},
    {
        "argo_workflow": {
            "api_key": "key-of-argo",
            "webhook_secret": "hush-hush",
            "server_url": "https://argo.test",
            "template": "t",
            "name": "run-",
            "http_insecure": False,
        }
    },
    {
        "terraform_cloud": {
            "address": "https://tfe.test",
            "organization": "acme",
            "template": "t",
            "token": "token-of-tfe",
            "trigger_run_on_change": True,
        }
    },
    {"test_runner": {"delay_seconds": 0, "message": "m", "status": "completed"}},
]


@stands_for("terraform deployment")
async def test_deployment(tf: Terraform) -> None:
    for block in BLOCKS:
        await deployment_with(tf, block)


async def deployment_with(tf: Terraform, block: Config) -> None:
    agent = f'jobAgent.id == "{uuid.uuid4()}"'
    base = {"name": "api", "resource_selector": 'resource.kind == "Host"', "job_agent_selector": agent}
    await lifecycle(
        tf,
        Deployment(),
        {**base, **block},
        {**base, **block, "metadata": {"team": "a"}, "resource_selector": "true"},
        {**base, "name": "api two"},
        {**base, "name": "api two", **block},
    )


@stands_for("terraform deployment")
async def test_a_changed_agent_config_alone_is_stored(tf: Terraform) -> None:
    body = {"name": "d", "slug": "d", "metadata": {}, "jobAgentConfig": {"delaySeconds": 1}}
    thing_id = await tf.made("POST", "/W/deployments", 202, body)
    assert await tf.made("PUT", f"/W/deployments/{thing_id}", 202, {**body, "jobAgentConfig": {"delaySeconds": 2}})
    read = (await tf.must("GET", f"/W/deployments/{thing_id}", 200))["deployment"]
    assert read["jobAgentConfig"] == {"delaySeconds": 2}
    assert (read["resourceSelector"], read["jobAgentSelector"]) == ("false", ""), "what unset ones read as"
    assert "jobAgents" not in read and "description" not in read


class DeploymentOfOld(Deployment):
    """`ctrlplane_deployment` up to v1.9: a list of agents, each with the resources that it is for."""

    async def read(self, tf: Terraform, thing_id: str, state: Config | None) -> Config | None:
        answer = await tf.read(f"/W/deployments/{thing_id}")
        if answer is None:
            return None
        deployment = answer["deployment"]
        agents = []
        for each in deployment["jobAgents"]:
            ((block, keys),) = [
                (name, set(AGENT_KEYS[name].values()))
                for name in ("github", "argocd")
                if set(each["config"]) <= set(AGENT_KEYS[name].values())
            ][:1]
            assert set(each["config"]) <= keys
            selector = {"selector": each["selector"]} if each.get("selector") else {}
            agents.append({"id": each["ref"], **selector, block: from_the_wire(block, each["config"])})
        return given(
            name=deployment["name"],
            metadata=texts(deployment["metadata"]) or None,
            resource_selector=deployment.get("resourceSelector") or None,
            job_agent=agents,
        )

    def _body(self, config: Config) -> Config:
        agents = []
        for each in config["job_agent"]:
            block = next(name for name in AGENT_KEYS if name in each)
            entry = {"ref": each["id"], "config": on_the_wire(block, each[block]), "selector": each.get("selector", "")}
            agents.append(entry)
        sent = super()._body({key: value for key, value in config.items() if key != "job_agent"})
        return {**sent, "jobAgents": agents}


@stands_for("terraform deployment (up to v1.9)")
async def test_deployment_with_a_list_of_agents(tf: Terraform) -> None:
    one = {"id": str(uuid.uuid4()), "github": {"owner": "acme", "repo": "shop", "workflow_id": 7}}
    two = {"id": str(uuid.uuid4()), "selector": 'resource.kind == "Host"', "argocd": {"template": "t"}}
    base = {"name": "api", "resource_selector": "true"}
    await lifecycle(
        tf,
        DeploymentOfOld(),
        {**base, "job_agent": [one]},
        {**base, "job_agent": [two, one], "metadata": {"a": "b"}},
        {**base, "job_agent": [one, two]},
    )


@stands_for("terraform deployment (up to v1.9)")
async def test_an_empty_selector_in_the_list_means_every_resource(tf: Terraform, api: Any) -> None:
    agent = str(uuid.uuid4())
    await tf.made(
        "PUT", f"/W/job-agents/{agent}", 202, {"name": "a", "type": "http-pull", "config": {}, "metadata": {}}
    )
    system = await tf.made("POST", "/W/systems", 202, {"name": "s", "metadata": {}})
    place = await tf.made("POST", "/W/environments", 202, {"name": "e", "resourceSelector": "true", "metadata": {}})
    body = {"name": "d", "slug": "d", "metadata": {}, "resourceSelector": "true"}
    listed = {**body, "jobAgents": [{"ref": agent, "config": {}, "selector": ""}]}
    deployment = await tf.made("POST", "/W/deployments", 202, listed)
    await tf.must("PUT", f"/W/systems/{system}/environments/{place}", 202)
    await tf.must("PUT", f"/W/systems/{system}/deployments/{deployment}", 202)
    await api.put("/resources/identifier/h", {"name": "h", "kind": "Host", "version": "v"})
    (target,) = (await api.get("/release-targets")).json()["items"]
    assert target["state"] not in {"no_agent", "ambiguous_agent"}, target


class JobAgent:
    """`ctrlplane_job_agent`: an id of the provider's own, one block, a config that is read back in full."""

    TYPES = {  # noqa: RUF012 - one constant
        "github": "github-app",
        "argocd": "argo-cd",
        "argo_workflow": "argo-workflow",
        "terraform_cloud": "tfe",
        "test_runner": "test-runner",
    }

    async def create(self, tf: Terraform, config: Config) -> str:
        thing_id = str(uuid.uuid4())
        assert await tf.made("PUT", f"/W/job-agents/{thing_id}", 202, self._body(config)) == thing_id
        await tf.created(f"/W/job-agents/{thing_id}")
        return thing_id

    async def read(self, tf: Terraform, thing_id: str, state: Config | None) -> Config | None:
        answer = await tf.read(f"/W/job-agents/{thing_id}")
        if answer is None:
            return None
        seen = given(name=answer["name"], metadata=texts(answer["metadata"]) or None)
        blocks = {kind: block for block, kind in self.TYPES.items()}
        block = blocks.get(answer["type"])
        if block is None:
            return {**seen, "custom": {"type": answer["type"], "config": texts(answer["config"])}}
        return {**seen, block: from_the_wire(block, answer["config"])}

    async def update(self, tf: Terraform, thing_id: str, config: Config, state: Config) -> None:
        assert await tf.made("PUT", f"/W/job-agents/{thing_id}", 202, self._body(config)) == thing_id

    async def delete(self, tf: Terraform, thing_id: str, *, again: bool = False) -> None:
        await tf.must("DELETE", f"/W/job-agents/{thing_id}", *((404,) if again else (202, 204)))

    def _body(self, config: Config) -> Config:
        sent = {"name": config["name"], "metadata": config.get("metadata", {})}
        if "custom" in config:
            return {**sent, "type": config["custom"]["type"], "config": config["custom"]["config"]}
        block = next(name for name in AGENT_KEYS if name in config)
        return {**sent, "type": self.TYPES[block], "config": on_the_wire(block, config[block])}


AGENT_BLOCKS: list[Config] = [
    {"github": {"installation_id": 7, "owner": "acme", "repo": "shop"}},
    *(block for block in BLOCKS if "github" not in block and "terraform_cloud" not in block),
    {
        "terraform_cloud": {
            "address": "https://tfe.test",
            "organization": "acme",
            "template": "t",
            "webhook_url": "https://interlock.test/api/tfe/webhook",
            "token": "token-of-tfe",
            "trigger_run_on_change": False,
        }
    },
    {"custom": {"type": "http-pull", "config": {"pool": "a"}}},
    {"custom": {"type": "nobody-knows-this", "config": {"a": "b", "apiKey": "read me back"}}},
]


@stands_for("terraform job_agent")
async def test_job_agent(tf: Terraform) -> None:
    for block in AGENT_BLOCKS:
        await lifecycle(
            tf,
            JobAgent(),
            {"name": "runner", **block},
            {"name": "runner two", **block, "metadata": {"pool": "b"}},
            {"name": "runner two", **block},
        )


class Link:
    """`ctrlplane_deployment_system_link`, `ctrlplane_environment_system_link`: replaced, never changed."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def _path(self, thing_id: str) -> str:
        system, _, child = thing_id.partition("/")
        return f"/W/systems/{system}/{self.kind}s/{child}"

    async def create(self, tf: Terraform, config: Config) -> str:
        thing_id = f"{config['system_id']}/{config[f'{self.kind}_id']}"
        await tf.must("PUT", self._path(thing_id), 202)
        return thing_id

    async def read(self, tf: Terraform, thing_id: str, state: Config | None) -> Config | None:
        answer = await tf.read(self._path(thing_id))
        if answer is None:
            return None
        system, _, child = thing_id.partition("/")
        return {"system_id": system, f"{self.kind}_id": child}

    async def update(self, tf: Terraform, thing_id: str, config: Config, state: Config) -> None:
        raise AssertionError("a link is replaced")

    async def delete(self, tf: Terraform, thing_id: str, *, again: bool = False) -> None:
        await tf.must("DELETE", self._path(thing_id), *((404, 202, 204) if again else (202, 204)))


@stands_for("terraform deployment_system_link", "terraform environment_system_link")
async def test_system_link(tf: Terraform) -> None:
    for kind in ("deployment", "environment"):
        await linked(tf, kind)


async def linked(tf: Terraform, kind: str) -> None:
    system = await tf.made("POST", "/W/systems", 202, {"name": "s", "metadata": {}})
    child = await tf.made("POST", f"/W/{kind}s", 202, {"name": "c", "slug": "c", "metadata": {}})
    await lifecycle(tf, Link(kind), {"system_id": system, f"{kind}_id": child})
    again = {"system_id": system, f"{kind}_id": child}
    assert await Link(kind).create(tf, again) == await Link(kind).create(tf, again), "a link made twice is one"


class Policy:
    """`ctrlplane_policy`: rules come back exactly as they were sent, and the answer to an update is the new state."""

    async def create(self, tf: Terraform, config: Config) -> str:
        wanted = str(uuid.uuid4())
        made = await tf.must("POST", "/W/policies", 202, body=self._body(config, wanted))
        assert made["id"] and isinstance(made["rules"], list)
        if made["id"] != wanted:
            await tf.must("PUT", f"/W/policies/{made['id']}", 202, body=self._body(config, wanted))
        await tf.created(f"/W/policies/{made['id']}")
        return str(made["id"])

    async def read(self, tf: Terraform, thing_id: str, state: Config | None) -> Config | None:
        answer = await tf.read(f"/W/policies/{thing_id}")
        return None if answer is None else self._meant(answer)

    def _meant(self, answer: Config) -> Config:
        assert isinstance(answer["priority"], int) and isinstance(answer["enabled"], bool)
        assert isinstance(answer["createdAt"], str)
        rules = [{key: rule[key] for key in rule if key != "policyId"} for rule in answer["rules"]]
        return given(
            name=answer["name"],
            description=answer.get("description"),
            selector=answer["selector"],
            metadata=texts(answer["metadata"]) or None,
            priority=answer["priority"] or None,
            enabled=None if answer["enabled"] else False,
            rules=rules,
        )

    async def update(self, tf: Terraform, thing_id: str, config: Config, state: Config) -> None:
        answer = await tf.must("PUT", f"/W/policies/{thing_id}", 202, body=self._body(config, thing_id))
        assert answer["id"] == thing_id and self._meant(answer) == config, "inconsistent result after apply"

    async def delete(self, tf: Terraform, thing_id: str, *, again: bool = False) -> None:
        await tf.must("DELETE", f"/W/policies/{thing_id}", *((404,) if again else (202, 204)))

    def _body(self, config: Config, policy_id: str) -> Config:
        sent = {"metadata": {}, "priority": 0, "enabled": True, **config}
        sent["rules"] = [{**rule, "policyId": policy_id} for rule in config["rules"]]
        return sent


def rule(**kind: Any) -> Config:
    return {"id": str(uuid.uuid4()), "createdAt": YEAR_ONE, **kind}


SLEEP = {"type": "sleep", "durationSeconds": 30}
DATADOG = {"type": "datadog", "queries": {"q": "avg:errors{*}"}, "apiKey": "key-of-datadog", "appKey": "app-of-datadog"}
METRIC = {"name": "m", "intervalSeconds": 60, "count": 3, "successCondition": "result.ok == true"}
RULES: dict[str, list[Config]] = {
    "version_selector": [{"selector": "version.tag.startsWith('v')"}, {"selector": "true", "description": "all"}],
    "version_cooldown": [{"intervalSeconds": 3600}],
    "deployment_window": [
        {"durationMinutes": 60, "rrule": "FREQ=DAILY;BYHOUR=9", "allowWindow": True},
        {"durationMinutes": 60, "rrule": "FREQ=DAILY", "timezone": "Europe/Berlin", "allowWindow": False},
    ],
    "deployment_dependency": [{"dependsOn": "deployment.name  ==  'db'"}],
    "verification": [
        {"metrics": [{**METRIC, "provider": SLEEP}]},
        {"triggerOn": "jobSuccess", "metrics": [{**METRIC, "successThreshold": 2, "provider": DATADOG}]},
        {
            "metrics": [
                {**METRIC, "failureCondition": "result.ok == false", "failureThreshold": 1, "provider": SLEEP},
                {
                    **METRIC,
                    "name": "n",
                    "provider": {
                        **DATADOG,
                        "site": "datadoghq.eu",
                        "intervalSeconds": 300,
                        "aggregator": "avg",
                        "formula": "q * 2",
                    },
                },
            ]
        },
    ],
    "gradual_rollout": [
        {"rolloutType": "linear", "timeScaleInterval": 60},
        {"rolloutType": "linear-normalized", "timeScaleInterval": 0},
    ],
    "any_approval": [{"minApprovals": 2}],
    "environment_progression": [
        {"dependsOnEnvironmentSelector": "environment.name == 'staging'", "minimumSoakTimeMinutes": 0},
        {
            "dependsOnEnvironmentSelector": "environment.name == 'staging'",
            "minimumSuccessPercentage": 99.5,
            "minimumSoakTimeMinutes": 5,
            "maximumAgeHours": 24,
        },
    ],
    "plan_validation_opa": [
        {"name": "no nines", "rego": "package a\n\ndeny contains msg if { false; msg := 1 }"},
        {"name": "b", "rego": "package b", "description": "d"},
    ],
}
"""Block -> what the provider sends for it, the smallest form first."""


def camel(block: str) -> str:
    first, *others = block.split("_")
    return first + "".join(word.capitalize() for word in others)


@stands_for("terraform policy")
async def test_policy(tf: Terraform) -> None:
    for block in RULES:
        await policy_with(tf, block)


async def policy_with(tf: Terraform, block: str) -> None:
    selector = "environment.name == 'production'  &&  true"
    sent = [rule(**{camel(block): params}) for params in RULES[block]]
    base: Config = {"name": "p", "selector": selector, "rules": sent}
    await lifecycle(
        tf,
        Policy(),
        base,
        {**base, "description": "why", "metadata": {"a": "b"}, "priority": 7, "enabled": False},
        {**base, "rules": list(reversed(sent))},
        {**base, "rules": []},
        {**base, "rules": sent[:1]},
    )


@stands_for("terraform policy")
async def test_policy_with_every_block_at_once(tf: Terraform) -> None:
    sent = [rule(**{camel(block): params}) for block, forms in RULES.items() for params in forms]
    await lifecycle(tf, Policy(), {"name": "p", "selector": "true", "rules": sent})


class Variable:
    """`ctrlplane_deployment_variable`."""

    async def create(self, tf: Terraform, config: Config) -> str:
        thing_id = str(uuid.uuid4())
        assert await tf.made("PUT", f"/W/deployment-variables/{thing_id}", 202, self._body(config)) == thing_id
        await tf.created(f"/W/deployment-variables/{thing_id}")
        return thing_id

    async def read(self, tf: Terraform, thing_id: str, state: Config | None) -> Config | None:
        answer = await tf.read(f"/W/deployment-variables/{thing_id}")
        if answer is None:
            return None
        variable = answer["variable"]
        assert variable["id"] == thing_id and isinstance(answer["values"], list)
        return given(
            deployment_id=variable["deploymentId"], key=variable["key"], description=variable.get("description")
        )

    async def update(self, tf: Terraform, thing_id: str, config: Config, state: Config) -> None:
        assert await tf.made("PUT", f"/W/deployment-variables/{thing_id}", 202, self._body(config)) == thing_id

    async def delete(self, tf: Terraform, thing_id: str, *, again: bool = False) -> None:
        await tf.must("DELETE", f"/W/deployment-variables/{thing_id}", *((404,) if again else (202, 204)))

    def _body(self, config: Config) -> Config:
        return given(deploymentId=config["deployment_id"], key=config["key"], description=config.get("description"))


@pytest.fixture
async def deployment_id(tf: Terraform) -> str:
    return await tf.made("POST", "/W/deployments", 202, {"name": "d", "slug": "d", "metadata": {}})


@stands_for("terraform deployment_variable")
async def test_deployment_variable(tf: Terraform, deployment_id: str) -> None:
    await lifecycle(
        tf,
        Variable(),
        {"deployment_id": deployment_id, "key": "replicas"},
        {"deployment_id": deployment_id, "key": "replicas", "description": "how many"},
        {"deployment_id": deployment_id, "key": "count"},
    )


class Value:
    """`ctrlplane_deployment_variable_value`."""

    async def create(self, tf: Terraform, config: Config) -> str:
        thing_id = str(uuid.uuid4())
        assert await tf.made("PUT", f"/W/deployment-variable-values/{thing_id}", 202, self._body(config)) == thing_id
        await tf.created(f"/W/deployment-variable-values/{thing_id}")
        return thing_id

    async def read(self, tf: Terraform, thing_id: str, state: Config | None) -> Config | None:
        answer = await tf.read(f"/W/deployment-variable-values/{thing_id}")
        if answer is None:
            return None
        assert answer["id"] == thing_id and type(answer["priority"]) is int
        value = answer["value"]
        seen = given(
            variable_id=answer["deploymentVariableId"],
            priority=answer["priority"],
            resource_selector=answer.get("resourceSelector") or None,
        )
        if isinstance(value, dict) and "reference" in value:
            return {**seen, "reference_value": {"reference": value["reference"], "path": value["path"]}}
        return {**seen, "literal_value": value["object"] if isinstance(value, dict) else value}

    async def update(self, tf: Terraform, thing_id: str, config: Config, state: Config) -> None:
        assert await tf.made("PUT", f"/W/deployment-variable-values/{thing_id}", 202, self._body(config)) == thing_id

    async def delete(self, tf: Terraform, thing_id: str, *, again: bool = False) -> None:
        await tf.must("DELETE", f"/W/deployment-variable-values/{thing_id}", *((404,) if again else (202, 204)))

    def _body(self, config: Config) -> Config:
        value = config.get("reference_value")
        if value is None:
            literal = config["literal_value"]
            value = {"object": literal} if isinstance(literal, dict) else literal
        sent = {"deploymentVariableId": config["variable_id"], "priority": config["priority"], "value": value}
        if "resource_selector" in config:
            sent["resourceSelector"] = collapsed(config["resource_selector"])
        return sent


@stands_for("terraform deployment_variable_value", "strictness in: integers and booleans in variable values")
async def test_deployment_variable_value(tf: Terraform, deployment_id: str) -> None:
    variable = await Variable().create(tf, {"deployment_id": deployment_id, "key": "k"})
    base = {"variable_id": variable, "priority": 0}
    literals: list[Any] = ["text", "", 5, 0, 2.5, True, False, {"a": {"b": "c"}, "n": 1}, {}]
    await lifecycle(
        tf,
        Value(),
        *({**base, "literal_value": literal} for literal in literals),
        {**base, "priority": 2**40, "reference_value": {"reference": "network", "path": ["config", "cidr"]}},
        {**base, "literal_value": "x", "resource_selector": 'resource.metadata["tier"] == "gold"'},
    )


class Provider:
    """`ctrlplane_resource_provider`: its resources are an ordered list, and it is never deleted itself."""

    async def create(self, tf: Terraform, config: Config) -> str:
        thing_id = await tf.made("PUT", "/W/resource-providers", 202, self._body(str(uuid.uuid4()), config))
        if config.get("resource"):
            await self._set(tf, thing_id, config)
            await tf.created(f"/W/resources/identifier/{escaped(config['resource'][0]['identifier'])}")
        self.name = config["name"]
        self.set_last = config.get("resource", [])
        return thing_id

    async def read(self, tf: Terraform, thing_id: str, state: Config | None) -> Config | None:
        answer = await tf.read(f"/W/resource-providers/name/{escaped(self.name)}")
        if answer is None:
            return None
        assert answer["id"] == thing_id and is_instant(answer["createdAt"])
        assert str(uuid.UUID(answer["workspaceId"])) == tf.workspace_id
        listed = await tf.must("GET", f"/W/resource-providers/name/{escaped(self.name)}/resources", 200)
        seen = [self._meant(each) for each in listed["items"]]
        return given(name=answer["name"], metadata=texts(answer["metadata"]) or None, resource=seen or None)

    @staticmethod
    def _meant(answer: Config) -> Config:
        assert is_instant(answer["createdAt"]) and answer["workspaceId"]
        named = {key: answer[key] for key in ("name", "identifier", "kind", "version")}
        return {**named, **given(config=answer["config"] or None, metadata=texts(answer["metadata"]) or None)}

    async def update(self, tf: Terraform, thing_id: str, config: Config, state: Config) -> None:
        assert await tf.made("PUT", "/W/resource-providers", 202, self._body(thing_id, config)) == thing_id
        self.name = config["name"]
        await self._set(tf, thing_id, config)
        kept = {each["identifier"] for each in config.get("resource", [])}
        for each in state.get("resource", []):
            if each["identifier"] not in kept:
                await tf.must("DELETE", f"/W/resources/identifier/{escaped(each['identifier'])}", 202, 204, 404)
        self.set_last = config.get("resource", [])

    async def delete(self, tf: Terraform, thing_id: str, *, again: bool = False) -> None:
        for each in self.set_last:
            await tf.must("DELETE", f"/W/resources/identifier/{escaped(each['identifier'])}", 202, 204, 404)
        if not again:
            assert (await self.read(tf, thing_id, None)) == {"name": self.name}, "the provider itself stays"
            await tf.must("DELETE", f"/W/resource-providers/name/{escaped(self.name)}", 202)

    async def _set(self, tf: Terraform, thing_id: str, config: Config) -> None:
        sent = [{"config": {}, "metadata": {}, **each} for each in config.get("resource", [])]
        await tf.must("PUT", f"/W/resource-providers/{thing_id}/set", 202, body={"resources": sent})

    def _body(self, thing_id: str, config: Config) -> Config:
        return {"id": thing_id, "name": config["name"], "metadata": config.get("metadata", {})}


def host(name: str, **more: Any) -> Config:
    return {"name": name, "identifier": f"arn:aws:x:{name}/a b", "kind": "Host", "version": "v1", **more}


@stands_for("terraform resource_provider")
async def test_resource_provider(tf: Terraform) -> None:
    await lifecycle(
        tf,
        Provider(),
        {"name": "fleet", "resource": [host("c"), host("a", config={"n": 1}), host("b", metadata={"x": "y"})]},
        {"name": "fleet", "metadata": {"team": "a"}, "resource": [host("b"), host("c")]},
        {"name": "fleet two", "metadata": {"team": "a"}, "resource": [host("c"), host("d"), host("b")]},
        {"name": "fleet two"},
        {"name": "fleet/three", "resource": [host("c")]},
    )


class OneResource:
    """`ctrlplane_resource`: a set of one element on a provider that is there."""

    def __init__(self, provider_id: str) -> None:
        self.provider_id = provider_id

    async def create(self, tf: Terraform, config: Config) -> str:
        sent = {"config": {}, "metadata": {}, **config}
        await tf.must("PUT", f"/W/resource-providers/{self.provider_id}/set", 202, body={"resources": [sent]})
        await tf.created(f"/W/resources/identifier/{escaped(config['identifier'])}")
        return str(config["identifier"])

    async def read(self, tf: Terraform, thing_id: str, state: Config | None) -> Config | None:
        answer = await tf.read(f"/W/resources/identifier/{escaped(thing_id)}")
        return None if answer is None else Provider._meant(answer)

    async def update(self, tf: Terraform, thing_id: str, config: Config, state: Config) -> None:
        await self.create(tf, config)

    async def delete(self, tf: Terraform, thing_id: str, *, again: bool = False) -> None:
        path = f"/W/resources/identifier/{escaped(thing_id)}"
        await tf.must("DELETE", path, *((404,) if again else (202, 204)))


@stands_for("terraform resource", "contradiction DELETE resource by identifier")
async def test_resource(tf: Terraform) -> None:
    provider_id = await tf.made("PUT", "/W/resource-providers", 202, {"id": str(uuid.uuid4()), "name": "p"})
    await lifecycle(
        tf,
        OneResource(provider_id),
        host("a"),
        host("a", config={"deep": {"list": [1, "two", None]}}, metadata={"k": "v"}),
        {**host("a"), "kind": "Cluster", "version": "v2"},
    )


class RelationshipRule:
    """`ctrlplane_relationship_rule`."""

    async def create(self, tf: Terraform, config: Config) -> str:
        thing_id = await tf.made("POST", "/W/relationship-rules", 201, self._body(config))
        await tf.created(f"/W/relationship-rules/{thing_id}")
        return thing_id

    async def read(self, tf: Terraform, thing_id: str, state: Config | None) -> Config | None:
        answer = await tf.read(f"/W/relationship-rules/{thing_id}")
        if answer is None:
            return None
        return given(
            name=answer["name"],
            reference=answer["reference"],
            description=answer.get("description"),
            matcher=answer["cel"],
            metadata=texts(answer["metadata"]) or None,
        )

    async def update(self, tf: Terraform, thing_id: str, config: Config, state: Config) -> None:
        await tf.must("PUT", f"/W/relationship-rules/{thing_id}", 200, 202, body=self._body(config))

    async def delete(self, tf: Terraform, thing_id: str, *, again: bool = False) -> None:
        await tf.must("DELETE", f"/W/relationship-rules/{thing_id}", *((404,) if again else (202, 204)))

    def _body(self, config: Config) -> Config:
        sent = {"metadata": {}, **config}
        sent["cel"] = collapsed(sent.pop("matcher"))
        return sent


@stands_for("terraform relationship_rule", "contradiction DELETE relationship-rule")
async def test_relationship_rule(tf: Terraform) -> None:
    matcher = 'from.kind == "Host" && to.kind == "Network" && from.metadata.net == to.name'
    await lifecycle(
        tf,
        RelationshipRule(),
        {"name": "net", "reference": "network", "matcher": matcher},
        {"name": "network", "reference": "network", "matcher": "from.name == to.name", "description": "d"},
        {"name": "network", "reference": "network", "matcher": matcher, "metadata": {"a": "b"}},
    )


class VariableSet:
    """`ctrlplane_variable_set`. Its description is required in practice: absent reads back as ""."""

    async def create(self, tf: Terraform, config: Config) -> str:
        made = await tf.must("POST", "/W/variable-sets", 201, body=self._body(config))
        assert str(uuid.UUID(made["id"])) == made["id"]
        assert is_instant(made["createdAt"]) and is_instant(made["updatedAt"])
        await tf.created(f"/W/variable-sets/{made['id']}")
        return str(made["id"])

    async def read(self, tf: Terraform, thing_id: str, state: Config | None) -> Config | None:
        answer = await tf.read(f"/W/variable-sets/{thing_id}")
        if answer is None:
            return None
        assert isinstance(answer["variables"], list)
        listed = []
        for each in answer["variables"]:
            value = each["value"]
            named: Config = {"key": each["key"]}
            if isinstance(value, dict) and "reference" in value:
                named["reference_value"] = {"reference": value["reference"], "path": value["path"]}
            elif isinstance(value, dict) and "valueHash" in value:
                named["sensitive"] = True  # the value itself is kept in the state alone
            else:
                named["value"] = value
            listed.append(named)
        return given(
            name=answer["name"],
            description=answer["description"],
            selector=answer["selector"],
            priority=answer["priority"] or None,
            variables=listed or None,
        )

    async def update(self, tf: Terraform, thing_id: str, config: Config, state: Config) -> None:
        answer = await tf.must("PUT", f"/W/variable-sets/{thing_id}", 202, body=self._body(config))
        assert answer["id"] == thing_id

    async def delete(self, tf: Terraform, thing_id: str, *, again: bool = False) -> None:
        await tf.must("DELETE", f"/W/variable-sets/{thing_id}", *((404,) if again else (202, 204)))

    def _body(self, config: Config) -> Config:
        variables = [
            {
                "key": each["key"],
                "value": {"valueHash": ""} if each.get("sensitive") else each.get("reference_value", each.get("value")),
            }
            for each in config.get("variables", [])
        ]
        return {"priority": 0, **config, "selector": collapsed(config["selector"]), "variables": variables}


@stands_for("terraform variable_set")
async def test_variable_set(tf: Terraform) -> None:
    variables = [
        {"key": "z", "value": "text"},
        {"key": "a", "reference_value": {"reference": "network", "path": ["config", "cidr"]}},
        {"key": "m", "value": ""},
        {"key": "password", "sensitive": True},
    ]
    base = {"name": "eu", "description": "", "selector": 'environment.name == "production"'}
    await lifecycle(
        tf,
        VariableSet(),
        {**base, "variables": variables},
        {**base, "description": "d", "priority": 3, "variables": variables[::-1]},
        {**base, "name": "emea"},
    )


class Workflow:
    """`ctrlplane_workflow`: the write's own answer is the new state, slug included."""

    async def create(self, tf: Terraform, config: Config) -> str:
        made = await tf.must("POST", "/W/workflows", 201, body=self._body(config))
        assert self._meant(made) == config, "inconsistent result after apply"
        self.slug = made["slug"]
        return str(made["id"])

    async def read(self, tf: Terraform, thing_id: str, state: Config | None) -> Config | None:
        answer = await tf.read(f"/W/workflows/{thing_id}")
        return None if answer is None else self._meant(answer)

    @staticmethod
    def _meant(answer: Config) -> Config:
        assert answer["id"] and answer["slug"]
        assert all(isinstance(each["config"], dict) for each in answer["jobAgents"])
        return {"name": answer["name"], "inputs": answer["inputs"], "job_agent": answer["jobAgents"]}

    async def update(self, tf: Terraform, thing_id: str, config: Config, state: Config) -> None:
        sent = {**self._body(config), "slug": self.slug}
        answer = await tf.must("PUT", f"/W/workflows/{thing_id}", 202, body=sent)
        assert answer["slug"] == self.slug and self._meant(answer) == config, "inconsistent result after apply"

    async def delete(self, tf: Terraform, thing_id: str, *, again: bool = False) -> None:
        await tf.must("DELETE", f"/W/workflows/{thing_id}", *((404,) if again else (202, 204)))

    def _body(self, config: Config) -> Config:
        return {"name": config["name"], "inputs": config["inputs"], "jobAgents": config["job_agent"]}


@stands_for("terraform workflow")
async def test_workflow(tf: Terraform) -> None:
    agent = {"name": "a", "ref": str(uuid.uuid4()), "config": {"k": "v"}, "selector": "jobAgent.type  ==  'x'"}
    inputs = [
        {"key": "text", "type": "string", "default": "a"},
        {"key": "count", "type": "number", "default": 2.5},
        {"key": "flag", "type": "boolean", "default": False},
        {"key": "map", "type": "object", "default": {"a": [1]}},
        {"key": "list", "type": "array", "default": [{"a": 1}]},
        {"key": "hosts", "type": "array", "selector": {"entityType": "resource", "default": "true"}},
    ]
    await lifecycle(
        tf,
        Workflow(),
        {"name": "Tidy up", "inputs": [], "job_agent": [agent]},
        {"name": "Tidy up", "inputs": inputs, "job_agent": [{**agent, "name": "b"}, agent]},
        {"name": "Other name", "inputs": inputs[::-1], "job_agent": []},
    )


@stands_for("terraform data environment", "terraform data deployment")
async def test_data_sources(tf: Terraform) -> None:
    for name in ("prod", "prod/eu west:1"):
        place = {"name": name, "description": "d", "resourceSelector": "true", "metadata": {"a": "b"}}
        thing_id = await tf.made("POST", "/W/environments", 202, place)
        answer = await tf.must("GET", f"/W/environments/name/{escaped(name)}", 200)
        assert answer["id"] == thing_id and {key: answer[key] for key in place} == place
        body = {"name": name, "slug": name, "resourceSelector": "true", "jobAgentSelector": "false", "metadata": {}}
        thing_id = await tf.made("POST", "/W/deployments", 202, body)
        answer = (await tf.must("GET", f"/W/deployments/name/{escaped(name)}", 200))["deployment"]
        assert answer["id"] == thing_id and {key: answer[key] for key in body} == body and "description" not in answer
    assert await tf.read("/W/environments/name/none") is None
    assert await tf.read("/W/deployments/name/none") is None


@stands_for("terraform policy")
async def test_what_an_apply_has_no_word_for_stands_in_the_ledger(tf: Terraform, api: Any, store: Any) -> None:
    kept = rule(anyApproval={"minApprovals": 1})
    thing_id = await Policy().create(tf, {"name": "p", "selector": "true", "rules": [kept]})
    by_hand = [{**kept, "anyApproval": {"minApprovals": 1, "approverGroup": "leads"}}, rule(retry={"maxRetries": 2})]
    body = {"name": "p", "selector": "true", "mode": "observe", "rules": by_hand}
    assert (await api.put(f"/policies/{thing_id}", body)).status_code == 202
    await Policy().update(tf, thing_id, {"name": "p", "selector": "true", "rules": [kept]}, {})
    async with store.read() as conn:
        rows = await conn.fetch("SELECT body FROM ledger WHERE kind = 'policy.changed' ORDER BY id")
    by_hand_body, applied = (orjson.loads(row["body"]) for row in rows)
    assert "dropped" not in by_hand_body, "a client that can say everything meant what it left out"
    assert applied["sender"] == "Terraform"
    assert applied["dropped"] == [
        {"field": "mode"},
        {"rule": kept["id"], "kind": "anyApproval", "field": "anyApproval.approverGroup"},
        {"rule": by_hand[1]["id"], "kind": "retry"},
    ]
