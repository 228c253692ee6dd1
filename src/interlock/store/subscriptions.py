"""Who is told what happens? Subscriptions, and how what happened becomes deliveries.

Nothing is sent here, and nothing is sent in a transaction. A subscription has a place in the feed (`cursor_seq`) up to
which deliveries were made of it; making them and moving the place is one transaction, so an entry becomes one delivery
whenever a process dies. `deliveries.py` has what happens to those.

A subscription is told nothing about itself, so that a failing one cannot feed on its own failures. One with more than
`PENDING_MAX` deliveries waiting gets no more until some are gone: the ledger keeps the rest.

Source: core.md section 7 ("webhooks know only seq"); issue 4, "Being told".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from interlock.inventory.selector import Scope, parse_selector
from interlock.model.errors import Conflict, Invalid, NotFound, Stale
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.model.secret import mark
from interlock.model.subscription import APPROVERS, GROUP_PREFIX, Subscription, checked_kinds, is_kind
from interlock.model.task import Task
from interlock.outside.mail import is_address
from interlock.outside.standard_webhooks import is_secret, new_secret
from interlock.outside.user_templates import check_template
from interlock.store.queries import Conn, queries
from interlock.store.refusals import refusals
from interlock.store.rows import many
from interlock.store.tx import Change, Store, Tx
from interlock.store.work import PEOPLE, WorkRequest

Q = queries("subscription")
DELIVERY = queries("subscription_delivery")

SUBSCRIPTIONS_MAX = 200
PENDING_MAX = 1_000

FIRST_NAME = "approvers"
FIRST_KINDS = (
    *("approval.requested", "approval.given", "approval.rejected", "approval.withdrawn"),
    *("job.asked", "job.overdue"),
)
REMIND_AFTER_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to be told of, and where. `url` and `secret` may be the marks of what is stored."""

    name: str
    channel: str
    kinds: Sequence[str]
    url: str | None = None
    secret: str | None = None
    to: Sequence[str] = ()
    filter: str = ""
    scope_kind: str = "workspace"
    scope_id: str | None = None
    group: str | None = None
    templates: Mapping[str, str] | None = None
    remind_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Behind:
    """A subscription that has not seen the end of the feed."""

    id: str
    kinds: Sequence[str]
    filter: str
    scope_kind: str
    scope_id: str | None
    asked_group: str | None
    remind_after_s: float | None
    cursor_seq: int
    revision: int


@dataclass(frozen=True, slots=True)
class Told:
    """An entry that a subscription is to be told of. `remind_at`: told again then, if it is still open."""

    subscription_id: str
    seq: int
    event_id: str
    kind: str
    remind_at: datetime | None = None


# --- reading ---------------------------------------------------------------------------------------------------------


async def list_subscriptions(
    conn: Conn, workspace_id: str, *, limit: int, offset: int
) -> tuple[tuple[Subscription, ...], int]:
    """A page of a workspace's subscriptions by name, and how many there are."""
    rows = await conn.fetch(Q.list_subscriptions, workspace_id, None, limit, offset)
    return many(Subscription, rows), int(await conn.fetchval(Q.count_subscriptions, workspace_id))


async def find_subscription(conn: Conn, workspace_id: str, *, subscription_id: str) -> Subscription | None:
    """A subscription by id."""
    found = many(Subscription, await conn.fetch(Q.list_subscriptions, workspace_id, subscription_id, 1, 0))
    return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Opened:
    """What is secret of a subscription. `secrets` in force, the newest first."""

    url: str | None
    secrets: tuple[str, ...]


async def open_subscription(store: Store, conn: Conn, one: Subscription, *, now: datetime) -> Opened:
    """The secrets of a subscription, for a sender or for one who may write it."""
    old = one.old_secret_id if one.old_secret_until and one.old_secret_until > now else None
    ids = [each for each in (one.url_id, one.secret_id, old) if each]
    values = await store.secrets.open(conn, one.workspace_id, ids)
    signing = tuple(str(values[each]) for each in (one.secret_id, old) if each and each in values)
    url = one.url if one.url_id is None else str(values.get(one.url_id, ""))
    return Opened(url=url, secrets=signing)


def shown_url(one: Subscription) -> str | None:
    """The address as everybody may see it: of a chat where it begins, of a webhook without its query."""
    if one.url_id is None:
        return one.url
    return f"{one.url}{'/' if one.channel == 'slack' else '?'}{mark(one.url_id)}"


async def load_addresses(
    conn: Conn, one: Subscription, *, group: str | None, deployment_id: str | None, environment_id: str | None
) -> tuple[str, ...]:
    """Whom a letter of this subscription goes to now.

    Takes: the group that the request asks (None: anybody who may approve) and where it is about, where the letter is
           about a request.
    """
    found = [each for each in one.to if "@" in each]
    groups = [each.removeprefix(GROUP_PREFIX) for each in one.to if each.startswith(GROUP_PREFIX)]
    if APPROVERS in one.to and deployment_id is not None:
        if group is None:
            rows = await conn.fetch(Q.list_approver_addresses, one.workspace_id, deployment_id, environment_id)
            found += [row["email"] for row in rows]
        else:
            groups.append(group)
    if groups:
        found += [row["email"] for row in await conn.fetch(Q.list_group_addresses, one.workspace_id, groups)]
    return tuple(dict.fromkeys(found))


async def load_task_addresses(conn: Conn, one: Subscription, task: Task) -> tuple[str, ...]:
    """Whom a letter about a task goes to now: `approvers` are whom it asks; where it asks nobody by name, those who may
    approve there.
    """
    if APPROVERS not in one.to or not (task.assignee or task.group):
        at = await conn.fetchrow(Q.find_place_of_job, task.job_id)
        where = (at["deployment_id"], at["environment_id"]) if at is not None else (None, None)
        return await load_addresses(conn, one, group=None, deployment_id=where[0], environment_id=where[1])
    others = [each for each in one.to if each != APPROVERS]
    groups = [each.removeprefix(GROUP_PREFIX) for each in others if each.startswith(GROUP_PREFIX)]
    found = [each for each in others if "@" in each]
    groups += [task.group] if task.group else []
    found += [row["email"] for row in await conn.fetch(Q.list_group_addresses, one.workspace_id, groups)]
    person = await conn.fetchval(Q.find_address, one.workspace_id, task.assignee_id) if task.assignee_id else None
    return tuple(dict.fromkeys([*found, *([person] if person else [])]))


# --- what may be written ---------------------------------------------------------------------------------------------

NO_SECRET = "A signing secret is `whsec_` and 24 to 64 bytes in base64. Leave it out to have one made."  # noqa: S105 a sentence


def check_wanted(wanted: Wanted, *, check_url: Callable[[str], str | None], before: Subscription | None = None) -> None:
    """Refuse what cannot be told so.

    Takes: `check_url` says what is wrong with an address (`Http.check_url`). `before` is what it replaces.
    Fails: `Invalid` on the field that is wrong.
    """
    checked_kinds(wanted.kinds)
    if wanted.filter:
        try:
            parse_selector(wanted.filter, Scope.EVENT)
        except Invalid as wrong:
            raise Invalid(f"filter is no valid CEL: {wrong.message}", field="filter", code="INVALID_CEL") from wrong
    for key, text in (wanted.templates or {}).items():
        _refuse(not is_kind(key), f"No event is called `{key}`.", field=f"templates.{key}")
        check_template(text, field=f"templates.{key}")
    if wanted.channel == "email":
        _check_letters(wanted)
        return
    _refuse(bool(wanted.to), "Only letters go to people. Give a url.", field="to")
    _refuse(not wanted.url, "Say where to send it.", field="url")
    if before is None or wanted.url != shown_url(before):
        wrong_url = check_url(wanted.url or "")
        _refuse(wrong_url is not None, wrong_url or "", field="url")
    if wanted.channel == "slack":
        _refuse(wanted.secret is not None, "Only webhooks are signed.", field="secret")
    elif before is None or before.secret_id is None or wanted.secret != mark(before.secret_id):
        check_secret(wanted.secret)


def check_secret(secret: str | None) -> None:
    """Refuse a signing secret that is none. Leaving it out is good.

    Fails: `Invalid`.
    """
    _refuse(secret is not None and not is_secret(secret), NO_SECRET, field="secret")


def _check_letters(wanted: Wanted) -> None:
    _refuse(wanted.url is not None, "A letter needs no address of a server.", field="url")
    _refuse(wanted.secret is not None, "Only webhooks are signed.", field="secret")
    _refuse(not wanted.to, f"Say whom to write to: addresses, `group:<name>` or `{APPROVERS}`.", field="to")
    for number, each in enumerate(wanted.to):
        known = each == APPROVERS or (each.startswith(GROUP_PREFIX) and each != GROUP_PREFIX)
        _refuse(
            not known and not is_address(each),
            f"`{each[:100]}` is no e-mail address, no `group:<name>` and not `{APPROVERS}`.",
            field=f"to[{number}]",
        )


def _refuse(wrong: bool, message: str, *, field: str) -> None:  # noqa: FBT001 a condition
    if wrong:
        raise Invalid(message, field=field)


# --- writing ---------------------------------------------------------------------------------------------------------


async def create_subscription(tx: Tx, workspace_id: str, wanted: Wanted, *, author_id: str | None) -> str:
    """Make a subscription: it tells what happens from now on. Gives its id.

    Fails: `Conflict` for a name that is taken or when there are too many.
    """
    if await tx.conn.fetchval(Q.count_subscriptions, workspace_id) >= SUBSCRIPTIONS_MAX:
        raise Conflict(f"A workspace has at most {SUBSCRIPTIONS_MAX} subscriptions.", code="TOO_MANY")
    subscription_id = new_id()
    url, url_id = await _sealed_url(tx, workspace_id, wanted, before=None)
    row = (
        subscription_id,
        workspace_id,
        wanted.name,
        wanted.channel,
        url,
        url_id,
        list(wanted.to),
        list(wanted.kinds),
        wanted.filter,
        wanted.scope_kind,
        wanted.scope_id,
        wanted.group,
        dict(wanted.templates or {}),
        wanted.remind_after_s,
        await _sealed_secret(tx, workspace_id, wanted, before=None),
        author_id,
    )
    with refusals():
        await tx.record(
            changes=[Change(Q.insert_subscription, row)],
            events=[_event("subscription.created", subscription_id, wanted.name, wanted.channel)],
        )
    return subscription_id


async def create_first(tx: Tx, workspace_id: str) -> None:
    """What every workspace begins with: whoever a rule asks for approval is written to."""
    wanted = Wanted(FIRST_NAME, "email", FIRST_KINDS, to=(APPROVERS,), remind_after_s=REMIND_AFTER_S)
    await create_subscription(tx, workspace_id, wanted, author_id=None)


async def change_subscription(tx: Tx, before: Subscription, wanted: Wanted) -> None:
    """Tell other things, or elsewhere. What waits already goes to the new address.

    Fails: `Invalid` for another channel; `Conflict` for a name that is taken.
    """
    if wanted.channel != before.channel:
        raise Invalid("A subscription keeps its channel. Make another one.", field="channel")
    url, url_id = await _sealed_url(tx, before.workspace_id, wanted, before=before)
    row = (
        before.id,
        wanted.name,
        url,
        url_id,
        list(wanted.to),
        list(wanted.kinds),
        wanted.filter,
        wanted.scope_kind,
        wanted.scope_id,
        wanted.group,
        dict(wanted.templates or {}),
        wanted.remind_after_s,
        await _sealed_secret(tx, before.workspace_id, wanted, before=before),
    )
    with refusals():
        await tx.record(
            changes=[Change(Q.update_subscription, row, rows=1)],
            events=[_event("subscription.changed", before.id, wanted.name, before.channel)],
            wakes=[deliver(before.id, before.workspace_id)],
        )


async def delete_subscription(tx: Tx, before: Subscription) -> None:
    """End a subscription. What it has not told yet is not told."""
    event = _event("subscription.deleted", before.id, before.name, before.channel, pending=before.pending)
    await tx.record(changes=[Change(Q.delete_subscription, (before.id,))], events=[event])


async def rotate_secret(tx: Tx, before: Subscription, *, secret: str | None, overlap_s: float) -> None:
    """Sign with a new secret; the one before signs too until the overlap is over.

    Fails: `Conflict` for a channel that does not sign.
    """
    if before.channel != "webhook":
        raise Conflict("Only webhooks are signed.", code="NOT_SIGNED")
    fresh = await tx.secrets.seal(tx.conn, before.workspace_id, secret or new_secret())
    until = await tx.conn.fetchval(DELIVERY.now) + timedelta(seconds=overlap_s)
    event = _event("subscription.secret_rotated", before.id, before.name, before.channel, until=until.isoformat())
    await tx.record(changes=[Change(Q.rotate_secret, (before.id, fresh, until), rows=1)], events=[event])


async def pause_subscription(tx: Tx, before: Subscription, *, reason: str) -> None:
    """Tell nothing until it is resumed. What happens meanwhile waits in the ledger."""
    if before.state == "active":
        event = _event("subscription.paused", before.id, before.name, before.channel)
        await tx.record(changes=[Change(Q.set_state, (before.id, "paused", reason), rows=1)], events=[event])


async def resume_subscription(tx: Tx, before: Subscription, *, from_now: bool) -> None:
    """Tell again, from where it stopped; `from_now` leaves out what happened meanwhile and parks what waits."""
    if before.state == "active" and not before.failing and not from_now:
        return
    waiting = DELIVERY.park_all if from_now else DELIVERY.hasten_deliveries
    event = _event("subscription.resumed", before.id, before.name, before.channel, fromNow=from_now)
    await tx.record(
        changes=[Change(Q.resume_subscription, (before.id, from_now), rows=1), Change(waiting, (before.id,))],
        events=[event],
        wakes=[tell(before.workspace_id), deliver(before.id, before.workspace_id)],
    )


async def _sealed_url(
    tx: Tx, workspace_id: str, wanted: Wanted, *, before: Subscription | None
) -> tuple[str | None, str | None]:
    """An address as it is stored. That of a chat is a secret, for whoever knows it may write there; a webhook's query
    may hold one.
    """
    if wanted.url is None or (before is not None and wanted.url == shown_url(before)):
        return (before.url, before.url_id) if before is not None else (None, None)
    parts = urlsplit(wanted.url)
    path = "" if wanted.channel == "slack" else parts.path
    if wanted.channel != "slack" and not parts.query:
        return wanted.url, None
    return f"{parts.scheme}://{parts.netloc}{path}", await tx.secrets.seal(tx.conn, workspace_id, wanted.url)


async def _sealed_secret(tx: Tx, workspace_id: str, wanted: Wanted, *, before: Subscription | None) -> str | None:
    if wanted.channel != "webhook":
        return None
    stored = before.secret_id if before else None
    if stored is not None and wanted.secret in {None, mark(stored)}:
        return stored
    return await tx.secrets.seal(tx.conn, workspace_id, wanted.secret or new_secret())


def _event(kind: str, subscription_id: str, name: str, channel: str, **body: object) -> Event:
    return Event(kind, Ref("subscription", subscription_id), {"name": name, "channel": channel, **body})


def tell(workspace_id: str) -> WorkRequest:
    """Ask for a look at what a workspace's subscriptions have not seen."""
    return WorkRequest("tell", workspace_id, workspace_id)


def deliver(subscription_id: str, workspace_id: str, *, at: datetime | None = None) -> WorkRequest:
    """Ask for a look at what waits for a subscription."""
    return WorkRequest("deliver", subscription_id, workspace_id, at, PEOPLE)


# --- from the feed to deliveries -------------------------------------------------------------------------------------


async def list_workspaces_behind(conn: Conn) -> tuple[str, ...]:
    """Workspaces in which something happened that a subscription has not seen."""
    return tuple(row["workspace_id"] for row in await conn.fetch(Q.list_workspaces_behind))


async def list_behind(conn: Conn, workspace_id: str) -> tuple[Behind, ...]:
    """The active subscriptions that have not seen the end of the feed and have room for more, by their place."""
    return many(Behind, await conn.fetch(Q.list_behind, workspace_id, PENDING_MAX))


async def load_members_of_systems(conn: Conn, system_ids: Sequence[str]) -> dict[str, frozenset[str]]:
    """system id -> ids of its deployments and environments."""
    found: dict[str, set[str]] = {each: {each} for each in system_ids}
    for row in await conn.fetch(Q.list_in_systems, list(system_ids)):
        found[row["system_id"]].add(row["member_id"])
    return {system_id: frozenset(ids) for system_id, ids in found.items()}


@dataclass(frozen=True, slots=True)
class Asked:
    """Which group a request asks (None: anybody who may approve), and how long a yes to it counts."""

    id: str
    group: str | None
    lasts_s: float | None


async def load_asked(conn: Conn, request_ids: Sequence[str]) -> dict[str, Asked]:
    """request id -> what is asked."""
    rows = many(Asked, await conn.fetch(Q.list_asked, list(request_ids)))
    return {one.id: one for one in rows}


async def note_told(
    tx: Tx, workspace_id: str, *, behind: Sequence[Behind], told: Sequence[Told], from_seq: int, to_seq: int
) -> None:
    """Make deliveries and move the places in the feed, together.

    Why: a subscription that was changed, paused or moved since it was read is left for the next look.
    """
    ids = sorted(one.id for one in behind)
    moved = {row["id"]: row["revision"] for row in await tx.conn.fetch(Q.move_cursors, ids, from_seq, to_seq)}
    if any(moved[one.id] != one.revision for one in behind if one.id in moved):
        raise Stale("A subscription was changed meanwhile.")
    rows = [each for each in told if each.subscription_id in moved]
    reminders = [each for each in rows if each.remind_at is not None]
    if rows:
        every = [*((each, "event", None) for each in rows), *((each, "reminder", each.remind_at) for each in reminders)]
        columns: list[list[Any]] = [
            [new_id() for _ in every],
            [each.subscription_id for each, _, _ in every],
            [purpose for _, purpose, _ in every],
            [each.seq for each, _, _ in every],
            [each.event_id for each, _, _ in every],
            [each.kind for each, _, _ in every],
            [at for _, _, at in every],
        ]
        wanted = sorted({each.subscription_id for each in rows})
        await tx.record(
            changes=[Change(DELIVERY.insert_deliveries, columns)],
            wakes=[deliver(each, workspace_id) for each in wanted],
        )


def required(one: Subscription | None) -> Subscription:
    """The subscription that was looked up.

    Fails: `NotFound`.
    """
    if one is None:
        raise NotFound("There is no such subscription.")
    return one
