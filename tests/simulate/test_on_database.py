"""Several deployments, workers that die, an outside that lies, people who change their minds: on the real database.

A seed is a story. A failing one is printed with its last lines; `INTERLOCK_SEED=n` plays one alone, and
`make simulate` plays more of them.
"""

import os
import uuid
from random import Random

import pytest

from tests.simulate.yard import a_yard

SEEDS = (
    [int(os.environ["INTERLOCK_SEED"])]
    if "INTERLOCK_SEED" in os.environ
    else range(int(os.environ.get("INTERLOCK_SEEDS", "5")))
)
HAPPENINGS = 200


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happens_in_between_the_laws_hold(database_url, monkeypatch, seed):
    ids = Random(seed)
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=ids.getrandbits(128), version=4))
    yard = await a_yard(seed, database_url)
    try:
        yard.shaky = True
        for _ in range(HAPPENINGS):
            await yard.happen()
            await yard.check()
        await yard.come_to_rest()
        await yard.check()
        await yard.sweep()
        async with yard.store.read() as conn:
            stuck = await conn.fetch(
                "SELECT id, status, handover, confirm FROM job WHERE completed_at IS NULL AND handover <> 'waiting' "
                "AND NOT (status = 'actionRequired' AND confirm = 'asked')"  # planned, and a rule holds it
            )
        assert not stuck, "a job was forgotten"
        await yard.make_peace()
        await yard.check()
        assert not [run for run in yard.outside.runs.values() if run.waits and not run.cancelled], "planned for ever"
        assert len(yard.outside.runs) >= len(yard.deployments), "nothing ran: it proves nothing"
    except BaseException as error:
        error.add_note(f"INTERLOCK_SEED={seed}\n" + "\n".join(yard.story[-60:]))
        raise
    finally:
        await yard.store.close()
