"""What does a client of the contract check of an answer? The clients as the page tells of them, request for request.

    Ctrlc       `ctrlc`: its headers, its encoding of paths, and what it takes as an answer
    Terraform   the Terraform provider: exact status codes, the wait after a create, and resources that are described by
                what they send and by what a read means to them

`lifecycle` takes a Terraform resource through create, read, plan again, update, import and delete; a plan is empty when
what GET returns means exactly what was configured. Nothing here knows our own code.

Source: contract.md sections a, b and c.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

import httpx

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
NIL = "00000000-0000-0000-0000-000000000000"
YEAR_ONE = "0001-01-01T00:00:00Z"
Config = dict[str, Any]


def escaped(text: str) -> str:
    """A path segment as Go escapes it."""
    return quote(text, safe=":@&=+$-_.~")


def is_instant(text: object) -> bool:
    """Whether Go's time.Time takes it."""
    return isinstance(text, str) and RFC_3339.fullmatch(text) is not None


def texts(value: object) -> dict[str, str]:
    """A map that Go decodes into map[string]string."""
    assert isinstance(value, dict) and all(isinstance(each, str) for each in value.values()), value
    return value


class Wire:
    """A client that speaks to one server. Every answer with a body must be JSON, refusals too."""

    agent = ""

    def __init__(self, raw: httpx.AsyncClient, workspace_id: str) -> None:
        self.raw = raw
        self.workspace_id = workspace_id

    async def send(self, method: str, path: str, body: Any = None, *, query: str = "") -> httpx.Response:
        url = f"/api{path.replace('/W/', f'/v1/workspaces/{self.workspace_id}/', 1)}{query}"
        more = {} if body is None else {"json": body}
        answer = await self.raw.request(method, url, headers={"User-Agent": self.agent}, **more)
        if answer.status_code != 204:
            assert "json" in answer.headers["content-type"], f"{method} {path}: {answer.text}"
        return answer

    async def must(self, method: str, path: str, *statuses: int, body: Any = None, query: str = "") -> Any:
        """The answer's JSON, when its status is one of these."""
        answer = await self.send(method, path, body, query=query)
        assert answer.status_code in statuses, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def resolve(self, slug: str) -> str:
        """A workspace by slug, as both Go clients do it."""
        found = await self.must("GET", f"/v1/workspaces/slug/{escaped(slug)}", 200)
        assert str(uuid.UUID(found["id"])) == found["id"] and is_instant(found["createdAt"])
        assert found.get("googleServiceAccountEmail") is None, "its type is checked as an address"
        return str(found["id"])


class Ctrlc(Wire):
    """`ctrlc`."""

    agent = "ctrlc/1.2.3"

    async def raw_command(self, method: str, path: str, body: Any = None, *, query: str = "") -> Mapping[str, Any]:
        """A command under `ctrlc api`: it prints what comes and looks at no status, but it must be one JSON object."""
        answer = (await self.send(method, path, body, query=query)).json()
        assert isinstance(answer, dict)
        return answer

    async def accepted(self, method: str, path: str, *statuses: int, body: Any = None) -> str:
        """A write that answers `{id, message}`."""
        answer = await self.must(method, path, *statuses, body=body)
        assert isinstance(answer["id"], str) and isinstance(answer.get("message", ""), str)
        return str(answer["id"])


class Terraform(Wire):
    """The Terraform provider: Go's own user agent, exact codes, JSON or nothing."""

    agent = "Go-http-client/1.1"

    async def read(self, path: str) -> Any:
        """What a GET returns; None for 404, which takes the resource out of the state."""
        answer = await self.send("GET", path)
        assert answer.status_code in {200, 404}, f"GET {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.status_code == 200 else None

    async def created(self, path: str) -> None:
        """The wait after a create: one request, because a write is visible at once."""
        assert (await self.send("GET", path)).status_code == 200, f"{path} is not there yet"

    async def made(self, method: str, path: str, status: int, body: Any) -> str:
        """The id that a write answers with."""
        answer = await self.must(method, path, status, body=body)
        assert answer["id"]
        return str(answer["id"])


class Resource(Protocol):
    """A Terraform resource: what it sends, and what a read means to it.

    `read` gives the configuration that the answer stands for, None when the thing is gone. What a client keeps from its
    state it finds in `state`; an import has none. `delete` a second time is what a run meets that was interrupted.
    """

    async def create(self, tf: Terraform, config: Config) -> str: ...

    async def read(self, tf: Terraform, thing_id: str, state: Config | None) -> Config | None: ...

    async def update(self, tf: Terraform, thing_id: str, config: Config, state: Config) -> None: ...

    async def delete(self, tf: Terraform, thing_id: str, *, again: bool = False) -> None: ...


async def lifecycle(tf: Terraform, resource: Resource, *configs: Config) -> None:
    """Create from the first configuration, go through the others, import, delete. After each step a plan is empty."""
    thing_id = await resource.create(tf, configs[0])
    state = configs[0]
    for number, config in enumerate(configs):
        if number:
            await resource.update(tf, thing_id, config, state)
        state = config
        for _ in range(2):
            seen = await resource.read(tf, thing_id, state)
            assert seen == config, f"a plan that is not empty after {'update' if number else 'create'}"
    assert await resource.read(tf, thing_id, None) == state, "an import sees something else"
    await resource.delete(tf, thing_id)
    assert await resource.read(tf, thing_id, None) is None, "it is still there"
    await resource.delete(tf, thing_id, again=True)


def given(**optional: Any) -> Config:
    """What was given: Terraform leaves out what is null."""
    return {key: value for key, value in optional.items() if value is not None}


def collapsed(cel: str) -> str:
    """CEL as the provider sends it where it collapses white space."""
    return " ".join(cel.split())
