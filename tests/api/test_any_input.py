"""Does any request end in a 500? Every operation of the OpenAPI document, with values that nobody should send.

Seeded, so that a failure comes back; the seed that found something becomes an example in `test_bad_input.py`.
"""

from __future__ import annotations

import random
import uuid
from typing import Any
from urllib.parse import quote

import pytest

REQUESTS_AN_OPERATION = 5

NASTY: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    2**70,
    1.5,
    1e308,
    "",
    " ",
    "x",
    "true",
    "\u202e\ufeff",
    "a" * 30_000,
    "'; DROP TABLE system; --",
    "%s %d {} {{}}",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2026-02-30T00:00:00Z",
    "2026-06-10T18:21:33+14:00",
    "00000000-0000-0000-0000-000000000000",
    "resource.name == 'x'",
    "resource.metadata['a']['b'] == 1",
    "((((((((((",
    [],
    {},
    [None],
    [[]],
    {"": ""},
    {"a": None},
    {"a": {"b": [1, 2.5, None, "x"]}},
    {"kind": "deployment", "id": "x"},
]
SEGMENTS = ["x", "", " ", "a/b", "%", "..", "\u00e4", "\U0001f600", "a" * 3000, "0" * 36, "-" * 110, "null"]


class Guesser:
    """Requests for an operation, between well formed and nonsense."""

    def __init__(self, schema: dict[str, Any], seed: int, ids: list[str]) -> None:
        self.schema = schema
        self.random = random.Random(seed)
        self.ids = ids

    def body(self, shape: dict[str, Any]) -> Any:
        """A body whose fields are right, wrong, missing or unknown."""
        if self.random.random() < 0.03:
            return self.random.choice(NASTY)
        return self.value(shape, depth=0)

    def value(self, shape: dict[str, Any], *, depth: int) -> Any:
        if "$ref" in shape:
            return self.value(self.schema["components"]["schemas"][shape["$ref"].rpartition("/")[2]], depth=depth)
        if self.random.random() < 0.04 or depth > 5:
            return self.random.choice(NASTY)
        if choices := shape.get("anyOf") or shape.get("oneOf"):
            return self.value(self.random.choice(choices), depth=depth + 1)
        if "enum" in shape:
            return self.random.choice(shape["enum"])
        match shape.get("type"):
            case "object":
                found = {
                    name: self.value(inner, depth=depth + 1)
                    for name, inner in shape.get("properties", {}).items()
                    if self.random.random() < 0.8
                }
                if self.random.random() < 0.2:
                    found["unknown"] = self.random.choice(NASTY)
                return found
            case "array":
                return [self.value(shape.get("items", {}), depth=depth + 1) for _ in range(self.random.randrange(3))]
            case "integer":
                return self.random.randrange(-2, 2000)
            case "number":
                return self.random.uniform(-1, 100)
            case "boolean":
                return self.random.random() < 0.5
            case "string":
                return self.random.choice(["x", "prod", str(uuid.UUID(int=self.random.getrandbits(128))), *self.ids])
            case _:
                return self.random.choice(NASTY)

    def path(self, template: str, workspace: str) -> str:
        parts = []
        for part in template.split("/"):
            if part == "{workspaceId}" and self.random.random() < 0.95:
                parts.append(workspace)
            elif part.startswith("{"):
                text = self.random.choice([*SEGMENTS, *self.ids * 5])
                parts.append(quote(text, safe=""))
            else:
                parts.append(part)
        return "/".join(parts)

    def query(self, operation: dict[str, Any]) -> dict[str, str]:
        named = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
        return {
            name: str(self.random.choice([*NASTY, *self.ids, 5, 10])) for name in named if self.random.random() < 0.4
        }


@pytest.mark.parametrize("seed", [1])
async def test_no_request_is_a_failure_of_ours(api: Any, seed: int) -> None:
    schema = (await api.raw.get("/api/openapi.json")).json()
    ids = [
        (await api.post("/systems", {"name": "s"})).json()["id"],
        (await api.post("/environments", {"name": "prod", "resourceSelector": "true"})).json()["id"],
        (await api.post("/deployments", {"name": "d", "slug": "d", "resourceSelector": "true"})).json()["id"],
        (await api.put("/resources/identifier/x", {"name": "x", "kind": "K", "version": "v"})).json()["id"],
        (await api.put("/resource-providers", {"name": "p"})).json()["id"],
    ]
    await api.put(f"/systems/{ids[0]}/deployments/{ids[2]}")
    await api.put(f"/systems/{ids[0]}/environments/{ids[1]}")
    ids.append((await api.post(f"/deployments/{ids[2]}/versions", {"tag": "1", "status": "ready"})).json()["id"])
    ids.append(f"{ids[3]}-{ids[1]}-{ids[2]}")
    guess = Guesser(schema, seed, ids)
    broken = []
    for template, operations in sorted(schema["paths"].items()):
        for method, operation in sorted(operations.items()):
            if template.endswith("/stream"):
                continue
            content = operation.get("requestBody", {}).get("content", {})
            for _ in range(REQUESTS_AN_OPERATION):
                path, query = guess.path(template, api.workspace), guess.query(operation)
                more = {"json": guess.body(next(iter(content.values()))["schema"])} if content else {}
                try:
                    answer = await api.raw.request(method.upper(), path, params=query, **more)
                except ValueError:  # a float that JSON cannot say
                    continue
                if answer.status_code >= 500:
                    broken.append((method, path[:200], query, str(more)[:300], answer.text))
                if answer.status_code >= 400:
                    assert isinstance(answer.json()["error"], str)
    assert broken == []
