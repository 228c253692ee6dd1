"""Where are secrets kept, how does a write put one there, and who gets it back?

A write hands its document to `seal_document`: the values go into `secret`, sealed, in the same transaction, and the
document comes back with markers (`model/secret.py`). Reading gives documents with markers, so whoever forgets to ask
shows nothing. `open_document` fills the values in; it is called in four places alone: for an agent's call, for a metric
provider's, for the answer to a pull agent's claim, and for a caller who may.

A secret's row is never changed but by a rotation, and has the id of its value: two writers of one value write one row.

Source: issue 4, "Secrets"; decision record 0022.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from interlock.model.canonical import canonical
from interlock.model.errors import Invalid, Refused
from interlock.model.secret import (
    MARKER,
    MASK,
    Where,
    digits_of,
    filled,
    ids_in,
    is_marker,
    is_reference,
    mark,
    names_a_secret,
    sealed,
    sealed_value,
)
from interlock.model.variable import UNSET, Reference, Sensitive, plain_value
from interlock.outside.secrets import KeyMissing, Keyring, attempt_of, callback_token, identify, new_identity_key
from interlock.store.queries import Conn, queries

Q = queries("secret")

BATCH = 500
"""Secrets that one transaction of a rotation seals again."""


class Secrets:
    """The sealed values of one database, as one process may open them. A store has one.

    Takes: `keyring` None refuses to seal or open anything.
    """

    def __init__(self, keyring: Keyring | None) -> None:
        self._keyring = keyring
        self._identity_key: bytes | None = None

    @property
    def keyring(self) -> Keyring:
        """The keys.

        Fails: `Refused` where there are none.
        """
        if self._keyring is None:
            raise Refused("This process has no secret keys: give INTERLOCK_SECRET_KEYS.", code="NO_SECRET_KEY")
        return self._keyring

    async def start(self, conn: Conn) -> None:
        """Make sure that our keys are the ones of this database. The first process makes its identity key.

        Fails: `KeyMissing` when it was sealed with another key.
        """
        await self._identity(conn)

    # Writing ----------------------------------------------------------------------------------------------------------

    async def seal(self, conn: Conn, workspace_id: str, value: Any) -> str:
        """Keep one secret, and give its id. The same value gives the same id.

        Takes: `conn` is that of the transaction that refers to it. `value` is any JSON.
        """
        writing = Writing(await self._identity(conn), workspace_id, {})
        secret_id = writing.note(value)
        await self._save(conn, writing)
        return secret_id

    async def seal_document(
        self, conn: Conn, workspace_id: str, document: Any, *, where: Where, before: Any = None, field: str = "config"
    ) -> Any:
        """A document as a client sent it, with its secrets kept and markers in their place.

        Takes: `before` is the stored object that it replaces; a mark keeps the secret of it that it belongs to.
        Fails: `Invalid` as `model.secret.sealed`.
        Costs: nothing for a document without secrets.
        """
        return await self._sealing(
            conn, workspace_id, lambda seal: sealed(document, where=where, before=before, seal=seal, field=field)
        )

    async def seal_value(
        self, conn: Conn, workspace_id: str, value: Any, *, before: Any = None, field: str = "value"
    ) -> Any:
        """A value that is secret as a whole: kept, and its marker given.

        Fails: `Invalid` as `model.secret.sealed_value`.
        """
        return await self._sealing(
            conn, workspace_id, lambda seal: sealed_value(value, before=before, seal=seal, field=field)
        )

    async def seal_wire(
        self, conn: Conn, workspace_id: str, value: Any, *, before: Any = None, field: str = "value", stays: bool = True
    ) -> Any:
        """A variable's value as `wire_value` gave it, in the form in which it is stored.

        Takes: `before` is what stands there now. `stays`: a plain value over a secret is a secret too.
        Fails: `Invalid` for a mark of something else than what stands there.
        """
        if is_marker(before) and isinstance(value, str) and digits_of(value) is not None:
            value = Sensitive(keeps=value)
        if isinstance(value, Sensitive):
            if value.keeps is None:
                return await self.seal_value(conn, workspace_id, plain_value(value.value), field=field)
            return kept_marker(value.keeps, before, field=field)
        refers = isinstance(plain_value(value), Reference) or is_reference(value)
        if stays and is_marker(before) and not refers:
            return await self.seal_value(conn, workspace_id, plain_value(value), field=field)
        return value

    async def _sealing(self, conn: Conn, workspace_id: str, work: Callable[[Callable[[Any], str]], Any]) -> Any:
        """Walk once to see whether there is any secret, for most documents have none; then again to keep them."""
        met: list[Any] = []

        def look(value: Any) -> str:
            met.append(value)
            return ""

        done = work(look)
        if not met:
            return done
        writing = Writing(await self._identity(conn), workspace_id, {})
        done = work(writing.note)
        await self._save(conn, writing)
        return done

    async def _save(self, conn: Conn, writing: Writing) -> None:
        if not writing.values_by_id:
            return
        ids = sorted(writing.values_by_id)
        tokens = [self.keyring.seal(writing.values_by_id[one]) for one in ids]
        await conn.execute(Q.save_secrets, writing.workspace_id, ids, tokens, self.keyring.newest)

    # Reading ----------------------------------------------------------------------------------------------------------

    async def open(self, conn: Conn, workspace_id: str, secret_ids: Iterable[str]) -> dict[str, Any]:
        """Secret id -> value, for those of this workspace.

        Fails: `KeyMissing`.
        """
        wanted = sorted({one for one in secret_ids if names_a_secret(one)})
        if not wanted:
            return {}
        rows = await conn.fetch(Q.load_secrets, workspace_id, wanted)
        return {row["id"]: orjson.loads(self.keyring.open(row["sealed"], key=row["key"])) for row in rows}

    async def open_document(self, conn: Conn, workspace_id: str, document: Any) -> Any:
        """A stored document with the values of its secrets.

        Fails: `KeyMissing`.
        Costs: nothing for a document without secrets.
        """
        wanted = set(ids_in(document))
        return filled(document, await self.open(conn, workspace_id, wanted)) if wanted else document

    # Callbacks --------------------------------------------------------------------------------------------------------

    async def callback_token(self, conn: Conn, *, job_id: str, attempt: int) -> str:
        """By what the outside signs in to say how this attempt of a job goes. It is stored nowhere.

        Fails: `KeyMissing`.
        """
        return callback_token(await self._identity(conn), job_id=job_id, attempt=attempt)

    async def attempt_of(self, conn: Conn, token: str, *, job_id: str) -> int | None:
        """The attempt of this job that such a token is for; None where it is not one of this job.

        Fails: `KeyMissing`.
        """
        return attempt_of(await self._identity(conn), token, job_id=job_id)

    # Rotation ---------------------------------------------------------------------------------------------------------

    async def reseal(self, conn: Conn, *, rows_max: int = BATCH) -> int:
        """Seal a batch of what an older key sealed with the newest one, in a transaction of its own.

        Why:    ids stay, so no digest, release or round changes. A run that is killed leaves whole batches behind; the
                next one goes on with the rest.
        Gives:  how many; 0: nothing is left.
        Fails:  `KeyMissing`.
        """
        newest = self.keyring.newest
        async with conn.transaction():
            identity = await conn.fetchrow(Q.lock_identity, newest)
            if identity is not None:
                plain = self.keyring.open(identity["sealed"], key=identity["key"])
                await conn.execute(Q.reseal_identity, self.keyring.seal(plain), newest)
            rows = await conn.fetch(Q.list_stale, newest, rows_max)
            tokens = [self.keyring.seal(self.keyring.open(row["sealed"], key=row["key"])) for row in rows]
            await conn.execute(Q.reseal_secrets, [row["id"] for row in rows], tokens, newest)
        return len(rows) + (identity is not None)

    async def count_by_key(self, conn: Conn) -> dict[str, int]:
        """Key name -> how much it seals."""
        return {row["key"]: row["secrets"] for row in await conn.fetch(Q.count_by_key)}

    async def _identity(self, conn: Conn) -> bytes:
        """The key of digests; the first to ask makes it. It is remembered once it is surely committed."""
        if self._identity_key is not None:
            return self._identity_key
        row = await conn.fetchrow(Q.find_identity)
        committed = row is not None or not conn.is_in_transaction()
        if row is None:
            token = self.keyring.seal(new_identity_key())
            await conn.execute(Q.insert_identity, token, self.keyring.newest)
            row = await conn.fetchrow(Q.find_identity)
        assert row is not None, "just written, by us or by somebody else"
        try:
            identity_key = self.keyring.open(row["sealed"], key=row["key"])
        except KeyMissing as missing:
            raise KeyMissing(
                f"The secrets of this database were sealed with key {row['key']}, which is not among ours "
                f"({', '.join(self.keyring.names)}). Start with that key in INTERLOCK_SECRET_KEYS or in the key file "
                "of the data directory."
            ) from missing
        if committed:
            self._identity_key = identity_key
        return identity_key


def kept_marker(keeps: str, before: Any, *, field: str) -> Any:
    """The stored marker that a client's mark stands for; one without a value where there is nothing to keep.

    Fails: `Invalid` for a mark of something else.
    """
    if not is_marker(before):
        before = UNSET
    if keeps in {"", MASK} or keeps == mark(before[MARKER]):
        return before
    message = f"{keeps} stands for a secret that is not stored here; write the value itself"
    raise Invalid(f"{field} {message}.", field=field)


async def refuse_sealed(conn: Conn, file: Path) -> None:
    """Refuse to go on without a key where the database has secrets already.

    Fails: `KeyMissing`, naming the key and the file.
    """
    row = await conn.fetchrow(Q.find_identity)
    if row is not None:
        raise KeyMissing(
            f"The secrets of this database were sealed with key {row['key']}, and there is no key: bring {file} back, "
            "or set INTERLOCK_SECRET_KEYS. Without the key the secrets cannot be opened."
        )


@dataclass(frozen=True, slots=True)
class Writing:
    """The values that one document brings, by their ids."""

    identity_key: bytes
    workspace_id: str
    values_by_id: dict[str, bytes]

    def note(self, value: Any) -> str:
        """The id of a value, which is to be kept."""
        secret_id = identify(self.identity_key, self.workspace_id, value)
        self.values_by_id[secret_id] = canonical(value)
        return secret_id
