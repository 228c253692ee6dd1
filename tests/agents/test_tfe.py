"""Is a workspace written, run once, found, followed and ended? Against an API server on loopback."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import pytest_asyncio

from interlock.agents.tfe import NOTIFICATION, TRIGGERS, TfeAgent
from interlock.model.errors import AgentUnavailable, Rejected
from interlock.model.ids import new_id
from interlock.model.job import JobStatus
from interlock.outside.go_templates import GoTemplates
from interlock.outside.http import Http

from .conformance import AUTHORIZATION, AgentConformance, ConfirmFaults, PlanFaults, Rehearsal, job_of, started
from .stub_server import serving
from .tfe_server import TfeServer

VARIABLES = """
variables:
  - {key: image_tag, value: "{{ .version.tag }}"}
  - {key: zones, value: [a, b]}
  - {key: AWS_SECRET_ACCESS_KEY, category: env, sensitive: true, value: "s3cr3t"}
"""


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def server():
    async with serving(TfeServer()) as stub:
        yield stub


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def agent():
    """One for all of them: the child that renders takes longer to start than a test to run."""
    async with Http(allow_private_addresses=True) as http:
        yield TfeAgent(http, GoTemplates())


def config(server: TfeServer, name: str = "web", *, more: str = "", **keys: object) -> dict[str, object]:
    return {
        "address": server.url,
        "token": server.token,
        "organization": server.organization,
        "template": f"name: {name}\n{more}",
        **keys,
    }


@pytest.fixture
def rehearsal(server, agent) -> Rehearsal:
    return Rehearsal(
        agent=agent,
        quick=config(server, "same", more='variables: [{key: tag, value: "{{ .version.tag }}"}]'),
        slow=config(server, "slow-{{ .resource.name }}"),
        wrong=(
            ({"organization": ""}, "config.organization"),
            ({"token": 5}, "config.token"),
            ({"address": "ftp://x"}, "config.address"),
            ({"webhookUrl": 7}, "config.webhookUrl"),
            ({"webhookUrl": "interlock.example.com"}, "config.webhookUrl"),
            ({"template": "name: {{ .a"}, "config.template"),
            ({"template": ["a"]}, "config.template"),
            ({"autoApply": "yes"}, "config.autoApply"),
            ({"triggerRunOnChange": "false"}, "config.triggerRunOnChange"),
            ({"workspace": "w"}, "config.workspace"),
        ),
        runs=lambda: sum(not one["attributes"]["plan-only"] for one in server.runs.values()),
        server=server,
        waits=config(server, "web-{{ .resource.name }}"),
    )


class TestConformance(AgentConformance):
    """The suite that every agent passes."""


class TestFaults(PlanFaults, ConfirmFaults):
    """Every call meets every fault."""


async def until(agent, job, *statuses, looks_max: int = 20):
    """Look until the job has one of these statuses."""
    for _ in range(looks_max):
        seen = await agent.observe(job)
        if seen.status in statuses:
            return seen
    raise AssertionError(f"still {seen}")


# The workspace --------------------------------------------------------------------------------------------------------


async def test_the_workspace_is_made_as_the_template_says_and_the_run_names_its_job(server, agent, rehearsal):
    template = (
        "project: prj-1\nterraform_version: 1.9\nauto_apply: false\nvcs_repo: {identifier: a/b, oauth_token_id: ot}"
    )
    job, seen = await started(agent, job_of(rehearsal, config(server, "shop eu/{{ .resource.name }}", more=template)))
    made = server.by_name("shop-eu-prod-eu-1")
    assert made["attributes"]["terraform-version"] == "1.9"
    assert made["attributes"]["vcs-repo"] == {"identifier": "a/b", "oauth-token-id": "ot"}
    assert made["relationships"]["project"]["data"]["id"] == "prj-1"
    (run,) = server.runs.values()
    assert run["attributes"]["message"].startswith(f"Interlock job {job.id}, attempt 1: ")
    assert seen.status is JobStatus.IN_PROGRESS
    assert seen.external_id == run["id"]
    assert seen.links["Run"] == f"{server.url}/app/acme/workspaces/shop-eu-prod-eu-1/runs/{run['id']}"


async def test_a_workspace_that_is_as_it_should_be_is_left_alone_and_one_that_differs_is_changed(
    server, agent, rehearsal
):
    more = "terraform_version: 1.9.8\ndescription: web"
    await started(agent, job_of(rehearsal, config(server, more=more)))
    server.by_name("web")["attributes"]["working-directory"] = "by/hand"
    await started(agent, job_of(rehearsal, config(server, more=more)))
    assert server.count("PATCH") == 0
    await started(agent, job_of(rehearsal, config(server, more="terraform_version: 1.10.0")))
    assert server.calls[-2].body["data"]["attributes"] == {"terraform-version": "1.10.0"}
    there = server.by_name("web")["attributes"]
    assert (there["working-directory"], there["description"]) == ("by/hand", "web"), "what it does not name stays"


async def test_variables_become_those_of_the_template(server, agent, rehearsal):
    await started(agent, job_of(rehearsal, config(server, more=VARIABLES)))
    assert server.values("web") == {"image_tag": "1.0.0", "zones": '["a","b"]', "AWS_SECRET_ACCESS_KEY": "s3cr3t"}
    kinds = {
        one["attributes"]["key"]: one["attributes"] for one in server.variables[server.by_name("web")["id"]].values()
    }
    assert kinds["zones"]["hcl"]
    assert kinds["AWS_SECRET_ACCESS_KEY"]["sensitive"]
    assert kinds["AWS_SECRET_ACCESS_KEY"]["category"] == "env"
    await started(agent, job_of(rehearsal, config(server, more='variables: [{key: image_tag, value: "2"}]')))
    assert server.values("web") == {"image_tag": "2", "AWS_SECRET_ACCESS_KEY": "s3cr3t"}, "nobody could bring it back"


async def test_a_sensitive_value_is_kept_where_none_is_given_and_written_where_one_is(server, agent, rehearsal):
    named = "variables: [{key: KEY, category: env, sensitive: true}]"
    await started(agent, job_of(rehearsal, config(server, more=named)))
    (variable,) = server.variables[server.by_name("web")["id"]].values()
    variable["attributes"]["value"] = "filled by hand"
    await started(agent, job_of(rehearsal, config(server, more=named)))
    assert server.values("web") == {"KEY": "filled by hand"}
    assert server.count("PATCH") == 0
    given = named.replace("true}", "true, value: mine}")
    await started(agent, job_of(rehearsal, config(server, more=given)))
    assert server.values("web") == {"KEY": "mine"}
    await started(agent, job_of(rehearsal, config(server, more=given.replace("sensitive: true, ", ""))))
    assert server.values("web") == {"KEY": "mine"}, "made anew: what is sensitive stays so"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("- a", "no workspace"),
        ("name: [", "no YAML"),
        ("nome: web", "no name"),
        ("name: web\nautoapply: true", "a workspace has no autoapply"),
        ("name: web\nauto_apply: 'yes'", "auto_apply must be true or false"),
        ("name: web\nvcs_repo: {repo: x}", "vcs_repo has no repo"),
        ("name: web\nvariables: {a: b}", "variables must be a list"),
        (
            "name: web\nvariables: [{key: a, category: shell}]",
            r"variables\[0\]: category must be one of terraform, env",
        ),
        ("name: web\nvariables: [{key: a}, {key: a}]", "there twice: a"),
        ("name: web\nvariables: [{key: a, secret: true}]", "has no secret"),
    ],
)
async def test_a_template_that_makes_no_workspace_is_refused_before_anything_is_called(
    server, agent, rehearsal, template, said
):
    with pytest.raises(Rejected, match=said):
        await agent.start(job_of(rehearsal, {**config(server), "template": template}), AUTHORIZATION)
    assert server.calls == []


async def test_what_is_missing_is_said_before_anything_is_called(server, agent, rehearsal):
    with pytest.raises(Rejected, match="lacks organization, token, template"):
        await agent.start(job_of(rehearsal, {"address": server.url}), AUTHORIZATION)
    assert server.calls == []


# The run --------------------------------------------------------------------------------------------------------------


async def test_a_planned_change_waits_and_says_what_it_costs_and_what_policies_say(server, agent, rehearsal):
    job, _ = await started(agent, job_of(rehearsal, config(server)))
    seen = await until(agent, job, JobStatus.ACTION_REQUIRED)
    assert seen.message == (
        "Planned; it waits to be confirmed. Plan: 2 to add, 1 to change, 0 to destroy. "
        "Costs +25.488 USD a month, 35.488 in all. Policies: 3 passed."
    )
    assert seen.metadata["tfe/status"] == "policy_checked"
    assert seen.metadata["tfe/cost"].startswith("costs +25.488")


async def test_what_waits_is_discarded(server, agent, rehearsal):
    job, _ = await started(agent, job_of(rehearsal, config(server)))
    await until(agent, job, JobStatus.ACTION_REQUIRED)
    assert (await agent.cancel(job)).status is JobStatus.CANCELLED
    assert server.count("POST", "/actions/discard") == 1


async def test_with_auto_apply_terraform_cloud_applies_by_itself(server, agent, rehearsal):
    job, _ = await started(agent, job_of(rehearsal, config(server, autoApply=True)))
    seen = await until(agent, job, JobStatus.SUCCESSFUL)
    assert seen.metadata["tfe/status"] == "applied"
    assert server.count("POST", "/actions/apply") == 0


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("same", JobStatus.SUCCESSFUL, "nothing to change"),
        ("broken", JobStatus.FAILURE, "The run is errored"),
        ("soft", JobStatus.ACTION_REQUIRED, "A policy failed softly.*2 passed, 1 failed softly"),
        ("hard", JobStatus.FAILURE, "errored"),
        ("opa", JobStatus.ACTION_REQUIRED, "A policy failed softly.*2 passed, 1 failed"),
    ],
)
async def test_how_a_run_ends(server, agent, rehearsal, name, status, said):
    job, _ = await started(agent, job_of(rehearsal, config(server, name)))
    seen = await until(agent, job, status)
    assert re.search(said, seen.message)
    assert (seen.finished_at is not None) == status.terminal


async def test_what_somebody_overrode_there_waits_for_us_then(server, agent, rehearsal):
    job, _ = await started(agent, job_of(rehearsal, config(server, "opa")))
    seen = await until(agent, job, JobStatus.ACTION_REQUIRED)
    assert not seen.confirmable
    server.override(job.external_id)
    assert (await agent.observe(job)).confirmable
    await agent.confirm(job, AUTHORIZATION)
    assert (await until(agent, job, JobStatus.SUCCESSFUL)).metadata["tfe/status"] == "applied"


async def test_a_run_waits_for_the_one_before_it_in_its_workspace(server, agent, rehearsal):
    first, _ = await started(agent, job_of(rehearsal, config(server)))
    second, _ = await started(agent, job_of(rehearsal, config(server)))
    await until(agent, first, JobStatus.ACTION_REQUIRED)
    assert (await agent.observe(second)).metadata["tfe/status"] == "pending"
    await agent.cancel(first)
    await until(agent, second, JobStatus.ACTION_REQUIRED)


async def test_a_start_whose_answer_was_lost_is_found_once_the_list_has_it(server, agent, rehearsal):
    job = job_of(rehearsal, config(server))
    server.next_is(method="POST", cut_after=True, after=1)  # the workspace, then the run
    with pytest.raises(AgentUnavailable):
        await agent.start(job, AUTHORIZATION)
    server.lag = 1
    assert await agent.find(job) is None
    server.lag = 0
    assert (await agent.find(job)).external_id == next(iter(server.runs))
    assert await agent.find(replace(job, attempt=2)) is None, "another attempt's run is another run"


# Without a run --------------------------------------------------------------------------------------------------------


async def test_without_a_run_the_job_is_done_when_workspace_and_variables_stand(server, agent, rehearsal):
    job = job_of(rehearsal, config(server, more=VARIABLES, triggerRunOnChange=False, webhookUrl=server.url))
    assert await agent.find(job) is None
    job, seen = await started(agent, job)
    assert seen.status is JobStatus.SUCCESSFUL
    assert "none is followed" in seen.message
    assert server.runs == {}
    assert server.notifications == {}
    assert (await agent.find(job)).status is JobStatus.SUCCESSFUL
    other = config(server, more=VARIABLES.replace("image_tag", "tag"), triggerRunOnChange=False)
    assert await agent.find(job_of(rehearsal, other)) is None


# Notifications --------------------------------------------------------------------------------------------------------


async def test_terraform_cloud_is_told_once_where_its_news_goes(server, agent, rehearsal):
    keys = {"webhookUrl": "https://interlock.example.com/api/tfe/webhook", "webhookSecret": "shared"}
    for _ in range(2):
        await started(agent, job_of(rehearsal, config(server, **keys)))
    (made,) = server.notifications.values()
    assert made["attributes"] == {
        "destination-type": "generic",
        "enabled": True,
        "name": NOTIFICATION,
        "url": keys["webhookUrl"],
        "triggers": list(TRIGGERS),
        "token": "shared",
    }
    await started(agent, job_of(rehearsal, config(server, **{**keys, "webhookUrl": "https://other.example.com/x"})))
    (changed,) = server.notifications.values()
    assert changed["attributes"]["url"] == "https://other.example.com/x"


async def test_where_news_goes_may_be_a_private_address():
    async with Http() as http:
        TfeAgent(http, GoTemplates()).check_config({"webhookUrl": "http://10.0.0.5:8080/api/tfe/webhook"})


async def test_news_that_terraform_cloud_cannot_send_fails_no_job(server, agent, rehearsal):
    server.refuses_notifications = True
    _, seen = await started(agent, job_of(rehearsal, config(server, webhookUrl="https://nowhere.example.com/x")))
    assert seen.status is JobStatus.IN_PROGRESS
    assert "verification request" in seen.metadata["tfe/notification"]


# Plans ----------------------------------------------------------------------------------------------------------------


async def planned(agent, job, current):
    for _ in range(20):
        try:
            return await agent.plan(job, current)
        except AgentUnavailable:
            continue
    raise AssertionError("it plans for ever")


@pytest.mark.parametrize("shows_plans", [True, False])
async def test_a_plan_is_a_speculative_run_that_changes_nothing(server, agent, rehearsal, shows_plans):
    server.shows_plans = shows_plans
    await started(agent, job_of(rehearsal, config(server, more=VARIABLES)))
    before = server.values("web")
    job = replace(job_of(rehearsal, config(server, more=VARIABLES)), id=new_id())
    job = replace(job, context={**job.context, "version": {"tag": "2.0.0"}})
    told = await planned(agent, job, {**job.context, "version": {"tag": "1.0.0"}})
    assert told.has_changes
    assert told.message.startswith("Planned. Plan: 2 to add")
    assert "value: 2.0.0" in told.proposed
    assert "value: 1.0.0" in told.current
    assert "s3cr3t" not in told.proposed
    assert ("update aws_instance.web" in told.proposed) is shows_plans
    assert "delete/create aws_instance.old" in told.proposed or not shows_plans
    assert "logs" not in told.proposed
    assert server.values("web") == before
    (run,) = (one for one in server.runs.values() if one["attributes"]["plan-only"])
    assert run["attributes"]["variables"] == [
        {"key": "image_tag", "value": '"2.0.0"'},
        {"key": "zones", "value": '["a","b"]'},
    ], "no environment, nothing sensitive; one run, however often it is asked"
