"""Who is the person that an identity provider sent us, and what follows from the groups they are in there?

A person is known by issuer and subject, never by a name that somebody else could have taken. Who was invited by their
e-mail address is linked to it at the first sign-in, when the provider says that the address is theirs. Groups that name
a claim have exactly those from the provider who carry it, from one sign-in to the next; who was put into a group by
hand stays. A person whom no group and no role keeps in a workspace any more leaves it.

The terminal's sign-in is here as well: a code that is good once, for minutes, and only with the verifier whose
challenge the terminal showed (RFC 7636's idea).

Source: OpenID Connect Core 1.0, section 5.7 (claim stability); decision record 0028.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from itertools import count, groupby

from interlock.model.errors import Forbidden
from interlock.model.event import Actor, Event, Ref
from interlock.model.identity import Asked, Identity
from interlock.model.ids import new_id
from interlock.store.key_text import hash_of
from interlock.store.queries import queries
from interlock.store.refusals import refusals
from interlock.store.tx import Change, Store, Tx
from interlock.store.work import WorkRequest

Q = queries("sign_in")

ATTEMPT_S = 600
CODE_S = 300
GROUP_PREFIX = "group:"


@dataclass(frozen=True, slots=True)
class Admission:
    """Whom this installation lets in, and who administers it. `admins` are addresses, or `group:<name>`."""

    domains: frozenset[str] = frozenset()
    admins: frozenset[str] = frozenset()

    def admits(self, identity: Identity) -> bool:
        """Whether somebody of this address may sign in at all."""
        if not self.domains:
            return True
        _, _, domain = (identity.email or "").rpartition("@")
        return identity.email_verified and domain in self.domains

    def makes_admin(self, identity: Identity) -> bool:
        """Whether the setting names this person, or one of their groups."""
        if identity.email_verified and identity.email in self.admins:
            return True
        return any(GROUP_PREFIX + name in self.admins for name in identity.groups)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A browser that came back: what it must have brought, and where it was going."""

    asked: Asked
    goal: str


@dataclass(frozen=True, slots=True)
class LoginCode:
    """A terminal that a person let in."""

    principal_id: str
    name: str


async def begin_attempt(store: Store, *, redirect_uri: str, goal: str) -> tuple[str, Asked]:
    """Note a browser that goes to the provider. Gives the cookie's value that it must come back with."""
    value = secrets.token_urlsafe(32)
    asked = Asked(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), redirect_uri)
    async with store.read() as conn:
        await conn.execute(Q.delete_old_attempts)
        row = (hash_of(value), asked.state, asked.nonce, asked.verifier, redirect_uri, goal, ATTEMPT_S)
        await conn.execute(Q.insert_attempt, *row)
    return value, asked


async def take_attempt(store: Store, value: str, *, state: str) -> Attempt | None:
    """The attempt of the browser with this cookie, once; None when it is over, or another state came back."""
    async with store.read() as conn:
        row = await conn.fetchrow(Q.take_attempt, hash_of(value))
    if row is None or not hmac.compare_digest(row["state"].encode(), state.encode()):
        return None
    return Attempt(Asked(row["state"], row["nonce"], row["verifier"], row["redirect_uri"]), row["goal"])


async def admit(store: Store, identity: Identity, *, admission: Admission) -> str:
    """The principal of an identity, made or linked when it comes for the first time, with their groups as of now.

    Fails: `Forbidden` for an address that may not sign in, and for one who is disabled here.
    """
    if not admission.admits(identity):
        raise Forbidden("Your address is not of a domain that may sign in here.", code="DOMAIN")
    actor = Actor("system", identity.issuer)
    async with store.tx(actor=actor, cause="sign-in") as tx:
        principal_id = await _principal(tx, identity, admission)
    async with store.read() as conn:
        rows = await conn.fetch(Q.list_group_changes, principal_id, list(identity.groups))
    for workspace_id, changes in groupby(rows, key=lambda row: row["workspace_id"]):
        async with store.tx(actor=actor, cause="sign-in: groups", workspace_id=workspace_id) as tx:
            await _sync_groups(
                tx, workspace_id, principal_id, [(row["group_id"], row["name"], row["joins"]) for row in changes]
            )
    return principal_id


async def _principal(tx: Tx, identity: Identity, admission: Admission) -> str:
    makes_admin = admission.makes_admin(identity)
    row = await tx.conn.fetchrow(Q.find_identity, identity.issuer, identity.subject)
    had_by_setting = row is not None and row["made_admin"]
    if row is None and identity.email is not None and identity.email_verified:
        row = await tx.conn.fetchrow(Q.find_invited, identity.email)
    if row is None:
        principal_id, role = await _made(tx, identity), "user"
    else:
        if row["disabled_at"] is not None:
            raise Forbidden("This account is disabled here.", code="DISABLED")
        principal_id, role = row["principal_id"], row["system_role"]
    wanted = "admin" if makes_admin else "user" if had_by_setting else role
    changes = [
        Change(Q.save_identity, (identity.issuer, identity.subject, principal_id, makes_admin)),
        Change(Q.update_email, (principal_id, identity.email)),
    ]
    events = []
    if wanted != role:
        changes.append(Change(Q.update_system_role, (principal_id, wanted)))
        events.append(Event("principal.changed", Ref("principal", principal_id), {"systemRole": wanted}))
    await tx.record(changes, events=events)
    return principal_id


async def _made(tx: Tx, identity: Identity) -> str:
    """A new person, by their address or user name; a name that is taken gets a number."""
    from interlock.store.principals import Q as PRINCIPAL  # noqa: PLC0415 principals and sign-ins know each other

    wanted = (identity.email if identity.email_verified else None) or identity.username or identity.subject
    name = wanted
    for number in count(2):
        if not await tx.conn.fetchval(Q.is_name_taken, name):
            break
        name = f"{wanted} ({number})"
    principal_id = new_id()
    with refusals():
        await tx.record(
            changes=[Change(PRINCIPAL.insert_principal, (principal_id, "user", name, identity.email, "user"))],
            events=[Event("principal.created", Ref("principal", principal_id), {"kind": "user"})],
        )
    return principal_id


async def _sync_groups(tx: Tx, workspace_id: str, principal_id: str, changes: list[tuple[str, str, bool]]) -> None:
    """Join and leave groups of one workspace. Whose yes counts changes, so nothing that waits is handed over before it
    is judged again.
    """
    writes = []
    if any(joins for _, _, joins in changes):
        writes.append(Change(Q.join_workspace, (workspace_id, principal_id)))
    writes += [
        Change(Q.join_group if joins else Q.leave_group, (group_id, principal_id)) for group_id, _, joins in changes
    ]
    writes += [Change(Q.leave_workspace, (workspace_id, principal_id)), Change(Q.bump_rules_fence, (workspace_id,))]
    person = Ref("principal", principal_id)
    events = [
        Event(
            "group.changed",
            Ref("group", group_id),
            {"name": name, "joined": int(joins), "left": int(not joins)},
            refs=(person,),
        )
        for group_id, name, joins in changes
    ]
    await tx.record(
        writes, events=events, wakes=[WorkRequest("wake", f"policies:{workspace_id}", workspace_id=workspace_id)]
    )


async def save_login_code(store: Store, *, principal_id: str, challenge: str, name: str) -> str:
    """Let a terminal in that showed this challenge. Gives the code that it must bring."""
    code = secrets.token_urlsafe(24)
    async with store.read() as conn:
        await conn.execute(Q.delete_old_codes)
        await conn.execute(Q.insert_code, hash_of(code), principal_id, challenge, name, CODE_S)
    return code


async def take_login_code(store: Store, code: str, *, verifier: str) -> LoginCode | None:
    """Whose terminal it is that brings this code, once; None for a code that is over, or another terminal's."""
    async with store.read() as conn:
        row = await conn.fetchrow(Q.take_code, hash_of(code))
    if row is None or not hmac.compare_digest(row["challenge"], challenge_of(verifier)):
        return None
    return LoginCode(row["principal_id"], row["name"])


def challenge_of(verifier: str) -> str:
    """What a terminal shows of its verifier (RFC 7636, section 4.2, S256)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
