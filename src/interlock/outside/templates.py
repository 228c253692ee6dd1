"""How does a job's context get into a configured text? By dotted paths between double braces, and nothing more.

    {{ resource.name }}   {{.version.tag}}   http://127.0.0.1:{{ resource.config.port }}/healthz

A path walks through maps (by key) and lists (by number); the leading dot is optional, so that a text written for Go
templates reads the same. The value must be a text, a number or a boolean. There are no functions, conditions or loops.
A path that leads nowhere is an error, never an empty text: half an address or half a command must not be used.

Full Go templates (for the agents that render manifests) come with `gotpl`, in a killable process; this file then keeps
its two functions for argv, environment values and URLs, where a template language would be a risk without a use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from interlock.model.errors import Invalid, Rejected

_HOLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_PATH = re.compile(r"\.?[A-Za-z_][\w-]*(?:\.[\w-]+)*")
_LENGTH_MAX = 64 * 1024


def check_text(text: str, *, field: str) -> None:
    """Refuse a text whose placeholders are not dotted paths, when it is written.

    Fails: `Invalid` with the field's path.
    """
    for hole in _HOLE.finditer(text):
        if not _PATH.fullmatch(hole.group(1).strip()):
            raise Invalid(
                f"`{hole.group(0)}` is not a placeholder. Write a dotted path, like {{{{ resource.name }}}}.",
                field=field,
            )
    rest = _HOLE.sub("", text)
    if "{{" in rest or "}}" in rest:
        raise Invalid("A placeholder's braces do not match. Write {{ resource.name }}.", field=field)


def render_text(text: str, context: Mapping[str, object], *, field: str) -> str:
    """The text with each placeholder replaced by what the context has at its path.

    Fails: `Rejected` naming the field and the path when it leads nowhere, or to a map, a list or null.
    """

    def fill(hole: re.Match[str]) -> str:
        path = hole.group(1).strip().removeprefix(".")
        if not _PATH.fullmatch(path):
            raise Rejected(f"{field}: `{hole.group(0)}` is not a placeholder.")
        return _as_text(_look_up(path, context, field=field), path=path, field=field)

    rendered = _HOLE.sub(fill, text)
    if len(rendered) > _LENGTH_MAX:
        raise Rejected(f"{field}: the text is longer than {_LENGTH_MAX} characters after its placeholders were filled.")
    return rendered


def _look_up(path: str, context: Mapping[str, object], *, field: str) -> object:
    """Walk the path. Values that are only found under the longest key (`metadata` keys with dots) are found too."""
    value: object = context
    steps = path.split(".")
    for number, step in enumerate(steps):
        if isinstance(value, Mapping):
            rest = ".".join(steps[number:])
            if rest in value:
                return value[rest]
            if step in value:
                value = value[step]
                continue
        elif isinstance(value, Sequence) and not isinstance(value, str) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
            continue
        known = ".".join(steps[:number]) or "the context"
        raise Rejected(f"{field}: there is no `{path}` (`{step}` is not in {known}).")
    return value


def _as_text(value: object, *, path: str, field: str) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
        case _:
            raise Rejected(f"{field}: `{path}` is not a text, a number or a boolean.")
