"""Which keys does an agent's config have, and what may stand at each? One table an agent; all else is read from it.

    KEYS = (
        Key("serverUrl", Address(), "the server's address", needed="agent"),
        Key("apiKey", Secret(), "a token", needed="agent"),
        Key("prune", Flag(), "delete what Git no longer holds", default=False),
    )

From the table follow the check when a config is written, what a job still lacks, the table of the agent's page, and the
JSON Schema that clients read. A config is merged of an agent's, its deployment's and a version's, so a key has one of
three needs: none; on the agent itself, where nobody would know else where to go; on the job, wherever it comes from.

A `Shape` says what may stand at a key. It is the only thing that knows, so a new sort of value is one more class here.

Source: core.md section 5 (an agent has a config schema); decision record 0030.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from interlock.model.errors import FieldError, Invalid
from interlock.model.secret import is_reference
from interlock.outside.go_templates import check_template
from interlock.outside.templates import check_text

CheckUrl = Callable[[str], str | None]
"""Says why an address is none that Interlock calls; None where it is fine."""

TEXT_MAX = 65_536
MAP_MAX = 200


class Shape(Protocol):
    """What may stand at a key."""

    def says(self) -> str:
        """In words, after "Must be": `a text`."""
        ...

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        ...

    def wrong(self, value: object, field: str) -> list[FieldError]:
        """What is wrong with a value; empty where nothing is."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """A text, taken as it is.

    Takes: `choices` where only some are allowed; `filled` where it may hold placeholders (`{{ version.tag }}`).
    """

    choices: tuple[str, ...] = ()
    filled: bool = False
    empty: bool = True

    def says(self) -> str:
        """A text, or one of a few."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return "a text" if self.empty else "a text that is not empty"

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        if self.choices:
            return {"type": "string", "enum": list(self.choices)}
        return {"type": "string", "maxLength": TEXT_MAX, **({} if self.empty else {"minLength": 1})}

    def wrong(self, value: object, field: str) -> list[FieldError]:
        """Another type, another choice, too long, a placeholder that cannot be read."""
        if not isinstance(value, str) or (self.choices and value not in self.choices) or not (self.empty or value):
            return [FieldError(field, f"Must be {self.says()}.")]
        if len(value) > TEXT_MAX:
            return [FieldError(field, f"May have {TEXT_MAX} characters at most.")]
        return _refused(check_text, value, field) if self.filled else []


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that is sealed, or a reference to where it is."""

    def says(self) -> str:
        """A text."""
        return "a text or a secretRef"

    def schema(self) -> dict[str, Any]:
        """As JSON Schema: never to be shown."""
        return {"type": ["string", "object"], "writeOnly": True, "maxLength": TEXT_MAX}

    def wrong(self, value: object, field: str) -> list[FieldError]:
        """Another type."""
        if isinstance(value, str) or is_reference(value):
            return []
        return [FieldError(field, f"Must be {self.says()}.")]


@dataclass(frozen=True, slots=True)
class Address:
    """A URL that Interlock may call. Without a scheme it is https, where the agent says so."""

    bare: bool = False

    def says(self) -> str:
        """A URL."""
        return "a URL"

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        return {"type": "string", **({} if self.bare else {"format": "uri"})}

    def wrong(self, value: object, field: str) -> list[FieldError]:
        """Another type. Whether it may be called is asked by `check_keys`."""
        return [] if isinstance(value, str) and value else [FieldError(field, f"Must be {self.says()}.")]

    def whole(self, text: str) -> str:
        """The address with its scheme."""
        return f"https://{text}" if self.bare and "://" not in text else text


@dataclass(frozen=True, slots=True)
class Template:
    """A Go template over the job's context."""

    def says(self) -> str:
        """A Go template."""
        return "a Go template, as a text"

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        return {"type": "string", "contentMediaType": "text/x-go-template"}

    def wrong(self, value: object, field: str) -> list[FieldError]:
        """Another type, or one that cannot be read: its line is named."""
        if not isinstance(value, str):
            return [FieldError(field, f"Must be {self.says()}.")]
        return _refused(check_template, value, field)


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `least` to `most`; `above` where `least` itself is too small."""

    least: float
    most: float
    whole: bool = False
    above: bool = False

    def says(self) -> str:
        """A number in its range."""
        kind = "a whole number" if self.whole else "a number"
        if self.above:
            return f"{kind} above {self.least:g} and at most {self.most:.15g}"
        return f"{kind} from {self.least:g} to {self.most:.15g}"

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        low = {"exclusiveMinimum" if self.above else "minimum": self.least}
        return {"type": "integer" if self.whole else "number", **low, "maximum": self.most}

    def wrong(self, value: object, field: str) -> list[FieldError]:
        """Another type (true is no number), or out of range."""
        types = (int,) if self.whole else (int, float)
        if isinstance(value, types) and not isinstance(value, bool):
            enough = value > self.least if self.above else value >= self.least
            if enough and value <= self.most:
                return []
        return [FieldError(field, f"Must be {self.says()}.")]


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def says(self) -> str:
        """True or false."""
        return "true or false"

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        return {"type": "boolean"}

    def wrong(self, value: object, field: str) -> list[FieldError]:
        """Another type: "true" is a text."""
        return [] if isinstance(value, bool) else [FieldError(field, f"Must be {self.says()}.")]


@dataclass(frozen=True, slots=True)
class NumberOrName:
    """What a tool knows by a number or by a name: a workflow, an installation, a project."""

    def says(self) -> str:
        """Either."""
        return "a number, or a text that names it"

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        return {"type": ["integer", "string"], "minLength": 1}

    def wrong(self, value: object, field: str) -> list[FieldError]:
        """Neither."""
        fine = isinstance(value, int | str) and not isinstance(value, bool) and value != ""
        return [] if fine else [FieldError(field, f"Must be {self.says()}.")]


@dataclass(frozen=True, slots=True)
class TextMap:
    """Names to texts, which may hold placeholders where `filled`.

    Takes: `reserved` are names that may not be used, each with why.
    """

    items_max: int = MAP_MAX
    filled: bool = True
    reserved: tuple[tuple[str, str], ...] = ()

    def says(self) -> str:
        """A map."""
        return f"a map of at most {self.items_max} texts"

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        return {"type": "object", "maxProperties": self.items_max, "additionalProperties": {"type": "string"}}

    def wrong(self, value: object, field: str) -> list[FieldError]:
        """Another type, too many, what is no text, a name that is taken."""
        if not isinstance(value, Mapping) or len(value) > self.items_max:
            return [FieldError(field, f"Must be {self.says()}.")]
        found: list[FieldError] = []
        taken = dict(self.reserved)
        for name, text in value.items():
            at = f"{field}.{name}"
            if name in taken:
                found.append(FieldError(at, taken[name]))
            else:
                found += Text(filled=self.filled).wrong(text, at)
        return found


@dataclass(frozen=True, slots=True)
class TextList:
    """A list of texts, which may hold placeholders where `filled`."""

    items_max: int
    items_min: int = 0
    filled: bool = True
    what: str = "texts"

    def says(self) -> str:
        """A list."""
        return f"a list of {self.items_min} to {self.items_max} {self.what}"

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        return {
            "type": "array",
            "items": {"type": "string"},
            "minItems": self.items_min,
            "maxItems": self.items_max,
        }

    def wrong(self, value: object, field: str) -> list[FieldError]:
        """Another type, too few or many, what is no text."""
        if not isinstance(value, list | tuple) or not self.items_min <= len(value) <= self.items_max:
            return [FieldError(field, f"Must be {self.says()}.")]
        shape = Text(filled=self.filled)
        return [wrong for number, one in enumerate(value) for wrong in shape.wrong(one, f"{field}[{number}]")]


@dataclass(frozen=True, slots=True)
class Checked:
    """Anything with a shape of its own: the agent brings the check.

    Takes: `check(value, field)` gives what is wrong.
    """

    said: str
    check: Callable[[object, str], list[FieldError]]
    described: Mapping[str, Any]

    def says(self) -> str:
        """As the agent says it."""
        return self.said

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        return dict(self.described)

    def wrong(self, value: object, field: str) -> list[FieldError]:
        """As the agent says."""
        return self.check(value, field)


Need = Literal["no", "agent", "job"]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of an agent's config.

    Takes: `means` is its row on the agent's page. `default` is what holds where it is left out, None: nothing.
           `shown_default` says that in words. `needed`: on the agent itself, on the job from wherever, or not.
    """

    name: str
    shape: Shape
    means: str
    default: object = None
    needed: Need = "no"
    shown_default: str = ""


def check_keys(
    config: Mapping[str, object], keys: Sequence[Key], *, check_url: CheckUrl | None = None, open_ended: bool = False
) -> None:
    """Refuse a config that is written: unknown keys (unless `open_ended`), wrong values. A missing key is no error
    here.

    Fails: `Invalid` with the path of each wrong field, `config.inputs.region`.
    """
    wrong = wrong_keys(config, keys, check_url=check_url, open_ended=open_ended)
    if wrong:
        raise Invalid(f"{wrong[0].path}: {wrong[0].message}", fields=wrong)


def wrong_keys(
    config: Mapping[str, object],
    keys: Sequence[Key],
    *,
    check_url: CheckUrl | None = None,
    open_ended: bool = False,
    path: str = "config",
) -> list[FieldError]:
    """What is wrong with a config, by field."""
    key_by_name = {key.name: key for key in keys}
    wrong: list[FieldError] = []
    if not open_ended:
        allowed = ", ".join(sorted(key_by_name))
        wrong += [
            FieldError(f"{path}.{name}", f"Unknown key. Allowed: {allowed}.")
            for name in sorted(set(config) - set(key_by_name))
        ]
    for name, key in key_by_name.items():
        if name not in config:
            continue
        value, field = config[name], f"{path}.{name}"
        found = key.shape.wrong(value, field)
        if not found and isinstance(key.shape, Address) and check_url is not None:
            said = check_url(key.shape.whole(str(value)))
            found = [FieldError(field, said)] if said else []
        wrong += found
    return wrong


def missing_keys(config: Mapping[str, object], keys: Sequence[Key], *, of: Need) -> tuple[Key, ...]:
    """The keys that a config lacks: `of="agent"` those that must stand on the agent itself, `of="job"` all that a job
    needs.
    """
    wanted = {"agent"} if of == "agent" else {"agent", "job"}
    return tuple(key for key in keys if key.needed in wanted and config.get(key.name) in (None, ""))


def check_complete(config: Mapping[str, object], keys: Sequence[Key]) -> None:
    """Refuse an agent's own config that lacks what must stand there.

    Fails: `Invalid` with each missing key and what belongs there.
    """
    missing = missing_keys(config, keys, of="agent")
    wrong = [FieldError(f"config.{key.name}", f"Is missing. Must be {key.shape.says()}.") for key in missing]
    if wrong:
        raise Invalid(f"{wrong[0].path}: {wrong[0].message}", fields=wrong)


def lacking(config: Mapping[str, object], keys: Sequence[Key]) -> str | None:
    """What a job's merged config lacks, as a sentence; None where it has all it needs."""
    missing = missing_keys(config, keys, of="job")
    return f"The job's config lacks {', '.join(key.name for key in missing)}." if missing else None


def schema_of(keys: Sequence[Key], *, open_ended: bool = False) -> dict[str, Any]:
    """A config as JSON Schema (2020-12); `required` is what must stand on the agent itself."""
    properties = {}
    for key in keys:
        described = {**key.shape.schema(), "description": key.means.replace("`", "")}
        if key.default is not None:
            described["default"] = key.default
        properties[key.name] = described
    return {
        "type": "object",
        "properties": properties,
        "required": [key.name for key in keys if key.needed == "agent"],
        "additionalProperties": open_ended,
    }


def table_of(keys: Sequence[Key], *, open_ended: bool = False) -> str:
    """The keys as a table of the agent's page."""
    rows = [f"| `{key.name}` | {_default(key)} | {key.means} |" for key in keys]
    if open_ended:
        rows.append("| any other | | not read by Interlock; whoever does the job sees it as `jobAgentConfig` |")
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows])


def _default(key: Key) -> str:
    if key.needed == "agent":
        return "required on the agent"
    if key.needed == "job":
        return "required"
    if key.shown_default:
        return key.shown_default
    if key.default is None:
        return ""
    if isinstance(key.default, bool):
        return "true" if key.default else "false"
    return f"`{key.default}`" if isinstance(key.default, str) else str(key.default)


def _refused(check: Callable[..., None], value: str, field: str) -> list[FieldError]:
    """What a check that raises has against a value."""
    try:
        check(value, field=field)
    except Invalid as refused:
        return list(refused.fields)
    return []
