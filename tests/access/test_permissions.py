"""Who may do what, where? The table as a matrix, and every kind of scope."""

from __future__ import annotations

import pytest

from interlock.access import PERMISSIONS, Binding, Caller, Permission, Place, Role, allowed, require
from interlock.model.errors import Forbidden

DEVELOPER = "read version:write resource:write deployment:write workflow:write workflow:run job:report task:answer"
MAY: dict[Role, str] = {
    Role.VIEWER: "read",
    Role.DEVELOPER: DEVELOPER,
    Role.APPROVER: "read approve task:answer",
    Role.OPERATOR: (
        f"{DEVELOPER} freeze signal:report steer slo:write measurement:write subscription:write agent:token"
    ),
    Role.ADMIN: " ".join(Permission),
}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("permission", Permission)
def test_every_role_may_exactly_what_the_table_says(role: Role, permission: Permission) -> None:
    caller = Caller(id="c", name="c", bindings=(Binding(role),))
    assert allowed(caller, permission) == (permission in MAY[role].split())


def test_the_table_names_every_role() -> None:
    assert set(PERMISSIONS) == set(Role)


def test_one_who_is_no_member_may_nothing_and_a_system_admin_everything() -> None:
    assert not any(allowed(Caller("c", "c"), permission) for permission in Permission)
    assert all(allowed(Caller("c", "c", system_admin=True), permission) for permission in Permission)


@pytest.mark.parametrize(
    ("binding", "inside", "outside"),
    [
        (
            Binding(Role.APPROVER, "system", "s1"),
            Place(system_ids=frozenset({"s1", "s2"}), deployment_id="d"),
            Place(system_ids=frozenset({"s2"}), deployment_id="d"),
        ),
        (Binding(Role.APPROVER, "deployment", "d1"), Place(deployment_id="d1"), Place(deployment_id="d2")),
        (Binding(Role.APPROVER, "environment", "e1"), Place(environment_id="e1"), Place(environment_id="e2")),
    ],
)
def test_team_a_cannot_approve_for_team_b(binding: Binding, inside: Place, outside: Place) -> None:
    caller = Caller("c", "c", bindings=(binding,))
    assert allowed(caller, Permission.APPROVE, place=inside)
    assert not allowed(caller, Permission.APPROVE, place=outside)
    assert not allowed(caller, Permission.APPROVE)


def test_any_binding_lets_its_holder_read_the_workspace() -> None:
    caller = Caller("c", "c", bindings=(Binding(Role.APPROVER, "deployment", "d1"),))
    assert allowed(caller, Permission.READ, place=Place(deployment_id="d2"))


def test_a_refusal_names_the_permission_and_who_has_it() -> None:
    with pytest.raises(
        Forbidden, match=r"vera lacks the permission approve here; the role approver or admin carries it"
    ):
        require(Caller("c", "vera", bindings=(Binding(Role.VIEWER),)), Permission.APPROVE)
