"""What would files say that make the server what it is? Every object as a document that applies as `unchanged`.

Resources that a provider offers stand in the provider's list; the others by themselves. The order is that of writing,
so that the text can be applied to an empty workspace from top to bottom. Secrets are marks unless they are asked for:
a mark that is applied where it came from keeps what is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interlock.client import Client
from interlock.documents.kind import Body, Kind, Standing
from interlock.documents.kinds import KIND_BY_NAME, KINDS
from interlock.documents.secrets import hidden
from interlock.documents.server import Server


def export_documents(
    client: Client, *, kinds: Iterable[str] | None = None, names: Sequence[str] = (), secrets: bool = False
) -> list[tuple[Kind, Body]]:
    """Kind and body of everything that stands, in the order of writing.

    Takes: `kinds` are names of kinds, None for all; `names` narrow to objects of these names. `secrets` shows what the
           key may read of them.
    """
    server = Server(client, (), KIND_BY_NAME, full=True)
    wanted = set(KIND_BY_NAME if kinds is None else kinds)
    found: list[tuple[Kind, Body]] = []
    for kind in KINDS:
        if kind.name in wanted:
            for standing in sorted(server.every(kind.name), key=lambda one: one.name):
                if (not names or standing.name in names) and not _is_listed(kind, standing, wanted, names):
                    body = kind.whole(standing.body)
                    found.append((kind, body if secrets else hidden(kind.name, body)))
    return found


def _is_listed(kind: Kind, standing: Standing, wanted: set[str], names: Sequence[str]) -> bool:
    """Whether a resource stands in its provider's list already."""
    return kind.name == "Resource" and "provider" in standing.body and "ResourceProvider" in wanted and not names
