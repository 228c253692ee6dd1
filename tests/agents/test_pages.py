"""Can the set-up of each agent's page be copied and pasted? Its example is taken as it stands there."""

from __future__ import annotations

import re
import sys

import pytest
from ruamel.yaml import YAML

from interlock.agents import AGENTS, build_agents
from interlock.model.secret import Where, sealed


@pytest.mark.parametrize("listed", AGENTS, ids=lambda agent: agent.kind)
def test_the_example_of_the_page_is_a_good_config(listed, tmp_path):
    page = sys.modules[listed.__module__].__doc__
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    found = [one for text in blocks for one in YAML(typ="safe").load_all(text)]
    examples = [one for one in found if one.get("type") == "JobAgent"]
    assert examples, "the page has no agent to copy"
    agent = build_agents(exec_root=tmp_path, exec_enabled=True)[listed.kind]
    for example in examples:
        assert example["agentType"] == listed.kind
        config = example.get("config") or {}
        sealed(config, where=Where.AGENT_CONFIG, seal=lambda _: "0" * 36)
        agent.check_config(config)
