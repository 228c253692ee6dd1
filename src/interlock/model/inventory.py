"""What is deployed, and where? The stored nouns of the inventory, field for field as their tables have them.

`config` and `metadata` are JSON objects as the client wrote them; `metadata` holds texts only. A selector is CEL text:
`"false"` selects nothing (unset), `"true"` everything. `job_agents` is the older form of choosing an agent,
`[{ref, config, selector}]`; None where it is not used.

Source: contract.md sections c and e; migrations/0002_core.sql.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

NOTHING = "false"
"""The selector of an environment or deployment that was given none."""


@dataclass(frozen=True, slots=True)
class System:
    """A label under which deployments and environments meet. Names are not unique."""

    id: str
    workspace_id: str
    name: str
    description: str | None
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Environment:
    """A place to deploy to: the resources that its selector matches."""

    id: str
    name: str
    description: str | None
    resource_selector: str
    metadata: Mapping[str, str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Deployment:
    """Something that is deployed: the resources it fits, and the agent that does it."""

    id: str
    name: str
    description: str | None
    resource_selector: str
    job_agent_selector: str
    job_agent_config: Mapping[str, Any]
    job_agents: Sequence[Mapping[str, Any]] | None
    metadata: Mapping[str, str]
    supersede: str


@dataclass(frozen=True, slots=True)
class JobAgent:
    """Who does the work: a type that Interlock knows, and its configuration."""

    id: str
    workspace_id: str
    name: str
    type: str
    config: Mapping[str, Any]
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Provider:
    """Whoever keeps a set of resources up to date."""

    id: str
    workspace_id: str
    name: str
    metadata: Mapping[str, str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that can be deployed to. Its identifier is unique in the workspace and may hold slashes."""

    id: str
    workspace_id: str
    provider_id: str | None
    identifier: str
    name: str
    kind: str
    version: str
    config: Mapping[str, Any]
    metadata: Mapping[str, str]
    created_at: datetime
    updated_at: datetime
