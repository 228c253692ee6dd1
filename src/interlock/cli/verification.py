"""`interlock verification`: what was measured after a job, and what to say where nothing could tell.

    interlock verification list                        those that wait because nothing could tell
    interlock verification list --state any --deployment shop-api
    interlock verification get 4c1f                    its metrics, what each said, what it waits for
    interlock verification watch 4c1f                  follow it until it is over
    interlock verification again 4c1f                  measure once more
    interlock verification accept 4c1f --reason "Prometheus was away; the dashboards are fine"
    interlock verification fail 4c1f --reason "customers report errors"

A verification is named by its id or the beginning of it, or by what it is about (`shop-api/production/edge-1`) where
one alone waits there.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from interlock.cli.connection import connected
from interlock.cli.tables import id_of, items_max, list_options, output_option, print_list, print_one
from interlock.cli.verification_watch import watch
from interlock.client import Client, Seen
from interlock.model.errors import Conflict, NotFound
from interlock.model.ids import is_id

HEADS = ("verification", "about", "state", "since", "says")
COMES_TO = {"fail": "failed", "pass": "passed"}
STATES = ("held", "running", "passed", "failed", "inconclusive", "any")

_named = click.argument("verification_id", metavar="ID | DEPLOYMENT/ENVIRONMENT/RESOURCE")
_why = click.option("--reason", required=True, help="Why. Everybody who looks at it reads it.")


@click.group()
def verification() -> None:
    """Read and watch measuring; accept, fail or repeat it."""


verification.add_command(watch)


@verification.command("list")
@click.option("--state", type=click.Choice(STATES), default="held", show_default=True, help="Which of them.")
@click.option("--deployment", help="Of this deployment alone.")
@click.option("--job", "job_id", help="Of this job alone, by its id.")
@list_options
@connected
def list_some(client: Client, *, state: str, deployment: str | None, job_id: str | None, output: str) -> None:
    """List verifications, newest first: those that wait because nothing could tell."""
    deployment_id = None
    if deployment is not None:
        known = client.find_deployment(deployment)
        if known is None:
            raise NotFound(f"There is no deployment named {deployment}.")
        deployment_id = known["deployment"]["id"]
    found = list(
        client.list_verifications(
            state=None if state == "any" else state,
            deployment_id=deployment_id,
            job_id=job_id,
            items_max=items_max(None),
        )
    )
    rows = [
        (each["id"][:8], each["about"], _state(each), each.get("heldSince") or each["startedAt"], each.get("message"))
        for each in found
    ]
    print_list(found, output=output, heads=HEADS, rows=rows, kind="verification", named=id_of)


@verification.command()
@_named
@output_option
@connected
def get(client: Client, verification_id: str, *, output: str) -> None:
    """Show one: its metrics, what each said, what it waits for."""
    shown = client.get_verification(_meant(client, verification_id))
    print_one(shown, output=output, text=_lines(shown), kind="verification", named=id_of)


@verification.command()
@_named
@_why
@output_option
@connected
def accept(client: Client, verification_id: str, *, reason: str, output: str) -> None:
    """Accept what could not be told: it goes on as if it had passed."""
    done = client.accept_verification(_meant(client, verification_id), reason=reason)
    print_one(done, output=output, text=f"accepted {done['about']}", kind="verification", named=id_of)


@verification.command()
@_named
@_why
@output_option
@connected
def fail(client: Client, verification_id: str, *, reason: str, output: str) -> None:
    """Fail what could not be told: halts and rollbacks follow as the policies say."""
    done = client.fail_verification(_meant(client, verification_id), reason=reason)
    print_one(done, output=output, text=f"failed {done['about']}", kind="verification", named=id_of)


@verification.command()
@_named
@click.option("--reason", help="Why, where there is something to say.")
@output_option
@connected
def again(client: Client, verification_id: str, *, reason: str | None, output: str) -> None:
    """Measure again: what could not be told, or what passed and still runs."""
    done = client.measure_again(_meant(client, verification_id), reason=reason)
    again = f"measuring {done['about']} again, run {done['run']}"
    text = again if done["run"] > 1 else f"{done['about']} is measured already"
    print_one(done, output=output, text=text, kind="verification", named=id_of)


def _state(each: Seen) -> str:
    return "held: nothing could tell" if each["held"] else str(each["state"])


def _lines(each: Seen) -> Iterator[str]:
    run = f", run {each['run']}" if each["run"] > 1 else ""
    yield f"{each['about']}: {_state(each)}{run}, verification {each['id']}"
    if "message" in each:
        yield f"  {each['message']}"
    if each["held"]:
        yield "  The target is not promoted, those after it do not start, and nothing is rolled back."
        yield f"  It waits since {each.get('heldSince')} for: a person ({', '.join(each['can'])})"
        if "againAt" in each:
            yield f"  or to be measured again at {each['againAt']}"
        if "heldUntil" in each:
            yield f"  or until {each['heldUntil']}: then it counts as {COMES_TO[each['comesTo']]}, as its policy says"
    if "passedAt" in each and each["state"] == "running":
        yield f"  That it passed at {each['passedAt']} stands meanwhile."
    for one in each.get("metrics", ()):
        counts = _counts(one)
        dry = " (dry run)" if one["dryRun"] else ""
        over = one["state"] == "running" and each["state"] != "running"
        state = "ended with it" if over else one["state"]
        yield f"  {one['name']}{dry}: {state}{f': {counts}' if counts else ''}"
        if one.get("message"):
            yield f"    {one['message']}"
        if "waitsFor" in one:
            yield f"    waits for {one['waitsFor']}"
    for said in each.get("said", ()):
        yield f"  {said['at']} {said['by']}: {said['word']}{': ' + said['reason'] if 'reason' in said else ''}"


def _counts(metric: Seen) -> str:
    """How often it said what. A judge of all looks together says nothing of a single one, so those are only counted."""
    words = ("passed", "failed", "inconclusive", "errored")
    if metric.get("judge") in {None, "threshold"}:
        return ", ".join(f"{metric[word]} {word}" for word in words if metric[word])
    looks = sum(metric[word] for word in words[:3])
    said = [f"{looks} look{'' if looks == 1 else 's'}" if looks else "", f"{metric['errored']} errored"]
    return ", ".join(each for each in said if each and not each.startswith("0 "))


def _meant(client: Client, text: str) -> str:
    """The id of the verification that a text names: whole, its beginning, or the place where one waits.

    Fails: `NotFound` or `Conflict` when it is none or several.
    """
    if is_id(text):
        return text
    waiting = [each["id"] for each in client.list_verifications(state="held") if _place(each) == text]
    meant = waiting or [each["id"] for each in client.list_verifications() if each["id"].startswith(text)]
    if not meant:
        raise NotFound(f"No verification matches {text}. `interlock verification list --state any` lists all of them.")
    if len(meant) > 1:
        raise Conflict(f"{len(meant)} verifications match {text}; give more of the id.")
    return meant[0]


def _place(each: Seen) -> str:
    return "/".join(each[kind]["name"] for kind in ("deployment", "environment", "resource") if kind in each)
