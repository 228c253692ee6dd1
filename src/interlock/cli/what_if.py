"""`interlock what-if`: which targets would change their verdict if this policy were saved?

    interlock what-if --policy policies/production.yaml
    interlock what-if --delete careful-production

Policies are written as for `interlock apply`; one that the server knows by name would be replaced. Nothing is saved,
and nothing moves.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

import click

from interlock.cli.connection import connected
from interlock.cli.tables import output_option, print_one, table
from interlock.client import Client, Seen
from interlock.model.errors import Invalid, NotFound, Unavailable

ASK_EVERY_S = 0.3
WAIT_MAX_S = 120.0
SHOWN_MAX = 50

WORDS = {
    "starts": "would start",
    "stops": "would not start",
    "held": "would be held",
    "freed": "nothing would hold",
    "other": "held by other rules",
}
"""A change, as the table says it."""


@click.command("what-if")
@click.option("-p", "--policy", "sources", multiple=True, help="File, folder, glob or - with policies; may repeat.")
@click.option("--delete", "deleted", multiple=True, metavar="NAME", help="A policy as if it were deleted; may repeat.")
@output_option
@connected
def what_if(client: Client, sources: tuple[str, ...], deleted: tuple[str, ...], *, output: str) -> None:
    r"""Say what policies would change before they are saved.

    Decides the deployments concerned as they are and as they would be, and shows the targets that differ.

    \b
    interlock what-if --policy policies/production.yaml
    interlock what-if --delete careful-production
    """
    changes = [*(written(client, sources) if sources else []), *(gone(client, name) for name in deleted)]
    if not changes:
        raise click.UsageError("Give --policy FILE or --delete NAME.")
    answer = answered(client, changes)
    print_one(answer, output=output, text=lines(answer), kind="policy", named=lambda _: ",".join(deleted) or "written")


def written(client: Client, sources: Sequence[str]) -> list[Seen]:
    """The changes that the policies in files are, as `apply` would write them."""
    from interlock.documents.kinds import policy
    from interlock.documents.meaning import check_meaning
    from interlock.documents.plan import plan_documents
    from interlock.documents.reading import read_documents

    documents = [document for document in read_documents(sources) if document.type == "Policy"]
    if not documents:
        raise Invalid("There is no policy in these files.")
    check_meaning(documents)
    planned = plan_documents(client, documents, whole_providers=frozenset())
    standing, id_of = planned.server.standing("Policy"), planned.server.id_of
    return [
        {
            "policyId": id_of("Policy", step.name),
            "policy": policy.wire_body(step.after or {}, standing.get(step.name), id_of("Policy", step.name)),
        }
        for step in planned.steps
        if step.kind == "Policy"
    ]


def gone(client: Client, name: str) -> Seen:
    """The change that a policy's end is.

    Fails: `NotFound`.
    """
    return {"policyId": policy_named(client, name)["id"], "delete": True}


def policy_named(client: Client, name: str) -> Seen:
    """A policy by name or id.

    Fails: `NotFound`; `Invalid` where several have the name.
    """
    fits = [each for each in client.list_policies() if name in {each["name"], each["id"]}]
    if not fits:
        raise NotFound(f"There is no policy named {name}.")
    if len(fits) > 1:
        raise Invalid(f"{len(fits)} policies are named {name}; give the id.")
    return fits[0]


def answered(client: Client, changes: Sequence[Seen]) -> Seen:
    """Ask, and wait for the answer.

    Fails: `Unavailable` when no worker answers in time.
    """
    asked = client.ask_what_if(changes)
    until_s = time.monotonic() + WAIT_MAX_S
    while asked["status"] != "done":
        if time.monotonic() > until_s:
            raise Unavailable(f"No worker answered in {WAIT_MAX_S:.0f} s; see `interlock work`.")
        time.sleep(ASK_EVERY_S)
        asked = client.get_what_if(asked["id"])
    answer: Seen = asked["answer"]
    return answer


def lines(answer: Seen) -> Iterator[str]:
    """An answer for a terminal."""
    decided, selected = answer["decided"], answer["selected"]
    yield (
        f"{answer['changed']} of {decided['targets']} targets in {decided['deployments']} deployments would stand "
        f"elsewhere; selected are {selected['before']} now and {selected['after']} then."
    )
    cut = answer.get("cut")
    if cut:
        yield f"Not decided, for there are too many: {cut['targets']} targets in {', '.join(cut['names'])}."
    if answer["targets"]:
        yield table(
            ("target", "change", "added", "lifted"),
            [
                (
                    f"{each['deployment']['name']}/{each['environment']['name']}/{each['resource']['name']}",
                    WORDS.get(each["change"], each["change"])
                    + (f" {each['after'].get('version', '')}" if each["change"] == "starts" else ""),
                    " ".join(each["added"]),
                    " ".join(each["lifted"]),
                )
                for each in answer["targets"][:SHOWN_MAX]
            ],
        )
        if answer["changed"] > SHOWN_MAX:
            yield f"and {answer['changed'] - min(SHOWN_MAX, len(answer['targets']))} more"


def lets_go(answer: Seen) -> bool:
    """Whether something that is held now would be held less."""
    return any(answer["changes"].get(word) for word in ("starts", "freed")) or any(
        each["lifted"] for each in answer["targets"]
    )


def confirmed(client: Client, changes: Sequence[Seen], what: str, *, yes: bool) -> bool:
    """Show what lets go, and ask whether to go on; without anything held there is nothing to ask.

    Why:    a policy that ends, or no longer enforces, may start a hundred hand-overs in the same second.
    Fails:  `Invalid` where nobody is there to ask and `--yes` was not given.
    """
    answer = answered(client, changes)
    if not lets_go(answer):
        return True
    click.echo(f"{what} holds something:", err=True)
    for line in lines(answer):
        click.echo(line, err=True)
    if yes:
        return True
    if not sys.stdin.isatty():
        raise Invalid("Nothing was changed. Give --yes to go on.")
    return click.confirm("Go on?", err=True)
