"""`interlock export`: what the server says, as files for `apply`.

    interlock export > everything.yaml
    interlock export Policy Environment
    interlock export Deployment --name shop-api

What is printed applies to the same workspace as `unchanged`. Secrets are marks (`••••`), which keep what is stored when
they are applied; `--secrets` prints those that the key may read.
"""

from __future__ import annotations

import json

import click

from interlock.cli.connection import connected
from interlock.client import Client
from interlock.model.errors import Invalid


@click.command()
@click.argument("kinds", nargs=-1, metavar="[KIND]...")
@click.option("-n", "--name", "names", multiple=True, help="Only what is known by this name; may repeat.")
@click.option("--secrets", is_flag=True, help="Print the secrets that the key may read.")
@click.option("-o", "--output", type=click.Choice(["yaml", "json", "name"]), default="yaml", show_default=True)
@connected
def export(client: Client, kinds: tuple[str, ...], *, names: tuple[str, ...], secrets: bool, output: str) -> None:
    r"""Write what the server says as files for apply.

    \b
    interlock export > everything.yaml
    interlock export Policy
    interlock export Deployment --name shop-api
    """
    from interlock.documents.export import export_documents
    from interlock.documents.text import render_documents

    found = export_documents(client, kinds=[kind_named(kind) for kind in kinds] or None, names=names, secrets=secrets)
    if output == "json":
        documents = [{"type": kind.name, **body} for kind, body in found]
        click.echo(json.dumps(documents, indent=2, ensure_ascii=False))
    elif output == "name":
        for kind, body in found:
            click.echo(f"{kind.name}/{body[kind.known_by]}")
    else:
        click.echo(render_documents(found), nl=False)


def kind_named(text: str) -> str:
    """A kind's name, however it was written: `policies`, `job-agent` and `JobAgent` alike.

    Fails: `Invalid` for none.
    """
    from interlock.documents.kinds import KIND_BY_NAME
    from interlock.documents.shapes import meant

    folded = _folded(text)
    for name in KIND_BY_NAME:
        if folded in {_folded(name), _folded(name) + "s", _folded(name).removesuffix("y") + "ies"}:
            return name
    near = meant(text, tuple(KIND_BY_NAME)) or f"; one of {', '.join(KIND_BY_NAME)}"
    raise Invalid(f"There is no kind {text}{near}.")


def _folded(text: str) -> str:
    return text.lower().replace("-", "").replace("_", "")
