"""How is a role over something written on the wire?

Who may give it is asked in `web/grants.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import StringConstraints
from typing_extensions import TypedDict

from interlock.api.rendering import Wire
from interlock.web.answers import present
from interlock.web.bodies import ClosedBody
from interlock.web.shapes import Id

RoleName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")]


class BindingScope(ClosedBody):
    """Where a role holds: the workspace, or one system, deployment or environment."""

    kind: Literal["workspace", "system", "deployment", "environment"] = "workspace"
    id: str | None = None


class ScopeAnswer(TypedDict):
    """Where a role holds."""

    kind: Literal["workspace", "system", "deployment", "environment"]
    id: NotRequired[Id]
    name: NotRequired[str]


class HeldAnswer(TypedDict):
    """A role as it stands with its holder."""

    id: Id
    role: str
    scope: ScopeAnswer


def render_held(binding: Mapping[str, Any]) -> Wire:
    """A binding as it stands with its holder."""
    scope = present(kind=binding["scopeKind"], id=binding["scopeId"])
    return present(id=binding["id"], role=binding["role"], scope=scope)
