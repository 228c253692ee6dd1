"""`interlock schema`: the JSON Schema of files, for editors.

    interlock schema > interlock.schema.json

and in a file's first line

    # yaml-language-server: $schema=interlock.schema.json
"""

from __future__ import annotations

import json

import click


@click.command()
def schema() -> None:
    r"""Print the JSON Schema of files, for editors.

    \b
    interlock schema > interlock.schema.json
    """
    from interlock.documents.schema import document_schema

    click.echo(json.dumps(document_schema(), indent=2, ensure_ascii=False))
