"""Who reads a secret back? Who may write the object; everybody else sees its mark."""

from __future__ import annotations

from typing import Any

from interlock.model.ids import new_id

HUSH = "argocd-token-hunter2"


def agent(**config: Any) -> dict[str, Any]:
    return {"name": "argo", "type": "argo-cd", "config": {"serverUrl": "argo.test", **config}, "metadata": {}}


async def test_who_may_write_an_agent_reads_its_key_and_others_see_the_mark(
    api: Any, key_of: Any, client_of: Any
) -> None:
    path = f"/job-agents/{new_id()}"
    assert (await api.put(path, agent(apiKey=HUSH))).status_code == 202
    assert (await api.get(path)).json()["config"]["apiKey"] == HUSH
    reader = type(api)(client_of(await key_of("vic", "viewer")), api.workspace)
    shown = (await reader.get(path)).json()["config"]
    assert shown["serverUrl"] == "argo.test"
    assert shown["apiKey"].startswith("••••")
    listed = await reader.get("/job-agents")
    assert HUSH not in listed.text
    assert "$secret" not in listed.text
    assert listed.json()["items"][0]["config"] == shown


async def test_a_write_of_the_mark_keeps_the_key(api: Any, key_of: Any, client_of: Any) -> None:
    path = f"/job-agents/{new_id()}"
    await api.put(path, agent(apiKey=HUSH))
    reader = type(api)(client_of(await key_of("vic", "viewer")), api.workspace)
    mark = (await reader.get(path)).json()["config"]["apiKey"]
    assert (await api.put(path, agent(apiKey=mark, insecure=True))).status_code == 202
    assert (await api.get(path)).json()["config"] == {"serverUrl": "argo.test", "apiKey": HUSH, "insecure": True}


async def test_a_mark_of_another_agents_key_is_refused(api: Any) -> None:
    first = f"/job-agents/{new_id()}"
    await api.put(first, agent(apiKey=HUSH))
    answer = await api.put(f"/job-agents/{new_id()}", {**agent(apiKey="••••00000000"), "name": "thief"})
    assert answer.status_code == 400
    assert answer.json()["details"][0]["path"] == "config.apiKey"
