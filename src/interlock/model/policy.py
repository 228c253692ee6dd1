"""What is a policy, and what is one of its rules once it was read?

A policy selects release targets (CEL over resource, environment, deployment) and carries rules. Its revisions are
immutable; its `mode` says whether its verdicts start and stop anything (`enforce`) or are only recorded and shown
(`observe`).

The wire's rule object is `{id?, createdAt?, policyId?, <kind>: {…}}`; `interlock.decide.rules.parse_rules` reads it.

Source: core.md section 4, "Verdicts"; contract.md, ctrlplane_policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as it was read.

    Takes: `params` is the Params dataclass of the module with this `kind` (the wire's word). `wire` is the rule's
           object as the client wrote it under that word, from which it can be read again. `applies_to` are the kinds
           of move that a gate is asked about beyond the table of core.md 4: `version`, `config` or `both`.
    """

    id: str
    kind: str
    params: object
    policy_id: str = ""
    first_stored_at: datetime | None = None
    wire: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)
    applies_to: str = "version"


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy revision as a round sees it."""

    id: str
    name: str
    revision_id: str
    rules: tuple[Rule, ...]
    observe: bool = False
