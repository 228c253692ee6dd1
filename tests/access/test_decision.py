"""Why may somebody do something, and why not? Every cause with its sentence, and who may grant what."""

from __future__ import annotations

import pytest

from interlock.access import (
    Binding,
    Caller,
    Permission,
    Place,
    Role,
    allowed,
    allowed_somewhere,
    beyond,
    explain,
    weigh,
)

SHOP = Place(system_ids=frozenset({"s1"}), deployment_id="d1", environment_id="e1")
RELEASER = Binding("releaser", permissions=frozenset({Permission.READ, Permission.VERSION_WRITE}))
OPS = Binding(Role.OPERATOR, "system", "s1", group="sre")


def said(caller: Caller, permission: Permission, place: Place = SHOP) -> str:
    names = {"s1": "checkout", "d1": "shop-api"}
    roles = {"releaser": frozenset({Permission.VERSION_WRITE})}
    return explain(caller, permission, weigh(caller, permission, place=place), roles=roles, names=names)


@pytest.mark.parametrize(
    ("caller", "permission", "because", "sentence"),
    [
        (
            Caller("c", "ada", bindings=(Binding(Role.ADMIN),)),
            Permission.FREEZE,
            "role",
            "ada has the role admin over the workspace, which carries freeze.",
        ),
        (
            Caller("c", "otto", bindings=(OPS,)),
            Permission.STEER,
            "role",
            "otto is in the group sre, which has the role operator over the system checkout, which carries steer.",
        ),
        (
            Caller("c", "vera", bindings=(Binding(Role.APPROVER, "deployment", "d2"),)),
            Permission.READ,
            "reads_all",
            "vera has a role in this workspace, and whoever has one reads all of it.",
        ),
        (
            Caller("c", "vera", bindings=(Binding(Role.APPROVER, "deployment", "d2"),)),
            Permission.APPROVE,
            "elsewhere",
            "vera lacks the permission approve here: the role approver carries it over the deployment d2 alone.",
        ),
        (
            Caller("c", "vera", bindings=(Binding(Role.VIEWER),)),
            Permission.VERSION_WRITE,
            "no_role_carries_it",
            (
                "vera lacks the permission version:write here; "
                "the role developer or operator or admin or releaser carries it."
            ),
        ),
        (
            Caller("c", "ci", bindings=(Binding(Role.ADMIN),), scopes=frozenset({"read"})),
            Permission.FREEZE,
            "not_in_scopes",
            "This key is not made for freeze; its scopes are read.",
        ),
        (
            Caller("c", "ci", bindings=(Binding(Role.ADMIN),), limits=(Binding(Role.DEVELOPER, "deployment", "d2"),)),
            Permission.VERSION_WRITE,
            "outside_the_keys_limits",
            "This key has roles of its own, and none of them carries version:write here.",
        ),
        (Caller("c", "eve"), Permission.READ, "no_member", "eve has no role in this workspace."),
        (
            Caller("c", "root", system_admin=True),
            Permission.FORCE,
            "system_admin",
            "root is a system admin, who may do everything everywhere.",
        ),
        (
            Caller("a1", "west", kind="agent", agent_id="a1"),
            Permission.JOB_REPORT,
            "not_the_agents",
            "An agent's token claims, lists and reports the jobs of its own agent, and does nothing else.",
        ),
    ],
)
def test_every_decision_says_why(caller: Caller, permission: Permission, because: str, sentence: str) -> None:
    assert weigh(caller, permission, place=SHOP).because == because
    assert said(caller, permission) == sentence


def test_a_role_of_the_workspace_carries_what_it_lists_and_nothing_else() -> None:
    caller = Caller("c", "rita", bindings=(RELEASER,))
    assert [each for each in Permission if allowed(caller, each)] == [Permission.READ, Permission.VERSION_WRITE]


def test_a_keys_own_roles_narrow_and_never_add() -> None:
    viewer = Caller("c", "ci", bindings=(Binding(Role.VIEWER),), limits=(Binding(Role.ADMIN),))
    assert not allowed(viewer, Permission.FREEZE, place=SHOP)
    wide = Caller("c", "ci", bindings=(OPS,), limits=(Binding(Role.DEVELOPER, "deployment", "d1"),))
    assert allowed(wide, Permission.VERSION_WRITE, place=SHOP)
    assert not allowed(wide, Permission.STEER, place=SHOP), "the key's role carries none of it"
    assert not allowed(wide, Permission.VERSION_WRITE, place=Place(frozenset({"s1"}), "d9"))
    assert allowed_somewhere(wide, Permission.VERSION_WRITE) and not allowed_somewhere(wide, Permission.STEER)


def test_an_agents_token_is_good_for_its_own_agent_alone() -> None:
    agent = Caller("a1", "west", kind="agent", agent_id="a1")
    own, other = Place(agent_id="a1"), Place(agent_id="a2")
    assert {each for each in Permission if allowed(agent, each, place=own)} == {Permission.READ, Permission.JOB_REPORT}
    assert not any(allowed(agent, each, place=place) for each in Permission for place in (other, SHOP, Place()))


def test_nobody_grants_what_they_do_not_hold_there() -> None:
    lead = Caller("c", "lena", bindings=(Binding("lead", "system", "s1", frozenset({Permission.MEMBER_WRITE})), OPS))
    inside = Place(frozenset({"s1"}), "d1")
    assert beyond(lead, [(Binding(Role.DEVELOPER, "deployment", "d1"), inside)]) == ()
    assert beyond(lead, [(Binding(Role.APPROVER, "deployment", "d1"), inside)]) == (Permission.APPROVE,)
    assert Permission.STEER in beyond(lead, [(Binding(Role.OPERATOR), Place())]), "not over the whole workspace"
    assert beyond(lead, [(Binding(Role.ADMIN, "deployment", "d1"), inside)], scopes=["read", "steer"]) == ()
