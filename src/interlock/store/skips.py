"""Which rules and freezes does somebody let a version pass, where, why and until when? Set, list and remove skips.

A skip names one rule, or every rule of a kind; a *bypass* is a skip of one freeze. It counts for one version, perhaps
in one environment or on one resource only. What a skip let start goes on when it ends: gates judge moves (core.md 4).

A rule keeps its id over the writes of its policy, and with it its skips. When no live policy has the rule any more, or
the freeze is over, the skip is *orphaned*: it is shown, and does nothing.

A bypass names its freeze, so that a freeze which somebody sets later holds all the same; it always has an end.

A person's reason stands in the skip's own row, never in the ledger.

Source: core.md sections 2 and 4; reference-behaviour.md 3.4, 4.14 (RFC 0008).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from interlock.decide.gates import bypass_of, every_of
from interlock.decide.rules import ENVELOPE, RULE_BY_KIND
from interlock.decide.rules import freeze as freeze_rule
from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.store import freezes
from interlock.store.deployments import lock_deployment, touch
from interlock.store.pins import require_future
from interlock.store.queries import Conn, queries
from interlock.store.tx import Change, Tx
from interlock.store.work import PEOPLE, WorkRequest

Q = queries("skip")

SKIPPABLE = tuple(kind for kind, rule in RULE_BY_KIND.items() if rule.shape == "gate" and rule is not freeze_rule)
"""Rule kinds that a skip passes: gates. A freeze has its own permission."""


@dataclass(frozen=True, slots=True)
class StoredSkip:
    """A skip with the names that people know it by.

    Takes: `rule` is the skipped rule as its policy has it now. `freeze_reason` is what a bypassed freeze says.
    """

    id: str
    deployment_id: str
    deployment: str
    environment_id: str | None
    environment: str | None
    resource_id: str | None
    resource: str | None
    version_id: str
    tag: str
    rule_id: str
    policy_id: str | None
    policy: str | None
    rule: Mapping[str, Any] | None
    freeze_reason: str | None
    reason: str
    created_by: str | None
    created_at: datetime
    expires_at: datetime | None
    removed_at: datetime | None
    removed_by: str | None
    remove_reason: str | None
    in_force: bool
    orphaned: bool

    @property
    def freeze_id(self) -> str | None:
        """The freeze that is bypassed; None for a skip of a rule."""
        kind, _, name = self.rule_id.partition(":")
        return name if kind == "freeze" else None

    @property
    def every_kind(self) -> str | None:
        """The kind whose every rule is skipped; None for a skip of one rule or freeze."""
        kind, _, name = self.rule_id.partition(":")
        return name if kind == "kind" else None

    @property
    def rule_kind(self) -> str | None:
        """The kind of what is skipped, where it is still known."""
        if self.freeze_id is not None:
            return freeze_rule.kind
        return self.every_kind or (kind_of(self.rule) if self.rule is not None else None)


def kind_of(rule: Mapping[str, Any]) -> str | None:
    """The kind of a rule as it is stored."""
    return next((key for key in rule if key not in ENVELOPE), None)


async def list_skips(
    conn: Conn,
    workspace_id: str,
    *,
    deployment_id: str | None = None,
    over_too: bool = False,
    limit: int = 50,
    offset: int = 0,
) -> tuple[tuple[StoredSkip, ...], int]:
    """A page of the skips in force, newest first, and how many there are (0 past the last page)."""
    rows = await conn.fetch(Q.list_skips, workspace_id, None, deployment_id, over_too, limit, offset)
    return tuple(StoredSkip(**_less_total(row)) for row in rows), rows[0]["total"] if rows else 0


async def find_skip(conn: Conn, workspace_id: str, *, skip_id: str) -> StoredSkip | None:
    """A skip by id, in force or over."""
    row = await conn.fetchrow(Q.list_skips, workspace_id, skip_id, None, True, 1, 0)
    return None if row is None else StoredSkip(**_less_total(row))


async def list_rules(conn: Conn, workspace_id: str, *, rules_max: int = 500) -> tuple[tuple[str, str, str], ...]:
    """The rules of live policies that can be skipped: (id, kind, policy's name), by policy."""
    rows = await conn.fetch(Q.list_rules, workspace_id, list(SKIPPABLE), rules_max)
    return tuple((row["id"], kind_of(row["rule"]) or "", row["policy"]) for row in rows)


async def name_of_rule(conn: Conn, workspace_id: str, *, rule_id: str) -> str:
    """What a skip of one rule names.

    Fails: `NotFound` when no live policy has the rule; `Invalid` for one that is no gate.
    """
    row = await conn.fetchrow(Q.find_rule, workspace_id, rule_id)
    if row is None:
        raise NotFound("No enabled policy has a rule with this id.")
    _require_gate(str(kind_of(row["rule"])), field="ruleId")
    return rule_id


def name_of_kind(kind: str) -> str:
    """What a skip of every rule of a kind names.

    Fails: `Invalid` for a kind that is unknown, or no gate.
    """
    _require_gate(kind, field="ruleKind")
    return every_of(kind)


async def name_of_freeze(conn: Conn, workspace_id: str, *, freeze_id: str) -> str:
    """What a bypass of a freeze names.

    Fails: `NotFound`; `Conflict` when the freeze is over.
    """
    freeze = await freezes.find_freeze(conn, workspace_id, freeze_id=freeze_id)
    if freeze is None:
        raise NotFound("There is no such freeze.")
    if not freeze.in_force:
        raise Conflict("This freeze is over already: there is nothing to bypass.", code="FREEZE_OVER")
    return bypass_of(freeze_id)


async def set_skip(
    tx: Tx,
    workspace_id: str,
    *,
    name: str,
    deployment_id: str,
    version_id: str,
    environment_id: str | None,
    resource_id: str | None,
    reason: str,
    expires_at: datetime | None,
    author_id: str,
) -> tuple[StoredSkip, bool]:
    """Let a version pass a rule or a freeze.

    Takes: `name` is what `name_of_rule`, `name_of_kind` or `name_of_freeze` gave; the rest exists and belongs together.
    Gives: the skip, and whether it is new: the same skip set twice is one skip.
    Fails: `Invalid` for an end that has passed, and for a bypass without one.
    """
    await lock_deployment(tx, deployment_id)
    if expires_at is None and name.startswith("freeze:"):
        raise Invalid("A bypass of a freeze must have an end.", field="expiresAt")
    await require_future(tx, expires_at, what="skip")
    what = (deployment_id, version_id, name, environment_id, resource_id, reason, expires_at)
    same = await tx.conn.fetchval(Q.find_same, *what)
    if same is not None:
        return await _stored(tx.conn, workspace_id, same), False
    skip_id = new_id()
    row = (skip_id, workspace_id, deployment_id, version_id, environment_id, resource_id, name, reason, author_id)
    await tx.record(changes=[Change(Q.insert_skip, (*row, expires_at))])
    skip = await _stored(tx.conn, workspace_id, skip_id)
    wakes = [_round(skip, workspace_id)]
    if expires_at is not None:
        wakes.append(WorkRequest("expire", f"skip:{skip_id}", workspace_id, expires_at, PEOPLE))
    until = {"expiresAt": expires_at.isoformat()} if expires_at else {}
    await tx.record(
        changes=[touch(deployment_id, takes_away=False)], events=[_event("skip.set", skip, **until)], wakes=wakes
    )
    return skip, True


async def remove_skip(tx: Tx, workspace_id: str, *, skip_id: str, reason: str, author_id: str) -> StoredSkip:
    """Take a skip back: what it let start goes on, nothing else starts by it.

    Fails: `NotFound`; `Conflict` when it is over already.
    """
    known = await find_skip(tx.conn, workspace_id, skip_id=skip_id)
    if known is None:
        raise NotFound("There is no such skip.")
    await lock_deployment(tx, known.deployment_id)
    skip = await _stored(tx.conn, workspace_id, skip_id)
    if not skip.in_force:
        raise Conflict("This skip is over already.", code="SKIP_OVER")
    await tx.record(
        changes=[
            touch(skip.deployment_id, takes_away=True),
            Change(Q.remove_skip, (skip_id, author_id, reason), rows=1),
        ],
        events=[_event("skip.removed", skip)],
        wakes=[_round(skip, workspace_id)],
    )
    return await _stored(tx.conn, workspace_id, skip_id)


def _require_gate(kind: str, *, field: str) -> None:
    if kind in SKIPPABLE:
        return
    if kind == freeze_rule.kind:
        raise Invalid("A freeze is bypassed by its own id: send freezeId.", field=field)
    if kind not in RULE_BY_KIND:
        raise Invalid(f"{kind} is not a rule that can be skipped; those are {', '.join(SKIPPABLE)}.", field=field)
    instead = {
        "candidate": "pin the target to the version instead",
        "pace": "promote the rollout instead",
    }.get(RULE_BY_KIND[kind].shape, "change the policy instead")
    raise Invalid(f"{kind} is no gate, so it cannot be skipped: {instead}.", field=field)


def _event(kind: str, skip: StoredSkip, **body: object) -> Event:
    refs = [Ref("deployment", skip.deployment_id), Ref("version", skip.version_id)]
    named: dict[str, object] = {"deployment": skip.deployment, "version": skip.tag}
    if skip.freeze_id is not None:
        refs.append(Ref("freeze", skip.freeze_id))
        named["freeze"] = skip.freeze_id
    else:
        named |= {"rule": skip.rule_id, "kind": skip.rule_kind}
    if skip.policy_id is not None:
        refs.append(Ref("policy", skip.policy_id))
        named["policy"] = skip.policy
    if skip.environment_id is not None:
        refs.append(Ref("environment", skip.environment_id))
        named["environment"] = skip.environment
    if skip.resource_id is not None:
        refs.append(Ref("resource", skip.resource_id))
        named["resource"] = skip.resource
    return Event(kind, Ref("skip", skip.id), {**named, **body}, refs=tuple(refs))


def _round(skip: StoredSkip, workspace_id: str) -> WorkRequest:
    return WorkRequest("round", skip.deployment_id, workspace_id, None, PEOPLE)


async def _stored(conn: Conn, workspace_id: str, skip_id: str) -> StoredSkip:
    skip = await find_skip(conn, workspace_id, skip_id=skip_id)
    assert skip is not None, "just written or found in this transaction"
    return skip


def _less_total(row: asyncpg.Record) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "total"}
