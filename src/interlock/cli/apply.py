"""`interlock apply`: make the server say what files say.

    interlock apply -f examples/quickstart/
    interlock apply -f 'fleet/**/*.yaml' -f '!**/draft-*' -f -
    interlock apply -f fleet/ --diff
    interlock apply -f fleet/ --selector team=shop --prune

Everything is read, checked and compared with the server before the first write, and what is written is written as one:
all of it or none. A second run says `unchanged` everywhere and writes nothing.

Without `--prune` nothing is deleted, but for what a list that is said to be whole no longer names: a provider's
`resources`, a deployment's `variables`.

Exit codes: 0 it is so (or, with `--dry-run`, could be), 1 something was refused and nothing was written, 3 with
`--diff` something would change. 2 is a wrong command line, as everywhere, so a script can tell a difference from a
typing error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from interlock.cli.connection import connected
from interlock.cli.exit_codes import HELD
from interlock.cli.tables import output_option, print_data
from interlock.client import Client, Wire
from interlock.model.errors import Conflict, Invalid, Refused

if TYPE_CHECKING:
    from interlock.documents.plan import Step
    from interlock.documents.reading import Document

ALLOW_REMOVAL = "X-Interlock-Allow-Removal"


@click.command()
@click.option(
    "-f", "--file", "sources", multiple=True, required=True, help="File, folder, pattern, !pattern, address or -."
)
@click.option("--dry-run", is_flag=True, help="Say what would change, have the server judge it, and change nothing.")
@click.option("--diff", is_flag=True, help="Show what would change, line by line; exit code 3 if anything would.")
@click.option(
    "--selector", "pairs", multiple=True, metavar="KEY=VALUE", help="Put this into the metadata of every document."
)
@click.option("-p", "--provider", envvar="INTERLOCK_PROVIDER", help="The provider of resources that name none.")
@click.option("--prune", is_flag=True, help="End what --selector or --provider covers and no document describes.")
@click.option("--allow-removal", is_flag=True, help="Go on although most of what stands would be removed.")
@click.option("-y", "--yes", is_flag=True, help="Go on although a policy that would no longer count holds something.")
@output_option
@connected
def apply(
    client: Client,
    sources: tuple[str, ...],
    *,
    dry_run: bool,
    diff: bool,
    pairs: tuple[str, ...],
    provider: str | None,
    prune: bool,
    allow_removal: bool,
    yes: bool,
    output: str,
) -> None:
    r"""Make the server say what YAML files say.

    Everything is checked before anything is written, and written whole or not at all. A second time changes nothing.

    \b
    interlock apply -f examples/quickstart/
    interlock apply -f fleet/ -f '!**/draft-*' --diff
    interlock apply -f fleet/ --selector team=shop --prune
    """
    labels = parse_pairs(pairs)
    if prune and not (labels or provider):
        raise click.UsageError("--prune needs --selector KEY=VALUE or --provider NAME: what belongs to these files?")
    steps = planned_steps(client, sources, labels=labels, provider=provider, prune=prune)
    from interlock.documents.prune import refuse_mass_removal

    refuse_mass_removal(steps, allowed=allow_removal or dry_run or diff)
    headers = {ALLOW_REMOVAL: "true"} if allow_removal or dry_run or diff else {}
    if not (dry_run or diff) and not _may_let_go(client, steps, yes=yes):
        return
    send(client, steps, dry_run=dry_run or diff, headers=headers)
    show(steps, output=output, diff=diff)
    if diff and any(step.verdict != "unchanged" for step in steps):
        sys.exit(HELD)


def planned_steps(
    client: Client, sources: Sequence[str], *, labels: Mapping[str, str], provider: str | None, prune: bool
) -> tuple[Step, ...]:
    """Read, check and compare: what would be done.

    Fails: `Invalid` with a line for each fault.
    """
    from interlock.documents.hints import find_hints
    from interlock.documents.meaning import read_checked
    from interlock.documents.plan import plan_documents
    from interlock.documents.prune import prune_steps, with_labels, with_provider

    documents: Sequence[Document] = read_checked(sources)
    for note in (note for document in documents for note in document.notes):
        click.echo(f"note: {note}", err=True)
    if provider:
        documents = with_provider(documents, provider)
    if labels:
        documents = with_labels(documents, labels)
    whole = frozenset({provider}) if prune and provider else frozenset[str]()
    planned = plan_documents(client, documents, whole_providers=whole)
    for hint in find_hints(planned.server, documents):
        click.echo(f"note: {hint}", err=True)
    ending = prune_steps(planned, labels) if prune and labels else []
    return (*planned.steps, *ending)


def send(client: Client, steps: Sequence[Step], *, dry_run: bool, headers: Mapping[str, str]) -> None:
    """Send every request behind the steps, as one; nothing where there is none.

    Fails: `Invalid` with a line for each refusal, at the place that it is about; `Conflict` for a mass removal.
    """
    asked = [(step, write) for step in steps for write in step.writes]
    if not asked:
        return
    requests: list[Wire] = []
    for step, write in asked:
        sent: Wire = {"method": write.method, "path": write.path}
        requests.append(sent | ({} if write.body is None else {"body": write.body}) | _place(step))
    try:
        answer = client.apply(requests, dry_run=dry_run, headers=headers)
    except Refused as error:
        told: Any = (error.details or {}).get("refusals")
        if not told:
            raise
        if any(each.get("code") == "MASS_REMOVAL" for each in told):
            raise Conflict(f"{told[0].get('message')} If that is meant, give --allow-removal.") from error
        lines = dict.fromkeys(line for each in told for line in _refusal(asked[each["request"]][0], each))
        raise Invalid("\n".join([*lines, "Nothing was written."])) from error
    for (step, _), result in zip(asked, answer["results"], strict=True):
        said = result.get("body")
        for warning in (said.get("warnings") or ()) if isinstance(said, dict) else ():
            click.echo(f"note: {step.at or step.name}: {warning}", err=True)


def _place(step: Step) -> Wire:
    return {"at": step.at} if step.at else {}


def _refusal(step: Step, told: Mapping[str, Any]) -> Iterator[str]:
    """What the server refused of one step, each field at its line."""
    from interlock.documents.shapes import parse_path

    fields = [each for each in told.get("details") or () if isinstance(each, dict) and each.get("path")]
    for each in fields:
        path = parse_path(str(each["path"]))
        at = step.document.at(*path) if step.document else "the server"
        said = str(each.get("message", "")).rstrip(".")
        yield f"{at}: {step.kind} {step.name} was refused: {each['path']}: {said}."
    if not fields:
        yield f"{step.at or 'the server'}: {step.kind} {step.name} was refused: {told.get('message')}"


def show(steps: Sequence[Step], *, output: str, diff: bool) -> None:
    """One line for each object; with `diff` also what changes in it."""
    from interlock.documents.diff import diff_lines

    if output in {"json", "yaml"}:
        told = [
            {
                "verdict": step.verdict,
                "type": step.kind,
                "name": step.name,
                **({"at": step.at} if step.at else {}),
                **({"note": step.note} if step.note else {}),
                **({"diff": list(diff_lines(step))} if diff else {}),
            }
            for step in steps
        ]
        print_data(told, output=output)
        return
    for step in steps:
        if output == "name":
            if step.verdict != "unchanged":
                click.echo(f"{step.kind}/{step.name}")
            continue
        if diff:
            for line in diff_lines(step):
                click.echo(_painted(line))
            continue
        note = f"  ({step.note})" if step.note else ""
        click.echo(f"{step.verdict:<9}  {step.kind:<16}  {step.name}{note}")


def _painted(line: str) -> str:
    """A line of a difference in its colour; click takes colours out where nobody sees them."""
    if line.startswith(("+++", "---")):
        return click.style(line, bold=True)
    return click.style(line, fg={"+": "green", "-": "red", "@": "cyan"}.get(line[:1]))


def parse_pairs(pairs: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` texts as a mapping."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise click.UsageError(f"{pair} is not KEY=VALUE.")
        found[key.strip()] = value.strip()
    return found


def _may_let_go(client: Client, steps: Sequence[Step], *, yes: bool) -> bool:
    """Whether policies that would no longer count may let go what they hold: shown, and asked about."""
    ending = [step for step in steps if step.kind == "Policy" and _counted(step.before) and not _counted(step.after)]
    if not ending:
        return True
    from interlock.cli.what_if import confirmed

    changes = [change for step in steps if step.kind == "Policy" for change in policy_changes(step)]
    return confirmed(client, changes, f"Policy {', '.join(step.name for step in ending)}", yes=yes)


def _counted(body: Mapping[str, Any] | None) -> bool:
    return body is not None and body.get("enabled", True) and body.get("mode", "enforce") == "enforce"


def policy_changes(step: Step) -> Iterator[Wire]:
    """What a step changes of policies, as `what-if` takes it."""
    for write in step.writes:
        policy_id = write.path.rpartition("/")[2]
        gone = write.method == "DELETE"
        yield {"policyId": policy_id, "delete": True} if gone else {"policyId": policy_id, "policy": write.body}
