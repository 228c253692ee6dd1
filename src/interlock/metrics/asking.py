"""How does a provider ask a tool's JSON API? One call; whatever it answers is an answer, and no answer is an error.

For providers whose tool has an address and a token of its own; `http.py` and `prometheus.py` have more to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from interlock.metrics.filling import holds_template
from interlock.model.errors import ProviderUnavailable, Unavailable
from interlock.model.secret import is_reference
from interlock.model.wire import Fields
from interlock.outside.http import Http


async def ask_json(
    http: Http, url: str, *, headers: Mapping[str, str], timeout_s: float, verify_tls: bool = True
) -> tuple[dict[str, object], Any]:
    """Ask once.

    Gives: the fields of `result` that every answer has, and the body as JSON, None where it is none.
    Fails: `ProviderUnavailable` without a whole answer; `Rejected` for an address that may not be called.
    """
    try:
        answer = await http.send("GET", url, headers=headers, timeout_s=timeout_s, verify_tls=verify_tls)
    except Unavailable as silent:
        raise ProviderUnavailable(silent.message) from silent
    if answer.truncated:
        raise ProviderUnavailable(f"The answer is longer than {len(answer.body)} bytes.")
    try:
        parsed: Any = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        parsed = None
    ok = 200 <= answer.status < 300 and isinstance(parsed, dict)
    return {"ok": ok, "statusCode": answer.status, "duration": answer.duration_ms}, parsed


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
