"""What is a kind of document? Its keys, and how it meets the server. What every file of `kinds/` fills in.

    load     what stands on the server, as documents with their ids
    write    the requests that make the server say what a document says
    remove   the requests that end an object

A kind compares nothing and prints nothing: `plan` does, the same way for all. Both sides are brought into one form
first (`whole`): defaults left out, keys that a document leaves alone taken over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interlock.documents.shapes import Key, Object

if TYPE_CHECKING:
    from interlock.documents.server import Server

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Write:
    """One request: its path follows the workspace, each segment encoded."""

    method: str
    path: str
    body: Any = None


@dataclass(frozen=True, slots=True)
class Standing:
    """One object of the server.

    Takes: `body` is the document that would describe it; `row` is what the server said.
    """

    id: str
    name: str
    body: Body
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Named:
    """A name that a document uses: it must stand on the server or in the files."""

    path: tuple[str | int, ...]
    kind: str
    name: str


Load = Callable[["Server", "frozenset[str] | None"], Iterable[Standing]]
"""What stands, as far as these names are concerned; None: all of it. What costs a request an object (variables, what a
provider offers) is there where the server wants it (`Server.wants`)."""

Writing = Callable[["Server", Body, "Standing | None", str], Sequence[Write]]
"""The requests behind one object: (server, the whole body, what stands or None, the object's id)."""

Removing = Callable[["Server", Standing], Sequence[Write]]


def is_same(one: object, other: object) -> bool:
    """Whether two bodies say the same, as JSON tells values apart: 1 is not true."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def as_it_is(body: Body) -> Body:
    """A body in which the order of everything matters."""
    return body


def no_names(_: Body) -> Iterable[Named]:
    """A kind that names nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of document.

    Takes: `known_by` is the key of its name. `one_of` are keys that exclude each other. `labelled`: it has metadata,
           by which it can be chosen for pruning. `names` are the names that a body uses. `settle` brings into one
           order what has none.
    """

    name: str
    about: str
    keys: Mapping[str, Key]
    load: Load
    write: Writing
    remove: Removing
    names: Callable[[Body], Iterable[Named]] = no_names
    settle: Callable[[Body], Body] = as_it_is
    known_by: str = "name"
    one_of: tuple[tuple[str, ...], ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether it has metadata."""
        return "metadata" in self.keys

    @property
    def shape(self) -> Object:
        """The shape of its documents, `type` left out."""
        return Object(self.keys, one_of=self.one_of, what=self.name)

    def whole(self, body: Body, standing: Standing | None = None) -> dict[str, Any]:
        """The body in the form in which two are compared: in the order of the keys, defaults left out.

        Takes: `standing` gives what the body leaves as it is.
        """
        filled = dict(body)
        for name, key in self.keys.items():
            if key.kept and standing is not None and filled.get(name) is None:
                filled[name] = standing.body.get(name)
        settled = self.settle({name: value for name, value in filled.items() if value is not None})
        found = {name: settled.get(name) for name in self.keys}
        return {name: each for name, each in found.items() if each is not None and each != self.keys[name].default}
