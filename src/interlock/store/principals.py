"""Who signs in, by what, and with which roles? Keys, sessions, members, bindings.

A key is `<16 hex>.<64 hex>`: a public prefix to find it by and 32 random bytes, of which the sha256 is stored (a slow
hash guards guessable secrets; this one is not). It is shown once. A session is an opaque random value whose sha256 is
stored.

Source: contract.md section a; DESIGN.md section 8, "auth".
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from interlock.access import Caller
from interlock.model.errors import Invalid, NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.store import agent_tokens
from interlock.store.bindings import lock_admins, require_an_admin
from interlock.store.key_text import KEY, hash_of, new_key
from interlock.store.queries import Conn, queries
from interlock.store.refusals import refusals
from interlock.store.rows import many, one
from interlock.store.tx import Change, Store, Tx
from interlock.store.work import WorkRequest

Q = queries("principal")

SESSION_S = 12 * 3600
IDLE_S = 4 * 3600
TOUCH_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Principal:
    """A person or a service."""

    id: str
    name: str
    kind: str
    email: str | None
    system_role: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Member:
    """A principal with its own bindings in one workspace, `{id, role, scopeKind, scopeId}`, and its groups' names."""

    id: str
    name: str
    kind: str
    email: str | None
    added_at: datetime
    bindings: Sequence[Mapping[str, Any]]
    groups: Sequence[str]


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key after it was made: never its secret. `scopes` None: all that its user may. `bindings`
    are those that narrow it here; `rotated_to` is the key that took its place.
    """

    id: str
    principal_id: str
    principal: str
    name: str
    prefix: str
    scopes: Sequence[str] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    rotated_to: str | None = None
    bindings: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """Who signed in to the console, and the token that its forms must carry."""

    caller: Caller
    csrf: str
    expires_at: datetime
    due: bool = False
    """Whether the cookie's value should change."""


async def find_caller(store: Store, key: str) -> Caller | None:
    """The caller that this key, or this token of an agent, stands for, without bindings; None for a text that is none,
    unknown, expired or revoked.

    Costs: one query, for a token two; once a minute and key another one that notes the use.
    """
    shape = KEY.fullmatch(key.strip())
    if shape is None:
        return None
    prefix, secret = shape.groups()
    async with store.read() as conn:
        row = await conn.fetchrow(Q.find_key, prefix)
        if row is None:
            return await agent_tokens.find_caller(conn, prefix, secret=secret)
        if not hmac.compare_digest(bytes(row["secret_hash"]), hash_of(secret)):
            return None
        if row["last_used_at"] is None or row["last_used_at"] < datetime.now(UTC) - TOUCH_EVERY:
            await conn.execute(Q.touch_key, row["key_id"])
    return Caller(
        id=row["principal_id"],
        name=row["name"],
        kind=row["kind"],
        system_admin=row["system_admin"],
        scopes=None if row["scopes"] is None else frozenset(row["scopes"]),
        limits=() if row["limited"] else None,
        key_id=row["key_id"],
    )


async def list_key_workspaces(conn: Conn, key_id: str) -> frozenset[str]:
    """The workspaces in which a key has roles of its own."""
    return frozenset(row["workspace_id"] for row in await conn.fetch(Q.list_key_workspaces, key_id))


async def create_session(store: Store, *, principal_id: str, lasts_s: int = SESSION_S) -> tuple[str, str]:
    """Sign in. Gives the cookie's value and the CSRF token."""
    value, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    async with store.read() as conn:
        await conn.execute(Q.delete_expired_sessions)
        await conn.execute(Q.insert_session, hash_of(value), principal_id, csrf, lasts_s)
    return value, csrf


async def find_session(store: Store, value: str, *, idle_s: int = IDLE_S) -> Session | None:
    """The session of a cookie's value; None when it is unknown or over, or nobody was there for so long."""
    async with store.read() as conn:
        row = await conn.fetchrow(Q.find_session, hash_of(value), idle_s)
        if row is None:
            return None
        if row["unseen"]:
            await conn.execute(Q.touch_session, hash_of(value))
    caller = Caller(id=row["principal_id"], name=row["name"], kind=row["kind"], system_admin=row["system_admin"])
    return Session(caller=caller, csrf=row["csrf"], expires_at=row["expires_at"], due=row["due"])


async def renew_session(store: Store, value: str) -> str | None:
    """Another value for a session, so that one that leaked is good for minutes; None when somebody was faster."""
    fresh = secrets.token_urlsafe(32)
    async with store.read() as conn:
        status = await conn.execute(Q.renew_session, hash_of(value), hash_of(fresh))
    return fresh if status == "UPDATE 1" else None


async def end_session(store: Store, value: str) -> None:
    """Sign out."""
    async with store.read() as conn:
        await conn.execute(Q.delete_session, hash_of(value))


async def find_principal(conn: Conn, principal_id: str) -> Principal | None:
    """A principal by id."""
    return one(Principal, await conn.fetchrow(Q.find_principal, principal_id))


async def find_principal_by_name(conn: Conn, name: str) -> Principal | None:
    """A principal by its unique name."""
    return one(Principal, await conn.fetchrow(Q.find_principal_by_name, name))


async def load_names(conn: Conn, principal_ids: Sequence[str]) -> dict[str, str]:
    """principal id -> name, for those that exist."""
    rows = await conn.fetch(Q.list_principals_by_ids, list(principal_ids))
    return {row["id"]: row["name"] for row in rows}


async def list_members(conn: Conn, workspace_id: str, *, limit: int, offset: int) -> tuple[tuple[Member, ...], int]:
    """A page of a workspace's members with their bindings, in the order they were added, and how many there are."""
    total = await conn.fetchval(Q.count_members, workspace_id)
    return many(Member, await conn.fetch(Q.list_members, workspace_id, None, limit, offset)), total


async def find_member(conn: Conn, workspace_id: str, *, principal_id: str) -> Member | None:
    """One member with its bindings."""
    return one(Member, await conn.fetchrow(Q.list_members, workspace_id, principal_id, 1, 0))


async def list_keys(
    conn: Conn, workspace_id: str, *, principal_id: str | None, limit: int, offset: int
) -> tuple[tuple[Key, ...], int]:
    """A page of the keys of a workspace's members (of one of them), newest first, and how many there are."""
    rows = await conn.fetch(Q.list_keys, workspace_id, principal_id, None, limit, offset)
    return many(Key, rows), int(await conn.fetchval(Q.count_keys, workspace_id, principal_id))


async def find_key(conn: Conn, workspace_id: str, *, key_id: str) -> Key | None:
    """A key of a member."""
    found = many(Key, await conn.fetch(Q.list_keys, workspace_id, None, key_id, 1, 0))
    return found[0] if found else None


async def revoke_key(tx: Tx, workspace_id: str, *, key_id: str) -> None:
    """End a key: from this commit it opens nothing. A second time changes nothing.

    Fails: `NotFound` when no member has it.
    """
    key = await find_key(tx.conn, workspace_id, key_id=key_id)
    if key is None:
        raise NotFound("There is no such key.")
    if key.revoked_at is None:
        told = Event(
            "key.revoked", Ref("key", key_id), {"prefix": key.prefix}, refs=(Ref("principal", key.principal_id),)
        )
        await tx.record(changes=[Change(Q.revoke_key, (key_id,))], events=[told])


async def save_principal(tx: Tx, name: str, *, kind: str = "user", system_role: str = "user") -> str:
    """The id of the principal with this name, which is created when there is none."""
    existing = await find_principal_by_name(tx.conn, name)
    if existing is not None:
        return existing.id
    principal_id = new_id()
    with refusals():
        await tx.record(
            changes=[Change(Q.insert_principal, (principal_id, kind, name, None, system_role))],
            events=[Event("principal.created", Ref("principal", principal_id), {"kind": kind})],
        )
    return principal_id


async def save_member(
    tx: Tx,
    workspace_id: str,
    *,
    principal_id: str,
    role: str,
    role_id: str | None = None,
    scope_kind: str = "workspace",
    scope_id: str | None = None,
    replace: bool = False,
) -> None:
    """Make a principal a member with this role; `replace` drops the roles it had here.

    Takes: `role_id` is that of a role which the workspace made; None: a built-in one.
    Fails: `NotFound` for an unknown principal; `Invalid` for a scope without an id; `Conflict` (LAST_ADMIN).
    """
    if await find_principal(tx.conn, principal_id) is None:
        raise NotFound("There is no user with this id.")
    if (scope_kind == "workspace") != (scope_id is None):
        raise Invalid("A scope other than the workspace needs an id, and the workspace takes none.", field="scopeId")
    known = await tx.conn.fetchval(Q.is_member, workspace_id, principal_id)
    drop = [Change(Q.delete_bindings, (workspace_id, principal_id))] if replace else []
    built_in = None if role_id else str(role)
    if replace:
        await lock_admins(tx, workspace_id)
    await tx.record(
        changes=[
            *drop,
            Change(Q.insert_member, (workspace_id, principal_id)),
            Change(Q.insert_binding, (workspace_id, principal_id, built_in, role_id, scope_kind, scope_id)),
        ],
        events=[
            Event(
                "member.changed" if known else "member.added",
                Ref("principal", principal_id),
                {"role": str(role), "scopeKind": scope_kind, "scopeId": scope_id},
            )
        ],
    )
    if replace:
        await require_an_admin(tx, workspace_id)


async def save_membership(tx: Tx, workspace_id: str, *, principal_id: str) -> None:
    """Make a principal a member without a role of its own: a group gives it one."""
    if not await tx.conn.fetchval(Q.is_member, workspace_id, principal_id):
        await tx.record(
            changes=[Change(Q.insert_member, (workspace_id, principal_id))],
            events=[Event("member.added", Ref("principal", principal_id), {})],
        )


async def remove_member(tx: Tx, workspace_id: str, *, principal_id: str) -> None:
    """End a membership with its roles and groups: what the member approved for a group no longer counts.

    Fails: `NotFound` for one who is no member; `Conflict` (LAST_ADMIN).
    """
    if not await tx.conn.fetchval(Q.is_member, workspace_id, principal_id):
        raise NotFound("There is no such member.")
    await lock_admins(tx, workspace_id)
    await tx.record(
        changes=[
            Change(Q.leave_groups, (workspace_id, principal_id)),
            Change(Q.delete_key_bindings, (workspace_id, principal_id)),
            Change(Q.delete_bindings, (workspace_id, principal_id)),
            Change(Q.delete_member, (workspace_id, principal_id)),
            Change(Q.bump_rules_fence, (workspace_id,)),
        ],
        events=[Event("member.removed", Ref("principal", principal_id), {})],
        wakes=[WorkRequest("wake", f"policies:{workspace_id}", workspace_id=workspace_id)],
    )
    await require_an_admin(tx, workspace_id)


async def find_key_id(conn: Conn, text: str) -> str:
    """The id of a key by its text, which was just made."""
    return str(await conn.fetchval(Q.find_key_id, text.partition(".")[0]))


async def rotate_key(tx: Tx, key: Key, *, overlap_s: float, expires_at: datetime | None, created_by: str) -> str:
    """Make the key that takes this one's place, with its scopes and roles, and give its text. The old one opens what it
    opened for `overlap_s` more.
    """
    text = await save_key(
        tx, key.principal_id, name=key.name, expires_at=expires_at, scopes=key.scopes, created_by=created_by
    )
    fresh_id = await find_key_id(tx.conn, text)
    await tx.record(
        changes=[Change(Q.copy_key_bindings, (key.id, fresh_id)), Change(Q.rotate_key, (key.id, fresh_id, overlap_s))],
        events=[
            Event(
                "key.rotated",
                Ref("key", key.id),
                {"prefix": key.prefix, "overlapS": overlap_s},
                refs=(Ref("key", fresh_id), Ref("principal", key.principal_id)),
            )
        ],
    )
    return text


async def save_key(
    tx: Tx,
    principal_id: str,
    *,
    name: str = "",
    key: str | None = None,
    expires_at: datetime | None = None,
    scopes: Sequence[str] | None = None,
    created_by: str | None = None,
) -> str:
    """Make a key for a principal and give its text, which is stored nowhere.

    Takes: `key` is the text to use instead of a fresh one (the bootstrap setting). `scopes` None: it may be used for
           everything that its principal may.
    Fails: `Invalid` when that text is no key; `Conflict` when its prefix is taken.
    """
    text = key or new_key()
    shape = KEY.fullmatch(text)
    if shape is None:
        raise Invalid("An API key is 16 hex digits, a dot and 64 hex digits.", field="key")
    prefix, secret = shape.groups()
    key_id = new_id()
    allowed = None if scopes is None else sorted(set(scopes))
    row = (key_id, principal_id, name, prefix, hash_of(secret), expires_at, allowed, created_by)
    body = {"prefix": prefix, **({"scopes": allowed} if allowed is not None else {})}
    with refusals():
        await tx.record(
            changes=[Change(Q.insert_key, row)],
            events=[Event("key.created", Ref("key", key_id), body, refs=(Ref("principal", principal_id),))],
        )
    return text


async def count_memberships_elsewhere(conn: Conn, principal_id: str, *, workspace_id: str) -> int:
    """In how many other workspaces a principal is a member."""
    return int(await conn.fetchval(Q.count_memberships_elsewhere, principal_id, workspace_id))
