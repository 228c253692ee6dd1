"""Which slot groups does a target belong to? The group keys of the rules that limit it, worked out once, before rounds.

A rule that limits how many are in flight groups its targets by an expression. The key of a group names the policy and
the rule too, so that two rules never share a group: `<policy>/<rule>/<text>`.

An expression that gives nothing for a target (a label that it lacks) leaves it in no group, with the reason: such a
target is held, because a limit that cannot be counted must not be passed.

Source: core.md section 1, "slot", and section 2, "Resolved before deciding".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from interlock.inventory.selector import Expression
from interlock.inventory.to_python import value_of, valuer
from interlock.model.errors import Invalid

View: TypeAlias = Mapping[str, Any]

KEY_TEXT_MAX = 200
"""Characters of a group's text; a longer one is refused, because it names a topic and stands in an index."""


@dataclass(frozen=True, slots=True)
class SlotRule:
    """A rule that limits how many of a group are in flight. `group_by` None: one group for all."""

    policy_id: str
    rule_id: str
    group_by: Expression | None


@dataclass(frozen=True, slots=True)
class SlotKey:
    """The group of a target under one rule; `key` is None where it cannot be told, and `why` says why."""

    policy_id: str
    rule_id: str
    key: str | None
    why: str | None = None


def slot_key(policy_id: str, rule_id: str, text: str) -> str:
    """The key of a slot group."""
    return f"{policy_id}/{rule_id}/{text}"


def group_of(key: str, *, policy_id: str, rule_id: str) -> str:
    """The text of a slot group, for people."""
    return key.removeprefix(f"{policy_id}/{rule_id}/")


def slot_keys_of(
    rules: Iterable[SlotRule],
    resources: Sequence[View],
    policies: Sequence[Collection[str] | None],
    *,
    environment: View,
    deployment: View,
) -> list[tuple[SlotKey, ...]]:
    """The slot keys of each target of one deployment and environment, in the order of the resources.

    Takes: `policies` are those that select each target (None: it cannot be told); only their rules concern it.
    Costs: about 1 µs a rule and target; a rule that does not read the resource is asked once.
    """
    subjects: dict[str, Any] = {"environment": environment, "deployment": deployment}
    found: list[tuple[SlotKey, ...]] = [()] * len(resources)
    by_policy: dict[str, list[SlotRule]] = {}
    for rule in rules:
        by_policy.setdefault(rule.policy_id, []).append(rule)
    for policy_id, limiting in sorted(by_policy.items()):
        numbers = [number for number, ids in enumerate(policies) if ids is not None and policy_id in ids]
        views = [resources[number] for number in numbers]
        for rule in sorted(limiting, key=lambda one: one.rule_id):
            for number, key in zip(numbers, _column(rule, views, subjects), strict=True):
                found[number] = (*found[number], key)
    return found


def _column(rule: SlotRule, resources: Sequence[View], subjects: Mapping[str, Any]) -> list[SlotKey]:
    """One rule's key of each target; equal ones are one object."""
    if rule.group_by is None:
        return [_in_group(rule, "")] * len(resources)
    if "resource" not in rule.group_by.roots:
        return [_slot_key(rule, rule.group_by, subjects)] * len(resources)
    evaluate = valuer(rule.group_by)
    by_text: dict[str, SlotKey] = {}
    column = []
    for view in resources:
        both = {**subjects, "resource": view}
        text = evaluate(both)
        if not isinstance(text, str):
            column.append(_slot_key(rule, rule.group_by, both))
            continue
        if text not in by_text:
            by_text[text] = _of_value(rule, rule.group_by, text)
        column.append(by_text[text])
    return column


def _slot_key(rule: SlotRule, group_by: Expression, subjects: Mapping[str, Any]) -> SlotKey:
    try:
        value = value_of(group_by, subjects)
    except Invalid as nothing:
        words = nothing.message.rstrip(".").removeprefix("NOT_FOUND: ")
        return _in_none(rule, f"{group_by.text}: {words}")
    return _of_value(rule, group_by, value)


def _of_value(rule: SlotRule, group_by: Expression, value: object) -> SlotKey:
    if isinstance(value, bool):
        return _in_group(rule, str(value).lower())
    if not isinstance(value, str | int | float):
        return _in_none(rule, f"{group_by.text} gives no text")
    text = str(value)
    if len(text) > KEY_TEXT_MAX:
        return _in_none(rule, f"{group_by.text} gives more than {KEY_TEXT_MAX} characters")
    return _in_group(rule, text)


def _in_group(rule: SlotRule, text: str) -> SlotKey:
    return SlotKey(rule.policy_id, rule.rule_id, slot_key(rule.policy_id, rule.rule_id, text))


def _in_none(rule: SlotRule, why: str) -> SlotKey:
    return SlotKey(rule.policy_id, rule.rule_id, None, why)
