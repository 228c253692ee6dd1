"""Which rules are there, and how is a policy's list of them read?

One file per rule: its page for users (the docstring), `Params`, `parse`, what it `needs`, `evaluate`. RULES is explicit
and ordered: gates are asked in this order within their stage. Adding a rule on existing facts is one file and one line
here.

The wire's rule object carries exactly one kind, and perhaps `id`, `createdAt`, `policyId`, and other kinds as null.

Source: DESIGN.md section 4; contract.md, ctrlplane_policy; reference-behaviour.md appendix D.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

from interlock.decide.rules import (
    any_approval,
    concurrency,
    deployment_dependency,
    deployment_window,
    environment_progression,
    error_budget,
    freeze,
    gradual_rollout,
    incident,
    plan_validation_opa,
    retry,
    rollback,
    rollback_history,
    saturation,
    verification,
    version_cooldown,
    version_dependency,
    version_selector,
)
from interlock.model.errors import FieldError, Invalid
from interlock.model.policy import Rule
from interlock.model.wire import Fields, refusal

RULES: tuple[ModuleType, ...] = (
    version_selector,
    freeze,
    incident,
    environment_progression,
    deployment_dependency,
    version_dependency,
    deployment_window,
    version_cooldown,
    error_budget,
    saturation,
    rollback_history,
    any_approval,
    gradual_rollout,
    concurrency,
    verification,
    retry,
    rollback,
    plan_validation_opa,
)

RULE_BY_KIND: Mapping[str, ModuleType] = {rule.kind: rule for rule in RULES}

KINDS = tuple(rule.kind for rule in RULES if hasattr(rule, "parse"))
"""The kinds that a policy may carry."""

ENVELOPE = frozenset({"id", "createdAt", "policyId"})

ALWAYS_ASKED = frozenset({"freeze", "deploymentWindow"})
"""Gates that a change of config is asked about in any case; every other one takes `appliesTo`."""

APPLIES_TO = ("version", "config", "both")
"""What a gate's `appliesTo` may say: it is asked about new versions (default), changes of config, or both."""
RULES_MAX = 50


def parse_rules(wire: object, *, path: str = "rules") -> tuple[Rule, ...]:
    """Read a policy's rules; rule ids are those of the wire, or "" where the client sent none.

    Fails: `Invalid`, naming every fault with its path: not a list, an unknown key, no kind or several, a wrong
           parameter, an id twice.
    """
    if not isinstance(wire, Sequence) or isinstance(wire, str | bytes):
        raise Invalid(f"{path} must be a list.", field=path)
    if len(wire) > RULES_MAX:
        raise Invalid(f"{path} must hold at most {RULES_MAX} rules.", field=path)
    rules: list[Rule] = []
    errors: list[FieldError] = []
    for number, body in enumerate(wire):
        where = f"{path}[{number}]"
        try:
            rules.append(_parse_rule(body, where))
        except Invalid as error:
            errors.extend(error.fields)
    ids = [rule.id for rule in rules if rule.id]
    errors.extend(
        FieldError(f"{path}", f"has the rule id {twice} twice")
        for twice in sorted({i for i in ids if ids.count(i) > 1})
    )
    if errors:
        raise refusal(errors)
    return tuple(rules)


def _parse_rule(body: object, where: str) -> Rule:
    if not isinstance(body, Mapping):
        raise Invalid(f"{where} must be an object.", field=where)
    unknown = sorted(str(key) for key in body if key not in ENVELOPE and key not in KINDS)
    if unknown:
        message = f"is not a rule known here; known are {', '.join(KINDS)}"
        raise refusal([FieldError(f"{where}.{key}", message) for key in unknown])
    given = [key for key in KINDS if body.get(key) is not None]
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        raise refusal([FieldError(where, f"must have exactly one rule kind, it has {found}")])
    kind = given[0]
    module = RULE_BY_KIND[kind]
    fields = Fields(body[kind], f"{where}.{kind}")
    applies_to = "version"
    if module.shape == "gate" and kind not in ALWAYS_ASKED:
        applies_to = fields.choice("appliesTo", allowed=APPLIES_TO, default="version")
    params = module.parse(fields)
    fields.done()
    return Rule(id=str(body.get("id") or ""), kind=kind, params=params, wire=body[kind], applies_to=applies_to)
