"""Does what is answered agree with the OpenAPI document? Every client of these tests looks.

    the path and method are an operation of the document        else nothing is said about them
    its status is declared for the operation, and its media type
    its body fits the schema, in which every object is closed: a field that no shape names is a fault
    the headers that the document calls required are there

Shapes are closed here and open in the document, because a client must bear a field that it does not know.
"""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any
from urllib.parse import quote

import httpx
import jsonschema_rs
import orjson


class Undescribed(AssertionError):
    """An answer that the document does not describe."""


DOCUMENT = "urn:openapi"


class Conformance:
    """What the document allows. One for each document; validators are made when they are first needed."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._closed = jsonschema_rs.Registry([(DOCUMENT, closed(document))], draft=jsonschema_rs.Draft202012)
        self.answered: set[tuple[str, str, int]] = set()
        self._validators: dict[str, Any] = {}
        self._templates = [
            (template, re.compile(re.sub(r"\\{\w+\\}", "[^/]*", re.escape(template)))) for template in document["paths"]
        ]

    def check(self, method: str, raw_path: str, answer: httpx.Response) -> None:
        """Fails: `Undescribed`, saying what."""
        template = self.template(method, raw_path)
        if template is None:
            return
        operation = self.document["paths"][template][method.lower()]
        what = f"{method} {template} answered {answer.status_code}"
        said = operation["responses"].get(str(answer.status_code))
        if said is None:
            raise Undescribed(f"{what}, which is not among {', '.join(operation['responses'])}: {answer.text[:500]}")
        self.answered.add((method, template, answer.status_code))
        at = said.get("$ref") or pointer("paths", template, method.lower(), "responses", str(answer.status_code))
        said = self.resolved(said)
        for name, header in said.get("headers", {}).items():
            if header.get("required") and name not in answer.headers:
                raise Undescribed(f"{what} without the header {name}.")
        content = said.get("content")
        if not content:
            if answer.content:
                raise Undescribed(f"{what} with a body, and none is declared: {answer.text[:500]}")
            return
        media = answer.headers.get("content-type", "").partition(";")[0]
        if media not in content:
            raise Undescribed(f"{what} as {media or 'nothing'}, and declares {', '.join(content)}.")
        if media == "application/json":
            self._fits(what, f"{at}{pointer('content', media, 'schema')[1:]}", answer)

    def template(self, method: str, raw_path: str) -> str | None:
        """The path of the document that this one is. Fixed segments win over parameters."""
        fits = [
            template
            for template, pattern in self._templates
            if pattern.fullmatch(raw_path) and method.lower() in self.document["paths"][template]
        ]
        return min(fits, key=lambda one: one.count("{"), default=None)

    def resolved(self, said: dict[str, Any]) -> dict[str, Any]:
        """What a reference to a response stands for."""
        name = said.get("$ref", "").rpartition("/")[2]
        return self.document["components"]["responses"][name] if name else said

    def _fits(self, what: str, at: str, answer: httpx.Response) -> None:
        validator = self._validators.get(at)
        if validator is None:
            schema = {"$ref": f"{DOCUMENT}{at}"}
            validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True, registry=self._closed)
            self._validators[at] = validator
        for fault in validator.iter_errors(orjson.loads(answer.content)):
            where = "/".join(map(str, fault.instance_path))
            raise Undescribed(f"{what}, and its body does not fit at /{where}: {fault.message[:600]}")


def pointer(*steps: str) -> str:
    """The part of a document at these steps, as a reference names it (RFC 6901, section 6)."""
    return "#" + "".join(f"/{quote(step.replace('~', '~0').replace('/', '~1'))}" for step in steps)


def closed(schema: Any) -> Any:
    """The same schema with every object that names properties closed to others."""
    closing = deepcopy(schema)

    def close(part: Any) -> None:
        if isinstance(part, dict):
            if isinstance(part.get("properties"), dict) and part.get("type") == "object":
                part.setdefault("additionalProperties", False)
            for each in part.values():
                close(each)
        elif isinstance(part, list):
            for each in part:
                close(each)

    close(closing)
    return closing
