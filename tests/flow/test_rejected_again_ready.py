"""A rejected version that is set back to ready may be taken again by targets that left it."""

from dataclasses import replace

from interlock.store.versions import VersionContent, change_version, find_version, save_version
from tests.store.fleet import Stepper, a_fleet


async def test_a_version_that_failed_goes_out_again_once_it_was_rejected_and_is_ready(store, tmp_path):
    stepper = Stepper(store, tmp_path)
    fleet = await a_fleet(store, {"one": "prod"})
    await fleet.version("1.0.0")
    await stepper.run()
    content = VersionContent("2.0.0", "2.0.0", "ready", None, {}, {"status": "failure"}, {})
    async with fleet.tx() as tx:
        bad = await save_version(
            tx, fleet.workspace_id, deployment_id=fleet.deployment_id, content=content, author_id=fleet.admin_id
        )
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0"}

    for status, config in (("rejected", {"status": "failure"}), ("ready", {})):
        async with fleet.tx() as tx:
            before = await find_version(tx.conn, fleet.workspace_id, version_id=bad.id)
            after = replace(before, status=status, job_agent_config=config)
            await change_version(tx, fleet.workspace_id, before=before, after=after)
        await stepper.run()
    async with store.read() as conn:
        assert await conn.fetchval("SELECT state FROM rollout WHERE version_id = $1", bad.id) == "halted"
        mark = await conn.fetchval("SELECT v.tag FROM target t JOIN version v ON v.id = t.mark_version_id")
    assert mark == "1.0.0", "it is a candidate again; its halted rollout waits for a person"
