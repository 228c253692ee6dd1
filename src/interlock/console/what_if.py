"""What would a policy change, before it is saved? A text to edit, and the targets that would stand elsewhere.

The text is what `interlock apply` takes: YAML or JSON with name, selector and rules. One that names a policy of this
workspace stands for it as it would be; another is a new one. Nothing here saves a policy.

Source: decide/what_if.py; docs/guides/what-if-and-forecast.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from interlock.access import Permission
from interlock.console.visit import Visit, form_text, found, id_in_path, see_other
from interlock.decide.rules import parse_rules
from interlock.inventory.selector import Scope, parse_selector
from interlock.model.errors import FieldError, Invalid
from interlock.model.ids import new_id
from interlock.model.wire import Fields
from interlock.store import policies, what_if
from interlock.store.queries import Conn

TEXT_MAX = 64_000
POLICIES_MAX = 200
REFRESH_S = "1"

CHANGES: Mapping[str, tuple[str, str]] = {
    "starts": ("moving", "would start"),
    "stops": ("wait", "would not start"),
    "held": ("wait", "would be held"),
    "freed": ("pass", "nothing would hold it"),
    "other": ("wait", "held by other rules"),
}
"""A change -> its mark and its words."""


async def show(visit: Visit) -> Response:
    """The form; with `?policy=` the text of that policy is in it."""
    visit.here.require(Permission.POLICY_WRITE)
    async with visit.here.store.snapshot() as conn:
        known, _ = await policies.list_policies(conn, visit.here.id, limit=POLICIES_MAX, offset=0)
        chosen = next((each for each in known if each.id == visit.request.query_params.get("policy")), None)
        text = _text({"name": chosen.name, "selector": chosen.selector, "rules": chosen.rules}) if chosen else ""
        return await _form(visit, conn, text=text)


async def ask(visit: Visit) -> Response:
    """Ask; the answer has a page of its own. A text that is wrong is shown again with what is wrong."""
    visit.here.require(Permission.POLICY_WRITE)
    sent = str((await visit.request.form()).get("text", ""))
    gone = (await visit.request.form()).get("gone") == "yes"
    try:
        text = await form_text(visit, "text", length_max=TEXT_MAX, required="Write or choose a policy.")
        policy = _read(text)
    except Invalid as refused:
        async with visit.here.store.snapshot() as conn:
            return await _form(visit, conn, text=sent, refused=refused)
    async with visit.here.tx(Permission.POLICY_WRITE, cause="console: what if") as tx:
        known, _ = await policies.list_policies(tx.conn, visit.here.id, limit=POLICIES_MAX, offset=0)
        policy_id = next((each.id for each in known if each.name == policy["name"]), new_id())
        proposal = [{"policyId": policy_id, "policy": None if gone else policy}]
        asked = await what_if.ask_what_if(tx, visit.here.id, proposal=proposal, asked_by=visit.here.caller.id)
    return see_other(visit.at("what-if", asked))


async def answer(visit: Visit) -> Response:
    """The answer, or that it is still being worked out: then the page asks again by itself."""
    async with visit.here.store.snapshot() as conn:
        question = await what_if.find_what_if(conn, id_in_path(visit, "question", "question"))
        mine = found(question if question and question.workspace_id == visit.here.id else None, "question")
        page = await visit.render(
            conn,
            "what_if_answer.html",
            title="What if",
            question=mine,
            answer=mine.answer,
            names=[str((one["policy"] or {}).get("name", "the policy")) for one in mine.proposal],
            gone=all(one["policy"] is None for one in mine.proposal),
            changes=CHANGES,
        )
    if mine.answered_at is None:
        page.headers["Refresh"] = REFRESH_S
    return page


async def _form(visit: Visit, conn: Conn, *, text: str, refused: Invalid | None = None) -> Response:
    known, _ = await policies.list_policies(conn, visit.here.id, limit=POLICIES_MAX, offset=0)
    wrong = [] if refused is None else [f"{each.path} {each.message}".strip() for each in refused.fields]
    return await visit.render(
        conn,
        "what_if.html",
        title="What if",
        policies=known,
        text=text,
        wrong=wrong or ([refused.message] if refused else []),
        text_max=TEXT_MAX,
        status=400 if refused else 200,
    )


def _read(text: str) -> dict[str, Any]:
    """The policy that a text says, as it would be saved.

    Fails: `Invalid`, naming every fault.
    """
    fields = Fields(_parsed(text), "policy")
    for ignored in ("type", "id", "description", "priority", "metadata"):
        fields.anything(ignored)
    name = fields.text("name", required=True)
    selector = fields.text("selector", default="true")
    policy = {
        "name": name,
        "selector": selector,
        "enabled": fields.boolean("enabled", default=True),
        "mode": fields.choice("mode", allowed=("enforce", "observe"), default="enforce"),
        "rules": fields.items("rules"),
    }
    try:
        parse_selector(selector, Scope.POLICY)
    except Invalid as error:
        fields.wrong("selector", error.message)
    try:
        parse_rules(policy["rules"])
    except Invalid as error:
        fields.errors.extend(error.fields or [FieldError("rules", error.message)])
    fields.done()
    return policy


def _parsed(text: str) -> object:
    """The one document of a text. Aliases are refused: a short text must stay a small thing."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - only this page reads YAML
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415
    from ruamel.yaml.events import AliasEvent  # noqa: PLC0415

    try:
        if any(isinstance(event, AliasEvent) for event in YAML(typ="safe", pure=True).parse(text)):
            raise Invalid("A policy is written without anchors and aliases.", field="text")
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as cause:
        problem = getattr(cause, "problem", None) or "it cannot be read"
        raise Invalid(f"This is neither YAML nor JSON: {problem}.", field="text") from cause


def _text(policy: Mapping[str, Any]) -> str:
    """A policy as YAML, without what the server added to its rules."""
    from io import StringIO  # noqa: PLC0415

    from ruamel.yaml import YAML  # noqa: PLC0415

    added = {"id", "createdAt", "policyId"}
    rules = [{key: value for key, value in rule.items() if key not in added} for rule in policy["rules"]]
    writer, written = YAML(typ="rt"), StringIO()
    writer.dump({**policy, "rules": rules}, written)
    return written.getvalue()
