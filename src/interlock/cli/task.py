"""`interlock task`: the jobs that people do. What waits for me, and what do I answer?

    interlock task list                              what waits for you, the next one due first
    interlock task list --everybody --state any
    interlock task show 4c1f                         what is to be done, and what is to be handed in
    interlock task take 4c1f                         you begin: nothing takes it back from now on
    interlock task complete 4c1f -e ticket=https://tickets.example.com/7 -e rate=0.2
    interlock task reject 4c1f --reason "the portal is down"
    interlock task comment 4c1f "I begin at noon"

A task is named by its job's id or the beginning of it, or by what it is about (`shop-api/production/edge-1`) where that
is one alone. Evidence is given by name; its texts are read by the type that the task declares for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from interlock.cli.connection import connected
from interlock.cli.tables import items_max, list_options, output_option, print_list, print_one
from interlock.client import Client, Seen
from interlock.model.errors import Conflict, NotFound
from interlock.model.ids import is_id
from interlock.model.task import read_field, typed

HEADS = ("job", "about", "who", "status", "due", "taken by", "asks for")

_named = click.argument("task_id", metavar="JOB | DEPLOYMENT/ENVIRONMENT/RESOURCE")


@click.group()
def task() -> None:
    """Do what jobs ask of people: take, complete, reject."""


@task.command("list")
@click.option("--everybody", is_flag=True, help="Those that ask others as well.")
@click.option(
    "--state", type=click.Choice(("open", "over", "any")), default="open", show_default=True, help="Which of them."
)
@list_options
@connected
def list_mine(client: Client, *, everybody: bool, state: str, output: str) -> None:
    """List the tasks that wait for you, the next one due first."""
    found = list(client.list_tasks(mine=not everybody, state=state, items_max=items_max(None)))
    print_list(found, output=output, heads=HEADS, rows=map(_row, found), kind="task", named=_job_of)


@task.command()
@_named
@output_option
@connected
def show(client: Client, task_id: str, *, output: str) -> None:
    """Show one: what is to be done, what is to be handed in, what people wrote."""
    shown = client.get_task(_meant(client, task_id))
    print_one(shown, output=output, text=_lines(shown), kind="task", named=_job_of)


@task.command()
@_named
@output_option
@connected
def take(client: Client, task_id: str, *, output: str) -> None:
    """Begin: nothing takes it back from now on, and others see that you have it."""
    taken = client.take_task(_meant(client, task_id))
    print_one(taken, output=output, text=f"You have {taken['about']}.", kind="task", named=_job_of)


@task.command()
@_named
@click.option("-e", "--evidence", "given", multiple=True, metavar="NAME=VALUE", help="What shows it; several times.")
@click.option("--comment", help="What else there is to say.")
@output_option
@connected
def complete(client: Client, task_id: str, *, given: Sequence[str], comment: str | None, output: str) -> None:
    """Say that one is done, with the evidence that it asks for."""
    texts: dict[str, str] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or name in texts:
            raise click.UsageError(f"Evidence is NAME=VALUE, each name once; not {each!r}.")
        texts[name] = text
    job_id = _meant(client, task_id)
    evidence = typed([read_field(each) for each in client.get_task(job_id)["evidence"]], texts) if texts else {}
    done = client.complete_task(job_id, evidence=evidence, comment=comment)
    print_one(done, output=output, text=f"completed {done['about']}", kind="task", named=_job_of)


@task.command()
@_named
@click.option("--reason", required=True, help="Why. Everybody who looks at the job reads it.")
@output_option
@connected
def reject(client: Client, task_id: str, *, reason: str, output: str) -> None:
    """Say that one was not done: its job fails."""
    rejected = client.reject_task(_meant(client, task_id), reason=reason)
    print_one(rejected, output=output, text=f"rejected {rejected['about']}", kind="task", named=_job_of)


@task.command()
@_named
@click.argument("text")
@output_option
@connected
def comment(client: Client, task_id: str, text: str, *, output: str) -> None:
    """Write something beside one; also after its end."""
    said = client.comment_task(_meant(client, task_id), text)
    print_one(said, output=output, text=f"commented {said['about']}", kind="task", named=_job_of)


def _row(each: Seen) -> tuple[object, ...]:
    asks = ", ".join(f"{one['name']}{'' if one.get('required') else '?'}" for one in each["evidence"])
    due = f"{each['dueAt']} (overdue)" if "overdueAt" in each else each.get("dueAt")
    return (
        *(each["jobId"][:8], each["about"], each["who"], each.get("answer") or each["status"]),
        *(due, each.get("takenBy"), asks),
    )


def _lines(each: Seen) -> Iterator[str]:
    yield f"{each['about']}: {each.get('answer') or each['status']}, job {each['jobId']}"
    yield f"  asks {each['who']}{'' if each['mine'] else ' (not you)'}, since {each['askedAt']}"
    if "dueAt" in each:
        then = "; its job fails then" if each["onOverdue"] == "fail" else ""
        yield f"  due {each['dueAt']}{' (overdue)' if 'overdueAt' in each else ''}{then}"
    if "takenBy" in each:
        yield f"  {each['takenBy']} has it since {each['takenAt']}"
    yield ""
    yield each["instructions"]
    if each["evidence"]:
        yield ""
        yield "Hand in:" if each["open"] else "Was to be handed in:"
    for one in each["evidence"]:
        label = f" ({one['label']})" if one.get("label") else ""
        yield f"  {one['name']}{label}: {one['wanted']}{', required' if one.get('required') else ''}"
    if "answer" in each:
        yield ""
        yield f"{each['answeredBy']} {each['answer']} it {each['answeredAt']}: {each.get('comment') or 'no comment'}"
    for name, value in (each.get("given") or {}).items():
        yield f"  {name}: {value}"
    for said in each.get("comments") or ():
        yield f"  {said['at']} {said.get('by', 'somebody')}: {said['text']}"


def _meant(client: Client, text: str) -> str:
    """The id of the job that a text names: whole, its beginning, or what its task is about.

    Fails: `NotFound` or `Conflict` when it is none or several.
    """
    if is_id(text):
        return text
    meant = [
        each["jobId"]
        for each in client.list_tasks(mine=False, state="any")
        if each["jobId"].startswith(text) or (each["open"] and _place(each) == text)
    ]
    if not meant:
        raise NotFound(f"No task matches {text}. `interlock task list --everybody --state any` lists all of them.")
    if len(meant) > 1:
        raise Conflict(f"{len(meant)} tasks match {text}; give more of the id.")
    return meant[0]


def _place(each: Seen) -> str:
    parts = (each.get("workflow"), each.get("deployment"), each.get("environment"), each.get("resource"))
    return "/".join(str(part) for part in parts if part)


def _job_of(each: Seen) -> str:
    return str(each["jobId"])
