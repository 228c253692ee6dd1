"""How are a round's facts written down, so that they can be read and decided again?

As canonical JSON (RFC 8785) in named shards: 256 targets a shard, each with its moves, its history and its latest
decision, and one shard for each other fact kind. So a round that changed a little adds a little to a content-addressed
store.

A value is written field by field under its names, and read back by the types that its dataclass declares. A rule is
written as the client wrote it and parsed again, so that a replay reads it exactly as the round did.

Order carries no meaning in facts (core.md section 9, law 3); what comes back is in the order of `in_order`.

Source: core.md section 6.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import orjson
import rfc8785

from interlock.decide.facts import (
    Approval,
    Beside,
    Decided,
    Elsewhere,
    Environment,
    ErrorBudget,
    Facts,
    Freeze,
    Incident,
    Landed,
    Move,
    Order,
    Pin,
    Quarantine,
    RolledBack,
    Rollout,
    Saturation,
    Skip,
    Slot,
    Target,
    Version,
)
from interlock.decide.rules import parse_rules
from interlock.model.policy import Policy

TARGETS_PER_SHARD = 256

_T = TypeVar("_T")

HEAD = (
    "workspace_id",
    "deployment_id",
    "deployment_name",
    "supersede",
    "generation",
    "fence",
    "rules_fence",
    "policies_matched",
    "tier",
)


def encode(facts: Facts) -> Iterator[tuple[str, bytes]]:
    """The shards of some facts by name, each as canonical JSON.

    Gives: `deployment`, one shard a fact kind, and `targets-00000` and on.
    """
    facts = in_order(facts)
    yield "deployment", _written({name: getattr(facts, name) for name in HEAD})
    yield "environments", _free_form(list(facts.environments.values()))
    yield "versions", _free_form(facts.versions)
    yield (
        "policies",
        _free_form({"policies": [_policy(one) for one in facts.policies.values()], "sets": facts.policy_sets}),
    )
    yield "rollouts", _written(facts.rollouts)
    approvals = facts.approvals_by_version_environment
    yield (
        "approvals",
        _written({"given": [[*key, words] for key, words in approvals.items()], "requests": facts.requests}),
    )
    yield "freezes", _written(facts.freezes)
    if facts.incidents:
        yield "incidents", _written(facts.incidents)
    yield "overrides", _written({"pins": facts.pins, "skips": facts.skips, "quarantines": facts.quarantines})
    yield "elsewhere", _free_form(_elsewhere(facts.elsewhere))
    yield "slots", _written(facts.slots)
    yield "orders", _free_form(facts.orders)
    if facts.saturations:
        yield "saturations", _free_form(facts.saturations)
    if facts.rollbacks:
        yield "rollbacks", _written(facts.rollbacks)
    if facts.budgets:
        yield "budgets", _free_form(facts.budgets)
    yield "decisions", _written(facts.decided_by_subject)
    yield from _target_shards(facts)


def _target_shards(facts: Facts) -> Iterator[tuple[str, bytes]]:
    """What belongs to a target, 256 targets a shard; what belongs to none that is loaded, in a last one."""
    place: dict[str, int] = {}
    for number, target_id in enumerate((*facts.targets, *facts.leaving)):
        place[target_id] = number // TARGETS_PER_SHARD
    rest = (len(place) + TARGETS_PER_SHARD - 1) // TARGETS_PER_SHARD
    shards: dict[int, dict[str, list[object]]] = {}

    def put(target_id: str, kind: str, value: object) -> None:
        shards.setdefault(place.get(target_id, rest), {}).setdefault(kind, []).append(value)

    for target in facts.targets.values():
        put(target.id, "attached", target)
    for target in facts.leaving.values():
        put(target.id, "leaving", target)
    for move in facts.moves:
        put(move.target_id, "moves", move)
    for (target_id, version_id), landed in facts.landed_by_target_version.items():
        put(target_id, "landed", [target_id, version_id, landed])
    for (target_id, version_id), ended in facts.ended_by_target_version.items():
        put(target_id, "ended", [target_id, version_id, ended])
    for target_id, decided in facts.decided_by_target.items():
        put(target_id, "decided", [target_id, decided])
    for target_id, labels in facts.labels_by_target.items():
        put(target_id, "labels", [target_id, sorted(labels.items())])
    if facts.samples_by_move:
        targets = {move.id: move.target_id for move in facts.moves}
        for move_id, samples in facts.samples_by_move.items():
            put(targets.get(move_id, ""), "samples", [move_id, samples])
    for number, shard in sorted(shards.items()):
        yield f"targets-{number:05}", _written(shard)


def decode(shards: Mapping[str, bytes]) -> Facts:
    """The facts that were encoded.

    Fails: `KeyError` when a shard is missing, `Invalid` when a rule is none any more.
    """
    read = {name: orjson.loads(body) for name, body in shards.items()}
    parts = [read[name] for name in sorted(read) if name.startswith("targets-")]
    attached = [_read(Target, one) for part in parts for one in part.get("attached", ())]
    leaving = [_read(Target, one) for part in parts for one in part.get("leaving", ())]
    overrides = read["overrides"]
    return in_order(
        Facts(
            **read["deployment"],
            environments={one["id"]: _read(Environment, one) for one in read["environments"]},
            targets={target.id: target for target in attached},
            leaving={target.id: target for target in leaving},
            versions=_read_all(Version, read["versions"]),
            policies={one["id"]: _read_policy(one) for one in read["policies"]["policies"]},
            policy_sets={key: tuple(ids) for key, ids in read["policies"]["sets"].items()},
            rollouts=_read_all(Rollout, read["rollouts"]),
            moves=tuple(_read(Move, one) for part in parts for one in part.get("moves", ())),
            landed_by_target_version={
                (target_id, version_id): _read(Landed, one)
                for part in parts
                for target_id, version_id, one in part.get("landed", ())
            },
            ended_by_target_version={
                (target_id, version_id): {status: datetime.fromisoformat(at) for status, at in ended.items()}
                for part in parts
                for target_id, version_id, ended in part.get("ended", ())
            },
            approvals_by_version_environment={
                (version_id, environment_id): _read_all(Approval, words)
                for version_id, environment_id, words in read["approvals"]["given"]
            },
            requests=frozenset(read["approvals"]["requests"]),
            freezes=_read_all(Freeze, read["freezes"]),
            incidents=_read_all(Incident, read.get("incidents", ())),
            pins=_read_all(Pin, overrides["pins"]),
            skips=_read_all(Skip, overrides["skips"]),
            quarantines=_read_all(Quarantine, overrides["quarantines"]),
            elsewhere=_read_elsewhere(read.get("elsewhere", {})),
            slots={key: _read(Slot, one) for key, one in read.get("slots", {}).items()},
            orders=_read_all(Order, read.get("orders", ())),
            saturations=_read_all(Saturation, read.get("saturations", ())),
            rollbacks=_read_all(RolledBack, read.get("rollbacks", ())),
            budgets=_read_all(ErrorBudget, read.get("budgets", ())),
            decided_by_subject={key: _read(Decided, one) for key, one in read["decisions"].items()},
            decided_by_target={
                target_id: _read(Decided, one) for part in parts for target_id, one in part.get("decided", ())
            },
            labels_by_target={
                target_id: dict(labels) for part in parts for target_id, labels in part.get("labels", ())
            },
            samples_by_move={move_id: samples for part in parts for move_id, samples in part.get("samples", ())},
        )
    )


def in_order(facts: Facts) -> Facts:
    """The same facts, with every collection in one order: what differs only in order is equal afterwards."""
    return replace(
        facts,
        environments=dict(sorted(facts.environments.items())),
        targets=dict(sorted(facts.targets.items())),
        leaving=dict(sorted(facts.leaving.items())),
        versions=tuple(
            replace(one, dependencies=tuple(sorted(one.dependencies, key=lambda dep: dep.deployment_id)))
            for one in sorted(facts.versions, key=lambda one: one.age_key)
        ),
        policies=dict(sorted(facts.policies.items())),
        policy_sets={key: tuple(sorted(ids)) for key, ids in sorted(facts.policy_sets.items())},
        rollouts=tuple(
            replace(one, proofs=tuple(sorted(one.proofs, key=lambda proof: proof.id)))
            for one in sorted(facts.rollouts, key=lambda one: one.id)
        ),
        moves=tuple(sorted(facts.moves, key=lambda one: (one.admitted_at, one.id))),
        landed_by_target_version=dict(sorted(facts.landed_by_target_version.items())),
        ended_by_target_version={
            key: dict(sorted(ended.items())) for key, ended in sorted(facts.ended_by_target_version.items())
        },
        approvals_by_version_environment={
            key: tuple(sorted(words, key=lambda one: (one.given_at, one.principal_id)))
            for key, words in sorted(facts.approvals_by_version_environment.items())
        },
        freezes=tuple(sorted(facts.freezes, key=lambda one: one.id)),
        incidents=tuple(sorted(facts.incidents, key=lambda one: one.id)),
        pins=tuple(sorted(facts.pins, key=lambda one: one.id)),
        skips=tuple(sorted(facts.skips, key=lambda one: one.id)),
        quarantines=tuple(
            sorted(facts.quarantines, key=lambda one: (one.target_id, one.version_id or "", one.config_digest or ""))
        ),
        elsewhere=Elsewhere(
            **{name: dict(sorted(getattr(facts.elsewhere, name).items())) for name in Elsewhere.__dataclass_fields__}
        ),
        slots=dict(sorted(facts.slots.items())),
        orders=tuple(sorted(facts.orders, key=lambda one: one.id)),
        saturations=tuple(sorted(facts.saturations, key=lambda one: (one.name, one.environment_id or ""))),
        rollbacks=tuple(sorted(facts.rollbacks, key=lambda one: one.key)),
        budgets=tuple(sorted(facts.budgets, key=lambda one: (one.name, one.slo_id))),
        decided_by_subject=dict(sorted(facts.decided_by_subject.items())),
        decided_by_target=dict(sorted(facts.decided_by_target.items())),
        labels_by_target=dict(sorted(facts.labels_by_target.items())),
        samples_by_move=dict(sorted(facts.samples_by_move.items())),
    )


# Writing ------------------------------------------------------------------------------------------


def _plain(value: object) -> bytes:
    return orjson.dumps(value, default=_default, option=orjson.OPT_UTC_Z)


def _default(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no fact")


def _written(value: object) -> bytes:
    """Canonical JSON of what has ASCII keys and whole numbers: there orjson's sorted form is the same."""
    return orjson.dumps(orjson.loads(_plain(value)), option=orjson.OPT_SORT_KEYS)


def _free_form(value: object) -> bytes:
    """Canonical JSON of what people wrote: any key, any number."""
    plain = orjson.loads(_plain(value))
    try:
        return rfc8785.dumps(plain)
    except rfc8785.CanonicalizationError:  # a number over 2^53, which RFC 8785 has no form for
        return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)


def _elsewhere(elsewhere: Elsewhere) -> dict[str, object]:
    """What runs elsewhere, each group of neighbours written once with the resources that have it."""
    places: dict[tuple[Beside, ...], list[str]] = {}
    for resource_id, group in elsewhere.by_resource.items():
        places.setdefault(group, []).append(resource_id)
    return {
        "deployments": elsewhere.deployments,
        "versions": elsewhere.versions,
        "beside": [[ids, group] for group, ids in places.items()],
        "around": elsewhere.by_environment,
    }


def _policy(policy: Policy) -> dict[str, object]:
    return {
        "id": policy.id,
        "name": policy.name,
        "revision_id": policy.revision_id,
        "observe": policy.observe,
        "rules": [
            {
                "id": rule.id,
                "policy_id": rule.policy_id,
                "first_stored_at": rule.first_stored_at,
                "wire": {rule.kind: rule.wire},
            }
            for rule in policy.rules
        ],
    }


# Reading ------------------------------------------------------------------------------------------


def _read_policy(body: Mapping[str, Any]) -> Policy:
    parsed = parse_rules([one["wire"] for one in body["rules"]])
    rules = tuple(
        replace(rule, id=one["id"], policy_id=one["policy_id"], first_stored_at=_instant(one["first_stored_at"]))
        for rule, one in zip(parsed, body["rules"], strict=True)
    )
    return Policy(body["id"], body["name"], body["revision_id"], rules, observe=body["observe"])


def _read_elsewhere(body: Mapping[str, Any]) -> Elsewhere:
    """Facts that were written before there were any of this kind have none."""
    by_resource = {}
    for ids, members in body.get("beside", ()):
        group = _read_all(Beside, members)
        by_resource.update(dict.fromkeys(ids, group))
    by_environment = {key: _read_all(Beside, members) for key, members in body.get("around", {}).items()}
    return Elsewhere(body.get("deployments", {}), body.get("versions", {}), by_resource, by_environment)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _read_all(kind: Callable[..., _T], bodies: Sequence[Mapping[str, Any]]) -> tuple[_T, ...]:
    return tuple(_read(kind, body) for body in bodies)


def _read(kind: Callable[..., _T], body: Mapping[str, Any]) -> _T:
    """A dataclass from the object that its fields were written as."""
    return kind(**{name: read(body[name]) for name, read in _readers(kind) if name in body})


@cache
def _readers(kind: Any) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """Field -> what reads it, by its declared type."""
    hints = get_type_hints(kind)
    return tuple((one.name, _reader(hints[one.name])) for one in fields(kind))


def _reader(hint: Any) -> Callable[[Any], Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is types.UnionType:
        inner = _reader(next(one for one in arguments if one is not types.NoneType))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        item = _reader(arguments[0])
        return lambda values: tuple(map(item, values))
    if origin is frozenset:
        return frozenset
    if hint is datetime:
        return datetime.fromisoformat
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
        return lambda value: _read(hint, value)
    return _same


def _same(value: object) -> object:
    return value
