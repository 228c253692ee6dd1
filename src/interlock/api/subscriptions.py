"""REST for subscriptions: who is told what happens, by which channel, and what became of each delivery.

Who may write a subscription reads its secrets in full (the signing secret, a chat's address); everybody else sees
marks. A write that holds a mark, or leaves the secret out, keeps what is stored.

Source: issue 4, "Being told" and "Access control and secrets"; Standard Webhooks specification 1.0. These paths are
ours.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, NotRequired

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission, Place, allowed
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.api.scopes import ScopeBody, ScopeKind, find_scope_id, place_of_scope
from interlock.model.secret import mark
from interlock.model.subscription import ADDRESSES_MAX, DEFAULT_KINDS, KINDS_MAX, Delivery, Subscription
from interlock.outside.http import Http
from interlock.store import subscription_deliveries as deliveries
from interlock.store import subscriptions
from interlock.store.subscriptions import Opened, Wanted, shown_url
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Float, Name, Text
from interlock.web.paging import Paging
from interlock.web.shapes import Accepted, Id, Instant, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("subscriptions")

HOURS_MAX = 24 * 365
TEMPLATES_MAX = 50
S = W + "/subscriptions/{subscriptionId:segment}"


class SubscriptionScope(ScopeBody):
    """Where what is told happens: anywhere, or in one system, environment or deployment."""


class SubscriptionBody(ClosedBody):
    """A subscription.

    `webhook` and `slack` need `url`; `email` needs `to`: addresses, `group:<name>`, or `approvers` (whoever a rule
    asks). Without `kinds` it is told what needs a person: requests for approval, halts, rollbacks, freezes, failed
    verifications.
    """

    name: Name
    channel: Literal["webhook", "slack", "email"]
    url: Text | None = None
    secret: Text | None = None
    to: Annotated[list[Text], Field(default_factory=list, max_length=ADDRESSES_MAX)]
    kinds: Annotated[list[Name], Field(default_factory=lambda: list(DEFAULT_KINDS), max_length=KINDS_MAX)]
    filter: Text = ""
    scope: SubscriptionScope = SubscriptionScope(kind="workspace")
    group: Name | None = None
    templates: Annotated[dict[str, Text], Field(default_factory=dict, max_length=TEMPLATES_MAX)]
    remindAfterHours: Annotated[Float, Field(gt=0, le=HOURS_MAX)] | None = None


class SubscriptionPause(ClosedBody):
    """Why nothing is told for a while."""

    reason: Text = ""


class SubscriptionResume(ClosedBody):
    """From where it goes on: from where it stopped, or from now, leaving out what happened meanwhile."""

    fromNow: Annotated[bool, Field(strict=True)] = False


class SubscriptionRotation(ClosedBody):
    """A new secret (made where none is given), and how long the one before signs too."""

    secret: Text | None = None
    overlapHours: Annotated[Float, Field(ge=0, le=24 * 30)] = 24.0


class SubscriptionScopeAnswer(TypedDict):
    """Where what is told happens."""

    kind: ScopeKind
    id: NotRequired[Id]


class SubscriptionAnswer(TypedDict):
    """A subscription and how it fares."""

    id: Id
    name: str
    channel: Literal["webhook", "slack", "email"]
    url: NotRequired[str]
    secret: NotRequired[str]
    oldSecretUntil: NotRequired[Instant]
    to: NotRequired[list[str]]
    kinds: list[str]
    filter: NotRequired[str]
    scope: SubscriptionScopeAnswer
    group: NotRequired[str]
    templates: NotRequired[dict[str, str]]
    remindAfterHours: NotRequired[float]
    state: Literal["active", "paused", "disabled"]
    stateReason: NotRequired[str]
    stateAt: Instant
    failingSince: NotRequired[Instant]
    lastError: NotRequired[str]
    lastDeliveredAt: NotRequired[Instant]
    nextTryAt: NotRequired[Instant]
    pending: int
    parked: int
    createdAt: Instant
    updatedAt: Instant


class DeliveryAnswer(TypedDict):
    """A delivery and how its last try ended."""

    id: Id
    webhookId: str
    purpose: Literal["event", "reminder", "test"]
    seq: NotRequired[int]
    eventId: NotRequired[Id]
    kind: str
    state: Literal["pending", "delivered", "parked", "skipped"]
    attempts: int
    createdAt: Instant
    nextTryAt: NotRequired[Instant]
    lastTryAt: NotRequired[Instant]
    lastStatus: NotRequired[int]
    lastError: NotRequired[str]
    lastMs: NotRequired[int]
    endedAt: NotRequired[Instant]


@router.get(W + "/subscriptions", response_model=page_of(SubscriptionAnswer))
async def list_subscriptions(here: InWorkspace, page: Paging) -> Response:
    """List subscriptions by name, with how they fare. Secrets are marks here."""
    here.require(Permission.READ)
    async with here.read() as conn:
        items, total = await subscriptions.list_subscriptions(conn, here.id, limit=page.limit, offset=page.offset)
    return page.answer([render_subscription(one) for one in items], total)


@router.post(W + "/subscriptions", status_code=201, response_model=SubscriptionAnswer)
async def create_subscription(here: InWorkspace, request: Request, body: SubscriptionBody) -> Response:
    """Make a subscription: it tells what happens from now on."""
    wanted = await _wanted(here, request, body)
    place = await place_of_scope(here, wanted.scope_kind, wanted.scope_id)
    async with here.tx(Permission.SUBSCRIPTION_WRITE, cause="api: create subscription", place=place) as tx:
        made = await subscriptions.create_subscription(tx, here.id, wanted, author_id=here.caller.id)
    return await _shown(here, made, status=201)


@router.get(S, response_model=SubscriptionAnswer)
async def get_subscription(here: InWorkspace, subscriptionId: str) -> Response:
    """Get a subscription; its secrets in full for one who may write it."""
    here.require(Permission.READ)
    return await _shown(here, id_of(subscriptionId, "subscription"))


@router.put(S, response_model=SubscriptionAnswer)
async def put_subscription(
    here: InWorkspace, request: Request, subscriptionId: str, body: SubscriptionBody
) -> Response:
    """Change a subscription. What waits already goes where it says from now on."""
    before = await _known(here, subscriptionId)
    await _require(here, before)
    wanted = await _wanted(here, request, body, before=before)
    place = await place_of_scope(here, wanted.scope_kind, wanted.scope_id)
    async with here.tx(Permission.SUBSCRIPTION_WRITE, cause="api: change subscription", place=place) as tx:
        await subscriptions.change_subscription(tx, before, wanted)
    return await _shown(here, before.id)


@router.delete(S, response_model=Accepted)
async def delete_subscription(here: InWorkspace, subscriptionId: str) -> Response:
    """End a subscription. What it has not told yet is not told."""
    before = await _known(here, subscriptionId)
    async with here.tx(Permission.SUBSCRIPTION_WRITE, cause="api: delete", place=await _place_of(here, before)) as tx:
        await subscriptions.delete_subscription(tx, before)
    return Json({"id": before.id, "message": "The subscription was deleted."})


@router.post(S + "/pause", response_model=SubscriptionAnswer)
async def pause_subscription(here: InWorkspace, subscriptionId: str, body: SubscriptionPause) -> Response:
    """Tell nothing until it is resumed. Nothing is lost meanwhile."""
    before = await _known(here, subscriptionId)
    async with here.tx(Permission.SUBSCRIPTION_WRITE, cause="api: pause", place=await _place_of(here, before)) as tx:
        await subscriptions.pause_subscription(tx, before, reason=body.reason)
    return await _shown(here, before.id)


@router.post(S + "/resume", response_model=SubscriptionAnswer)
async def resume_subscription(here: InWorkspace, subscriptionId: str, body: SubscriptionResume) -> Response:
    """Tell again, and try what waits now; with `fromNow` without what happened meanwhile."""
    before = await _known(here, subscriptionId)
    async with here.tx(Permission.SUBSCRIPTION_WRITE, cause="api: resume", place=await _place_of(here, before)) as tx:
        await subscriptions.resume_subscription(tx, before, from_now=body.fromNow)
    return await _shown(here, before.id)


@router.post(S + "/rotate-secret", response_model=SubscriptionAnswer)
async def rotate_secret(here: InWorkspace, subscriptionId: str, body: SubscriptionRotation) -> Response:
    """Sign with a new secret; for a while the one before signs too."""
    before = await _known(here, subscriptionId)
    subscriptions.check_secret(body.secret)
    async with here.tx(Permission.SUBSCRIPTION_WRITE, cause="api: rotate", place=await _place_of(here, before)) as tx:
        await subscriptions.rotate_secret(tx, before, secret=body.secret, overlap_s=body.overlapHours * 3600)
    return await _shown(here, before.id)


@router.post(S + "/test", status_code=202, response_model=DeliveryAnswer)
async def test_subscription(here: InWorkspace, subscriptionId: str) -> Response:
    """Send a test, once; what became of it stands in the deliveries."""
    before = await _known(here, subscriptionId)
    async with here.tx(Permission.SUBSCRIPTION_WRITE, cause="api: test", place=await _place_of(here, before)) as tx:
        made = await deliveries.add_test(tx, before)
        delivery = await deliveries.find_delivery(tx.conn, before.id, delivery_id=made)
    return Json(render_delivery(found(delivery, "delivery")), status_code=202)


@router.get(S + "/deliveries", response_model=page_of(DeliveryAnswer))
async def list_deliveries(
    here: InWorkspace,
    subscriptionId: str,
    page: Paging,
    state: Annotated[Literal["pending", "delivered", "parked", "skipped"] | None, Query()] = None,
) -> Response:
    """List what was sent, newest first, with how the last try ended and when the next one is."""
    here.require(Permission.READ)
    one = await _known(here, subscriptionId)
    async with here.read() as conn:
        items, total = await deliveries.list_deliveries(conn, one.id, state=state, limit=page.limit, offset=page.offset)
    return page.answer([render_delivery(each) for each in items], total)


@router.get(S + "/deliveries/{deliveryId:segment}", response_model=DeliveryAnswer)
async def get_delivery(here: InWorkspace, subscriptionId: str, deliveryId: str) -> Response:
    """Get a delivery."""
    here.require(Permission.READ)
    one = await _known(here, subscriptionId)
    return await _shown_delivery(here, one, deliveryId)


@router.post(S + "/deliveries/{deliveryId:segment}/redeliver", status_code=202, response_model=DeliveryAnswer)
async def redeliver(here: InWorkspace, subscriptionId: str, deliveryId: str) -> Response:
    """Send a delivery again, under its id; one that waits is tried now."""
    one = await _known(here, subscriptionId)
    delivery = await _known_delivery(here, one, deliveryId)
    async with here.tx(Permission.SUBSCRIPTION_WRITE, cause="api: redeliver", place=await _place_of(here, one)) as tx:
        await deliveries.redeliver(tx, one, delivery)
    return await _shown_delivery(here, one, deliveryId, status=202)


@router.post(S + "/deliveries/{deliveryId:segment}/park", response_model=DeliveryAnswer)
async def park_delivery(here: InWorkspace, subscriptionId: str, deliveryId: str) -> Response:
    """Give a delivery up, so that what comes after it may go."""
    one = await _known(here, subscriptionId)
    delivery = await _known_delivery(here, one, deliveryId)
    async with here.tx(Permission.SUBSCRIPTION_WRITE, cause="api: park", place=await _place_of(here, one)) as tx:
        await deliveries.park_delivery(tx, one, delivery)
    return await _shown_delivery(here, one, deliveryId)


# --- what was sent, checked ------------------------------------------------------------------------------------------


async def _wanted(
    here: Here, request: Request, body: SubscriptionBody, *, before: Subscription | None = None
) -> Wanted:
    """What the body says, in order.

    Fails: `Invalid` on the field that is wrong; `NotFound` for a scope that is gone.
    """
    http: Http = request.app.state.http
    async with here.read() as conn:
        scope_id = await find_scope_id(conn, here, body.scope)
    wanted = Wanted(
        name=body.name,
        channel=body.channel,
        kinds=tuple(dict.fromkeys(body.kinds)),
        url=body.url,
        secret=body.secret,
        to=tuple(dict.fromkeys(body.to)),
        filter=body.filter.strip(),
        scope_kind=body.scope.kind,
        scope_id=scope_id,
        group=body.group,
        templates=body.templates,
        remind_after_s=None if body.remindAfterHours is None else body.remindAfterHours * 3600,
    )
    subscriptions.check_wanted(wanted, check_url=http.check_url, before=before)
    return wanted


async def _place_of(here: Here, one: Subscription) -> Place:
    return await place_of_scope(here, one.scope_kind, one.scope_id)


async def _require(here: Here, one: Subscription) -> None:
    here.require(Permission.SUBSCRIPTION_WRITE, place=await _place_of(here, one))


async def _known(here: Here, text: str) -> Subscription:
    subscription_id = id_of(text, "subscription")
    async with here.read() as conn:
        return found(
            await subscriptions.find_subscription(conn, here.id, subscription_id=subscription_id), "subscription"
        )


async def _known_delivery(here: Here, one: Subscription, text: str) -> Delivery:
    async with here.read() as conn:
        return found(await deliveries.find_delivery(conn, one.id, delivery_id=id_of(text, "delivery")), "delivery")


async def _shown(here: Here, subscription_id: str, *, status: int = 200) -> Json:
    one = await _known(here, subscription_id)
    opened = None
    if allowed(here.caller, Permission.SUBSCRIPTION_WRITE, place=await _place_of(here, one)):
        async with here.read() as conn:
            opened = await subscriptions.open_subscription(here.store, conn, one, now=here.store.now())
    return Json(render_subscription(one, opened=opened), status_code=status)


async def _shown_delivery(here: Here, one: Subscription, text: str, *, status: int = 200) -> Json:
    return Json(render_delivery(await _known_delivery(here, one, text)), status_code=status)


# --- rendering -------------------------------------------------------------------------------------------------------


def render_subscription(one: Subscription, *, opened: Opened | None = None) -> Wire:
    """A subscription on the wire; `opened` with its secrets in full."""
    secret = None
    if one.secret_id is not None:
        secret = opened.secrets[0] if opened and opened.secrets else mark(one.secret_id)
    return present(
        id=one.id,
        name=one.name,
        channel=one.channel,
        url=opened.url if opened else shown_url(one),
        secret=secret,
        oldSecretUntil=_instant(one.old_secret_until),
        to=list(one.to) or None,
        kinds=list(one.kinds),
        filter=one.filter or None,
        scope=present(kind=one.scope_kind, id=one.scope_id),
        group=one.group,
        templates=dict(one.templates) or None,
        remindAfterHours=None if one.remind_after_s is None else one.remind_after_s / 3600,
        state=one.state,
        stateReason=one.state_reason or None,
        stateAt=instant(one.state_at),
        failingSince=_instant(one.failing_since),
        lastError=one.last_error,
        lastDeliveredAt=_instant(one.last_delivered_at),
        nextTryAt=_instant(one.next_try_at),
        pending=one.pending,
        parked=one.parked,
        createdAt=instant(one.created_at),
        updatedAt=instant(one.updated_at),
    )


def render_delivery(one: Delivery) -> Wire:
    """A delivery on the wire. `webhookId` is what the receiver saw."""
    return present(
        id=one.id,
        webhookId=f"msg_{one.id}",
        purpose=one.purpose,
        seq=one.seq,
        eventId=one.event_id,
        kind=one.kind,
        state=one.state,
        attempts=one.attempts,
        createdAt=instant(one.created_at),
        nextTryAt=_instant(one.next_try_at),
        lastTryAt=_instant(one.last_try_at),
        lastStatus=one.last_status,
        lastError=one.last_error,
        lastMs=one.last_ms,
        endedAt=_instant(one.ended_at),
    )


def _instant(at: datetime | None) -> str | None:
    return None if at is None else instant(at)
