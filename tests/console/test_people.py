"""The page of people: who sees what there, and what can be changed on it."""

from __future__ import annotations

import re
from typing import Any


async def test_an_admin_gives_and_takes_roles_and_invites_by_address(visitor: Any, world: Any) -> None:
    page = world.at("people")
    ada = await visitor("ada-admin", "admin")
    assert 'aria-current="page">People' in (await ada.get(page)).text
    answer = await ada.send(page, page, user="ida@example.org", role="operator", scope="workspace")
    assert answer.status_code == 303
    shown = (await ada.get(answer.headers["location"])).text
    assert "The role is given." in shown and "ida@example.org" in shown
    take = re.search(r'action="([^"]+/take)"[^<]*<input[^<]*<b>operator</b>', shown)
    assert take
    assert (await ada.send(page, take[1])).status_code == 303
    shown = (await ada.get(page)).text
    remove = re.findall(r'action="([^"]+/remove)".*?Remove<span class="hidden"> ([^<]+)<', shown, flags=re.DOTALL)
    (ida,) = [path for path, name in remove if name == "ida@example.org"]
    assert (await ada.send(page, ida)).status_code == 303
    assert "ida@example.org" not in (await ada.get(page)).text
    wrong = await ada.send(page, page, user="", role="operator", scope="workspace")
    assert wrong.status_code == 400 and "Say who" in wrong.text
    wrong = await ada.send(page, page, user="x", role="king", scope="workspace")
    assert wrong.status_code == 400 and "no role" in wrong.text


async def test_who_may_not_write_members_reads_the_page_and_is_refused(visitor: Any, world: Any) -> None:
    page = world.at("people")
    vera = await visitor("vera-v", "viewer")
    shown = (await vera.get(page)).text
    assert "Give a role" not in shown and "Take back" not in shown and "Your keys" in shown
    csrf = await vera.csrf()
    assert (await vera.client.post(page, data={"csrf": csrf, "user": "vera-v", "role": "admin"})).status_code == 400
    assert "admin</b>" not in (await vera.get(page)).text.split("vera-v")[-1]
    assert (await vera.client.post(page, data={"user": "x", "role": "viewer"})).status_code == 403, "no token"


async def test_everybody_makes_and_ends_keys_of_their_own(visitor: Any, world: Any) -> None:
    page = world.at("people")
    vera = await visitor("vera-k", "viewer")
    made = await vera.send(page, f"{page}/keys", name="laptop", days="30")
    key = re.search(r"[0-9a-f]{16}\.[0-9a-f]{64}", made.text)
    assert key and "not shown again" in made.text
    shown = (await vera.get(page)).text
    assert key[0] not in shown and "laptop" in shown
    button = rf'action="([^"]+/end)"[^>]*><input[^>]*><button[^>]*>End<span class="hidden"> the key {key[0][:6]}'
    end = re.search(button, shown)
    assert end, shown
    assert (await vera.send(page, end[1])).status_code == 303
    assert "revoked" in (await vera.get(page)).text
    assert (await vera.send(page, f"{page}/keys", name="", days="30")).status_code == 400
