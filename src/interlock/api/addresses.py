"""REST for addresses: where a member of this workspace is written to.

An address belongs to the member, not to the user: a workspace's admin says where letters of that workspace go, and
nothing about the user's other workspaces. Everybody may set their own.

Source: issue 4, "Being told". This path is ours.
"""

from __future__ import annotations

from starlette.responses import Response

from interlock.access import Permission
from interlock.api.paths import W, id_of, noun_router
from interlock.outside.mail import is_address
from interlock.store import addresses
from interlock.web.answers import Json
from interlock.web.bodies import ClosedBody, Text, refuse_unless
from interlock.web.shapes import Accepted
from interlock.web.sign_in import InWorkspace

router = noun_router("members")


class AddressBody(ClosedBody):
    """Where to write to; null: where the user is known to be reached anyway."""

    email: Text | None


@router.put(W + "/members/{principalId:segment}/address", response_model=Accepted)
async def put_address(here: InWorkspace, principalId: str, body: AddressBody) -> Response:
    """Say where letters to a member go; everybody may say it of themselves."""
    principal_id = id_of(principalId, "member")
    refuse_unless(
        body.email is None or is_address(body.email),
        "This is no e-mail address.",
        field="email",
    )
    permission = Permission.READ if principal_id == here.caller.id else Permission.MEMBER_WRITE
    async with here.tx(permission, cause="api: put address") as tx:
        await addresses.save_address(tx, here.id, principal_id=principal_id, email=body.email)
    return Json({"id": principal_id, "message": "The address was stored."})
