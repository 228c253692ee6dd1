"""Do groups work over REST, and does only their members' yes open a gate that asks for it?"""

from __future__ import annotations

from typing import Any

from api.story import World, until

LEADS = {"anyApproval": {"minApprovals": 1, "approverGroup": "leads", "expiresAfterHours": 24}}


async def test_a_group_is_made_changed_listed_and_deleted(api: Any, workers: None, key_of: Any) -> None:
    await key_of("bea", "approver")
    made = await api.put("/groups/leads", {"members": ["bea", "ada", "bea"]})
    assert made.status_code == 200, made.text
    assert [member["name"] for member in made.json()["members"]] == ["ada", "bea"]
    again = (await api.put("/groups/leads", {"members": ["bea"]})).json()
    assert again["id"] == made.json()["id"] and [member["name"] for member in again["members"]] == ["bea"]
    listed = (await api.get("/groups")).json()
    assert (listed["total"], listed["items"]) == (1, [again])
    assert (await api.get("/groups/leads")).json() == again

    async def told() -> Any:
        events = (await api.get(f"/ledger?subject=group:{again['id']}")).json()["items"]
        return {event["kind"] for event in events} == {"group.changed", "group.created"}

    await until(told, "the ledger does not tell")
    assert (await api.delete("/groups/leads")).status_code == 200
    assert (await api.delete("/groups/leads")).status_code == 404


async def test_who_is_no_member_or_nobody_is_refused(api: Any, key_of: Any, client_of: Any, counted: Any) -> None:
    await key_of("stranger")
    before = await counted()
    for members in (["nobody"], ["stranger"], "ada", [1]):
        refused = await api.put("/groups/leads", {"members": members})
        assert refused.status_code == 400 and "members" in refused.text, refused.text
    approver = client_of(await key_of("bea", "approver"))
    path = f"/api/v1/workspaces/{api.workspace}/groups/leads"
    assert (await approver.put(path, json={"members": []})).status_code == 403
    assert (await counted())["principal_group"] == before["principal_group"]


async def test_another_persons_approval_does_not_count_and_the_request_says_so(
    api: Any, workers: None, key_of: Any, client_of: Any
) -> None:
    lead, other = client_of(await key_of("lea", "approver")), client_of(await key_of("otto", "approver"))
    await api.put("/groups/leads", {"members": ["lea"]})
    world = await World(api).build(agent_type="test-runner", config={"delaySeconds": 0}, rules=[LEADS])
    await world.version("1.0.0")

    async def asked() -> Any:
        items = (await api.get("/approval-requests", params={"status": "open"})).json()["items"]
        return next((item for item in items if item["environment"]["name"] == "production"), None)

    request = await until(asked, "nobody was asked")
    assert (request["group"], request["expiresAfterHours"]) == ("leads", 24)
    assert request["why"].endswith("asks for 1 approval of the group leads")
    path = f"/api/v1/workspaces/{api.workspace}/approval-requests/{request['id']}/approvals"
    said = (await other.post(path, json={"verdict": "approved", "digest": request["digest"]})).json()
    assert (said["status"], len(said["approvals"])) == ("open", 1)
    (word,) = said["approvals"]
    assert (word["notCounted"], word["says"]) == ("group", "otto is not in the group leads, whose yes is asked for")
    said = (await lead.post(path, json={"verdict": "approved", "digest": request["digest"]})).json()
    assert said["status"] == "approved"
    assert ["notCounted" in word for word in said["approvals"]] == [True, False]

    async def runs() -> Any:
        return (await world.running())["p-1"] == "1.0.0"

    await until(runs, "it did not go out")
