"""Why does it wait, when could it start, and what happened? Questions, and the ledger. All of it is ours.

The answers of `explain_…` and `forecast` are trees for people; their sentences are the server's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

from interlock.client.calls import PAGE_MAX, Wire
from interlock.client.reach import Reach
from interlock.model.errors import Unavailable

if TYPE_CHECKING:
    from interlock.client.shapes import Event

RECONNECT_S = 1.0


class Answers(Reach):
    """Questions and their answers."""

    def explain_deployment(self, deployment_id: str) -> Wire:
        """What a deployment waits for, and why, in sentences."""
        return cast("Wire", self._get("deployments", deployment_id, "explain"))

    def explain_target(self, target_key: str, *, version: str | None = None) -> Wire:
        """What one release target waits for, and why; `standing` is the rule tree of this instant.

        Takes: `version` is an id or a tag; else the one that it goes for.
        """
        return cast("Wire", self._get("release-targets", target_key, "explain", query={"version": version}))

    def explain_version(
        self, deployment_id: str, version: str, *, environment: str, resource: str | None = None
    ) -> Wire:
        """Where a version stands in an environment now, and why."""
        query = {"environment": environment, "resource": resource}
        return cast("Wire", self._get("deployments", deployment_id, "versions", version, "explain", query=query))

    def explain_job(self, job_id: str) -> Wire:
        """Why a job was allowed, what became of it, and where its version stands now."""
        return cast("Wire", self._get("jobs", job_id, "explain"))

    def can_deploy(self, deployment_id: str, version: str, *, environment: str, resource: str | None = None) -> Wire:
        """Whether a version may go into an environment now: `answer` is allow, hold or person."""
        query = {"environment": environment, "resource": resource}
        return cast("Wire", self._get("deployments", deployment_id, "versions", version, "can-deploy", query=query))

    def forecast(self, deployment_id: str, *, version: str | None = None, environment: str | None = None) -> Wire:
        """When each target of a deployment could start at the earliest."""
        query = {"version": version, "environment": environment}
        return cast("Wire", self._get("deployments", deployment_id, "forecast", query=query))

    def trace_version(self, version_id: str) -> Wire:
        """What a version went through: its stages, decisions and events, in order; events as far as there are."""
        found = cast("Wire", self._get("deployment-versions", version_id, "trace"))
        page = found
        while page["cut"] and page["events"]:
            page = self._get("deployment-versions", version_id, "trace", query={"after": page["events"][-1]["seq"]})
            found["events"].extend(page["events"])
        return found

    def get_version_standing(self, version_id: str) -> Wire:
        """Where a version stands on every target now: the `version` and its `stages`, without the story."""
        return cast("Wire", self._get("deployment-versions", version_id, "trace", query={"limit": 1}))

    def replay(self, decision_id: str) -> Wire:
        """Decide a decision, or a round, again: `agrees` says whether it is decided the same today."""
        return cast("Wire", self._get("decisions", decision_id, "replay"))

    def list_ledger(
        self,
        *,
        subject: str | None = None,
        kinds: Sequence[str] = (),
        after: int = 0,
        items_max: int | None = None,
    ) -> Iterator[Event]:
        """The ledger in its order, from the place after `after`.

        Takes: `subject` is `kind:id`; `kinds` are kinds of events, as `job.status_changed`.
        """
        seen = 0
        while items_max is None or seen < items_max:
            limit = PAGE_MAX if items_max is None else min(PAGE_MAX, items_max - seen)
            query = {"subject": subject, "kind": list(kinds) or None, "after": after, "limit": limit}
            page = self._get("ledger", query=query)
            yield from page["items"]
            seen += len(page["items"])
            if page["lastSeq"] == after:
                return
            after = page["lastSeq"]

    def follow_ledger(
        self, *, subject: str | None = None, kinds: Sequence[str] = (), after: int | None = None
    ) -> Iterator[Event]:
        """The ledger as it grows, over one connection: ends when the server does.

        Takes: `after` is the place of the last event known; None: from now on.
        """
        query = {"subject": subject, "kind": list(kinds) or None}
        last = None if after is None else str(after)
        for _, event in self.calls.events(self._in("ledger", "stream"), query=query, last_event_id=last):
            yield cast("Event", event)

    def keep_following_ledger(
        self,
        *,
        subject: str | None = None,
        kinds: Sequence[str] = (),
        after: int | None = None,
        on_break: Callable[[str], object] | None = None,
    ) -> Iterator[Event]:
        """The ledger as it grows, each event once, across broken connections; it never ends by itself.

        Takes: `after` as in `follow_ledger`; `on_break` is told the sentence of each break.
        """
        while True:
            try:
                for event in self.follow_ledger(subject=subject, kinds=kinds, after=after):
                    after = event["seq"]
                    yield event
            except Unavailable as error:
                if on_break is not None:
                    on_break(error.message)
            time.sleep(RECONNECT_S)
