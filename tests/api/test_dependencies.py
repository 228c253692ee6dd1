"""Do version dependencies answer as the contract says? Its three routes, call for call, and the field of a new version.

Source: contract.md sections c and e ("Version"; bare array sorted by `dependencyDeploymentId`; 202 `{id, message}`).
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest

V2 = "version.tag.startsWith('v2')"


@pytest.fixture
async def deployments(api: Any) -> dict[str, str]:
    """Name -> id."""
    made = {}
    for name in ("shop-api", "schema", "cache"):
        made[name] = (await api.post("/deployments", {"name": name, "slug": name})).json()["id"]
    return made


async def a_version(api: Any, deployment_id: str, tag: str, **more: Any) -> Any:
    body = {"tag": tag, "name": "", "status": "ready", "metadata": {}, "config": {}, **more}
    return await api.post(f"/deployments/{deployment_id}/versions", body)


async def test_a_dependency_is_put_listed_changed_and_deleted(api: Any, deployments: dict[str, str]) -> None:
    version = (await a_version(api, deployments["shop-api"], "v2")).json()["id"]
    path = f"/deployment-versions/{version}/dependencies"
    assert (await api.get(path)).json() == []
    for name in ("schema", "cache"):
        put = await api.put(f"{path}/{deployments[name]}", {"versionSelector": V2})
        assert put.status_code == 202, put.text
        assert put.json()["id"] == version and isinstance(put.json()["message"], str)
    listed = await api.get(path)
    assert listed.status_code == 200
    assert listed.json() == [
        {"deploymentVersionId": version, "dependencyDeploymentId": one, "versionSelector": V2}
        for one in sorted((deployments["schema"], deployments["cache"]))
    ]
    await api.put(f"{path}/{deployments['schema']}", {"versionSelector": "true", "environments": "all"})
    ours = [one for one in (await api.get(path)).json() if one["dependencyDeploymentId"] == deployments["schema"]]
    assert ours[0]["versionSelector"] == "true" and ours[0]["environments"] == "all"

    gone = await api.delete(f"{path}/{deployments['cache']}")
    assert gone.status_code == 202 and gone.json()["id"] == version
    assert [one["dependencyDeploymentId"] for one in (await api.get(path)).json()] == [deployments["schema"]]
    assert (await api.delete(f"{path}/{deployments['cache']}")).status_code == 404


async def test_a_new_version_brings_what_it_needs(api: Any, deployments: dict[str, str]) -> None:
    needs = {deployments["schema"]: {"versionSelector": V2}}
    made = await a_version(api, deployments["shop-api"], "v2", dependencies=needs)
    assert made.status_code == 200 and "dependencies" not in made.json()
    listed = (await api.get(f"/deployments/{deployments['shop-api']}/versions")).json()["items"]
    assert listed[0]["dependencies"] == needs
    assert (await api.get(f"/deployment-versions/{made.json()['id']}")).json()["dependencies"] == needs

    await a_version(api, deployments["shop-api"], "v2")
    listed = (await api.get(f"/deployments/{deployments['shop-api']}/versions")).json()["items"]
    assert listed[0]["dependencies"] == needs, "CI that says nothing of them leaves them as they are"


BAD = [
    ("a key that is no id", {"not-an-id": {"versionSelector": "true"}}, 400, "dependencies.not-an-id"),
    ("no expression", {"schema": {}}, 400, "versionSelector is required"),
    ("a blank expression", {"schema": {"versionSelector": "  "}}, 400, "versionSelector must not be empty"),
    ("what is no CEL", {"schema": {"versionSelector": "((( not valid cel"}}, 400, "versionSelector line 1"),
    ("another root", {"schema": {"versionSelector": "resource.name == 'a'"}}, 400, "not known here"),
    ("what is not loaded", {"schema": {"versionSelector": "version.config.a == 1"}}, 400, "version.config"),
    ("no object", {"schema": "true"}, 400, "must be an object"),
    ("other environments", {"schema": {"versionSelector": "true", "environments": "some"}}, 400, "first, all"),
    ("its own deployment", {"shop-api": {"versionSelector": "true"}}, 400, "own deployment"),
    ("a deployment that is not there", {str(uuid.uuid4()): {"versionSelector": "true"}}, 404, "no deployment"),
]


@pytest.mark.parametrize(("what", "needs", "status", "said"), BAD, ids=[one[0] for one in BAD])
async def test_what_is_wrong_is_named_and_nothing_is_left_behind(
    api: Any, deployments: dict[str, str], what: str, needs: dict[str, Any], status: int, said: str
) -> None:
    sent = {deployments.get(key, key): body for key, body in needs.items()}
    answer = await a_version(api, deployments["shop-api"], "v2", dependencies=sent)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["message"]
    assert (await api.get(f"/deployments/{deployments['shop-api']}/versions")).json()["total"] == 0


async def test_unknown_ids_answer_404_and_a_bad_expression_400(api: Any, deployments: dict[str, str]) -> None:
    version = (await a_version(api, deployments["shop-api"], "v2")).json()["id"]
    nobody, path = uuid.uuid4(), f"/deployment-versions/{version}/dependencies"
    body = {"versionSelector": "true"}
    assert (await api.get(f"/deployment-versions/{nobody}/dependencies")).status_code == 404
    assert (
        await api.put(f"/deployment-versions/{nobody}/dependencies/{deployments['schema']}", body)
    ).status_code == 404
    assert (await api.put(f"{path}/{nobody}", body)).status_code == 404
    assert (await api.put(f"{path}/x", body)).status_code == 404
    assert (await api.delete(f"{path}/{nobody}")).status_code == 404
    for text in ("((( not valid cel", ""):
        bad = await api.put(f"{path}/{deployments['schema']}", {"versionSelector": text})
        assert bad.status_code == 400, text
    assert (await api.put(f"{path}/{deployments['schema']}", {})).status_code == 400
    assert (await api.get(path)).json() == []


async def test_dependencies_that_lead_back_are_refused_with_the_way(api: Any, deployments: dict[str, str]) -> None:
    needs = {deployments["shop-api"]: {"versionSelector": "true"}}
    assert (await a_version(api, deployments["schema"], "s1", dependencies=needs)).status_code == 200
    version = (await a_version(api, deployments["shop-api"], "v2")).json()["id"]
    path = f"/deployment-versions/{version}/dependencies/{deployments['schema']}"
    refused = await api.put(path, {"versionSelector": "true"})
    assert refused.status_code == 409 and refused.json()["code"] == "DEPENDENCY_CYCLE"
    assert "shop-api -> schema -> shop-api" in refused.json()["message"]
