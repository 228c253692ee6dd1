"""What did a write of a policy take away that its sender could not have said?

A client replaces a policy whole, with what it knows. The Terraform provider has no block for `retry` or `rollback` and
no attribute for fields of our own, so an apply removes what somebody added elsewhere, and nobody meant it. The write is
taken as it is, because the contract says so; what went with it is told in its ledger event, where people see it.

What a sender knew how to say and left out, it meant.

Source: issue 4; contract.md section c, ctrlplane_policy ("any such rules on the server are dropped by an update").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Rule: TypeAlias = Mapping[str, Any]

DROPPED_MAX = 50
"""How many things one event lists."""

IDENTITY = frozenset({"id", "createdAt", "policyId"})

_METRIC = ("name", "intervalSeconds", "count", "successCondition", "successThreshold", "failureCondition")
_METRICS = frozenset({"triggerOn", "metrics", *(f"metrics[].{name}" for name in (*_METRIC, "failureThreshold"))})

_TERRAFORM: Mapping[str, frozenset[str]] = {
    "versionSelector": frozenset({"selector", "description"}),
    "versionCooldown": frozenset({"intervalSeconds"}),
    "deploymentWindow": frozenset({"durationMinutes", "rrule", "timezone", "allowWindow"}),
    "deploymentDependency": frozenset({"dependsOn"}),
    "verification": _METRICS,
    "gradualRollout": frozenset({"rolloutType", "timeScaleInterval"}),
    "anyApproval": frozenset({"minApprovals"}),
    "environmentProgression": frozenset(
        {
            "dependsOnEnvironmentSelector",
            "minimumSuccessPercentage",
            "minimumSoakTimeMinutes",
            "maximumAgeHours",
        }
    ),
    "planValidationOpa": frozenset({"name", "rego", "description"}),
}
_DOCUMENTED: Mapping[str, frozenset[str]] = {
    **_TERRAFORM,
    "environmentProgression": _TERRAFORM["environmentProgression"] | {"requireVerificationPassed", "successStatuses"},
    "retry": frozenset({"maxRetries", "backoffSeconds", "backoffStrategy", "maxBackoffSeconds", "retryOnStatuses"}),
}


@dataclass(frozen=True, slots=True)
class Sender:
    """A kind of client: which rules it can say, with which fields, and which metric providers (None: every one)."""

    name: str
    fields_by_kind: Mapping[str, frozenset[str]]
    providers: frozenset[str] | None


TERRAFORM = Sender("Terraform", _TERRAFORM, frozenset({"sleep", "datadog"}))
DOCUMENTED = Sender("ctrlc", _DOCUMENTED, None)


def sender_of(user_agent: str) -> Sender | None:
    """The kind of client behind a request; None for one that can say everything, as far as we know."""
    if user_agent.startswith("Go-http-client/"):
        return TERRAFORM
    return DOCUMENTED if user_agent.startswith("ctrlc/") else None


def dropped(
    before: Sequence[Rule], after: Sequence[Rule], *, sender: Sender, mode_before: str, mode_after: str
) -> list[dict[str, str]]:
    """What is gone and the sender could not have said: whole rules, or fields of rules that stayed.

    Gives: `{rule, kind}` for a rule, `{rule, kind, field}` for a field of one, `{field}` for one of the policy; at most
           `DROPPED_MAX`, in the order of the rules.
    """
    found: list[dict[str, str]] = []
    if mode_before != mode_after:
        found.append({"field": "mode"})
    after_by_id = {str(rule.get("id")): rule for rule in after}
    known = {str(rule.get("id")) for rule in before}
    new_by_kind = {kind_of(rule): rule for rule in reversed(after) if str(rule.get("id")) not in known}
    for rule in before:
        kind, rule_id = kind_of(rule), str(rule.get("id"))
        stayed = after_by_id.get(rule_id) or new_by_kind.get(kind)
        if stayed is None:
            if kind not in sender.fields_by_kind:
                found.append({"rule": rule_id, "kind": kind})
            continue
        there = dict(_fields(stayed))
        found.extend(
            {"rule": rule_id, "kind": kind, "field": field}
            for field, plain in _fields(rule)
            if field not in there and not _can_say(sender, kind, field=plain, rule=rule)
        )
    return found[:DROPPED_MAX]


def told_dropped(body: Mapping[str, Any]) -> str | None:
    """What a ledger event says was dropped, as a sentence; None where nothing was."""
    listed = body.get("dropped")
    if not isinstance(listed, list) or not listed:
        return None
    names = ", ".join(str(each.get("field") or f"the {each.get('kind')} rule") for each in listed[:5])
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return f"dropped {names}{more}, for which {body.get('sender') or 'the client'} has no words"


def kind_of(rule: Rule) -> str:
    """The one key of a rule that says what it is."""
    return next((key for key in rule if key not in IDENTITY and isinstance(rule[key], Mapping)), "")


def _fields(rule: Rule) -> Iterator[tuple[str, str]]:
    """Each field of a rule: as people read it, and with the names of metrics left out."""
    kind = kind_of(rule)
    for key in rule:
        if key not in IDENTITY and key != kind:
            yield key, key
    for key, value in rule.get(kind, {}).items():
        yield f"{kind}.{key}", key
        if key == "metrics" and isinstance(value, list):
            for metric in value:
                named = f"{kind}.metrics[{metric.get('name')}]"
                yield named, f"metrics[{metric.get('name')}]"
                yield from ((f"{named}.{inner}", f"metrics[].{inner}") for inner in metric if inner != "provider")


def _can_say(sender: Sender, kind: str, *, field: str, rule: Rule) -> bool:
    if field.startswith("metrics[") and field.endswith("]"):
        name = field[len("metrics[") : -1]
        metrics = rule.get(kind, {}).get("metrics", [])
        types = {str(each.get("provider", {}).get("type")) for each in metrics if str(each.get("name")) == name}
        return sender.providers is None or types <= sender.providers
    return field in sender.fields_by_kind.get(kind, frozenset())
