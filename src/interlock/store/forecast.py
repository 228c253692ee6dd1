"""How long do jobs and their verifications take in each environment? The durations that a forecast rests on.

Of the newest moves that ended well: what a retry or a failure took is no measure of how a rollout goes on.

Source: decide/forecast.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.decide.forecast import Sample
from interlock.store.queries import Conn, queries

Q = queries("forecast")

SAMPLES_MAX = 50
"""So many of the newest moves of an environment are a measure of the next."""


async def load_samples(conn: Conn, deployment_id: str) -> Mapping[str, tuple[Sample, ...]]:
    """Environment id -> how long its newest moves took, newest first; without one that had none."""
    found: dict[str, list[Sample]] = {}
    for row in await conn.fetch(Q.list_durations, deployment_id, SAMPLES_MAX):
        found.setdefault(row["environment_id"], []).append(Sample(row["job_s"], row["verification_s"]))
    return {environment_id: tuple(samples) for environment_id, samples in found.items()}
