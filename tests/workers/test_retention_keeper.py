"""Does the keeper delete what is past its days, in the database and on this machine?"""

import asyncio
import contextlib
import os

from interlock.workers.retention import keep_retention


async def test_folders_of_old_runs_are_removed_and_recent_ones_stay(store, tmp_path):
    for name in ("old", "new"):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "1" / "exit.json").write_text("{}")
    os.utime(tmp_path / "old" / "1" / "exit.json", (0, 0))
    keeper = asyncio.create_task(
        keep_retention(store, blob_days=90, measurement_days=30, exec_root=tmp_path, every_s=0.05)
    )
    for _ in range(500):
        await asyncio.sleep(0.02)
        if not (tmp_path / "old").exists():
            break
    assert not (tmp_path / "old").exists()
    keeper.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeper
    assert (tmp_path / "new" / "1" / "exit.json").exists()
