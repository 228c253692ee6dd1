"""How does a standing read? Policy, rule, verdict, and what would have to be different: plain JSON, sentences included.

One shape for the API, the command line and the console, made here and nowhere else:

    at, target, version, kind, state, says     where it stands, in one sentence
    policies                                   the rule tree: each policy with its rules, each rule with its verdict
    holds                                      the verdicts that hold, most pressing first
    overrides                                  pins, skips, freezes, orders and quarantines that bear on it
    counterfactual                             a set of facts whose change lets it go, of which no proper subset does

Source: core.md law 8; STYLE.md rule 16.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from interlock.decide import WorkedOut
from interlock.decide.counterfactual import Counterfactual
from interlock.decide.explain import lift_sentence, title, told
from interlock.decide.lift import Lift
from interlock.decide.standing import Standing, State
from interlock.decide.verdict import STAGES, Judged, Outcome, WaitsFor, instant, verdict_json

Told = dict[str, Any]

SAYS: Mapping[State, str] = {
    State.RUNS: "{target} in {environment} runs {version}.",
    State.MOVING: "{target} in {environment} is on its way to {version}.",
    State.STARTS: "Nothing holds {version} on {target} in {environment}: it starts with the next round.",
    State.PACED: "{version} is let through to {target} in {environment}, and waits for its place in the rollout.",
    State.HELD: "{version} is held on {target} in {environment} by {count}.",
}

THEN: Mapping[State, str] = {
    State.RUNS: "Then it would run it.",
    State.MOVING: "Then it would be on its way.",
    State.STARTS: "Then it would start.",
    State.PACED: "Then it would wait for its place in the rollout alone.",
}

NOT_FOUND: Mapping[str, str] = {
    "nothing_lifts": "No set of facts was found that would let it go. After all that was tried this still holds:",
    "too_many": "More facts would have to change than can be told apart. These hold:",
    "looks_used": "The search for what would let it go was ended before it found a set. These hold:",
}

_PRESSING = {WaitsFor.PERSON: 0, WaitsFor.INCOMPLETE: 1, WaitsFor.DENY: 2, WaitsFor.WAIT: 3, None: 1}


def standing_json(worked: WorkedOut, standing: Standing, *, now: datetime) -> Told:
    """A standing with everything but the counterfactual."""
    target, version = standing.target, standing.version
    environment = worked.index.facts.environments[target.environment_id]
    return {
        "at": instant(now),
        "target": {"id": target.id, "name": target.name or target.id},
        "environment": {"id": environment.id, "name": environment.name},
        "version": {"id": version.id, "tag": version.tag, "status": version.status},
        "kind": standing.kind,
        "state": str(standing.state),
        "says": says(standing, environment.name),
        "policies": rule_tree(worked, standing.judged, target.policy_set),
        "holds": [told(verdict_json(one)) for one in pressing(standing.bars)],
        "overrides": overrides(worked, standing),
    }


def says(standing: Standing, environment: str) -> str:
    """Where it stands, in one sentence."""
    bars = standing.bars
    count = title(verdict_json(bars[0])) if len(bars) == 1 else f"{len(bars)} rules"
    target, version = standing.target.name or standing.target.id, standing.version.tag
    return SAYS[standing.state].format(target=target, environment=environment, version=version, count=count)


def pressing(judged: Iterable[Judged]) -> list[Judged]:
    """What holds, in the order in which a person would look at it: by stage, then what somebody can do about it."""
    return sorted(judged, key=lambda one: (STAGES.index(one.stage), _PRESSING[one.verdict.waits_for]))


def rule_tree(worked: WorkedOut, judged: Sequence[Judged], policy_set: str | None) -> list[Told]:
    """The policies that apply, each with its rules and their verdicts; first what no policy asks for.

    Why:    a rule that gave no verdict (a pace, a reaction, a proof) stands there too, so that nobody wonders whether
            the policy applies.
    """
    groups: dict[tuple[str, bool], list[Judged]] = {}
    for one in judged:
        groups.setdefault((one.policy_id, one.observed), []).append(one)
    found: list[Told] = []
    if ("", False) in groups:
        found.append({"policy": None, "rules": [told(verdict_json(one)) for one in groups[("", False)]]})
    for policy in worked.index.policies_of(policy_set):
        mine = groups.get((policy.id, policy.observe), [])
        asked = {rule_id for one in judged for rule_id in one.rule_ids}
        silent = [{"rule": rule.kind, "ruleId": rule.id} for rule in policy.rules if rule.id not in asked]
        outcomes = {one.verdict.outcome for one in mine}
        found.append(
            {
                "policy": policy.name,
                "policyId": policy.id,
                "mode": "observe" if policy.observe else "enforce",
                "outcome": str(_worst(outcomes)),
                "rules": [told(verdict_json(one)) for one in mine],
                "silent": silent,
            }
        )
    return found


def _worst(outcomes: set[Outcome]) -> Outcome:
    return next((one for one in (Outcome.UNKNOWN, Outcome.HOLD) if one in outcomes), Outcome.PASS)


def overrides(worked: WorkedOut, standing: Standing) -> Told:
    """What people set by hand that bears on this version here."""
    facts, target, version = worked.index.facts, standing.target, standing.version
    pin = worked.gates.candidates.pin_of(target)
    now = worked.gates.now
    found: Told = {}
    if pin is not None:
        pinned = worked.index.version_by_id.get(pin.version_id)
        scope = "target" if pin.target_id else "environment" if pin.environment_id else "deployment"
        found["pin"] = _with_end(
            {"id": pin.id, "version": pinned.tag if pinned else pin.version_id, "scope": scope},
            pin.created_at,
            pin.expires_at,
        )
    skips = [
        _with_end({"id": one.id, "ruleId": one.rule_id, "reason": one.reason}, one.created_at, one.expires_at)
        for one in facts.skips
        if one.version_id == version.id
        and one.environment_id in {None, target.environment_id}
        and one.resource_id in {None, target.resource_id}
        and (one.expires_at is None or now < one.expires_at)
    ]
    freezes = [
        _with_end(
            {"id": one.id, "scope": one.scope, "reason": one.reason, "by": one.created_by},
            one.created_at,
            one.expires_at,
        )
        for one in facts.freezes
        if (one.environment_ids is None or target.environment_id in one.environment_ids)
        and (one.target_ids is None or target.id in one.target_ids)
        and (one.expires_at is None or now < one.expires_at)
    ]
    quarantines = [
        {"version": tag.tag if (tag := worked.index.version_by_id.get(one.version_id or "")) else "a config"}
        for one in facts.quarantines
        if one.target_id == target.id
    ]
    orders = [
        _with_end({"id": one.id, "kind": one.kind, "reason": one.reason, "by": one.by}, one.created_at, one.expires_at)
        for one in worked.index.orders_by_target.get(target.id, ())
    ]
    for name, rows in (("skips", skips), ("freezes", freezes), ("orders", orders), ("quarantines", quarantines)):
        if rows:
            found[name] = rows
    return found


def _with_end(body: Told, since: datetime, until: datetime | None) -> Told:
    return {**body, "since": instant(since), **({"until": instant(until)} if until else {})}


def counterfactual_json(answer: Counterfactual) -> Told:
    """What would have to be different, as sentences and as data."""
    body: Told = {
        "found": answer.found,
        "lifts": [_lift(one) for one in answer.lifts],
        "then": str(answer.then),
        "says": _says(answer),
        "looks": answer.looks,
    }
    if answer.found and answer.lifts:
        body["at"] = instant(answer.at)
    if answer.left:
        body["left"] = [told(verdict_json(one)) for one in pressing(answer.left)]
    if answer.why is not None:
        body["why"] = answer.why
    return body


def _lift(one: Lift) -> Told:
    body: Told = {"code": one.code, "sentence": lift_sentence(one), "values": dict(one.values)}
    return {**body, "who": one.who} if one.who is not None else body


def _says(answer: Counterfactual) -> str:
    if not answer.found:
        return NOT_FOUND[answer.why or "nothing_lifts"]
    if answer.lifts:
        return f"It would go if all of this were so; no part of it is enough. {THEN[answer.then]}"
    if answer.then is State.PACED:
        return "Nothing but its place in the rollout holds it, and no single fact was found that gives it one."
    return "Nothing has to be different."
