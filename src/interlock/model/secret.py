"""Which fields are secret, what stands in their place, and who sees what? The one table, and the walk over a document.

A secret's value stands in no document. Where one was written, the stored document holds a *marker*:

    {"$secret": "4c1f0a9e-…"}

The id is a keyed digest of workspace and value (`store/secrets.py` makes it and keeps the sealed value under it). So
the same value is the same marker: whatever is digested over a document (a config, a release, a policy's revision)
changes when the value changes, and stays when it is only sealed again. Without the key nobody can try values against
it.

No client says a marker: a body that holds one is refused at the door (`web/bodies.py`), whatever it is for.

Who may write an object reads its secrets in full. Everybody else sees the *mark*, `••••` and the first eight digits of
the id; so does everything that is not an answer to a writer: the ledger, decisions, traces, logs, errors, pages, CEL. A
write that holds the mark keeps the value that is stored in that object.

A *reference* is no secret, it says where one is, and is shown to everybody:

    {"secretRef": {"provider": "vault", "path": "shop/db", "key": "password"}}

Source: issue 4, "Secrets"; decision record 0022.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from interlock.model.errors import FieldError, Invalid
from interlock.model.ids import is_id

MARKER = "$secret"
REFERENCE = "secretRef"
MASK = "••••"
DIGITS = 8

REFERENCE_MAX = 512

HIDDEN_MIN = 6
"""The shortest text that is looked for in what an agent or a provider says."""

Path: TypeAlias = tuple[str, ...]

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_MARK = re.compile(rf"{MASK}([0-9a-f]{{{DIGITS}}})")


class Where(StrEnum):
    """The kinds of documents that may hold secrets."""

    AGENT_CONFIG = "agent config"
    """Of an agent, a deployment (`jobAgentConfig`, `jobAgents[].config`), a version, a workflow's job."""
    RULES = "rules"
    """A policy's rules: what a metric's `provider` needs to sign in."""


@dataclass(frozen=True, slots=True)
class SecretField:
    """One line of the table: in such documents, what stands at this name, at any depth, is secret with all beneath it.

    Takes: `kinds` are the agent types or metric providers that it is known from; the name is secret for others too,
           because a config may be written before its type is known.
    """

    where: Where
    name: str
    kinds: tuple[str, ...]


SECRET_FIELDS: tuple[SecretField, ...] = (
    SecretField(Where.AGENT_CONFIG, "apiKey", ("argo-cd", "argo-workflow")),
    SecretField(Where.AGENT_CONFIG, "token", ("github-app", "gitlab", "http-pull", "tfe")),
    SecretField(Where.AGENT_CONFIG, "webhookSecret", ("argo-workflow", "github-app", "tfe")),
    SecretField(Where.AGENT_CONFIG, "privateKey", ("github-app",)),
    SecretField(Where.AGENT_CONFIG, "kubeconfig", ("kubernetes",)),
    SecretField(Where.AGENT_CONFIG, "clientSecret", ()),
    SecretField(Where.AGENT_CONFIG, "password", ()),
    SecretField(Where.AGENT_CONFIG, "secret", ("webhook",)),
    SecretField(Where.AGENT_CONFIG, "headers", ("webhook",)),
    SecretField(Where.AGENT_CONFIG, "secrets", ("exec", "http-pull")),
    SecretField(Where.RULES, "apiKey", ("datadog",)),
    SecretField(Where.RULES, "appKey", ("datadog",)),
    SecretField(Where.RULES, "headers", ("http", "prometheus")),
    SecretField(Where.RULES, "kubeconfig", ("kubernetes",)),
    SecretField(Where.RULES, "bearerToken", ("prometheus",)),
    SecretField(Where.RULES, "clientSecret", ("prometheus",)),
    SecretField(Where.RULES, "token", ("argocd", "terraformCloudRun")),
    SecretField(Where.RULES, "password", ("prometheus",)),
)
"""Every secret field. A sensitive variable (`sensitive: true`) is secret as a whole, and needs no line here."""

HARMLESS_HEADERS = frozenset({"accept", "accept-language", "content-type", "user-agent"})
"""Request headers that hold no credentials: shown as they are."""

_NAMES = {where: frozenset(one.name for one in SECRET_FIELDS if one.where is where) for where in Where}


def is_secret(where: Where, path: Path) -> bool:
    """Whether what stands at this path of such a document is secret. List positions are no steps of the path."""
    if where is Where.RULES and "provider" not in path:
        return False
    for place, step in enumerate(path):
        if step in _NAMES[where]:
            return step != "headers" or _is_secret_header(path[place + 1 :])
    return False


def _is_secret_header(below: Path) -> bool:
    """A header's value: `headers.<name>`, or `headers[].value` beside its `key`; a text in place of the map too."""
    return not below or (below[-1] not in {"key", "name"} and below[-1].lower() not in HARMLESS_HEADERS)


# Markers, marks, references -------------------------------------------------------------------------------------------


def marker(secret_id: str) -> dict[str, str]:
    """What stands in a stored document in place of a secret."""
    return {MARKER: secret_id}


def is_marker(value: object) -> bool:
    """Whether a value of a stored document stands for a secret."""
    return isinstance(value, Mapping) and len(value) == 1 and MARKER in value


def is_reference(value: object) -> bool:
    """Whether a value says where a secret is to be had."""
    return isinstance(value, Mapping) and len(value) == 1 and isinstance(value.get(REFERENCE), Mapping)


def is_whole(value: object) -> bool:
    """Whether a map is one value, a secret or a reference, that no other map is merged into."""
    return is_marker(value) or is_reference(value)


def mark(secret_id: str) -> str:
    """What a reader sees of a secret. One that has no value yet is the mask alone."""
    return f"{MASK}{secret_id[:DIGITS]}"


def digits_of(text: object) -> str | None:
    """The digits of a mark that somebody wrote back; None where the text is none. The bare mask has none: ``""``."""
    if text == MASK:
        return ""
    found = _MARK.fullmatch(text) if isinstance(text, str) else None
    return found[1] if found else None


def is_masked(value: Any) -> bool:
    """Whether marks stand anywhere in a value: it is what somebody may see of a secret, and none itself."""
    if isinstance(value, Mapping):
        return any(map(is_masked, value.values()))
    if isinstance(value, list | tuple):
        return any(map(is_masked, value))
    return digits_of(value) is not None


def check_reference(value: Mapping[str, Any], *, field: str) -> None:
    """Refuse a reference that is not `{provider, path, key?}` in text.

    Fails: `Invalid` on the field.
    """
    inner = value[REFERENCE]
    for name in ("provider", "path", "key"):
        text = inner.get(name)
        if text is None and name == "key":
            continue
        if not isinstance(text, str) or not text.strip() or len(text) > REFERENCE_MAX:
            raise _refused(f"{field}.{REFERENCE}.{name}", f"must be text of 1 to {REFERENCE_MAX} characters")
    unknown = sorted(set(inner) - {"provider", "path", "key"})
    if unknown:
        raise _refused(f"{field}.{REFERENCE}.{unknown[0]}", "is not known here")


# The walk -------------------------------------------------------------------------------------------------------------


def masked(value: Any) -> Any:
    """A document with its marks in place of its secrets: what anybody may see."""
    return _walked(value, mark)


def filled(value: Any, values_by_id: Mapping[str, Any]) -> Any:
    """A document with its values in place of its markers; one whose value is not given stays masked."""
    return _walked(value, lambda secret_id: values_by_id[secret_id] if secret_id in values_by_id else mark(secret_id))


def _walked(value: Any, put: Callable[[str], Any]) -> Any:
    if isinstance(value, Mapping):
        if is_marker(value):
            return put(str(value[MARKER]))
        return {key: _walked(inner, put) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_walked(inner, put) for inner in value]
    return value


def ids_in(value: Any) -> Iterator[str]:
    """The secrets that a document stands on, each as often as it is there."""
    if isinstance(value, Mapping):
        if is_marker(value):
            yield str(value[MARKER])
            return
        for inner in value.values():
            yield from ids_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from ids_in(inner)


def references_in(value: Any) -> Iterator[Mapping[str, Any]]:
    """The references of a document, as `{provider, path, key?}`, each as often as it is there."""
    if is_reference(value):
        yield value[REFERENCE]
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from references_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from references_in(inner)


def spoken(reference: Mapping[str, Any]) -> str:
    """A reference in words: `vault:shop/db#password`."""
    key = f"#{reference['key']}" if reference.get("key") else ""
    return f"{reference['provider']}:{reference['path']}{key}"


def resolved(value: Any, found: Callable[[Mapping[str, Any]], Any]) -> Any:
    """A document with what its references lead to."""
    if is_reference(value):
        return found(value[REFERENCE])
    if isinstance(value, Mapping):
        return {key: resolved(inner, found) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [resolved(inner, found) for inner in value]
    return value


def sealed(
    document: Any, *, where: Where, before: Any = None, seal: Callable[[Any], str], field: str = "config"
) -> Any:
    """A document as a client sent it, with markers in place of its secrets.

    Takes: `before` is the stored object that it replaces: a mark keeps the secret of it that it belongs to. `seal`
           gives the id of a value. `field` is the document's path in the request.
    Fails: `Invalid` for a mark of nothing that is stored there, a marker that a client made up, a malformed reference.
    """
    kept = {mark(each): each for each in ids_in(before)}

    def walk(value: Any, path: Path, at: str) -> Any:
        if is_reference(value):
            check_reference(value, field=at)
            return value
        if isinstance(value, Mapping):
            if MARKER in value:
                raise _refused(f"{at}.{MARKER}", "is a word of ours; write the value")
            return {key: walk(inner, (*path, str(key)), f"{at}.{key}") for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [walk(inner, path, f"{at}[{place}]") for place, inner in enumerate(value)]
        if value is None or value == "" or not is_secret(where, path):
            return value
        return marker(_id_of(value, kept, seal, at))

    return walk(document, (), field)


def sealed_value(value: Any, *, before: Any = None, seal: Callable[[Any], str], field: str = "value") -> Any:
    """A value that is secret as a whole: the marker of it. References stay.

    Fails: as `sealed`.
    """
    if is_reference(value):
        check_reference(value, field=field)
        return value
    return marker(_id_of(value, {mark(each): each for each in ids_in(before)}, seal, field))


def _id_of(value: Any, kept: Mapping[str, str], seal: Callable[[Any], str], field: str) -> str:
    if digits_of(value) is None:
        return seal(value)
    if value not in kept:
        raise _refused(field, f"{value} stands for a secret that is not stored here; write the value itself")
    return kept[value]


def hidden(text: str, values_by_mark: Mapping[str, Any]) -> str:
    """A text that came from outside, with marks where it repeats one of these values.

    Why:   a tool may print what it was given. Short texts are left alone: they stand in every text by chance.
    Takes: each value also as JSON and addresses write it and in Base64, and a text of several lines line by line.
    """
    forms = {form: shown for shown, value in values_by_mark.items() for form in _forms(value)}
    for form in sorted(forms, key=len, reverse=True):  # one may begin another
        text = text.replace(form, forms[form])
    return text


def hidden_all(value: Any, values_by_mark: Mapping[str, Any]) -> Any:
    """The same for all texts of a JSON value, keys too."""
    match value:
        case str():
            return hidden(value, values_by_mark)
        case Mapping():
            return {hidden(str(key), values_by_mark): hidden_all(inner, values_by_mark) for key, inner in value.items()}
        case list() | tuple():
            return [hidden_all(inner, values_by_mark) for inner in value]
        case _:
            return value


def _forms(value: Any) -> Iterator[str]:
    """How a value may turn up in a text."""
    if isinstance(value, str):
        forms = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], value.strip()}
        if "\n" in value:
            forms |= {line.strip() for line in value.splitlines()}
        else:
            forms |= {
                _percent(value),
                _percent(value).replace("%20", "+"),
                b64encode(value.encode(errors="replace")).decode(),
            }
        yield from (form for form in forms if len(form) >= HIDDEN_MIN)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _forms(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _forms(inner)
    elif not isinstance(value, bool) and value is not None and len(str(value)) >= HIDDEN_MIN:
        yield str(value)


def _percent(text: str) -> str:
    """As an address says it."""
    return "".join(
        one if one in _UNRESERVED else "".join(f"%{byte:02X}" for byte in one.encode(errors="replace")) for one in text
    )


def refuse_markers(value: Any, *, field: str = "") -> None:
    """Refuse the word of ours in a document that a client wrote.

    Takes: `field` is the document's path in the request; none for the whole of it.
    Fails: `Invalid` on the field.
    """
    if isinstance(value, Mapping):
        under = f"{field}." if field else ""
        if MARKER in value:
            raise _refused(f"{under}{MARKER}", "is a word of ours; write the value")
        for key, inner in value.items():
            refuse_markers(inner, field=f"{under}{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for place, inner in enumerate(value):
            refuse_markers(inner, field=f"{field}[{place}]")


def names_a_secret(secret_id: str) -> bool:
    """Whether a marker's id can be one at all: nothing else is looked up."""
    return is_id(secret_id)


def _refused(field: str, message: str) -> Invalid:
    return Invalid(f"{field} {message}.", fields=[FieldError(field, message)])
