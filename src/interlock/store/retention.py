"""How is what is past its days deleted? In batches, so that no statement holds locks for long.

Source: DESIGN.md section 5.
"""

from __future__ import annotations

from interlock.store.queries import Conn, queries

BATCHES_MAX = 100

PLAN_DAYS = 7
"""How long a deployment plan stays after it expired."""

SECRET_DAYS = 7
"""How long the secrets of a deleted workspace stay: what ran there is being cancelled, and its agents need them."""

WHAT_IF_DAYS = 7
"""How long the answer to a question about policies can be read."""

DELIVERY_DAYS = 30
"""How long one can see what became of a delivery, and have it sent again."""

INCIDENT_DAYS = 90
"""How long an incident can be read after its end."""


async def delete_expired(conn: Conn, *, blob_days: int, measurement_days: int) -> int:
    """Delete blobs, measurements and captured output past their days. Gives how many rows."""
    deleted = 0
    for text, days in (
        (queries("blob").delete_old_blobs, blob_days),
        (queries("verification").delete_old_measurements, measurement_days),
        (queries("verification").delete_old_output, measurement_days),
        (queries("posted").delete_old_posted, measurement_days),
        (queries("deployment_plan").delete_old_plans, PLAN_DAYS),
        (queries("what_if").delete_old_what_ifs, WHAT_IF_DAYS),
        (queries("delivery").delete_old_deliveries, 0),
        (queries("secret").delete_of_deleted_workspaces, SECRET_DAYS),
        (queries("subscription_delivery").delete_old_deliveries, DELIVERY_DAYS),
        (queries("incident").delete_old_incidents, INCIDENT_DAYS),
        (queries("idempotency").delete_old_answers, 0),
    ):
        for _ in range(BATCHES_MAX):
            rows = int((await conn.execute(text, days)).rpartition(" ")[2])
            deleted += rows
            if rows == 0:
                break
    unused = await conn.execute(queries("slot").delete_unused_slot_groups)
    return deleted + int(unused.rpartition(" ")[2])
