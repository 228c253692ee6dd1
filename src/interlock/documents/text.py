"""How is a document written? As YAML that reads back as the same document.

Keys come in the order of the kind's table, texts of several lines as blocks, and a text that YAML would take for
something else in quotes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from interlock.documents.kind import Body, Kind


def render_documents(bodies: Iterable[tuple[Kind, Body]]) -> str:
    """Documents as one YAML text."""
    return "---\n".join(render_body({"type": kind.name, **body}) for kind, body in bodies)


def render_body(body: Body) -> str:
    """One object as YAML."""
    writer = YAML(typ="rt")
    writer.default_flow_style = False
    writer.allow_unicode = True
    writer.width = 4096
    writer.indent(mapping=2, sequence=2, offset=0)
    text = io.StringIO()
    writer.dump(_written(body), text)
    return text.getvalue()


def _written(value: Any) -> Any:
    """The value as the writer wants it."""
    if isinstance(value, dict):
        return {_written(key): _written(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_written(each) for each in value]
    if isinstance(value, str):
        if "\n" in value and _is_block(value):
            return LiteralScalarString(value)
        return DoubleQuotedScalarString(value) if _needs_quotes(value) else value
    return value


def _is_block(text: str) -> bool:
    """Whether a block keeps the text exactly."""
    lines = text.split("\n")
    plain = all(each.isprintable() and each == each.rstrip() for each in lines)
    return plain and not text.startswith((" ", "\n")) and not text.endswith("\n\n")


def _needs_quotes(text: str) -> bool:
    """Whether older or newer readers of YAML would take the text for something else."""
    if text.lower() in {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", ""}:
        return True
    return not text.isprintable() or (text[0] in "0123456789+-." and any(each.isdigit() for each in text))
