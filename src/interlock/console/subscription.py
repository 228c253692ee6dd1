"""What was told to this receiver, what did it answer, and when is it tried next? And the buttons: test, pause, resume,
send again, give up, delete; and the form that makes a subscription.

Source: issue 4, "Being told"; the permission is SUBSCRIPTION_WRITE.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from interlock.access import Permission, Place
from interlock.console.subscriptions import goes_to, standing
from interlock.console.visit import Visit, form_text, found, id_in_path, number_in_query, see_other
from interlock.model.errors import Invalid, NotFound
from interlock.model.subscription import APPROVERS, DEFAULT_KINDS, Delivery, Subscription
from interlock.outside.http import Http
from interlock.store import deployments, subscriptions
from interlock.store import subscription_deliveries as deliveries
from interlock.store.queries import Conn
from interlock.store.subscriptions import Wanted

PAGE = 25
NAME_MAX = 255
TEXT_MAX = 4_000
SAID: Mapping[str, str] = {
    "created": "From now on it is told. Send a test to see that it arrives.",
    "test": "A test is on its way; what became of it stands below in a moment.",
    "pause": "Nothing is told until it is resumed. Nothing is lost meanwhile.",
    "resume": "It is told again; what waits goes out now.",
    "redeliver": "It is sent again.",
    "park": "It is given up; what comes after it goes out.",
}
MARKS: Mapping[str, str] = {"pending": "wait", "delivered": "pass", "parked": "failed", "skipped": "idle"}
CHANNELS: Mapping[str, str] = {
    "webhook": "A signed webhook, to a program",
    "slack": "A chat's incoming webhook (Slack's format)",
    "email": "Letters",
}


async def show(visit: Visit) -> Response:
    """A subscription with its last deliveries."""
    offset = number_in_query(visit, "offset", otherwise=0, most=1_000_000)
    async with visit.here.store.snapshot() as conn:
        one = await _known(visit, conn)
        rows, total = await deliveries.list_deliveries(conn, one.id, limit=PAGE, offset=offset)
        tried = await deliveries.find_next_delivery(conn, one) if one.failing else None
        return await visit.render(
            conn,
            "subscription.html",
            title=f"Subscription {one.name}",
            live="follow",
            one=one,
            rows=rows,
            tried=tried,
            total=total,
            offset=offset,
            page_size=PAGE,
            marks_of=MARKS,
            standing=standing(one),
            goes_to=goes_to(one),
            approvers=APPROVERS in one.to,
            may_write=visit.may(Permission.SUBSCRIPTION_WRITE, place=await _place(conn, one)),
            said=SAID.get(visit.request.query_params.get("said", "")),
        )


async def steer(visit: Visit) -> Response:
    """Test, pause, resume or delete it.

    Fails: `Forbidden`; `NotFound` for another word.
    """
    step = visit.request.path_params["step"]
    async with visit.here.read() as conn:
        one = await _known(visit, conn)
        place = await _place(conn, one)
    async with visit.here.tx(Permission.SUBSCRIPTION_WRITE, cause=f"console: {step}", place=place) as tx:
        match step:
            case "test":
                await deliveries.add_test(tx, one)
            case "pause":
                await subscriptions.pause_subscription(tx, one, reason="")
            case "resume":
                await subscriptions.resume_subscription(tx, one, from_now=False)
            case "delete":
                await subscriptions.delete_subscription(tx, one)
                return see_other(f"{visit.at('subscriptions')}?said=deleted")
            case _:
                raise NotFound("There is nothing here.")
    return see_other(f"{visit.at('subscriptions', one.id)}?said={step}")


async def steer_delivery(visit: Visit) -> Response:
    """Send a delivery again, or give it up.

    Fails: `Forbidden`; `Conflict` where that makes no sense (any more); `NotFound`.
    """
    step = visit.request.path_params["step"]
    async with visit.here.read() as conn:
        one = await _known(visit, conn)
        place = await _place(conn, one)
        delivery: Delivery = found(
            await deliveries.find_delivery(conn, one.id, delivery_id=id_in_path(visit, "delivery", "delivery")),
            "delivery",
        )
    async with visit.here.tx(Permission.SUBSCRIPTION_WRITE, cause=f"console: {step}", place=place) as tx:
        match step:
            case "redeliver":
                await deliveries.redeliver(tx, one, delivery)
            case "park":
                await deliveries.park_delivery(tx, one, delivery)
            case _:
                raise NotFound("There is nothing here.")
    return see_other(f"{visit.at('subscriptions', one.id)}?said={step}")


async def new(visit: Visit) -> Response:
    """The form that makes one."""
    async with visit.here.store.snapshot() as conn:
        return await _form(visit, conn, sent={"kinds": "\n".join(DEFAULT_KINDS), "channel": "webhook"})


async def create(visit: Visit) -> Response:
    """Make one.

    Fails: `Forbidden`. A field that is wrong is shown in the form again.
    """
    form = await visit.request.form()
    sent = {name: str(form.get(name, "")) for name in ("name", "channel", "where", "kinds", "filter")}
    http: Http = visit.request.app.state.http
    try:
        name = await form_text(visit, "name", length_max=NAME_MAX, required="Give it a name.")
        where = await form_text(visit, "where", length_max=TEXT_MAX, required="Say where to.")
        kinds = await form_text(visit, "kinds", length_max=TEXT_MAX)
        if sent["channel"] not in CHANNELS:
            raise Invalid("Choose how.", field="channel")
        letters = sent["channel"] == "email"
        wanted = Wanted(
            name,
            sent["channel"],
            tuple(dict.fromkeys(kinds.replace(",", " ").split())),
            url=None if letters else where,
            to=tuple(dict.fromkeys(where.replace(",", " ").split())) if letters else (),
            filter=await form_text(visit, "filter", length_max=TEXT_MAX),
        )
        subscriptions.check_wanted(wanted, check_url=http.check_url)
    except Invalid as refused:
        async with visit.here.store.snapshot() as conn:
            return await _form(visit, conn, sent=sent, refused=refused)
    async with visit.here.tx(Permission.SUBSCRIPTION_WRITE, cause="console: subscribe") as tx:
        made = await subscriptions.create_subscription(tx, visit.here.id, wanted, author_id=visit.here.caller.id)
    return see_other(f"{visit.at('subscriptions', made)}?said=created")


async def _form(visit: Visit, conn: Conn, *, sent: Mapping[str, str], refused: Invalid | None = None) -> Response:
    visit.here.require(Permission.SUBSCRIPTION_WRITE)
    fields = {each.path: each.message for each in refused.fields} if refused else {}
    return await visit.render(
        conn,
        "subscribe.html",
        title="Subscribe",
        channels=CHANNELS,
        name_max=NAME_MAX,
        sent={"name": "", "channel": "", "where": "", "kinds": "", "filter": "", **sent},
        wrong=fields or ({"": refused.message} if refused else {}),
        status=400 if refused else 200,
    )


async def _known(visit: Visit, conn: Conn) -> Subscription:
    subscription_id = id_in_path(visit, "subscription", "subscription")
    return found(
        await subscriptions.find_subscription(conn, visit.here.id, subscription_id=subscription_id), "subscription"
    )


async def _place(conn: Conn, one: Subscription) -> Place:
    match one.scope_kind, one.scope_id:
        case "system", str(scope_id):
            return Place(system_ids=frozenset({scope_id}))
        case "environment", str(scope_id):
            return Place(environment_id=scope_id)
        case "deployment", str(scope_id):
            return Place(system_ids=await deployments.load_system_ids(conn, scope_id), deployment_id=scope_id)
        case _:
            return Place()
