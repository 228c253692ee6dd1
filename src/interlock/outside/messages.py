"""What does a message say? An entry of the ledger in words, made into a webhook's body, a chat's message or a letter.

A headline for each kind that people are told of, the facts worth knowing beneath it, and a link to the page where one
can act. A kind without a headline of its own is told by its sentence in the catalogue, so that a new kind never goes
unsaid. A request for approval says who asks for what, where, why, and how long a yes counts.

Names come from people. In HTML they are escaped by the template, in a chat's markup here, and in JSON by being JSON.

Source: Standard Webhooks specification, "Payload structure"; Slack Block Kit reference (section, context, actions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined

from interlock.model.event import KINDS
from interlock.model.subscription import text_for
from interlock.outside.mail import Letter
from interlock.outside.user_templates import render_template

TASK = (
    "{% if body.workflow %}{{ body.workflow }}{% else %}{{ deployment }} {{ version }} on {{ target }}"
    " in {{ environment }}{% endif %}"
)
"""What a task is about, in Jinja."""

HEADLINES: Mapping[str, str] = {
    "approval.requested": "{{ deployment }} {{ version }} waits for approval in {{ environment }}",
    "approval.given": "{{ actor }} approved {{ deployment }} {{ version }} in {{ environment }}",
    "approval.rejected": "{{ actor }} rejected {{ deployment }} {{ version }} in {{ environment }}",
    "approval.withdrawn": "{{ actor }} took back an answer about {{ deployment }} {{ version }} in {{ environment }}",
    "job.asked": f"{TASK} waits for a person{{% if body.group %}} of {{{{ body.group }}}}{{% endif %}}",
    "job.overdue": f"{TASK} is overdue: nobody{{% if body.group %}} of {{{{ body.group }}}}{{% endif %}} answered",
    "job.answered": f"{{{{ actor }}}} {{{{ body.answer }}}} {TASK}",
    "rollout.opened": "The rollout of {{ deployment }} {{ version }} in {{ environment }} began",
    "rollout.completed": "The rollout of {{ deployment }} {{ version }} in {{ environment }} is complete",
    "rollout.halted": "The rollout of {{ deployment }} {{ version }} in {{ environment }} halted",
    "rollout.paused": "{{ actor }} paused the rollout of {{ deployment }} {{ version }} in {{ environment }}",
    "rollout.aborted": "The rollout of {{ deployment }} {{ version }} in {{ environment }} was given up",
    "rollback.started": "{{ deployment }} goes back to {{ version }} on {{ target }} in {{ environment }}",
    "rollback.escalated": "Going back did not help {{ deployment }} on {{ target }}: a person must act",
    "verification.failed": "The verification of {{ deployment }} {{ version }} on {{ target }} failed",
    "verification.inconclusive": "Nothing could tell how {{ deployment }} {{ version }} does on {{ target }}",
    "verification.passed": "{{ deployment }} {{ version }} is verified on {{ target }} in {{ environment }}",
    "move.failed": "{{ deployment }} {{ version }} failed on {{ target }} in {{ environment }}",
    "quarantine.set": "{{ deployment }} {{ version }} is kept off where it failed",
    "freeze.set": "{{ actor }} set a freeze{% if scope %} on {{ scope }}{% endif %}",
    "freeze.extended": "{{ actor }} moved the end of a freeze",
    "freeze.thawed": "{{ actor }} ended a freeze",
    "freeze.expired": "A freeze reached its end",
    "incident.opened": "An incident is open{% if deployment %} on {{ deployment }}{% endif %} ({{ body.severity }})",
    "incident.changed": "An incident changed{% if deployment %} on {{ deployment }}{% endif %}",
    "incident.resolved": "An incident is resolved{% if deployment %} on {{ deployment }}{% endif %}",
    "incident.expired": "An incident reached its end{% if deployment %} on {{ deployment }}{% endif %}",
    "version.created": "{{ deployment }} {{ version }} was created",
    "version.status_changed": "{{ deployment }} {{ version }} is {{ body.to }}",
    "subscription.failing": "The subscription {{ subject }} fails: {{ body.error }}",
    "subscription.disabled": "The subscription {{ subject }} is disabled: {{ body.reason }}",
}
"""Kind -> what is said first, in Jinja (`user_templates.py`)."""

TEST = "This is a test of the subscription {{ subject }}"
_HIDDEN = frozenset({"deployment", "environment", "version", "target", "kind", "scopeId", "scopeKind", "id"})
FACTS_MAX = 12
SLACK_TEXT_MAX = 3_000
BODY_BYTES_MAX = 256 * 1024

_LAYOUTS = Environment(
    loader=PackageLoader("interlock.outside", "layouts"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_TEXTS = _LAYOUTS.overlay(autoescape=False)


@dataclass(frozen=True, slots=True)
class Message:
    """What is told.

    Takes: `facts` are (label, value). `text` is the user's own text, None where they gave none. `data` is the entry on
           the wire, with the request that it is about. `context` is what a template sees.
    """

    key: str
    kind: str
    at: str
    headline: str
    facts: Sequence[tuple[str, str]]
    url: str
    text: str | None
    data: Mapping[str, Any]


def compose(
    entry: Mapping[str, Any],
    *,
    key: str,
    purpose: str,
    place: str,
    templates: Mapping[str, str],
    request: Mapping[str, Any] | None = None,
) -> Message:
    """A message about an entry of the ledger.

    Takes: `entry` as the wire has it, with names. `place` is the address of the workspace's pages. `request` is the
           request for approval that it is about.
    Fails: `Rejected` when the user's template fails.
    """
    words = words_of(entry)
    kind = str(entry["kind"])
    headline = render_template(TEST if purpose == "test" else _headline(kind), words, field="headline").strip()
    if purpose == "reminder":
        headline = f"Reminder: {headline}"
    url = f"{place}{path_of(entry)}"
    facts = tuple(_request_facts(request) if request else _facts(entry))
    context = {**words, "headline": headline, "url": url, "purpose": purpose, "request": request or {}}
    own = text_for(templates, kind)
    return Message(
        key=key,
        kind=kind,
        at=str(entry["at"]),
        headline=headline,
        facts=facts,
        url=url,
        text=None if own is None else render_template(own, context, field=f"templates.{kind}"),
        data={**entry, **({"request": dict(request)} if request else {}), "purpose": purpose, "headline": headline,
              "url": url},
    )  # fmt: skip


def words_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What a template or a filter sees of an entry: names by kind of thing, who did it, and the body."""
    body = entry.get("body") or {}
    named = {each["kind"]: each.get("name") for each in (*reversed(entry.get("refs") or ()), entry["subject"])}
    actor = entry.get("actor") or {}
    words = {
        "kind": entry["kind"],
        "at": entry["at"],
        "cause": entry.get("cause", ""),
        "actor": actor.get("name") or ("Interlock" if actor.get("kind") == "system" else actor.get("id", "")),
        "subject": entry["subject"].get("name") or entry["subject"]["id"],
        "body": body,
    }
    for kind in ("system", "deployment", "environment", "target", "version"):
        name = named.get(kind) or body.get("tag" if kind == "version" and "tag" in body else kind)
        if isinstance(name, str) and name:
            words[kind] = name
    words["scope"] = body.get("scopeKind") or ""
    return words


def _headline(kind: str) -> str:
    if kind in HEADLINES:
        return HEADLINES[kind]
    subject, _, what = kind.partition(".")
    said = f"{subject.replace('_', ' ').capitalize()} {what.replace('_', ' ')}"
    return said + "{% if deployment %}: {{ deployment }}{% if version %} {{ version }}{% endif %}{% endif %}"


def _facts(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What happened, where, and by whom."""
    words = words_of(entry)
    found = [(kind.capitalize(), str(words[kind])) for kind in ("deployment", "version", "environment", "target")
             if kind in words]  # fmt: skip
    for key, value in (entry.get("body") or {}).items():
        if key not in _HIDDEN and isinstance(value, str | int | float) and not isinstance(value, bool):
            found.append((_spaced(key), str(value)[:500]))
    found.append(("By", str(words["actor"])))
    meaning = KINDS.get(str(entry["kind"]))
    return [*found[: FACTS_MAX - 1], *([("Means", meaning)] if meaning else [])]


def _request_facts(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a person must know before they answer."""
    given, minimum = int(request.get("given", 0)), int(request["minimum"])
    of_group = f" of the group {request['group']}" if request.get("group") else ""
    found = [
        ("Version", f"{request['version']}" + (f" (runs there: {request['from']})" if request.get("from") else "")),
        ("Environment", f"{request['environment']}, {_plural(int(request.get('targets', 0)), 'target')}"),
        ("Made by", str(request.get("author") or "unknown")),
        ("Why", str(request["why"])),
        ("Answers", f"{given} of {_plural(minimum, 'approval')}{of_group}"),
        ("Status", str(request["status"])),
        ("Asked", str(request["openedAt"])),
    ]
    hours = request.get("expiresAfterHours")
    found.append(("Expiry", f"a yes counts for {hours:g} h" if hours else "a yes does not run out"))
    return found


def path_of(entry: Mapping[str, Any]) -> str:
    """The page of what an entry is about, inside its workspace."""
    refs = {each["kind"]: each["id"] for each in (*reversed(entry.get("refs") or ()), entry["subject"])}
    subject = entry["subject"]
    match subject["kind"]:
        case "approval" | "request" if "request" in refs:
            return f"/approvals/{quote(refs['request'], safe='')}"
        case "freeze":
            return "/freezes"
        case "incident":
            return "/incidents"
        case "subscription":
            return f"/subscriptions/{quote(subject['id'], safe='')}"
        case "rollout":
            return f"/rollouts/{quote(subject['id'], safe='')}"
        case "version":
            return f"/versions/{quote(subject['id'], safe='')}"
        case "job" | "verification" | "move" if "job" in refs:
            return f"/jobs/{quote(refs['job'], safe='')}"
        case _ if "deployment" in refs:
            return f"/deployments/{quote(refs['deployment'], safe='')}"
        case _:
            return "/ledger"


# --- bodies ----------------------------------------------------------------------------------------------------------


def webhook_body(message: Message) -> tuple[bytes, str]:
    """The body of a webhook and its media type: the event as JSON, or the user's text."""
    if message.text is not None:
        try:
            orjson.loads(message.text)
        except orjson.JSONDecodeError:
            return message.text.encode(), "text/plain; charset=utf-8"
        return message.text.encode(), "application/json"
    body = orjson.dumps({"type": message.kind, "timestamp": message.at, "data": message.data})
    if len(body) > BODY_BYTES_MAX:
        short = {key: message.data[key] for key in ("seq", "id", "kind", "at", "subject") if key in message.data}
        data = {**short, "headline": message.headline, "url": message.url, "truncated": True}
        body = orjson.dumps({"type": message.kind, "timestamp": message.at, "data": data})
    return body, "application/json"


def slack_body(message: Message) -> tuple[bytes, str]:
    """A message for a chat that takes Slack's format: a headline, the facts, a button that leads to the page."""
    headline = _slack(message.headline)
    said = _slack(message.text) if message.text is not None else "\n".join(
        f"*{_slack(label)}:* {_slack(value)}" for label, value in message.facts
    )  # fmt: skip
    blocks: list[dict[str, object]] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": f"*{headline}*"[:SLACK_TEXT_MAX]}},
    ]
    if said.strip():
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": said[:SLACK_TEXT_MAX]}})
    button = {"type": "button", "text": {"type": "plain_text", "text": _button(message)}, "url": message.url}
    blocks.append({"type": "actions", "elements": [button]})
    context = {"type": "mrkdwn", "text": f"{_slack(message.kind)} · {_slack(message.at)}"}
    blocks.append({"type": "context", "elements": [context]})
    return orjson.dumps({"text": f"{headline} <{message.url}|{_button(message)}>", "blocks": blocks}), (
        "application/json"
    )


def letter(message: Message, *, to: Sequence[str]) -> Letter:
    """A letter, as text and as simple HTML."""
    values = {
        "headline": message.headline,
        "facts": message.facts,
        "own": message.text,
        "url": message.url,
        "button": _button(message),
        "kind": message.kind,
        "at": message.at,
    }
    text = _TEXTS.get_template("letter.txt").render(values)
    html = _LAYOUTS.get_template("letter.html").render(values)
    return Letter(key=message.key, to=tuple(to), subject=message.headline, text=text, html=html)


def _button(message: Message) -> str:
    return "Look at it and answer" if message.kind == "approval.requested" else "Look at it"


def _slack(text: str) -> str:
    """Text that a chat shows as it is: what could become a link or a mention is escaped."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _spaced(key: str) -> str:
    """`maxFailures` -> `Max failures`."""
    spaced = "".join(f" {each.lower()}" if each.isupper() else each for each in key).replace("_", " ").strip()
    return spaced[:1].upper() + spaced[1:]


def _plural(number: int, one: str) -> str:
    return f"{number} {one if number == 1 else one + 's'}"
