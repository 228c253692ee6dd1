"""What was measured after jobs, and what do people say where nothing could tell? All of it is ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from interlock.client.reach import Reach

if TYPE_CHECKING:
    from interlock.client.shapes import Verification


class Verifications(Reach):
    """What verifications say, and what people say of them."""

    def list_verifications(
        self,
        *,
        state: str | None = None,
        deployment_id: str | None = None,
        job_id: str | None = None,
        items_max: int | None = None,
    ) -> Iterator[Verification]:
        """Verifications, newest first; `held` are those that wait because nothing could tell."""
        query = {"state": state, "deploymentId": deployment_id, "jobId": job_id}
        return self._list("verifications", query=query, items_max=items_max)

    def get_verification(self, verification_id: str) -> Verification:
        """One, with its metrics and what people said of it."""
        return cast("Verification", self._get("verifications", verification_id))

    def accept_verification(self, verification_id: str, *, reason: str) -> Verification:
        """Accept what could not be told. Fails: `Conflict` when it does not wait for that."""
        return self._said(verification_id, "accept", reason)

    def fail_verification(self, verification_id: str, *, reason: str) -> Verification:
        """Fail what could not be told. Fails: `Conflict` when it does not wait for that."""
        return self._said(verification_id, "fail", reason)

    def measure_again(self, verification_id: str, *, reason: str | None = None) -> Verification:
        """Measure again. Fails: `Conflict` when there is nothing to measure."""
        return self._said(verification_id, "again", reason)

    def _said(self, verification_id: str, word: str, reason: str | None) -> Verification:
        body = {"reason": reason} if reason else {}
        return cast("Verification", self._write("POST", "verifications", verification_id, word, body=body))
