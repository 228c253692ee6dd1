"""Who may do what? Members, groups and keys. All of it is ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from interlock.client.calls import Wire
from interlock.client.reach import Reach

if TYPE_CHECKING:
    from interlock.client.shapes import Accepted, Group, Key, Member, NewKey


class People(Reach):
    """People and keys."""

    def list_members(self) -> Iterator[Member]:
        """Who is in this workspace, with the roles that are bound there."""
        return self._list("members")

    def add_member(self, body: Wire) -> Member:
        """Give somebody a role, as in `{"user": "ada", "role": "approver"}`."""
        return cast("Member", self._write("POST", "members", body=body))

    def remove_member(self, principal_id: str) -> Accepted:
        """Take every role here from somebody."""
        return cast("Accepted", self._delete("members", principal_id))

    def put_address(self, principal_id: str, *, email: str | None) -> Accepted:
        """Say where a member is written to; everybody may say it of themselves."""
        return cast("Accepted", self._write("PUT", "members", principal_id, "address", body={"email": email}))

    def get_member(self, principal_id: str) -> Member:
        """Somebody in this workspace."""
        return cast("Member", self._get("members", principal_id))

    def find_group(self, name: str) -> Group | None:
        """The group of this name."""
        return cast("Group | None", self._found("groups", name))

    def list_groups(self) -> Iterator[Group]:
        """The groups of people, by name."""
        return self._list("groups")

    def put_group(self, name: str, members: Sequence[str], *, claim: str | None = None) -> Group:
        """Make a group, or say anew who is in it; `claim` is what the identity provider calls it."""
        body: Wire = {"members": list(members)} | ({"claim": claim} if claim else {})
        return cast("Group", self._write("PUT", "groups", name, body=body))

    def delete_group(self, name: str) -> Wire:
        """End a group: the answer is `{name, message}`."""
        return cast("Wire", self._delete("groups", name))

    def create_key(
        self,
        *,
        user: str,
        role: str | None = None,
        name: str = "",
        scopes: Sequence[str] | None = None,
        bindings: Sequence[Wire] | None = None,
        expires_at: str | None = None,
    ) -> NewKey:
        """Make a key for a user of this workspace, who is created when new: `key` is shown this once."""
        body: Wire = {"user": user, "name": name}
        if role is not None:
            body["role"] = role
        if bindings:
            body["bindings"] = list(bindings)
        if scopes:
            body["scopes"] = list(scopes)
        if expires_at is not None:
            body["expiresAt"] = expires_at
        return cast("NewKey", self._write("POST", "keys", body=body))

    def list_keys(self, *, mine: bool | None = None) -> Iterator[Key]:
        """Keys, newest first: of all members for one who may write members, else the caller's own."""
        return self._list("keys", query={"mine": mine})

    def get_key(self, key_id: str) -> Key:
        """A key, never its text."""
        return cast("Key", self._get("keys", key_id))

    def rotate_key(self, key_id: str, *, overlap_s: int = 24 * 3600) -> Wire:
        """Make a key in the place of another, which ends after `overlap_s`: `key` is shown this once."""
        return cast("Wire", self._write("POST", "keys", key_id, "rotate", body={"overlapSeconds": overlap_s}))

    def revoke_key(self, key_id: str) -> Accepted:
        """End a key."""
        return cast("Accepted", self._delete("keys", key_id))
