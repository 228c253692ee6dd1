"""What is a version? Something that CI made and that can be deployed: a tag with what CI said of it.

Source: contract.md section e, "Version"; core.md section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

STATUSES = ("unspecified", "building", "ready", "failed", "rejected", "paused")
"""The wire's words, and `paused`, which is ours."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of one deployment; its tag is unique there. `created_at` is the client's when it sent one."""

    id: str
    deployment_id: str
    tag: str
    name: str
    status: str
    message: str | None
    config: Mapping[str, Any]
    job_agent_config: Mapping[str, Any]
    metadata: Mapping[str, str]
    author_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Dependency:
    """What a version needs: another deployment that runs, beside it, a version that the selector picks.

    Takes: `environments` is `first` (in the same environment, else in any) or `all`.
    """

    version_id: str
    deployment_id: str
    version_selector: str
    environments: str = "first"
