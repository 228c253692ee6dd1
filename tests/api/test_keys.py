"""Do keys with scopes open only what they are made for, and do revoked ones open nothing?"""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from interlock.model.errors import Unauthorized
from interlock.web.session import sign_in


async def test_a_key_with_scopes_opens_only_those(api: Any, client_of: Any) -> None:
    base = f"/api/v1/workspaces/{api.workspace}"
    made = (await api.post("/keys", {"user": "ci", "role": "admin", "scopes": ["version:write", "read"]})).json()
    assert made["scopes"] == ["read", "version:write"]
    ci = client_of(made["key"])
    assert (await ci.get(f"{base}/systems")).status_code == 200
    refused = await ci.post(f"{base}/systems", json={"name": "x"})
    assert refused.status_code == 403
    assert refused.json()["message"] == (
        "This key is not made for deployment:write; its scopes are read, version:write."
    )
    assert (await ci.get(f"{base}/deployments/{uuid.uuid4()}")).status_code == 404
    only_write = (await api.post("/keys", {"user": "ci", "role": "viewer", "scopes": ["version:write"]})).json()["key"]
    assert (await client_of(only_write).get(f"{base}/systems")).status_code == 403


async def test_a_key_with_scopes_makes_none_with_more(api: Any, client_of: Any) -> None:
    base = f"/api/v1/workspaces/{api.workspace}"
    made = (await api.post("/keys", {"user": "ops", "role": "admin", "scopes": ["read", "member:write"]})).json()
    ops = client_of(made["key"])
    for more in (None, ["read", "force"]):
        refused = await ops.post(f"{base}/keys", json={"user": "x", "role": "admin", "scopes": more})
        assert refused.status_code == 400 and "no more than its own" in refused.text
    admin = await ops.post(f"{base}/keys", json={"user": "x", "role": "admin", "scopes": ["read"]})
    assert admin.status_code == 403, "the role would stay with the user"
    made = await ops.post(f"{base}/keys", json={"user": "x", "role": "viewer", "scopes": ["read"]})
    assert made.status_code == 201


async def test_keys_are_listed_without_their_text_and_revoked(api: Any, client_of: Any, key_of: Any) -> None:
    base = f"/api/v1/workspaces/{api.workspace}"
    bea = client_of(await key_of("bea", "viewer"))
    assert (await bea.get(f"{base}/keys")).json()["total"] == 1, "everybody sees their own"
    listed = (await api.get("/keys")).json()
    assert {key["user"]["name"] for key in listed["items"]} == {"ada", "bea"} and listed["total"] == 2
    assert all(set(key) <= {"id", "prefix", "name", "user", "createdAt", "lastUsedAt"} for key in listed["items"])
    adas = next(key for key in listed["items"] if key["user"]["name"] == "ada")
    beas = next(key for key in listed["items"] if key["user"]["name"] == "bea")
    assert "lastUsedAt" in beas
    assert (await bea.delete(f"{base}/keys/{adas['id']}")).status_code == 403
    assert (await bea.delete(f"{base}/keys/{uuid.uuid4()}")).status_code == 404
    assert (await bea.delete(f"{base}/keys/{beas['id']}")).status_code == 200, "everybody may end their own"
    assert (await bea.get(f"{base}/systems")).status_code == 401
    revoked = next(key for key in (await api.get("/keys")).json()["items"] if key["id"] == beas["id"])
    assert "revokedAt" in revoked


async def test_a_wrong_key_is_refused(api: Any, counted: Any) -> None:
    before = await counted()
    for body, names in (
        ({"user": "x", "role": "viewer", "scopes": ["everything"]}, "scopes"),
        ({"user": "x", "role": "viewer", "scopes": []}, "scopes"),
        ({"user": "x", "role": "viewer", "expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
        ({"user": "x", "role": "king"}, "role"),
    ):
        refused = await api.post("/keys", body)
        assert refused.status_code == 400 and names in refused.text, refused.text
    assert await counted() == before


async def test_a_key_with_scopes_does_not_open_the_console(api: Any, client_of: Any, store: Any) -> None:
    made = (await api.post("/keys", {"user": "ci", "role": "viewer", "scopes": ["read"]})).json()
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": [], "scheme": "http"})
    with pytest.raises(Unauthorized, match="made for some things only"):
        await sign_in(store, request, Response(), key=made["key"])


async def test_a_key_is_read_alone_by_its_user_and_by_who_writes_members(api: Any, client_of: Any, key_of: Any) -> None:
    base = f"/api/v1/workspaces/{api.workspace}"
    made = (await api.post("/keys", {"user": "ci", "role": "viewer"})).json()
    listed = next(each for each in (await api.get("/keys")).json()["items"] if each["prefix"] == made["prefix"])
    assert (await api.get(f"/keys/{listed['id']}")).json() == listed and made["key"] not in str(listed)
    assert (await client_of(made["key"]).get(f"{base}/keys/{listed['id']}")).status_code == 200
    vic = client_of(await key_of("vic", "viewer"))
    assert (await vic.get(f"{base}/keys/{listed['id']}")).status_code == 404, "lists show it to him as little"
    assert (await api.get(f"/keys/{uuid.uuid4()}")).status_code == 404
