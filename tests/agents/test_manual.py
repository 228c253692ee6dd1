"""What are people asked? Instructions filled for the job, by whom, until when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from interlock.agents.manual import ManualAgent
from interlock.model.errors import Invalid, Rejected
from interlock.model.job import AgentJob
from interlock.outside.go_templates import GoTemplates

CONTEXT = {"resource": {"name": "edge-1"}, "version": {"tag": "1.2.0"}, "environment": {"metadata": {"owners": "duty"}}}


def job(**config: Any) -> AgentJob:
    return AgentJob("j", 1, "a", "manual", config, CONTEXT)


@pytest.fixture
async def agent() -> AsyncIterator[ManualAgent]:
    templates = GoTemplates()
    yield ManualAgent(templates)
    await templates.close()


async def test_instructions_and_whom_are_filled_for_the_job(agent: ManualAgent) -> None:
    asked = await agent.ask(
        job(
            instructions="Send {{ .resource.name }} to {{ .version.tag }}.",
            group="{{ .environment.metadata.owners }}",
            dueInMinutes=1.5,
            onOverdue="fail",
            evidence=[{"name": "ticket", "type": "url"}],
        )
    )
    assert (asked.instructions, asked.group, asked.assignee) == ("Send edge-1 to 1.2.0.", "duty", None)
    assert (asked.due_s, asked.on_overdue, asked.evidence[0].name) == (90.0, "fail", "ticket")


async def test_a_template_that_fails_ends_the_job_with_line_and_reason(agent: ManualAgent) -> None:
    with pytest.raises(Rejected, match=r"config\.instructions: .*line 2"):
        await agent.ask(job(instructions='fine\n{{ fail "no" }}'))


@pytest.mark.parametrize(
    ("key", "text"), [("group", "{{ .environment.metadata.nobody }}"), ("instructions", ' {{ "" }} ')]
)
async def test_a_template_of_which_nothing_is_left_asks_nobody(agent: ManualAgent, key: str, text: str) -> None:
    with pytest.raises(Rejected, match=rf"config\.{key}: nothing is left"):
        await agent.ask(job(**{"instructions": "Do it.", key: text}))


async def test_a_job_without_instructions_or_with_a_wrong_config_names_the_key(agent: ManualAgent) -> None:
    with pytest.raises(Invalid, match="lacks instructions"):
        await agent.ask(job(group="duty"))
    with pytest.raises(Invalid, match=r"config\.dueInMinutes"):
        await agent.ask(job(instructions="Do it.", dueInMinutes="soon"))
