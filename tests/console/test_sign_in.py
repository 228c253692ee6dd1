"""Coming in and going out."""

import pytest

from interlock.console.sign_in import safe_goal


async def test_a_stranger_is_sent_to_sign_in_and_comes_back(stranger, world, key_of):
    answer = await stranger.get(world.at("ledger") + "?kind=job")
    assert answer.status_code == 303
    door = answer.headers["location"]
    assert door.startswith("/sign-in?next=")
    loaded = await stranger.get(door)
    assert loaded.status_code == 200
    entered = await stranger.send(door, "/sign-in", key=await key_of("vera", "viewer"))
    assert entered.status_code == 303
    assert entered.headers["location"] == world.at("ledger") + "?kind=job"
    assert (await stranger.get(entered.headers["location"])).status_code == 200


async def test_the_session_cookie_is_closed_to_scripts_and_other_sites(stranger, key_of):
    entered = await stranger.send("/sign-in", "/sign-in", key=await key_of("vera", "viewer"))
    cookie = next(each for each in entered.headers.get_list("set-cookie") if each.startswith("interlock_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


async def test_a_key_that_opens_nothing_is_told_and_not_repeated(stranger):
    answer = await stranger.send("/sign-in", "/sign-in", key="0123456789abcdef." + "0" * 64)
    assert answer.status_code == 401
    assert "unknown, expired or revoked" in answer.text
    assert "0123456789abcdef" not in answer.text
    assert 'aria-invalid="true"' in answer.text


async def test_a_form_that_this_browser_was_not_given_signs_nobody_in(stranger, key_of):
    key = await key_of("vera", "viewer")
    assert (await stranger.client.post("/sign-in", data={"key": key})).status_code == 403
    await stranger.get("/sign-in")
    assert (await stranger.client.post("/sign-in", data={"key": key, "csrf": "guessed"})).status_code == 403
    assert "interlock_session" not in stranger.client.cookies


@pytest.mark.parametrize(
    "elsewhere",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "w/x",
        "",
        "/\n/evil.example",
    ],
)
def test_signing_in_leads_to_no_other_site(elsewhere):
    assert safe_goal(elsewhere) == "/"


def test_signing_in_leads_on_to_a_path_of_ours():
    assert safe_goal("/w/shop/ledger?kind=job") == "/w/shop/ledger?kind=job"


async def test_one_workspace_is_gone_to_straight_away(visitor, world):
    vera = await visitor()
    assert (await vera.get("/")).headers["location"] == world.at()
    assert world.slug in (await vera.get("/workspaces")).text


async def test_one_who_signed_in_is_not_asked_again(visitor):
    vera = await visitor()
    assert (await vera.get("/sign-in")).headers["location"] == "/"


async def test_signing_out_ends_the_session(visitor, world):
    vera = await visitor()
    cookie = vera.client.cookies["interlock_session"]
    assert (await vera.client.post("/sign-out")).status_code == 403
    assert (await vera.send(world.at(), "/sign-out")).headers["location"] == "/sign-in"
    vera.client.cookies.set("interlock_session", cookie)
    assert (await vera.get(world.at())).status_code == 303


async def test_a_member_of_nothing_is_told_the_next_command(visitor):
    nobody = await visitor("nobody", None)
    answer = await nobody.get("/")
    assert answer.status_code == 200
    assert "interlock keys create --user nobody" in answer.text
