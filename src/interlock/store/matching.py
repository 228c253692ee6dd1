"""What does every write to the inventory owe the targets? A match in its own transaction, and a second look after it.

The match inside the transaction lets the next read see the targets; the requested one lets two concurrent writes (a
resource and a selector), which could not see each other, meet. What refers to the changed object follows by the
second look alone.

Source: core.md section 2, "Resolved before deciding".
"""

from __future__ import annotations

from interlock.store import targets
from interlock.store.tx import Tx
from interlock.store.work import WorkRequest

RESOURCES_A_LOOK = 50
"""As many ids as fit well into one key: PostgreSQL indexes up to 2,700 bytes."""


async def match_after(tx: Tx, workspace_id: str, *, touched: targets.Touched) -> None:
    """Match what was touched now, and ask for the second look at each of it."""
    await targets.match_targets(tx, workspace_id, touched)
    await tx.record(wakes=second_looks(workspace_id, touched))


def second_looks(workspace_id: str, touched: targets.Touched) -> list[WorkRequest]:
    """The looks that a write asks for. Resources that came together are looked at together.

    Whatever changes may be what a reference of another deployment leads to: one look a workspace, however many writes,
    finds the deployments that have references. It is asked for without looking whether there are any, because one may
    be about to be committed.
    """
    ids = touched.resources
    keys = [
        *(f"resource:{','.join(ids[at : at + RESOURCES_A_LOOK])}" for at in range(0, len(ids), RESOURCES_A_LOOK)),
        *(f"environment:{environment_id}" for environment_id in touched.environments),
        *(f"deployment:{deployment_id}" for deployment_id in touched.deployments),
        *(f"agent:{agent_id}" for agent_id in touched.agents),
    ]
    if touched.variables:
        keys.append(f"variables:{workspace_id}")
    if touched.objects or touched.references:
        keys.append(f"references:{workspace_id}")
    return [WorkRequest("match", key, workspace_id=workspace_id) for key in keys]
