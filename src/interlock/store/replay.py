"""What did a round know, and would it decide the same today? Its facts are read back, and decided again at its instant.

Everything a decision rested on stands under its digest in the blob store; the round's row lists the digests, its
`now`, and which engine and time-zone rules decided. So the answer needs no table that has changed since.

Source: core.md section 6.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata

from interlock.decide import ENGINE_VERSION, decide
from interlock.decide.codec import decode
from interlock.decide.facts import Facts
from interlock.decide.plan import Decision, Plan
from interlock.model.errors import NotFound
from interlock.store.blobs import load_blobs
from interlock.store.queries import Conn, queries

Q = queries("blob")
TRACE = queries("trace")


@dataclass(frozen=True, slots=True)
class Replay:
    """A round, decided again.

    Takes: `others` are subjects whose verdicts differ from those that were stored, as (subject, stored digest, digest
           now). `engine_version` and `tzdata_version` are the round's own.
    """

    round_id: str
    at: datetime
    facts: Facts
    plan: Plan
    engine_version: str
    tzdata_version: str
    others: tuple[tuple[str, str, str | None], ...]
    decision_id: str | None = None

    @property
    def decision(self) -> Decision | None:
        """The decision that was asked about, as it is decided now; None where a round was, or where it is not made."""
        return next((one for one in self.plan.decisions if one.id == self.decision_id), None)

    @property
    def same_engine(self) -> bool:
        """Whether the engine of today is the one that decided."""
        return self.engine_version == ENGINE_VERSION

    @property
    def same_tzdata(self) -> bool:
        """Whether the time zones of today are those that it decided by."""
        return self.tzdata_version == metadata.version("tzdata")

    @property
    def agrees(self) -> bool:
        """Whether it decides now as it did then."""
        return not self.others


async def replay(conn: Conn, workspace_id: str, *, wanted_id: str) -> Replay:
    """Decide again what was decided in a round, or in the round of a decision.

    Takes: `wanted_id` is the id of either.
    Fails: `NotFound` when the workspace has neither, or its facts are past their days.
    """
    row = await conn.fetchrow(TRACE.find_round_of_decision, workspace_id, wanted_id)
    if row is not None and row["round_id"] is None:
        raise NotFound("This decision is on a run of a workflow: it was made with the run, and rests on no round.")
    if row is not None:
        return dataclasses.replace(await replay_round(conn, row["round_id"]), decision_id=wanted_id)
    if await conn.fetchval(TRACE.find_round_in, workspace_id, wanted_id) is None:
        raise NotFound("There is no decision and no round with this id.")
    return await replay_round(conn, wanted_id)


async def replay_round(conn: Conn, round_id: str) -> Replay:
    """Decide a stored round again.

    Fails: `NotFound` when there is no such round, or its facts are past their days.
    """
    row = await conn.fetchrow(Q.find_round, round_id)
    if row is None:
        raise NotFound("There is no such round.")
    shards = await load_blobs(conn, row["fact_digests"])
    if len(shards) < len(row["fact_digests"]):
        raise NotFound("The facts of this round are no longer kept.")
    facts = decode(shards)
    plan = decide(facts, row["at"])
    now = {decision.subject: decision.digest for decision in plan.decisions}
    stored = await conn.fetch(Q.list_decisions_of_round, row["deployment_id"], round_id)
    others = [
        (one["subject"], one["digest"], now.get(one["subject"]))
        for one in stored
        if now.get(one["subject"]) != one["digest"]
    ]
    return Replay(round_id, row["at"], facts, plan, row["engine_version"], row["tzdata_version"], tuple(others))
