"""How is what happened told? Two steps and one keeper; the outside world is called while no transaction is open.

    keep_telling    rows got their place in the feed  -> asks for a look at the workspaces that have subscriptions
    tell            one workspace                     -> the feed, filtered, becomes deliveries; the places move on
    deliver         one subscription                  -> what waits is sent, one after the other, in the feed's order

`deliver` has a loop of its own with many slots: a receiver that is slow holds one of them for `RUN_S` at most before
others have their turn, and one that is dead waits for its next try without any. Whether the product goes on deciding
does not depend on any of this.

Source: issue 4, "Being told"; model/subscription.py.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

import structlog

from interlock.clock import monotonic_s
from interlock.flow import WORKER
from interlock.inventory.selector import Scope, parse_selector
from interlock.inventory.to_python import matches
from interlock.model.approval import ApprovalRequest
from interlock.model.errors import Invalid, Rejected, Stale, StoreUnavailable, Unavailable
from interlock.model.event import Ref
from interlock.model.subscription import (
    APPROVERS,
    Attempt,
    Delivery,
    Subscription,
    attempt_of,
    covers_kind,
    kinds_covered,
)
from interlock.model.task import Task
from interlock.outside.http import Http
from interlock.outside.mail import Mail
from interlock.outside.messages import Message, compose, letter, slack_body, webhook_body, words_of
from interlock.outside.standard_webhooks import signed_headers
from interlock.store import approvals, pages, subscriptions
from interlock.store import subscription_deliveries as deliveries
from interlock.store.ledger import FeedEntry, find_last_seq, read_feed
from interlock.store.queries import Conn
from interlock.store.subscriptions import Asked, Behind, Opened, Told, shown_url
from interlock.store.tasks import find_task
from interlock.store.tx import FEED_TOPIC, Store
from interlock.store.work import Claim, assert_claim, request_work
from interlock.store.workspaces import find_workspace
from interlock.web.answers import instant
from interlock.web.entries import render_entries

log = structlog.get_logger("interlock.workers")

ENTRIES_MAX = 500
"""Entries of the feed that one transaction makes deliveries of."""

SEND_S = 15.0
ANSWER_BYTES_MAX = 16 * 1024
RUN_S = 20.0
LOOK_EVERY_S = 1.0
GAP_S = 0.1

Wire = dict[str, Any]


async def keep_telling(store: Store) -> None:
    """Ask for looks as the feed grows, until cancelled. An outage of the database is waited out."""
    listener = store.wakes.listener([FEED_TOPIC])
    try:
        while True:
            listener.clear()
            try:
                async with store.read() as conn:
                    behind = await subscriptions.list_workspaces_behind(conn)
                    await request_work(conn, [subscriptions.tell(each) for each in behind])
                if behind:
                    store.wakes.announce(["tell"])
            except (StoreUnavailable, Stale) as error:
                log.warning("telling_postponed", error=str(error))
            await asyncio.sleep(GAP_S)
            await listener.wait(LOOK_EVERY_S)
    finally:
        store.wakes.drop(listener)


@dataclass(frozen=True, slots=True)
class Telling:
    """What the steps work with.

    Takes: `public_url` is where people find the console. `failing_max`: a receiver that failed longer is disabled.
    """

    store: Store
    http: Http
    mail: Mail
    public_url: str
    failing_max: timedelta

    # tell -------------------------------------------------------------------------------------------------------------

    async def tell(self, claim: Claim) -> datetime | None:
        """Make deliveries of what a workspace's subscriptions have not seen."""
        more = False
        async with self.store.read() as conn:
            behind = await subscriptions.list_behind(conn, claim.key)
        for from_seq, group in itertools.groupby(behind, key=attrgetter("cursor_seq")):
            more |= await self._tell(claim, tuple(group), from_seq=from_seq)
        return self.store.now() if more else None

    async def _tell(self, claim: Claim, behind: Sequence[Behind], *, from_seq: int) -> bool:
        """Those that stand at one place. Says whether there is more."""
        kinds = sorted({kind for one in behind for kind in kinds_covered(one.kinds)})
        async with self.store.snapshot() as conn:
            last_seq = await find_last_seq(conn)
            entries = await read_feed(conn, claim.key, after_seq=from_seq, rows_max=ENTRIES_MAX, kinds=kinds)
            told = await _told(conn, behind, entries, now=self.store.now())
        more = len(entries) == ENTRIES_MAX
        async with self.store.tx(actor=WORKER, cause="tell", workspace_id=claim.key, claim=claim) as tx:
            await subscriptions.note_told(
                tx,
                claim.key,
                behind=behind,
                told=told,
                from_seq=from_seq,
                to_seq=entries[-1].seq if more else last_seq,
            )
        return more

    # deliver ----------------------------------------------------------------------------------------------------------

    async def deliver(self, claim: Claim) -> datetime | None:
        """Send what waits for a subscription, until nothing does, one fails, or others should have their turn."""
        if claim.workspace_id is None:
            return None
        until_s = monotonic_s() + RUN_S
        while True:
            async with self.store.read() as conn:
                await assert_claim(conn, claim)
                one = await subscriptions.find_subscription(conn, claim.workspace_id, subscription_id=claim.key)
                if one is None:
                    return None
                delivery = await deliveries.find_next_delivery(conn, one)
                if delivery is None:
                    return await deliveries.find_next_reminder_at(conn, one.id) if one.state == "active" else None
                now = self.store.now()
                if delivery.next_try_at is not None and delivery.next_try_at > now:
                    return delivery.next_try_at
                prepared = await self._prepared(conn, one, delivery, now=now)
            attempt = prepared if isinstance(prepared, Attempt) else await self._sent(one, delivery, prepared)
            async with self.store.tx(actor=WORKER, cause="deliver", workspace_id=claim.workspace_id, claim=claim) as tx:
                await deliveries.note_attempt(
                    tx, one, delivery, attempt, chance=random.random(), failing_max=self.failing_max
                )
            if monotonic_s() >= until_s:
                return self.store.now()

    async def _prepared(
        self, conn: Conn, one: Subscription, delivery: Delivery, *, now: datetime
    ) -> Prepared | Attempt:
        """What is to be sent and to whom; an `Attempt` where that is decided already."""
        entry, asked = await _entry_of(conn, one, delivery)
        if entry is None:
            return Attempt("skipped", error="What was to be told is no longer in the ledger.")
        if asked is not None and delivery.kind == "approval.requested" and asked.status != "open":
            return Attempt("skipped", error=f"The request was {asked.status} before this was sent.")
        task = None
        if delivery.kind in ASKING and delivery.purpose != "test":
            job_id = str(entry["subject"]["id"])
            task = await find_task(conn, one.workspace_id, job_id=job_id, principal_id=None)
            if task is None or not task.open:
                return Attempt("skipped", error="The task was over before this was sent.")
        workspace = await find_workspace(conn, one.workspace_id)
        place = f"{self.public_url}/w/{workspace.slug if workspace else one.workspace_id}"
        request = None if asked is None else await _rendered_request(conn, asked)
        try:
            message = compose(
                entry, key=delivery.id, purpose=delivery.purpose, place=place, templates=one.templates, request=request
            )
        except Rejected as broken:
            return Attempt("refused", error=broken.message)
        if one.channel != "email":
            return Prepared(message, await subscriptions.open_subscription(self.store, conn, one, now=now))
        if task is not None:
            to = await subscriptions.load_task_addresses(conn, one, task)
            return Prepared(message, Opened(None, ()), to) if to else Attempt("skipped", error=_nobody_of(task))
        to = await subscriptions.load_addresses(
            conn,
            one,
            group=asked.group if asked else None,
            deployment_id=asked.deployment_id if asked else None,
            environment_id=asked.environment_id if asked else None,
        )
        if not to:
            return Attempt("skipped", error=_nobody(one, asked))
        return Prepared(message, Opened(None, ()), to)

    async def _sent(self, one: Subscription, delivery: Delivery, prepared: Prepared) -> Attempt:
        """Send it. No transaction is open, and no connection is held."""
        if one.channel == "email":
            return await self.mail.send(letter(prepared.message, to=prepared.to))
        body, media_type = (slack_body if one.channel == "slack" else webhook_body)(prepared.message)
        headers = {"Content-Type": media_type}
        if prepared.opened.secrets:
            headers |= signed_headers(
                prepared.opened.secrets,
                message_id=f"msg_{delivery.id}",
                timestamp=int(self.store.now().timestamp()),
                body=body,
            )
        try:
            answer = await self.http.send(
                "POST",
                prepared.opened.url or "",
                headers=headers,
                body=body,
                timeout_s=SEND_S,
                answer_bytes_max=ANSWER_BYTES_MAX,
            )
        except Rejected as no:  # the guard, or an address that is none
            return Attempt("refused", error=no.message.replace(prepared.opened.url or "", shown_url(one) or ""))
        except Unavailable as silent:
            return Attempt("failed", error=silent.message)
        retry_after = dict(answer.headers).get("retry-after", "")
        return attempt_of(answer.status, took_ms=answer.duration_ms, retry_after=retry_after)


ASKING = frozenset({"job.asked", "job.overdue"})
"""Kinds by which a task asks its people."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message, and where it goes."""

    message: Message
    opened: Opened
    to: tuple[str, ...] = ()


# --- which entries whom ----------------------------------------------------------------------------------------------


async def _told(
    conn: Conn, behind: Sequence[Behind], entries: Sequence[FeedEntry], *, now: datetime
) -> tuple[Told, ...]:
    """What each subscription is to be told of."""
    if not entries:
        return ()
    systems = sorted({one.scope_id for one in behind if one.scope_kind == "system" and one.scope_id})
    held = await subscriptions.load_members_of_systems(conn, systems) if systems else {}
    requests = {ref.id for entry in entries for ref in entry.refs if ref.kind == "request"}
    asked = await subscriptions.load_asked(conn, sorted(requests)) if requests else {}
    rendered: list[Wire] = []
    if any(one.filter for one in behind):
        rendered = await render_entries(conn, entries)
    found = []
    for number, entry in enumerate(entries):
        values = {"event": event_view(rendered[number])} if rendered else {}
        found += [
            Told(one.id, entry.seq, entry.event_id, entry.kind, _remind_at(one, entry, asked=asked))
            for one in behind
            if _wants(one, entry, held=held, asked=asked) and _passes(one, values)
        ]
    return tuple(found)


def _passes(one: Behind, values: Mapping[str, Any]) -> bool:
    """Whether the filter matches. One that was good when it was written and is none today matches nothing, because
    others of the workspace are told by the same step.
    """
    try:
        return not one.filter or matches(parse_selector(one.filter, Scope.EVENT), values)
    except Invalid as broken:
        log.warning("subscription_filter_broken", subscription=one.id, error=str(broken))
        return False


def _wants(one: Behind, entry: FeedEntry, *, held: Mapping[str, frozenset[str]], asked: Mapping[str, Asked]) -> bool:
    """Whether kind, scope and group are the subscription's. Nothing is told of the subscription itself."""
    if not covers_kind(one.kinds, entry.kind) or entry.subject == Ref("subscription", one.id):
        return False
    if one.asked_group is not None:
        request = _request_of(entry, asked)
        if request is not None and request.group != one.asked_group:
            return False
        if entry.kind in ASKING and entry.body.get("group") != one.asked_group:
            return False
    if one.scope_kind == "workspace" or one.scope_id is None:
        return True
    within = held.get(one.scope_id, frozenset({one.scope_id}))
    everywhere = any(ref.kind == "workspace" for ref in entry.refs[1:])  # a freeze of everything
    return everywhere or any(ref.id in within for ref in entry.refs)


def _remind_at(one: Behind, entry: FeedEntry, *, asked: Mapping[str, Asked]) -> datetime | None:
    """When a request is told once more; sooner where a yes counts for a short time only."""
    request = _request_of(entry, asked)
    if entry.kind != "approval.requested" or not one.remind_after_s or request is None:
        return None
    after_s = one.remind_after_s if request.lasts_s is None else min(one.remind_after_s, request.lasts_s / 2)
    return entry.at + timedelta(seconds=after_s)


def _request_of(entry: FeedEntry, asked: Mapping[str, Asked]) -> Asked | None:
    return next((asked[ref.id] for ref in entry.refs if ref.kind == "request" and ref.id in asked), None)


def event_view(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What a filter sees of an entry: the fields of `event` in inventory/scope.py."""
    words = words_of(entry)
    names: Wire = {
        kind: words[kind] for kind in ("system", "deployment", "environment", "target", "version") if kind in words
    }
    return {
        **names,
        "kind": entry["kind"],
        "at": entry["at"],
        "cause": entry.get("cause", ""),
        "actor": {key: str(value) for key, value in entry["actor"].items()},
        "subject": {key: str(value) for key, value in entry["subject"].items()},
        "body": entry.get("body") or {},
    }


# --- what is said ----------------------------------------------------------------------------------------------------


async def _entry_of(conn: Conn, one: Subscription, delivery: Delivery) -> tuple[Wire | None, ApprovalRequest | None]:
    """The entry as the wire has it, and the request for approval that it is about."""
    if delivery.purpose == "test":
        return _test_entry(one, delivery), None
    entry = await deliveries.find_entry(conn, delivery.event_id or "")
    if entry is None:
        return None, None
    request_id = next((ref.id for ref in entry.refs if ref.kind == "request"), None)
    asked = await approvals.find_request(conn, one.workspace_id, request_id=request_id) if request_id else None
    return (await render_entries(conn, [entry]))[0], asked


def _test_entry(one: Subscription, delivery: Delivery) -> Wire:
    """What a test tells, in the shape of an entry."""
    return {
        "id": delivery.id,
        "kind": deliveries.TEST_KIND,
        "at": instant(delivery.created_at),
        "actor": {"kind": "system", "id": "interlock", "name": "Interlock"},
        "cause": "test",
        "subject": {"kind": "subscription", "id": one.id, "name": one.name},
        "refs": [],
        "body": {},
    }


async def _rendered_request(conn: Conn, asked: ApprovalRequest) -> Wire:
    """What a person is asked, as messages tell it."""
    authors = await pages.find_authors(conn, asked.version_id)
    runs = [str(each["version"]) for each in asked.shown.get("from", ()) if each.get("version")]
    return {
        "id": asked.id,
        "deployment": asked.deployment,
        "environment": asked.environment,
        "version": asked.tag,
        "minimum": asked.minimum,
        "given": sum(word["verdict"] == "approved" for word in asked.words),
        "group": asked.group,
        "why": asked.why,
        "author": (authors.named_author or authors.author) if authors else None,
        "targets": asked.shown.get("targetsTotal", 0),
        "from": ", ".join(runs),
        "status": asked.status,
        "openedAt": instant(asked.opened_at),
        "expiresAfterHours": None if asked.lasts_s is None else asked.lasts_s / 3600,
        "digest": asked.shown_digest,
    }


def _nobody_of(task: Task) -> str:
    return f"Nobody to write to: it asks {task.who}, and nobody of them has an e-mail address."


def _nobody(one: Subscription, asked: ApprovalRequest | None) -> str:
    if asked is not None and asked.group:
        return f"Nobody to write to: no member of the group {asked.group} has an e-mail address."
    if list(one.to) == [APPROVERS]:
        return "Nobody to write to: nobody who may approve has an e-mail address, or no request is asked about."
    return f"Nobody to write to: nobody of {', '.join(one.to)} has an e-mail address."
