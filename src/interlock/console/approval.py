"""Is this to go? One request: what would change, what it proved before, why a person is asked, what a rollback
would do.

The form carries the digest of exactly what the page shows of the request. When something else stands there by the
time it is sent, nothing is approved and the answer is 412 (core.md 4).

What stands beside the request (who made the version, the answers so far) is not part of what is approved.

Source: core.md section 4, "Approval answers a request"; requirements.md R003-63 to R003-68.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from interlock.access import Permission, Place
from interlock.console.visit import Visit, form_text, found, id_in_path, see_other
from interlock.model.approval import ApprovalRequest
from interlock.model.errors import Invalid, Outdated
from interlock.store import approvals, groups, pages
from interlock.store.bindings import load_place
from interlock.store.pages import ApprovalRuleRow, AuthorsRow
from interlock.store.queries import Conn

COMMENT_MAX = 4_000
ANSWERS = {"approved": "approved", "rejected": "rejected", "withdrawn": "withdrawn"}


async def show(visit: Visit) -> Response:
    """A request for approval."""
    request_id = id_in_path(visit, "request", "request")
    async with visit.here.store.snapshot() as conn:
        request = found(await approvals.find_request(conn, visit.here.id, request_id=request_id), "request")
        place = await _place(conn, request)
        authors = await pages.find_authors(conn, request.version_id)
        policies = sorted({str(each.get("policy")) for each in request.shown.get("why", ()) if each.get("policy")})
        rules = await pages.list_approval_rules(conn, visit.here.id, policies=policies)
        caller = visit.here.caller
        group = await groups.find_group(conn, visit.here.id, name=request.group) if request.group else None
        mine = next((word for word in request.words if word["principalId"] == caller.id), None)
        return await visit.render(
            conn,
            "approval.html",
            title=f"{request.deployment} {request.tag} in {request.environment}",
            live="tell",
            about=[request.deployment_id],
            request=request,
            shown=request.shown,
            authors=authors,
            outside_group=bool(request.group)
            and caller.id not in {member["id"] for member in (group.members if group else ())},
            own=_is_author(visit, authors),
            own_counts=_own_counts(rules),
            may_answer=visit.may(Permission.APPROVE, place=place),
            mine=mine if mine and mine["verdict"] in {"approved", "rejected"} else None,
            said=ANSWERS.get(visit.request.query_params.get("said", "")),
            comment_max=COMMENT_MAX,
        )


async def answer(visit: Visit) -> Response:
    """Approve, reject, or take an answer back.

    Fails: `Forbidden`; `Outdated` when what was shown has changed; `Invalid` for a word that is no answer.
    """
    request_id = id_in_path(visit, "request", "request")
    verdict = await form_text(visit, "verdict", length_max=20, required="Approve or reject?")
    digest = await form_text(visit, "digest", length_max=200)
    comment = await form_text(visit, "comment", length_max=COMMENT_MAX)
    if verdict not in ANSWERS:
        raise Invalid("An answer is approved, rejected or withdrawn.", field="verdict")
    if not digest:
        raise Outdated("The form does not say what it showed. Load the page again and look at it.")
    async with visit.here.read() as conn:
        known = found(await approvals.find_request(conn, visit.here.id, request_id=request_id), "request")
        place = await _place(conn, known)
    async with visit.here.tx(Permission.APPROVE, cause="console: answer request", place=place) as tx:
        request = found(await approvals.find_request(tx.conn, visit.here.id, request_id=request_id), "request")
        await approvals.answer_request(
            tx,
            visit.here.id,
            request=request,
            principal_id=visit.here.caller.id,
            verdict=verdict,
            digest=digest,
            comment=comment or None,
        )
    return see_other(f"{visit.at('approvals', request_id)}?said={verdict}")


async def _place(conn: Conn, request: ApprovalRequest) -> Place:
    return await load_place(conn, deployment_id=request.deployment_id, environment_id=request.environment_id)


def _is_author(visit: Visit, authors: AuthorsRow | None) -> bool:
    """Whether the visitor made the version: by their key, or because the version names them."""
    caller = visit.here.caller
    return authors is not None and (authors.author_id == caller.id or authors.named_author == caller.name)


def _own_counts(rules: Sequence[ApprovalRuleRow]) -> bool:
    """Whether every rule that asks counts the author's own yes."""
    return all(rule.params.get("allowSelfApproval", True) is not False for rule in rules)
