"""What does a job ask of people, and is what they hand in what was asked for?

A **task** is a job that a person does: instructions to read, fields to hand in as evidence, a person or a group who may
answer, and perhaps an instant by which it is wanted. Evidence is declared before it is asked for, so that "it was done"
comes with what shows it, in a form that a program can read later.

Pure. What a form or a command line hands in is text and is read by the field's type (`typed`); what comes as JSON has
its type already. Both are checked by the same function.

Source: core.md section 5, class "asked"; issue 5, "manual".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from interlock.model.canonical import digest
from interlock.model.errors import FieldError, Invalid

FIELDS_MAX = 20
NAME_MAX = 60
LABEL_MAX = 200
INSTRUCTIONS_MAX = 20_000
TEXT_MAX = 4_000
URL_MAX = 2_000
OPTIONS_MAX = 50
DUE_MINUTES_MAX = 366 * 24 * 60
COMMENT_MAX = 4_000

TYPES = ("text", "url", "number", "boolean", "choice")
ON_OVERDUE = ("wait", "fail")

_URL = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]\\]+)(:\d{1,5})?([/?#]\S*)?", re.IGNORECASE)
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_LIMITS = {"text": ("maxLength",), "number": ("minimum", "maximum"), "choice": ("options",)}
_OF_ALL = ("label", "name", "required", "type")


@dataclass(frozen=True, slots=True)
class EvidenceField:
    """One thing that whoever completes a task hands in.

    Takes: `minimum` and `maximum` are limits of a number, `length_max` of a text; `options` are those of a choice.
    """

    name: str
    type: str
    label: str = ""
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    length_max: int = TEXT_MAX
    options: tuple[str, ...] = ()

    @property
    def wanted(self) -> str:
        """What it takes, in words."""
        match self.type:
            case "url":
                return "an http or https address"
            case "number":
                return f"a number{_between(self.minimum, self.maximum)}"
            case "boolean":
                return "true or false"
            case "choice":
                return f"one of {', '.join(self.options)}"
            case _:
                return f"a text of at most {self.length_max:,} characters"

    def document(self) -> dict[str, Any]:
        """As a config writes it."""
        written: dict[str, Any] = {"name": self.name, "type": self.type, "label": self.label or None}
        written |= {"required": self.required or None, "minimum": self.minimum, "maximum": self.maximum}
        written |= {"maxLength": self.length_max if self.length_max != TEXT_MAX else None}
        written |= {"options": list(self.options) or None}
        return {key: value for key, value in written.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Asked:
    """What an agent asks people to do for a job.

    Takes: `instructions` as people read them. `assignee` and `group` are names; with neither, whoever may answer tasks
           there may answer this one. `due_s` counts from the instant at which people are asked.
    """

    instructions: str
    assignee: str | None = None
    group: str | None = None
    evidence: tuple[EvidenceField, ...] = ()
    due_s: float | None = None
    on_overdue: str = "wait"


@dataclass(frozen=True, slots=True)
class Task:
    """A job that people do, as it stands.

    Takes: `evidence` are its fields in order, `given` what was handed in. What it is about is named; a job of a
           workflow's run names that. `answer` is completed or rejected. `is_assignee` and `is_in_group` say whether the
           one who looks is the assignee, or in the group, now.
    """

    job_id: str
    status: str
    instructions: str
    assignee_id: str | None
    assignee: str | None
    group: str | None
    evidence: tuple[EvidenceField, ...]
    due_at: datetime | None
    on_overdue: str
    overdue_at: datetime | None
    asked_at: datetime
    taken_by: str | None
    taken_at: datetime | None
    answer: str | None
    answered_by: str | None
    answered_at: datetime | None
    given: Mapping[str, Any]
    comment: str | None
    deployment: str | None = None
    environment: str | None = None
    resource: str | None = None
    version: str | None = None
    workflow: str | None = None
    is_assignee: bool = False
    is_in_group: bool = False

    @property
    def open(self) -> bool:
        """Whether it still waits for an answer."""
        return self.answer is None and self.status in {"queued", "inProgress", "actionRequired"}

    @property
    def about(self) -> str:
        """Where it is, and with what: DEPLOYMENT/ENVIRONMENT/RESOURCE VERSION, or the workflow."""
        named = (self.workflow, self.resource) if self.workflow else (self.deployment, self.environment, self.resource)
        place = "/".join(each for each in named if each)
        return f"{place} {self.version}" if self.version else place

    @property
    def who(self) -> str:
        """Who may answer it, in words."""
        named = [self.assignee] if self.assignee else []
        named += [f"the group {self.group}"] if self.group else []
        return " or ".join(named) or "whoever may answer tasks here"

    @property
    def is_asked(self) -> bool:
        """Whether the one who looks is whom it asks."""
        return self.is_assignee or self.is_in_group or not (self.assignee or self.group)


def fields_of(config: object, *, at: str) -> tuple[tuple[EvidenceField, ...], list[FieldError]]:
    """The fields that a config declares, and what is wrong with them."""
    if not isinstance(config, Sequence) or isinstance(config, str):
        return (), [FieldError(at, "Must be a list of fields.")]
    if len(config) > FIELDS_MAX:
        return (), [FieldError(at, f"May have {FIELDS_MAX} fields at most.")]
    wrong: list[FieldError] = []
    for number, each in enumerate(config):
        wrong += _wrong_field(each, at=f"{at}[{number}]")
    if wrong:
        return (), wrong
    names = [each["name"] for each in config]
    wrong = [
        FieldError(f"{at}[{number}].name", f"{name!r} stands there twice.")
        for number, name in enumerate(names)
        if name in names[:number]
    ]
    return tuple(map(read_field, config)), wrong


def read_field(written: Mapping[str, Any]) -> EvidenceField:
    """A field that was checked before."""
    return EvidenceField(
        name=written["name"],
        type=written["type"],
        label=written.get("label") or "",
        required=written.get("required") is True,
        minimum=written.get("minimum"),
        maximum=written.get("maximum"),
        length_max=written.get("maxLength", TEXT_MAX),
        options=tuple(written.get("options") or ()),
    )


def typed(fields: Sequence[EvidenceField], texts: Mapping[str, str]) -> dict[str, Any]:
    """Evidence that was handed in as text: an empty one was not handed in.

    Fails: `Invalid` with the path of each that is no number, or neither yes nor no.
    """
    by_name = {each.name: each for each in fields}
    values: dict[str, Any] = {}
    wrong: list[FieldError] = []
    for name, text in texts.items():
        field, said = by_name.get(name), text.strip()
        if field is None:
            values[name] = text  # refused by name, with the others
        elif said and field.type in _READERS:
            value = _READERS[field.type](said)
            if value is None:
                wrong.append(FieldError(f"evidence.{name}", f"Must be {field.wanted}."))
            values[name] = value
        elif said:
            values[name] = said
    if wrong:
        raise Invalid(f"{wrong[0].path}: {wrong[0].message}", fields=wrong)
    return values


def checked_evidence(fields: Sequence[EvidenceField], given: Mapping[str, Any]) -> dict[str, Any]:
    """What was handed in, when it is what was asked for; in the order of the fields.

    Fails: `Invalid` with the path of each field that is missing, unknown or not as declared.
    """
    by_name = {each.name: each for each in fields}
    allowed = ", ".join(by_name) or "none is asked for"
    wrong = [
        FieldError(f"evidence.{name[:NAME_MAX]}", f"Unknown evidence. Allowed: {allowed}.")
        for name in given
        if name not in by_name
    ]
    for field in fields:
        value = given.get(field.name)
        if value is None or value == "":
            wrong += [FieldError(f"evidence.{field.name}", f"Is missing: {field.wanted}.")] if field.required else []
        elif not _fits(field, value):
            wrong.append(FieldError(f"evidence.{field.name}", f"Must be {field.wanted}."))
    if wrong:
        raise Invalid(f"{wrong[0].path}: {wrong[0].message}", fields=wrong)
    return {name: given[name] for name in by_name if given.get(name) not in (None, "")}


def told_evidence(fields: Sequence[EvidenceField], given: Mapping[str, Any]) -> dict[str, Any]:
    """What the ledger keeps of evidence: values that are no free text, and the digest of everything.

    Why:    the ledger never changes and a text may name people; it stays with the job, where it can be erased, and the
            digest says whether it is still what was handed in.
    """
    plain = {each.name: given[each.name] for each in fields if each.type != "text" and each.name in given}
    return {"evidence": plain, "evidenceDigest": digest(dict(given))} if given else {}


def _wrong_field(written: object, *, at: str) -> list[FieldError]:
    if not isinstance(written, Mapping):
        return [FieldError(at, "Must be an object with name and type.")]
    name, kind = written.get("name"), written.get("type")
    wrong = []
    if not isinstance(name, str) or not name.strip() or len(name) > NAME_MAX or "\x00" in name:
        wrong.append(FieldError(f"{at}.name", f"Must be a text of 1 to {NAME_MAX} characters."))
    if kind not in TYPES:
        return [*wrong, FieldError(f"{at}.type", f"Must be one of {', '.join(TYPES)}.")]
    known = {*_OF_ALL, *_LIMITS.get(str(kind), ())}
    wrong += [
        FieldError(f"{at}.{key}", f"Unknown key of a {kind}. Allowed: {', '.join(sorted(known))}.")
        for key in sorted(set(written) - known)
    ]
    for key, fits, said in _KEYS:
        if key in written and key in known and not fits(written[key]):
            wrong.append(FieldError(f"{at}.{key}", said))
    if kind == "choice" and "options" not in written:
        wrong.append(FieldError(f"{at}.options", "A choice needs its options."))
    low, high = written.get("minimum"), written.get("maximum")
    if not wrong and low is not None and high is not None and low > high:
        wrong.append(FieldError(f"{at}.maximum", "Must be no less than minimum."))
    return wrong


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_options(value: object) -> bool:
    if (
        not isinstance(value, list | tuple)
        or not 1 <= len(value) <= OPTIONS_MAX
        or len(set(map(str, value))) < len(value)
    ):
        return False
    return all(isinstance(each, str) and each.strip() == each != "" and len(each) <= LABEL_MAX for each in value)


_KEYS: Sequence[tuple[str, Callable[[Any], bool], str]] = (
    ("label", lambda it: isinstance(it, str) and len(it) <= LABEL_MAX, f"Must be a text of at most {LABEL_MAX}."),
    ("required", lambda it: isinstance(it, bool), "Must be true or false."),
    ("minimum", _is_number, "Must be a number."),
    ("maximum", _is_number, "Must be a number."),
    (
        "maxLength",
        lambda it: isinstance(it, int) and not isinstance(it, bool) and 1 <= it <= TEXT_MAX,
        f"Must be a whole number from 1 to {TEXT_MAX}.",
    ),
    ("options", _is_options, f"Must be 1 to {OPTIONS_MAX} different texts."),
)


def _fits(field: EvidenceField, value: object) -> bool:
    match field.type:
        case "url":
            return isinstance(value, str) and _is_url(value)
        case "number":
            return isinstance(value, int | float) and _is_number(value) and _within(field, value)
        case "boolean":
            return isinstance(value, bool)
        case "choice":
            return value in field.options
        case _:
            return isinstance(value, str) and 0 < len(value.strip()) <= field.length_max and "\x00" not in value


def _within(field: EvidenceField, value: float) -> bool:
    return (field.minimum is None or value >= field.minimum) and (field.maximum is None or value <= field.maximum)


def _is_url(text: str) -> bool:
    """An address without a name or password in it: what is handed in is read by many."""
    return len(text) <= URL_MAX and text.isprintable() and _URL.fullmatch(text) is not None


def _between(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    return f" of at least {low:g}" if low is not None else f" of at most {high:g}" if high is not None else ""


def _number(text: str) -> float | int | None:
    try:
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        return None


_READERS: Mapping[str, Callable[[str], Any]] = {"number": _number, "boolean": lambda text: _WORDS.get(text.lower())}
