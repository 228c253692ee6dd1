"""Does the forecast over REST name starts, causes and what it rests on?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from api.story import World, until

RULES = [
    {
        "environmentProgression": {
            "dependsOnEnvironmentSelector": "environment.name == 'staging'",
            "minimumSoakTimeMinutes": 30,
        }
    },
    {"anyApproval": {"minApprovals": 1}},
    {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 600}},
]


async def test_each_target_has_its_earliest_start_and_what_keeps_it_until_then(api: Any, workers: None) -> None:
    world = await World(api).build(agent_type="http-pull", config={}, rules=RULES)
    await world.version("1.0")
    path = f"/deployments/{world.ids['deployment']}/forecast"

    async def staging_is_moving() -> Any:
        said = (await api.get(path)).json()
        return any(one["state"] == "moving" for one in said.get("targets", ())) and said

    said = await until(staging_is_moving, "staging does not move")
    assert said["version"]["tag"] == "1.0"
    by_name = {one["resource"]["name"]: one for one in said["targets"]}
    at = datetime.fromisoformat(said["at"])
    starts = sorted(datetime.fromisoformat(by_name[name]["startsAt"]) for name in ("p-1", "p-2"))
    assert starts[0] - at > timedelta(minutes=30), "a minute's job, assumed, and the soak"
    assert starts[1] - starts[0] == timedelta(seconds=600)
    assert {by_name[name]["cause"]["rule"] for name in ("p-1", "p-2")} == {"environmentProgression", "gradualRollout"}
    assert by_name["p-1"]["assumes"] == ["It has 0 of 1 approvals. Who can act: anybody who may approve."]
    production = next(one for one in said["environments"] if one["name"] == "production")
    assert production["states"] == {"starts": 2}
    assert production["durations"]["caution"] == "No job ever ended well here: its duration is assumed."

    frozen = await api.post("/freezes", {"reason": "audit"})
    assert frozen.status_code in {200, 201, 202}, frozen.text
    only = (await api.get(path, params={"environment": "production", "version": "1.0"})).json()
    assert {one["state"] for one in only["targets"]} == {"unknown"}
    assert {one["cause"]["reason"] for one in only["targets"]} == {"frozen"}
    assert [one["name"] for one in only["environments"]] == ["production"]


async def test_what_is_not_there_is_said(api: Any) -> None:
    world = await World(api).build(agent_type="http-pull", config={}, rules=[])
    path = f"/deployments/{world.ids['deployment']}/forecast"
    none = await api.get(path)
    assert none.status_code == 404 and "no ready version" in none.text
    await world.version("1.0")
    assert (await api.get(path, params={"version": "2.0"})).status_code == 404
    assert (await api.get(path, params={"environment": "moon"})).status_code == 404


async def test_durations_are_those_of_moves_that_ended_well(api: Any, pulled: World, store: Any) -> None:
    path = f"/job-agents/{pulled.ids['agent']}/jobs"
    for job in (await api.get(f"{path}?status=queued")).json()["items"]:
        assert (await api.post(f"{path}/{job['id']}/claim")).status_code == 200
        assert (await api.put(f"/jobs/{job['id']}/status", {"status": "successful"})).status_code == 202

    async def all_run() -> bool:
        return set((await pulled.running()).values()) == {"1"}

    await until(all_run, "they do not run")
    said = (await api.get(f"/deployments/{pulled.ids['deployment']}/forecast")).json()
    assert {one["state"] for one in said["targets"]} == {"there"}
    durations = {one["name"]: one["durations"] for one in said["environments"]}
    assert durations["production"]["samples"] == 2
    assert durations["production"]["jobSeconds"]["p90"] < 30
    assert durations["production"]["caution"] == "Only 2 moves ended well here: too few to rely on."
