"""How is a question about policies answered? Deployment by deployment, each decided twice in memory, in a thread.

Nothing of it is committed but the answer. A deployment that no longer fits under `targets_max` is left out, and the
answer says so.

Source: decide/what_if.py; store/what_if.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from interlock.decide.facts import Facts
from interlock.decide.what_if import Difference, Standing, differences, sentences_of
from interlock.flow import WORKER
from interlock.model.errors import NotFound
from interlock.store.tx import Store
from interlock.store.what_if import (
    Candidate,
    Proposed,
    answer_what_if,
    find_what_if,
    list_candidates,
    load_decidable,
    match_candidate,
    proposed,
)
from interlock.store.work import Claim

SHOWN_MAX = 1_000
"""Targets that an answer names; it counts all of them."""


@dataclass(slots=True)
class _Answer:
    """An answer while it is worked out."""

    decided: int = 0
    deployments: int = 0
    selected_before: int = 0
    selected_after: int = 0
    left_out: list[Candidate] = field(default_factory=list)
    changes: Counter[str] = field(default_factory=Counter)
    shown: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, candidate: Candidate, facts: Facts, found: Sequence[Difference], *, selected: int) -> None:
        """What came of one deployment, of which so many targets would be selected."""
        self.decided += len(facts.targets)
        self.deployments += 1
        self.selected_before += candidate.selected
        self.selected_after += selected
        self.changes.update(one.change for one in found)
        room = SHOWN_MAX - len(self.shown)
        self.shown += [_rendered(candidate, facts, one) for one in found[:room]]

    def json(self) -> dict[str, Any]:
        """The answer as it is stored and sent."""
        cut = {
            "deployments": len(self.left_out),
            "targets": sum(one.targets for one in self.left_out),
            "names": [one.name for one in self.left_out[:20]],
        }
        return {
            "decided": {"targets": self.decided, "deployments": self.deployments},
            "selected": {"before": self.selected_before, "after": self.selected_after},
            "changed": sum(self.changes.values()),
            "changes": dict(self.changes),
            "targets": self.shown,
            **({"cut": cut} if self.left_out else {}),
        }


@dataclass(frozen=True, slots=True)
class WhatIfs:
    """What the step works with."""

    store: Store
    targets_max: int

    async def answer(self, claim: Claim) -> datetime | None:
        """Answer one question."""
        async with self.store.read() as conn:
            question = await find_what_if(conn, claim.key)
            if question is None or question.answered_at is not None:
                return None
            policies = proposed(question)
            ids = [one.policy_id for one in policies]
            candidates = await list_candidates(conn, question.workspace_id, policy_ids=ids)
        answer = _Answer()
        for candidate in candidates:
            await self._look_at(candidate, policies, answer)
        async with self.store.tx(actor=WORKER, cause="what if", workspace_id=question.workspace_id, claim=claim) as tx:
            await answer_what_if(tx, question.id, answer=answer.json())
        return None

    async def _look_at(self, candidate: Candidate, policies: Sequence[Proposed], answer: _Answer) -> None:
        try:
            async with self.store.snapshot() as conn:
                matched = await match_candidate(conn, candidate, policies)
                if matched is None:
                    return
                if answer.decided + candidate.targets > self.targets_max:
                    answer.left_out.append(candidate)
                    return
                facts, now, proposal = await load_decidable(conn, candidate, policies, matched)
        except NotFound:
            return
        found = await asyncio.to_thread(differences, facts, proposal, now)
        answer.add(candidate, facts, found, selected=matched.selected)


def _rendered(candidate: Candidate, facts: Facts, one: Difference) -> dict[str, Any]:
    target = facts.targets[one.target_id]
    environment = facts.environments[target.environment_id]
    return {
        "id": target.id,
        "deployment": {"id": candidate.id, "name": candidate.name},
        "environment": {"id": environment.id, "name": environment.name},
        "resource": {"id": target.resource_id, "name": target.name},
        "change": one.change,
        "before": _standing(one.before),
        "after": _standing(one.after),
        "added": sentences_of(one.added),
        "lifted": sentences_of(one.lifted),
    }


def _standing(one: Standing) -> dict[str, Any]:
    return {"outcome": one.outcome, **({"version": one.tag} if one.tag else {}), "holds": sentences_of(one.holds)}
