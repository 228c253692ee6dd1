"""`interlock ledger`: what happened, in order, who did it and what it was about.

    interlock ledger --last 50
    interlock ledger --subject deployment:shop-api --follow
    interlock ledger --subject job:8f14e45f-…

One event is one line: instant, who, kind, the thing by name, and what a reader needs besides. The steps that every
healthy move takes are left out, as on the console; `--all` shows them, and so does a `--subject`. `-o json` gives
events whole, one to a line, always all of them; `-o yaml` a document each.

`--follow` shows what is there and then waits for more; a broken connection is taken up again where it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from interlock.cli.connection import connected
from interlock.cli.tables import as_yaml, output_option
from interlock.client import Client, Seen
from interlock.model.errors import NotFound
from interlock.model.ids import is_id
from interlock.model.policy_senders import told_dropped

SEEN_MAX = 100_000

ROUTINE = frozenset(
    {
        "system.linked", "key.created", "change.created", "move.admitted", "move.started", "move.applied",
        "move.verified", "job.created", "job.status_changed", "verification.started",
    }
)  # fmt: skip
"""Steps that every healthy move takes."""

HEALTHY = {"pending", "queued", "inProgress", "successful"}
"""What a job may become in a step that is routine."""

SAYS: Mapping[str, str] = {
    "member.added": "as {role}",
    "agent.created": "of type {type}",
    "policy.created": "{rules} rules",
    "policy.changed": "revision {number}, {rules} rules",
    "resource.created": "a {kind}",
    "environment.created": "where {resourceSelector}",
    "deployment.created": "where {resourceSelector}",
    "version.created": "{status}",
    "version.status_changed": "{from} -> {to}",
    "job.handed_over": "to {agent}, attempt {attempt}",
    "job.created": "{kind}",
    "job.status_changed": "{from} -> {to}",
    "move.admitted": "{kind}",
    "move.started": "{kind}",
    "move.applied": "{kind}",
    "move.succeeded": "{kind}",
    "move.verified": "{kind}",
    "approval.requested": "at least {minimum}",
    "rollout.halted": "{failures} failed, {max_failures} may",
    "rollback.started": "to what was good",
}
"""Kind -> what its body says in few words. A kind that is not here shows its body's plain values."""

HIDDEN = {
    "deployment", "environment", "target", "version", "tag", "name", "identifier", "slug", "kind", "source",
    "scopeId", "scopeKind", "packageSeen", "reason",
}  # fmt: skip
"""Words of a body that stand elsewhere on the line, or that no person needs there."""

DETAIL_MAX = 100


@click.command()
@click.option(
    "--subject",
    metavar="KIND:ID",
    help="Only what is about this; a deployment, environment or resource by name too: deployment:shop-api.",
)
@click.option("--after", "after", type=click.IntRange(0), default=0, help="Only what came after this place (seq).")
@click.option("--last", type=click.IntRange(1), help="Only the last so many.")
@click.option("--all", "everything", is_flag=True, help="Also the steps that every healthy move takes.")
@click.option("--follow", is_flag=True, help="Go on as it grows; Ctrl-C ends it.")
@output_option
@connected
def ledger(
    client: Client, *, subject: str | None, after: int, last: int | None, everything: bool, follow: bool, output: str
) -> None:
    r"""Show what happened, in order.

    One line an event. The steps that every healthy move takes are left out, unless --all or a --subject asks for them.

    \b
    interlock ledger --last 50
    interlock ledger --subject deployment:shop-api --follow
    """
    subject = _subject(client, subject) if subject else None
    everything = everything or subject is not None or output != "table"
    events = list(client.list_ledger(subject=subject, after=after, items_max=SEEN_MAX))
    shown = [event for event in events if everything or not is_routine(event)]
    for event in shown[-last:] if last else shown:
        click.echo(_printed(event, output=output))
    if not everything and len(shown) < len(events):
        click.echo(f"{len(events) - len(shown)} routine steps are left out; --all shows them.", err=True)
    if follow:
        last = events[-1]["seq"] if events else after
        for event in client.keep_following_ledger(subject=subject, after=last, on_break=_tell_break):
            if everything or not is_routine(event):
                click.echo(_printed(event, output=output))


def _subject(client: Client, text: str) -> str:
    """The subject as it was given: the server knows names, also of what is gone.

    Fails: `NotFound` when nothing happened to anything of this name.
    """
    kind, colon, name = text.partition(":")
    if not is_id(name if colon else text) and not any(True for _ in client.list_ledger(subject=text, items_max=1)):
        raise NotFound(f"There is no {kind} named {name}." if colon else f"There is nothing named {text}.")
    return text


def _tell_break(sentence: str) -> None:
    click.echo(f"{sentence} Trying again.", err=True)


def is_routine(event: Seen) -> bool:
    """Whether this is a step that every healthy move takes. A job that did not end well is none."""
    if event["kind"] not in ROUTINE:
        return False
    return event["kind"] != "job.status_changed" or event["body"].get("to") in HEALTHY


def _printed(event: Seen, *, output: str) -> str:
    """An event by itself: a feed may have no end, so it is no list."""
    if output == "json":
        return json.dumps(event, ensure_ascii=False)
    if output == "yaml":
        return f"---\n{as_yaml(event)}".rstrip()
    return f"event/{event['seq']}" if output == "name" else line(event)


def line(event: Seen) -> str:
    """One event on one line: instant, who, kind, what it is about in names, and the rest in few words."""
    actor = event.get("actor") or {}
    who = "interlock" if actor.get("kind") == "system" else actor.get("name") or actor.get("id") or "?"
    return f"{_instant(event['at'])}  {who[:12]:<12}  {event['kind']:<22}  {about(event):<38}  {says(event)}".rstrip()


def _instant(at: str) -> str:
    """To the millisecond, in UTC: `2026-06-10T18:21:33.123Z`."""
    whole, _, fraction = at.removesuffix("Z").partition(".")
    return f"{whole}.{(fraction + '000')[:3]}Z"


def about(event: Seen) -> str:
    """The thing by name: deployment/environment/target and version; else the subject's own name, else kind and id."""
    body = event.get("body") or {}
    subject = event.get("subject") or {}
    names = {ref["kind"]: ref.get("name") for ref in [*reversed(event.get("refs") or ()), subject]}
    place = [names.get(kind) or body.get(kind) for kind in ("deployment", "environment", "target")]
    version = names.get("version") or body.get("version") or body.get("tag")
    if version and body.get("from") and event["kind"].startswith(("move.", "job.created")):
        version = f"{body['from']} -> {version}"
    found = " ".join(str(each) for each in ("/".join(str(each) for each in place if each), version) if each)
    own = subject.get("name") or body.get("name") or body.get("identifier") or body.get("slug")
    if event["kind"].startswith("system.") and own:
        linked = names.get(str(body.get("kind")))
        return f"{own}: {body.get('kind')} {linked}" if linked else str(own)
    if event["kind"].startswith("freeze."):
        scope = names.get(str(body.get("scopeKind")))
        return " ".join(str(each) for each in (body.get("scopeKind"), scope) if each)
    if subject.get("kind") in {"deployment", "environment"} and own:
        return str(own)
    return found or str(own or names.get("principal") or f"{subject.get('kind')}:{str(subject.get('id'))[:8]}")


def says(event: Seen) -> str:
    """What the body adds, in few words: its message, the kind's own pattern, or its plain values."""
    body = {key: value for key, value in (event.get("body") or {}).items() if value is not None}
    if body.get("message"):
        return _short(str(body["message"]))
    if lost := told_dropped(body):
        return lost
    if pattern := SAYS.get(event["kind"]):
        return _short(pattern.format_map(_Words(body)))
    plain = (
        f"{key} {value}"
        for key, value in body.items()
        if key not in HIDDEN and isinstance(value, str | int | float) and not is_id(str(value))
    )
    return _short(", ".join(plain))


class _Words(dict[str, Any]):
    """A body's words; one that is missing reads as a dash."""

    def __missing__(self, key: str) -> str:
        return "-"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= DETAIL_MAX else text[: DETAIL_MAX - 1] + "…"
