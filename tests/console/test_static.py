"""What browsers are given beside pages: vendored files as recorded, kept for as long as their address says."""

import hashlib
import re

from interlock.console.rendering import STATIC, asset

VENDORED = STATIC / "VENDORED.md"


def test_vendored_files_are_what_the_record_says():
    recorded = dict(re.findall(r"^\| (\S+) .*\| ([0-9a-f]{64}) \|$", VENDORED.read_text(), flags=re.MULTILINE))
    there = {file.name for file in STATIC.iterdir() if ".min." in file.name or "LICENSE" in file.name}
    assert set(recorded) == there
    for name, digest in recorded.items():
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest, name


def test_every_script_that_is_not_recorded_is_ours_and_small():
    ours = sorted(file.name for file in STATIC.glob("*.js") if not file.name.endswith(".min.js"))
    assert ours == ["charts.js", "console.js"]
    assert (STATIC / "console.js").stat().st_size < 8_000
    assert (STATIC / "charts.js").stat().st_size < 20_000
    assert (STATIC / "console.css").stat().st_size < 40_000


async def test_a_file_whose_address_names_its_content_is_kept(stranger):
    for name in (
        "console.css",
        "console.js",
        "htmx.min.js",
        "hx-sse.min.js",
        "uPlot.iife.min.js",
        "charts.css",
        "favicon.svg",
    ):
        answer = await stranger.get(asset(name))
        assert answer.status_code == 200, name
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        plain = await stranger.get(f"/static/{name}")
        assert plain.headers["cache-control"] == "no-cache"
        again = await stranger.get(f"/static/{name}", headers={"If-None-Match": plain.headers["etag"]})
        assert again.status_code == 304
