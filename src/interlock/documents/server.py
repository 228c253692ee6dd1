"""What stands on the server, by name? And which id has what will stand?

Read once, before anything is planned: each kind that the documents are about or that they name. An object that is not
there yet gets its id here, so that a file can name what the same file creates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from interlock.client import Client
from interlock.documents.kind import Kind, Standing
from interlock.documents.shapes import meant
from interlock.model.errors import Invalid
from interlock.model.ids import new_id

if TYPE_CHECKING:
    from interlock.documents.reading import Document


class Server:
    """One workspace, as far as these documents are concerned.

    Takes: `kinds` are all kinds by name. `described` are the documents by kind and name. `full`: what costs a request
           an object is wanted of every one, as for an export.
    """

    def __init__(
        self, client: Client, documents: Sequence[Document], kinds: Mapping[str, Kind], *, full: bool = False
    ) -> None:
        self.client = client
        self.full = full
        self.described = {(each.type, each.name): each for each in documents}
        self._kinds = kinds
        self._standing: dict[str, dict[str, Standing]] = {}
        self._every: dict[str, tuple[Standing, ...]] = {}
        self._ids: dict[tuple[str, str], str] = {}

    def names(self, kind: str) -> frozenset[str]:
        """The names of what is described of one kind."""
        return frozenset(name for each, name in self.described if each == kind)

    def wants(self, kind: str, name: str, *, key: str) -> bool:
        """Whether this key of an object is wanted, though it costs a request."""
        return self.full or self.mentions(kind, name, key=key)

    def mentions(self, kind: str, name: str, *, key: str) -> bool:
        """Whether a document says something under this key."""
        document = self.described.get((kind, name))
        return document is not None and key in document.body

    def standing(self, kind: str) -> Mapping[str, Standing]:
        """What stands of what is described, by name.

        Fails: `Invalid` when two objects have the name of a document.
        """
        if kind not in self._standing:
            wanted = self.names(kind)
            self._standing[kind] = _by_name(self._kinds[kind].load(self, wanted), kind, wanted)
        return self._standing[kind]

    def every(self, kind: str) -> Sequence[Standing]:
        """Everything of one kind."""
        if kind not in self._every:
            self._every[kind] = tuple(self._kinds[kind].load(self, None))
        return self._every[kind]

    def find(self, kind: str, text: str) -> Standing | None:
        """The object of this name, or of this id, that stands."""
        known = self.standing(kind).get(text)
        if known is not None:
            return known
        return next((each for each in self.every(kind) if text in {each.name, each.id}), None)

    def knows(self, kind: str, text: str) -> bool:
        """Whether something of this name stands, or is described."""
        return (kind, text) in self.described or (kind, text) in self._ids or self.find(kind, text) is not None

    def id_of(self, kind: str, text: str) -> str:
        """The id of what stands or will stand under this name."""
        known = self.standing(kind).get(text) if (kind, text) in self.described else self.find(kind, text)
        return known.id if known is not None else self._ids.setdefault((kind, text), new_id())

    def name_of(self, kind: str, identity: str) -> str | None:
        """The name of what stands under this id."""
        return next((each.name for each in self.every(kind) if each.id == identity), None)

    def near(self, kind: str, text: str) -> str:
        """`; did you mean shop`, where something like it stands or is described."""
        names = {each for known, each in self.described if known == kind} | {each.name for each in self.every(kind)}
        return meant(text, sorted(names))


def path(*segments: str) -> str:
    """Segments of a request's path, each encoded on its own."""
    return "/".join(quote(segment, safe="") for segment in segments)


def _by_name(found: Iterable[Standing], kind: str, wanted: frozenset[str]) -> dict[str, Standing]:
    """By name. Names of systems and policies need not be unique on the server: one that is described here must be."""
    named: dict[str, Standing] = {}
    for each in found:
        if each.name in named and each.name in wanted:
            raise Invalid(f"There is more than one {kind} named {each.name}; rename one before applying.")
        named.setdefault(each.name, each)
    return named
