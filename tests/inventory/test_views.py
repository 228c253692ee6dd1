"""What does an expression see of an object that holds secrets?"""

from __future__ import annotations

import pytest

from interlock.inventory.selector import Scope, parse_selector
from interlock.inventory.to_python import matches
from interlock.inventory.to_sql import DEPLOYMENTS, to_sql
from interlock.inventory.views import agent_view, deployment_view
from interlock.model.inventory import Deployment, JobAgent
from interlock.model.secret import is_masked, marker

ID = "4c1f0a9e-1111-4111-8111-111111111111"
CONFIG = {"apiKey": marker(ID), "deep": {"list": [{"token": marker(ID)}]}, "url": "argo.test"}
SHOWN = {"apiKey": "••••4c1f0a9e", "deep": {"list": [{"token": "••••4c1f0a9e"}]}, "url": "argo.test"}


def test_an_expression_sees_marks_where_secrets_stand() -> None:
    agent = JobAgent(id="a", workspace_id="w", name="a", type="argo-cd", config=CONFIG, metadata={})
    assert agent_view(agent)["config"] == SHOWN
    assert is_masked(SHOWN) and not is_masked(CONFIG)
    reads = parse_selector("jobAgent.config.apiKey['$secret'].startsWith('4')", Scope.JOB_AGENT)
    assert not matches(reads, {"jobAgent": agent_view(agent), "resource": {}})
    open_part = parse_selector("jobAgent.config.url == 'argo.test'", Scope.JOB_AGENT)
    assert matches(open_part, {"jobAgent": agent_view(agent), "resource": {}})


@pytest.mark.parametrize(
    "text",
    [
        'deployment.jobAgentConfig.apiKey["$secret"].startsWith("4")',
        'deployment.jobAgentConfig["apiKey"] == "x"',
        '"apiKey" in deployment.jobAgentConfig',
        "has(deployment.jobAgentConfig.apiKey)",
        "deployment.name == 'a' || deployment.jobAgentConfig.apiKey == 'x'",
        "deployment.jobAgentConfig == deployment.jobAgentConfig",
    ],
)
def test_what_may_hold_secrets_is_read_in_python_alone(text: str) -> None:
    assert to_sql(parse_selector(text, Scope.DEPLOYMENT), table=DEPLOYMENTS) is None


def test_a_deployment_is_seen_with_marks_too() -> None:
    deployment = Deployment("d", "d", None, "false", "false", CONFIG, None, {}, "wait")
    assert deployment_view(deployment)["jobAgentConfig"] == SHOWN
