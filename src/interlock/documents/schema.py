"""What may a document look like, for an editor? JSON Schema of all kinds, made from the same shapes that check them.

    # yaml-language-server: $schema=interlock.schema.json

Draft 7: what the YAML language server understands best. It says which keys there are, of which kind their values are
and what each is for. Whether a selector is CEL and a name stands, only `apply` says.
"""

from __future__ import annotations

from interlock.decide.rule_schema import Schema
from interlock.documents.kinds import KINDS


def document_schema() -> Schema:
    """The schema of one document."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A document for interlock apply",
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": [kind.name for kind in KINDS], "description": "What kind of object it is."}},
        "allOf": [
            {
                "if": {"properties": {"type": {"const": kind.name}}, "required": ["type"]},
                "then": {"$ref": f"#/definitions/{kind.name}"},
            }
            for kind in KINDS
        ],
        "definitions": {kind.name: _definition(kind.shape.schema(), kind.about, kind.name) for kind in KINDS},
    }


def _definition(schema: Schema, about: str, name: str) -> Schema:
    properties = {"type": {"const": name, "description": about}, **schema["properties"]}
    return {"description": about, **schema, "properties": properties}
