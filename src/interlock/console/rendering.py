"""How does a page become HTML? Jinja2 with escaping on and strict names, few filters, and the headers every page gets.

Nothing is inline: the policy in `HEADERS` allows scripts and styles from this address alone, so a name that carries
markup stays text even where a template would forget it.

Instants are absolute and marked up as such; also those within sentences that `decide/explain.py` made.

Source: DESIGN.md section 8, "console"; W3C CSP Level 3; HTML Living Standard, "The time element".
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from interlock.model.version_facts import version_facts

STATIC = Path(__file__).parent / "static"

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_MARKED = re.compile(r"`(?P<code>[^`]+)`|\b\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_PLAIN_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]*")


def html(template: str, values: Mapping[str, Any], *, status: int = 200) -> HTMLResponse:
    """A template as an answer."""
    text = _ENVIRONMENT.get_template(template).render(values)
    return HTMLResponse(text, status_code=status, headers=dict(HEADERS))


def when(at: datetime) -> Markup:
    """An instant, absolute, to the second."""
    utc = at.astimezone(UTC)
    exact = utc.isoformat().replace("+00:00", "Z")
    return Markup('<time datetime="{}">{}</time>').format(exact, utc.strftime("%Y-%m-%d %H:%M:%S UTC"))


def instants(sentence: str) -> Markup:
    """A sentence with each instant and each piece of code (between backticks) in it marked up."""
    text = str(sentence)
    found = Markup()
    end = 0
    for match in _MARKED.finditer(text):
        marked = Markup("<code>{}</code>").format(match["code"]) if match["code"] else _instant(match[0])
        found += escape(text[end : match.start()]) + marked
        end = match.end()
    return found + escape(text[end:])


def _instant(text: str) -> Markup:
    try:
        return when(datetime.fromisoformat(text))
    except ValueError:  # it only looks like one: 2026-13-45T…
        return escape(text)


def segment(name: str, identity: str) -> str:
    """What names a thing in a path: its name where that reads well, else its id."""
    return name if _PLAIN_SEGMENT.fullmatch(name) else identity


def named_links(text: str) -> list[tuple[str, str]]:
    """(label, address) of the links that a version's metadata carries as JSON; empty for what is none.

    Why:    who wrote the metadata chose the addresses, so only those of the web become links.
    """
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return []
    links = found.items() if isinstance(found, dict) else ()
    return [(str(name), url) for name, url in links if isinstance(url, str) and url.startswith(("https://", "http://"))]


def path_to(slug: str, *parts: str) -> str:
    """A path inside a workspace."""
    return "/".join(["/w", *(quote(part, safe="") for part in (slug, *parts))])


def plural(number: int, one: str, many: str | None = None) -> str:
    """`1 target`, `2 targets`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def asset(name: str) -> str:
    """The address of a static file, with its content's digest: it may be kept for ever."""
    return f"/static/{name}?v={_DIGESTS[name]}"


_DIGESTS = {
    file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in STATIC.iterdir() if file.suffix != ".md"
}

_ENVIRONMENT = Environment(
    loader=PackageLoader("interlock.console", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_ENVIRONMENT.filters.update(when=when, instants=instants, shell=shlex.quote, named_links=named_links)
_ENVIRONMENT.globals.update(asset=asset, plural=plural, segment=segment, version_facts=version_facts)
