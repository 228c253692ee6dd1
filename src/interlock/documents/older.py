"""Which words of older documents are understood, and what are they today?

Documents written for Ctrlplane's command line, in its several generations, are read as they are where today's words can
say the same; a note tells today's word. Where they cannot (a JSON selector, a relationship by two selectors) the
refusal says what to write. Editors are offered today's words alone.

    any kind           kind: System (a Resource's own kind excepted) · slug
    selectors          resourceSelector: {cel: …}, dependsOnEnvironmentSelector: {cel: …}
    Deployment         jobAgent: {name | ref | id, config} · jobAgentId
    JobAgent           config.type · type beside kind: JobAgent
    Policy             selectors: [{deployments, environments, resources}] · durations as 5m or 2h · rule words
    RelationshipRule   matcher: text or {cel: …}
    VariableSet        variables: [{key, value}]

Source: contract.md section b (`ctrlc apply`); the kinds and fields of its earlier releases.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from interlock.documents.shapes import Fault, Path

Body = dict[str, Any]
KIND_WORDS = frozenset({"System", "Deployment", "Environment", "Policy", "JobAgent", "RelationshipRule"}) | frozenset(
    {"ResourceProvider", "VariableSet", "Workflow", "Freeze", "Group", "Role", "Subscription"}
)
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


class Words:
    """One document on its way: its body, notes about older words, and what cannot be said today."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.notes: list[Fault] = []
        self.wrong: list[Fault] = []

    def note(self, path: Path, message: str) -> None:
        """Say that a word was understood."""
        self.notes.append(Fault(path, message, alone=True))

    def refuse(self, path: Path, message: str) -> None:
        """Say that a word has no equal today."""
        self.wrong.append(Fault(path, message, alone=True))


def in_todays_words(raw: Mapping[str, Any]) -> tuple[str | None, Body, list[Fault], list[Fault]]:
    """(type, body without it, notes, faults)."""
    words = Words(dict(raw))
    kind = _type_of(words)
    body = words.body
    if isinstance(body.get("slug"), str) and kind in {"System", "Deployment", "Environment", "Policy"}:
        del body["slug"]
        words.note(("slug",), "slug is not kept: the name is the slug")
    _selector(words, body, "resourceSelector", ())
    if kind is not None and kind in _KINDS:
        _KINDS[kind](words)
    return kind, body, words.notes, words.wrong


def _type_of(words: Words) -> str | None:
    """`type`, or `kind` where that can only mean the same."""
    body = words.body
    kind, own_type = (each if isinstance(each, str) else "" for each in (body.get("kind"), body.get("type")))
    if kind in KIND_WORDS and own_type not in {*KIND_WORDS, "Resource"}:
        own = body.pop("type", None)
        if own is not None and kind == "JobAgent":
            body.setdefault("agentType", own)
        del body["kind"]
        words.note(("kind",), f"kind is older; write type: {kind}")
        return kind
    found = body.pop("type", None)
    return str(found) if found is not None else None


def _selector(words: Words, holder: Body, key: str, path: Path) -> None:
    """`{cel: …}` is its text; a JSON selector cannot be said."""
    value = holder.get(key)
    if not isinstance(value, dict):
        return
    if set(value) == {"cel"}:
        holder[key] = value["cel"]
        words.note((*path, key), f"{key}: {{cel: …}} is older; write the text itself")
    elif "json" in value:
        words.refuse((*path, key), f"{key} by JSON is not understood; write it in CEL")
        del holder[key]


def _deployment(words: Words) -> None:
    body = words.body
    agent = body.get("jobAgent")
    if isinstance(agent, dict):
        named = agent.get("name") or agent.get("ref") or agent.get("id")
        if isinstance(named, str) and set(agent) <= {"name", "ref", "id", "config"}:
            body["jobAgent"] = named
            if agent.get("config") is not None:
                body.setdefault("jobAgentConfig", agent["config"])
            words.note(("jobAgent",), "jobAgent as an object is older; write its name, and jobAgentConfig beside it")
    if isinstance(body.get("jobAgentId"), str):
        body.setdefault("jobAgent", body.pop("jobAgentId"))
        words.note(("jobAgentId",), "jobAgentId is older; write jobAgent: and the agent's name")


def _job_agent(words: Words) -> None:
    config = words.body.get("config")
    if isinstance(config, dict) and "type" in config and "agentType" not in words.body:
        words.body["config"] = {key: value for key, value in config.items() if key != "type"}
        words.body["agentType"] = config["type"]
        words.note(("config", "type"), "config.type is older; write agentType")


def _policy(words: Words) -> None:
    body = words.body
    listed = body.get("selectors")
    if isinstance(listed, list) and "selector" not in body:
        parts = [_target(words, each, ("selectors", number)) for number, each in enumerate(listed)]
        del body["selectors"]
        body["selector"] = " || ".join(f"({part})" if len(parts) > 1 else part for part in parts) or "true"
        words.note(("selectors",), f"selectors are older; write selector: {body['selector']}")
    for number, rule in enumerate(body.get("rules") or () if isinstance(body.get("rules"), list) else ()):
        if isinstance(rule, dict):
            for kind, change in _RULES.items():
                if isinstance(rule.get(kind), dict):
                    change(words, rule[kind], ("rules", number, kind))


def _target(words: Words, listed: Any, path: Path) -> str:
    """One of a policy's older selectors: all that it says must be true."""
    said = []
    for short, long in (("deployments", "deploymentSelector"), ("environments", "environmentSelector")):
        said += _texts_of(words, listed, (short, long), path)
    said += _texts_of(words, listed, ("resources", "resourceSelector"), path)
    return " && ".join(f"({each})" if len(said) > 1 else each for each in said) or "true"


def _texts_of(words: Words, listed: Any, keys: tuple[str, str], path: Path) -> list[str]:
    found = []
    for key in keys if isinstance(listed, dict) else ():
        _selector(words, listed, key, path)
        if isinstance(listed.get(key), str) and listed[key].strip() not in {"", "true"}:
            found.append(listed[key])
    return found


def _seconds(value: Any) -> int | None:
    """`1h30m` as seconds; None for what is no such text."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if found is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def _renamed(words: Words, holder: Body, path: Path, *, old: str, new: str, unit_s: int = 0) -> None:
    """One key by its new name; a duration as text becomes a number of units."""
    if old not in holder or (new in holder and new != old):
        return
    value = holder[old]
    seconds = _seconds(value) if unit_s else None
    if old == new and seconds is None:
        return
    holder.pop(old)
    holder[new] = value if seconds is None else seconds // unit_s
    words.note((*path, old), f"{old} is older; write {new}: {holder[new]}")


def _progression(words: Words, rule: Body, path: Path) -> None:
    _selector(words, rule, "dependsOnEnvironmentSelector", path)
    _renamed(words, rule, path, old="minimumSockTimeMinutes", new="minimumSoakTimeMinutes")


def _window(words: Words, rule: Body, path: Path) -> None:
    _renamed(words, rule, path, old="allow", new="allowWindow")
    _renamed(words, rule, path, old="duration", new="durationMinutes", unit_s=60)


def _cooldown(words: Words, rule: Body, path: Path) -> None:
    _renamed(words, rule, path, old="duration", new="intervalSeconds", unit_s=1)


def _rollout(words: Words, rule: Body, path: Path) -> None:
    _renamed(words, rule, path, old="timeScaleInterval", new="timeScaleInterval", unit_s=1)
    if "rolloutType" not in rule and set(rule) <= {"timeScaleInterval"}:
        rule["rolloutType"] = "linear"
        words.note(path, "a rollout without rolloutType is older; write rolloutType: linear")


def _verification(words: Words, rule: Body, path: Path) -> None:
    for number, metric in enumerate(rule.get("metrics") or () if isinstance(rule.get("metrics"), list) else ()):
        if isinstance(metric, dict):
            _renamed(words, metric, (*path, "metrics", number), old="interval", new="intervalSeconds", unit_s=1)


def _relationship(words: Words) -> None:
    body = words.body
    if "matcher" in body and "cel" not in body:
        body["cel"] = body.pop("matcher")
        _selector(words, body, "cel", ())
        words.note(("matcher",), "matcher is older; write cel")
    for key in ("fromSelector", "toSelector"):
        if key in body:
            del body[key]
            words.refuse((key,), f"{key} has no place of its own; say it in cel, over from and to")
    for key in ("fromType", "toType", "relationshipType"):
        if key in body:
            del body[key]
            words.note((key,), f"{key} is not kept; cel says what is related")


def _variable_set(words: Words) -> None:
    listed = words.body.get("variables")
    if isinstance(listed, list) and all(isinstance(each, dict) and "key" in each for each in listed):
        words.body["variables"] = {str(each["key"]): each.get("value") for each in listed}
        words.note(("variables",), "variables as a list are the wire's; write an object, key to value")


_RULES: Mapping[str, Callable[[Words, Body, Path], None]] = {
    "environmentProgression": _progression,
    "deploymentWindow": _window,
    "versionCooldown": _cooldown,
    "gradualRollout": _rollout,
    "verification": _verification,
}
_KINDS: Mapping[str, Callable[[Words], None]] = {
    "Deployment": _deployment,
    "JobAgent": _job_agent,
    "Policy": _policy,
    "RelationshipRule": _relationship,
    "VariableSet": _variable_set,
}
