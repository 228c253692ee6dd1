"""How does a provider ask a tool's JSON API? One call. What it says is an answer; that it says nothing is an error.

A tool that refuses, breaks, redirects or talks of something else has not told anything about the service: such a
measurement is errored, with the tool's own words, and never failed. The provider `http` is another matter: there the
service itself is called, and its status is the answer.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import orjson

from interlock.metrics.filling import holds_template
from interlock.model.errors import ProviderUnavailable, Unavailable
from interlock.model.secret import is_reference
from interlock.model.wire import Fields
from interlock.outside.http import Answer, Http

TOLD_MAX = 300
"""So many characters of a tool's words are told."""


async def ask_json(
    http: Http,
    url: str,
    *,
    headers: Mapping[str, str],
    timeout_s: float,
    verify_tls: bool = True,
    answers: Collection[int] = (),
) -> tuple[dict[str, object], Any]:
    """Ask once.

    Takes: `answers` are the statuses that tell something of what is measured, beside 200 to 299.
    Gives: the fields of `result` that every answer has, and the body's JSON object; None with such a status.
    Fails: as `read_json`; `Rejected` for an address that may not be called.
    """
    try:
        answer = await http.send("GET", url, headers=headers, timeout_s=timeout_s, verify_tls=verify_tls)
    except Unavailable as silent:
        raise ProviderUnavailable(silent.message) from silent
    ok = answer.status not in answers
    return {"ok": ok, "statusCode": answer.status, "duration": answer.duration_ms}, read_json(answer) if ok else None


def read_json(answer: Answer) -> Any:
    """The JSON object that a tool answered with.

    Why:   a tool that does not say what was asked for says nothing about what is measured: no failure, an error.
    Fails: `ProviderUnavailable` with the tool's own words for another status, for a redirect, for what is too long or
           no JSON object.
    """
    if 300 <= answer.status < 400:
        where = next((value for name, value in answer.headers if name == "location"), "")
        raise ProviderUnavailable(f"It redirects ({answer.status}) to {where[:TOLD_MAX]!r}, which is not followed.")
    if answer.truncated:
        raise ProviderUnavailable(f"The answer is longer than {len(answer.body)} bytes.")
    try:
        parsed: Any = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        parsed = None
    if not 200 <= answer.status < 300:
        said = words_of(parsed) or " ".join(answer.text[: TOLD_MAX * 2].split())[:TOLD_MAX]
        credentials = " It refused the credentials." if answer.status == 401 else ""
        raise ProviderUnavailable(f"It answered {answer.status}{f': {said}' if said else ''}.{credentials}")
    if not isinstance(parsed, dict):
        raise ProviderUnavailable(f"It answered {answer.status} with what is no JSON object.")
    return parsed


def words_of(parsed: Any) -> str:
    """What a tool says of its no: `error` and `message` as most name it, or `errors`, the first of them."""
    if not isinstance(parsed, Mapping):
        return ""
    listed = parsed.get("errors")
    first = listed[0] if isinstance(listed, list) and listed else None
    if isinstance(first, Mapping):
        first = first.get("detail") or first.get("title")
    for one in (parsed.get("error"), parsed.get("message"), first):
        if isinstance(one, str) and one:
            return " ".join(one.split())[:TOLD_MAX].rstrip(".")
    return ""


def check_texts(fields: Fields, names: tuple[str, ...], *, needed: tuple[str, ...] = ()) -> dict[str, str]:
    """Take texts; `needed` are those without which nothing can be asked."""
    return {name: fields.text(name, required=name in needed) for name in names}


def check_secret(fields: Fields, name: str) -> None:
    """Take a secret that must be there: a text, or a reference to where it is."""
    value = fields.anything(name)
    if not (isinstance(value, str) and value) and not is_reference(value):
        fields.wrong(name, "is required: a text or a secretRef")


def check_address(fields: Fields, http: Http, name: str, address: str) -> None:
    """Refuse an address that Interlock does not call, where it is known before it is filled."""
    if address and not holds_template(address) and (wrong := http.check_url(address)):
        fields.wrong(name, wrong)


def texts_of(config: Mapping[str, object], names: tuple[str, ...]) -> tuple[str, ...]:
    """Texts of the config, "" for those that it has not."""
    return tuple(str(config.get(name) or "") for name in names)


def map_in(document: object, *path: str) -> Mapping[str, Any]:
    """The map at a path of a JSON document; empty where there is none."""
    for step in path:
        document = document.get(step) if isinstance(document, Mapping) else None
    return document if isinstance(document, Mapping) else {}


def is_number(value: object) -> bool:
    """Whether a value is a number to judge by: no truth value, not NaN, not without end."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
