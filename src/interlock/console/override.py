"""How does a person steer by hand? One form for each way: pin, skip a rule, bypass a freeze, redeploy, roll
back, force.

Each names one deployment, which may come with the link; without one it is chosen first, so that the form needs no
script. What is typed stays in it when something is wrong.

Source: core.md section 4; reference-behaviour.md 3.4 to 3.7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.responses import Response

from interlock.access import Permission
from interlock.console.visit import Visit, form_text, found, see_other
from interlock.model.errors import Conflict, Forbidden, Invalid, NotFound
from interlock.model.ids import is_id
from interlock.model.inventory import Deployment
from interlock.store import deployments, orders, pages, pins, skips, target_states, versions
from interlock.store.bindings import load_place
from interlock.store.queries import Conn
from interlock.store.tx import Tx

REASON_MAX = 255
VERSIONS_MAX = 50
TARGETS_MAX = 500
"""Targets of an environment that the form offers; the command line names any."""

HOURS = {"": "Until somebody ends it", "1": "1 hour", "4": "4 hours", "24": "24 hours", "168": "7 days"}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to steer: what its form asks besides where, why and for how long."""

    kind: str
    title: str
    about: str
    button: str
    permission: Permission
    version: str | None
    must_end: bool = False


WAYS = {
    each.kind: each
    for each in (
        Way(
            "pin",
            "Pin",
            "It stays at, or goes to, this version, back as well as forward; every gate is asked. The narrowest pin "
            "wins.",
            "Pin it now",
            Permission.STEER,
            "The version that is to run",
        ),
        Way(
            "skip",
            "Skip a rule",
            "One version passes one rule. What that lets start goes on when the skip ends.",
            "Skip it now",
            Permission.STEER,
            "The version that passes",
        ),
        Way(
            "bypass",
            "Bypass a freeze",
            "One version passes one freeze that is in force. A freeze that somebody sets later holds all the same.",
            "Bypass it now",
            Permission.FREEZE_BYPASS,
            "The version that passes",
            must_end=True,
        ),
        Way(
            "redeploy",
            "Redeploy",
            "What runs is brought again: the same version, the same config. Freezes and windows are asked.",
            "Redeploy now",
            Permission.STEER,
            None,
        ),
        Way(
            "rollback",
            "Roll back",
            "Back to what was good there, with everything it froze. No gate is asked. What is left is kept off until "
            "somebody clears it, or something newer comes.",
            "Roll back now",
            Permission.STEER,
            None,
        ),
        Way(
            "force",
            "Force",
            "This version starts although rules hold it: no gate and no pace is asked. For when waiting is worse.",
            "Force it now",
            Permission.FORCE,
            "The version that is forced",
            must_end=True,
        ),
    )
}


async def show(visit: Visit) -> Response:
    """The form, or the choice of a deployment."""
    way = _way(visit)
    query = visit.request.query_params
    async with visit.here.store.snapshot() as conn:
        wanted = query.get("deployment", "")
        if not wanted:
            return await _choice(visit, conn, way)
        deployment = found(await deployments.resolve_deployment(conn, visit.here.id, text=wanted), "deployment")
        sent = {name: query.get(name, "") for name in ("place", "version", "rule", "freeze")}
        return await _form(visit, conn, way, deployment, sent=sent)


async def save(visit: Visit) -> Response:
    """Write it.

    Fails: `Forbidden`; `NotFound` for what is gone. A field that is wrong is shown in the form again.
    """
    way = _way(visit)
    form = await visit.request.form()
    names = ("deployment", "place", "version", "rule", "freeze", "reason", "hours", "when")
    sent = {name: str(form.get(name, "")) for name in names}
    async with visit.here.read() as conn:
        deployment = found(
            await deployments.resolve_deployment(conn, visit.here.id, text=sent["deployment"]), "deployment"
        )
    try:
        environment_id, resource_id = _placed(sent["place"])
        reason = await form_text(visit, "reason", length_max=REASON_MAX, required="Say why: everybody reads it.")
        if sent["hours"] not in HOURS or (way.must_end and not sent["hours"]):
            raise Invalid("Choose for how long: this one must have an end.", field="hours")
        if way.version is not None and not is_id(sent["version"]):
            raise Invalid("Choose a version.", field="version")
        async with visit.here.read() as conn:
            place = await load_place(conn, deployment_id=deployment.id, environment_id=environment_id)
        async with visit.here.tx(way.permission, cause=f"console: {way.title.lower()}", place=place) as tx:
            hours = timedelta(hours=int(sent["hours"])) if sent["hours"] else None
            expires_at = (await tx.conn.fetchval(pins.Q.now)) + hours if hours else None
            asked = Asked(deployment, environment_id, resource_id, sent, reason, expires_at)
            said = await _WRITERS[way.kind](visit, tx, asked)
    except (Invalid, Conflict) as refused:
        async with visit.here.store.snapshot() as conn:
            return await _form(visit, conn, way, deployment, sent=sent, refused=refused)
    return see_other(f"{visit.at('overrides')}?said={said}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form says."""

    deployment: Deployment
    environment_id: str | None
    resource_id: str | None
    sent: Mapping[str, str]
    reason: str
    expires_at: datetime | None


async def _set_pin(visit: Visit, tx: Tx, asked: Asked) -> str:
    target_id = None
    if asked.resource_id is not None:
        targets, _ = await target_states.list_targets(
            tx.conn,
            visit.here.id,
            deployment_id=asked.deployment.id,
            environment_id=asked.environment_id,
            resource_id=asked.resource_id,
            limit=1,
        )
        target_id = found(targets[0] if targets else None, "target").id
    await pins.set_pin(
        tx,
        visit.here.id,
        deployment_id=asked.deployment.id,
        version_id=await _version_id(visit, tx, asked),
        environment_id=asked.environment_id,
        target_id=target_id,
        reason=asked.reason,
        expires_at=asked.expires_at,
        author_id=visit.here.caller.id,
    )
    return "pin"


async def _set_skip(visit: Visit, tx: Tx, asked: Asked) -> str:
    what, _, name = asked.sent["rule"].partition(":")
    if what == "kind":
        named = skips.name_of_kind(name)
    elif what == "rule" and name:
        named = await skips.name_of_rule(tx.conn, visit.here.id, rule_id=name)
    else:
        raise Invalid("Choose a rule.", field="rule")
    return await _write_skip(visit, tx, asked, name=named)


async def _set_bypass(visit: Visit, tx: Tx, asked: Asked) -> str:
    if not is_id(asked.sent["freeze"]):
        raise Invalid("Choose a freeze.", field="freeze")
    named = await skips.name_of_freeze(tx.conn, visit.here.id, freeze_id=asked.sent["freeze"].lower())
    return await _write_skip(visit, tx, asked, name=named)


async def _write_skip(visit: Visit, tx: Tx, asked: Asked, *, name: str) -> str:
    await skips.set_skip(
        tx,
        visit.here.id,
        name=name,
        deployment_id=asked.deployment.id,
        version_id=await _version_id(visit, tx, asked),
        environment_id=asked.environment_id,
        resource_id=asked.resource_id,
        reason=asked.reason,
        expires_at=asked.expires_at,
        author_id=visit.here.caller.id,
    )
    return "skip"


async def _place_order(visit: Visit, tx: Tx, asked: Asked) -> str:
    kind: orders.Kind = {"redeploy": "redeploy", "rollback": "rollback"}.get(  # type: ignore[assignment]
        visit.request.path_params["kind"], "force"
    )
    version = None
    if kind == "force":
        version = await versions.find_version(tx.conn, visit.here.id, version_id=await _version_id(visit, tx, asked))
    where = orders.Where(asked.deployment.id, asked.deployment.name, asked.environment_id, asked.resource_id)
    placed = await orders.place_orders(
        tx,
        visit.here.id,
        where,
        kind=kind,
        version=version,
        when="idle" if asked.sent["when"] == "idle" else "now",
        reason=asked.reason,
        expires_at=asked.expires_at,
        principal_id=visit.here.caller.id,
    )
    return f"order&left={len(placed.refused)}" if placed.refused else "order"


_WRITERS = {
    "pin": _set_pin,
    "skip": _set_skip,
    "bypass": _set_bypass,
    "redeploy": _place_order,
    "rollback": _place_order,
    "force": _place_order,
}


async def _version_id(visit: Visit, tx: Tx, asked: Asked) -> str:
    version = found(
        await versions.find_version(tx.conn, visit.here.id, version_id=asked.sent["version"].lower()), "version"
    )
    if version.deployment_id != asked.deployment.id:
        raise NotFound("The version is another deployment's.")
    return version.id


def _placed(text: str) -> tuple[str | None, str | None]:
    """Environment and resource of the form's place; neither for the whole deployment."""
    kind, *ids = text.split(":")
    if kind == "deployment":
        return None, None
    if not all(map(is_id, ids)) or (kind, len(ids)) not in {("environment", 1), ("target", 2)}:
        raise Invalid("Choose where.", field="place")
    return ids[0].lower(), ids[1].lower() if len(ids) == 2 else None


def _way(visit: Visit) -> Way:
    return found(WAYS.get(visit.request.path_params["kind"]), "way to steer")


async def _choice(visit: Visit, conn: Conn, way: Way) -> Response:
    scopes = [each for each in await pages.list_scopes(conn, visit.here.id) if each.kind == "deployment"]
    mine = [each for each in scopes if visit.may_somewhere(way.permission)]
    return await visit.render(
        conn, "override.html", title=way.title, way=way, ways=_offered(visit), choose=mine, deployment=None
    )


def _offered(visit: Visit) -> list[Way]:
    return [way for way in WAYS.values() if visit.may_somewhere(way.permission)]


async def _form(
    visit: Visit,
    conn: Conn,
    way: Way,
    deployment: Deployment,
    *,
    sent: Mapping[str, str],
    refused: Invalid | Conflict | None = None,
) -> Response:
    """The form, with what was sent and what is wrong with it.

    Fails: `Forbidden` for one who may do this nowhere in the deployment.
    """
    environments = [
        each
        for each in await pages.list_environments(conn, [deployment.id])
        if visit.may(way.permission, place=await load_place(conn, deployment_id=deployment.id, environment_id=each.id))
    ]
    whole = visit.may(way.permission, place=await load_place(conn, deployment_id=deployment.id))
    if not whole and not environments:
        raise Forbidden(f"{visit.here.caller.name} lacks the permission {way.permission} in {deployment.name}.")
    targets = await pages.list_targets(conn, deployment.id, each_max=TARGETS_MAX)
    listed, _ = await pages.list_versions(conn, deployment.id, limit=VERSIONS_MAX, offset=0)
    return await visit.render(
        conn,
        "override.html",
        title=f"{way.title}: {deployment.name}",
        way=way,
        ways=_offered(visit),
        choose=None,
        deployment=deployment,
        whole=whole,
        environments=[
            (each, sorted((one for one in targets if one.environment_id == each.id), key=lambda one: one.resource))
            for each in environments
        ],
        versions=listed if way.version is not None else (),
        rules=await skips.list_rules(conn, visit.here.id) if way.kind == "skip" else (),
        kinds=skips.SKIPPABLE,
        freezes_here=await pages.list_freezes(conn, visit.here.id) if way.kind == "bypass" else (),
        hours=_lengths(way),
        reason_max=REASON_MAX,
        sent={
            "place": "",
            "version": "",
            "rule": "",
            "freeze": "",
            "reason": "",
            "hours": "1" if way.must_end else "",
            "when": "",
            **{key: value for key, value in sent.items() if value},
        },
        wrong=_wrong(refused),
        status=refused.status if refused else 200,
    )


def _lengths(way: Way) -> dict[str, str]:
    """For how long, as the form offers it. An order that says nothing waits a day."""
    if way.must_end:
        return {key: label for key, label in HOURS.items() if key}
    if way.kind in {"redeploy", "rollback"}:
        return {key: label for key, label in HOURS.items() if key != "24"} | {"": "A day"}
    return HOURS


def _wrong(refused: Invalid | Conflict | None) -> Sequence[str]:
    if refused is None:
        return ()
    if isinstance(refused, Invalid) and refused.fields:
        return tuple(each.message for each in refused.fields)
    return (refused.message,)
