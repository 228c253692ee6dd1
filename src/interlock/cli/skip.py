"""`interlock skip`: one version passes one rule, or one freeze.

    interlock skip                                                                            those in force
    interlock skip shop-api/production 1.4.3 --rule anyApproval --reason "sev-1" --for 1h     every rule of a kind
    interlock skip shop-api/production 1.4.3 --rule 5be2… --reason "sev-1"                    one rule, by id
    interlock skip shop-api/production 1.4.3 --freeze 4c1f… --reason "the fix" --for 1h       a freeze

`interlock explain` and `interlock policies` name rules. `interlock unskip` takes a skip back.
"""

from __future__ import annotations

import click

from interlock.cli.completion import places, tags
from interlock.cli.connection import connected
from interlock.cli.places import (
    both,
    expiry,
    find_place,
    find_version,
    lasting_option,
    picked,
    place_of,
    until,
)
from interlock.cli.tables import id_of, list_options, print_list, print_one
from interlock.client import Client, Seen, Wire
from interlock.model.errors import Invalid


@click.command()
@click.argument("place", required=False, metavar="[DEPLOYMENT[/ENVIRONMENT[/RESOURCE]]]", shell_complete=places)
@click.argument("tag", required=False, metavar="[VERSION]", shell_complete=tags)
@click.option("--rule", help="A rule's id, or a kind like anyApproval: every rule of that kind.")
@click.option("--freeze", "freeze_id", metavar="ID", help="A freeze, by the beginning of its id; needs --for.")
@click.option("--reason", help="Why. Everybody whom it concerns reads it.")
@lasting_option
@list_options
@connected
def skip(
    client: Client,
    place: str | None,
    tag: str | None,
    *,
    rule: str | None,
    freeze_id: str | None,
    reason: str | None,
    lasts: str | None,
    output: str,
) -> None:
    r"""Let a version pass a rule or a freeze, or list skips.

    What it let start goes on when it ends. Passing a freeze has its own permission and always an end.

    \b
    interlock skip shop-api/production 1.4.3 --rule anyApproval --reason "sev-1" --for 1h
    interlock skip shop-api/production 1.4.3 --freeze 4c1f --reason "the fix" --for 1h
    """
    if place is None:
        _list(client, output=output)
        return
    place, tag = both(place, tag, needs="where, and for which version")
    if (rule is None) == (freeze_id is None):
        raise Invalid("Say what is skipped: --rule or --freeze.")
    if not reason:
        raise Invalid("Say why: --reason.")
    where = find_place(client, place)
    body: Wire = {
        "versionId": find_version(client, where.deployment_id, tag),
        **where.ids(),
        "reason": reason,
        **expiry(lasts),
    }
    if freeze_id is not None:
        body["freezeId"] = picked(client.list_freezes(), freeze_id, what="freeze")["id"]
    else:
        body["ruleKind" if _is_kind(str(rule)) else "ruleId"] = rule
    made = client.skip(body)
    said = until(made, otherwise="until it is taken back")
    text = (
        f"{tag} passes {_what(made)} in {place_of(made)} {said}.",
        f"End it with: interlock unskip {made['id'][:8]} --reason …",
    )
    print_one(made, output=output, text=text, kind="skip", named=id_of)


def _is_kind(text: str) -> bool:
    """Rule kinds are camelCase words; ids have digits or dashes."""
    return text.isalpha() and text[:1].islower()


def _what(each: Seen) -> str:
    if "freezeId" in each:
        return f"freeze {each['freezeId'][:8]}"
    policy = (each.get("policy") or {}).get("name")
    kind = each.get("ruleKind") or "a rule that is gone"
    return f"{kind} ({policy})" if policy else f"every {kind}" if "ruleId" not in each else str(kind)


def _list(client: Client, *, output: str) -> None:
    found = list(client.list_skips())
    rows = [
        (
            each["id"][:8],
            place_of(each),
            each["version"]["tag"],
            _what(each) + (" (gone: it does nothing)" if each["orphaned"] else ""),
            each.get("createdBy"),
            each["createdAt"],
            each.get("expiresAt"),
            each["reason"],
        )
        for each in found
    ]
    heads = ("skip", "where", "version", "passes", "by", "since", "until", "reason")
    print_list(found, output=output, heads=heads, rows=rows, kind="skip", named=id_of)
