"""Does a target's agent say what is on it now, and is everybody else told why it cannot?"""

from __future__ import annotations

from typing import Any

import pytest

from agents.kubernetes_server import KubernetesServer
from agents.stub_server import serving
from api.story import World, until
from interlock.settings import Settings

TEMPLATE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .deployment.name }}-{{ .resource.name }}", namespace: shop}
data: {version: "{{ .version.tag }}"}
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The cluster is on loopback."""
    return settings.model_copy(update={"allow_private_addresses": True})


async def first_key(api: Any) -> str:
    targets = (await api.get("/release-targets")).json()["items"]
    return str(next(one for one in targets if one["resource"]["name"] == "p-1")["key"])


async def test_an_inspection_tells_what_lives_and_where_it_drifted(api: Any, workers: None) -> None:
    async with serving(KubernetesServer()) as cluster:
        config = {"kubeconfig": cluster.kubeconfig(), "insecureSkipTlsVerify": True, "template": TEMPLATE}
        world = await World(api).build(agent_type="kubernetes", config={**config, "pollIntervalSeconds": 0.1}, rules=[])
        key = await first_key(api)
        early = await api.post(f"/release-targets/{key}/inspection")
        assert (early.status_code, early.json()["code"]) == (409, "NOTHING_RUNS")
        await world.version("1.0.0")

        async def runs() -> Any:
            return set((await world.running()).values()) == {"1.0.0"}

        await until(runs, "1.0.0 did not go out")
        answer = await api.post(f"/release-targets/{key}/inspection")
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert said["objects"] == ["ConfigMap/shop/shop-api-p-1"]
        assert said["externalId"].endswith(f"/{said['jobId']}/1")
        assert said["drift"] == []
        cluster.touch("ConfigMap", "shop-api-p-1", "data.version", "9.9.9")
        drift = (await api.post(f"/release-targets/{key}/inspection")).json()["drift"]
        assert drift == [{"object": "ConfigMap/shop/shop-api-p-1", "fields": [".data.version"], "missing": False}]
        cluster.next_is(status=403, body=b'{"message": "may not"}')
        refused = await api.post(f"/release-targets/{key}/inspection")
        assert (refused.status_code, refused.json()["code"]) == (409, "AGENT_REFUSED")
        cluster.next_is(status=503)
        assert (await api.post(f"/release-targets/{key}/inspection")).status_code == 503
        for job in (await api.get(f"/release-targets/{key}/jobs")).json()["items"]:
            assert cluster.token not in str(job), "a secret stands in what is stored of a job"


async def test_an_agent_that_cannot_inspect_is_named(api: Any, workers: None) -> None:
    world = await World(api).build(agent_type="test-runner", config={"delaySeconds": 0}, rules=[])
    await world.version("1.0.0")

    async def runs() -> Any:
        return set((await world.running()).values()) == {"1.0.0"}

    await until(runs, "1.0.0 did not go out")
    answer = await api.post(f"/release-targets/{await first_key(api)}/inspection")
    assert answer.status_code == 409
    assert "which cannot inspect" in answer.json()["message"]
