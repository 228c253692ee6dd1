"""Which words may an expression use, and where?

Each place that takes CEL gives it some roots (`resource`, `environment`, …). The fields of a root are declared one by
one, so that `resource.knd` and `resource.metadata["n"] > 3` are refused when they are written, and not silently false
for ever. To the checker a field is one variable with a dot in its name (`resource.kind: string`); `config` and the like
are maps of anything, `metadata` maps text to text.

What is evaluated is a *view*: the plain mapping of one object with these fields as keys, in the wire's spelling. A
field marked optional may be None or absent: reading it then is like reading a missing key, which means no match. One
marked blank reads as "". `createdAt` and the like are RFC 3339 text; `timestamp(...)` makes an instant of it.

Source: contract.md section e, "Selectors (CEL)"; reference-behaviour.md 7.1 and 7.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType


class Absent(Enum):
    """What it means that a view lacks the field."""

    NEVER = "never"
    ERROR = "error"
    BLANK = "blank"


@dataclass(frozen=True, slots=True)
class Field:
    """One declared field. `type` is CEL's word: string, list(string), map(string,string), map(string,dyn)."""

    type: str
    absent: Absent = Absent.NEVER
    instant: bool = False


_TEXT = Field("string")
_TEXT_OR_NONE = Field("string", Absent.ERROR)
_TEXT_OR_BLANK = Field("string", Absent.BLANK)
_INSTANT = Field("string", Absent.ERROR, instant=True)
_LABELS = Field("map(string,string)")
_TREE = Field("map(string,dyn)")
_TREE_OR_NONE = Field("map(string,dyn)", Absent.ERROR)
_TEXTS_OR_NONE = Field("list(string)", Absent.ERROR)

FIELDS_BY_ROOT: Mapping[str, Mapping[str, Field]] = MappingProxyType(
    {
        "resource": {
            "id": _TEXT,
            "identifier": _TEXT,
            "name": _TEXT,
            "kind": _TEXT,
            "version": _TEXT,
            "workspaceId": _TEXT,
            "providerId": _TEXT_OR_NONE,
            "config": _TREE,
            "metadata": _LABELS,
            "createdAt": _INSTANT,
            "updatedAt": _INSTANT,
            "deletedAt": _INSTANT,
            "lockedAt": _INSTANT,
        },
        "environment": {
            "id": _TEXT,
            "name": _TEXT,
            "description": _TEXT_OR_BLANK,
            "workspaceId": _TEXT_OR_NONE,
            "resourceSelector": _TEXT_OR_NONE,
            "metadata": _LABELS,
            "createdAt": _INSTANT,
        },
        "deployment": {
            "id": _TEXT,
            "name": _TEXT,
            "slug": _TEXT,
            "description": _TEXT_OR_BLANK,
            "resourceSelector": _TEXT_OR_NONE,
            "jobAgentSelector": _TEXT_OR_NONE,
            "jobAgentConfig": _TREE_OR_NONE,
            "metadata": _LABELS,
        },
        "version": {
            "id": _TEXT,
            "name": _TEXT,
            "tag": _TEXT,
            "deploymentId": _TEXT_OR_NONE,
            "status": _TEXT,
            "message": _TEXT_OR_BLANK,
            "metadata": _LABELS,
            "config": _TREE_OR_NONE,
            "createdAt": _INSTANT,
        },
        "change": {
            "type": _TEXT_OR_NONE,
            "risk": _TEXT_OR_NONE,
            "author": _TEXT_OR_NONE,
            "commits": _TEXTS_OR_NONE,
            "pullRequest": _TEXT_OR_NONE,
            "artifacts": _TEXTS_OR_NONE,
        },
        "event": {
            "kind": _TEXT,
            "at": _INSTANT,
            "cause": _TEXT,
            "actor": _LABELS,
            "subject": _LABELS,
            "system": _TEXT_OR_NONE,
            "deployment": _TEXT_OR_NONE,
            "environment": _TEXT_OR_NONE,
            "target": _TEXT_OR_NONE,
            "version": _TEXT_OR_NONE,
            "body": _TREE,
        },
        "jobAgent": {
            "id": _TEXT,
            "name": _TEXT,
            "type": _TEXT,
            "workspaceId": _TEXT_OR_NONE,
            "config": _TREE,
            "metadata": _LABELS,
        },
    }
)
"""Root -> field -> what it is. A root that is not here (`result`, `from`) is one value of any shape."""

FACT_NAMESPACES = frozenset({"service", "change"})
"""Roots that are facts from outside: lacking one is not the same as its being false (core.md section 4, "Verdicts")."""


class Scope(Enum):
    """A place that takes CEL, with the roots that it gives."""

    RESOURCE = ("resource",)
    ENVIRONMENT = ("environment",)
    DEPLOYMENT = ("deployment",)
    VERSION = ("version",)
    POLICY = ("resource", "environment", "deployment", "service", "change")
    VERSION_RULE = ("version", "environment", "resource", "deployment", "change")
    DEPENDENCY = ("deployment", "version")
    JOB_AGENT = ("jobAgent", "resource")
    GROUP_KEY = ("resource", "environment", "deployment")
    VARIABLE_SET = ("resource", "deployment", "environment")
    RELATIONSHIP = ("from", "to")
    RESULT = ("result",)
    EVENT = ("event",)

    @property
    def roots(self) -> tuple[str, ...]:
        """The names that an expression may start with."""
        roots: tuple[str, ...] = self.value
        return roots

    @property
    def variables(self) -> Mapping[str, str]:
        """Variable as the checker knows it -> CEL type. `has_resource.name` answers `has(resource.name)`."""
        found: dict[str, str] = {}
        for root in self.roots:
            fields = FIELDS_BY_ROOT.get(root)
            if fields is None:
                found[root] = "map(string,dyn)" if root in FACT_NAMESPACES else "dyn"
            else:
                found.update({f"{root}.{name}": field.type for name, field in fields.items()})
                found.update({f"has_{root}.{name}": "bool" for name in fields})
        return found
