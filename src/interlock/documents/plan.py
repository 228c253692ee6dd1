"""What must be done so that the server says what the documents say? Steps, each with the requests behind it.

    created    it does not stand there yet
    changed    it stands, and says something else
    unchanged  it says the same: nothing is sent
    removed    a list that is said to be whole no longer names it, or it is pruned

Everything is compared before anything is sent, both sides in one form (`Kind.whole`), and all requests go as one call,
written whole or not at all. So a plan may be shown and judged (`dryRun`) and thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from interlock.client import Client
from interlock.documents.kind import Body, Standing, Write, is_same
from interlock.documents.kinds import KIND_BY_NAME, KINDS, freeze
from interlock.documents.kinds.keys import system_names, systems_body
from interlock.documents.kinds.resource import content
from interlock.documents.reading import Document
from interlock.documents.secrets import unmasked
from interlock.documents.server import Server
from interlock.documents.shapes import Fault
from interlock.model.errors import Invalid

DEFAULT_SYSTEM = "default"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done about one object.

    Takes: `before` and `after` are its bodies, None where it is not. `note` is what a person should know of it.
    """

    verdict: str
    kind: str
    name: str
    writes: tuple[Write, ...] = ()
    document: Document | None = None
    before: Body | None = None
    after: Body | None = None
    note: str = ""

    @property
    def at(self) -> str:
        """Where it was asked for."""
        return self.document.at() if self.document else ""


@dataclass(frozen=True, slots=True)
class Planned:
    """All steps in the order of writing, and the server as it was read."""

    steps: tuple[Step, ...]
    server: Server

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.verdict != "unchanged")


def plan_documents(client: Client, documents: Sequence[Document], *, whole_providers: frozenset[str]) -> Planned:
    """Compare documents with the server.

    Takes: `whole_providers` are providers whose resources the documents have all of.
    Fails: `Invalid` when a name resolves to nothing or to two objects. Nothing has been written then.
    """
    listed = with_provider_lists(documents)
    server = Server(client, listed, KIND_BY_NAME)
    faults = list(find_unknown(server, listed))
    if faults:
        raise Invalid("\n".join(faults))
    steps: list[Step] = []
    for kind in KINDS:
        mine = [document for document in listed if document.kind is kind]
        if kind.name == "System":
            steps += _default_system(server, listed)
        for document in mine:
            steps += _steps(server, document, whole_providers)
    return Planned(tuple(steps), server)


def with_provider_lists(documents: Sequence[Document]) -> list[Document]:
    """The documents, with one for each provider that resources name and nobody describes."""
    described = {document.name for document in documents if document.type == "ResourceProvider"}
    implied: dict[str, Document] = {}
    for document in documents:
        name = document.body.get("provider") if document.type == "Resource" else None
        if name is not None and name not in described and name not in implied:
            implied[name] = replace(document, kind=KIND_BY_NAME["ResourceProvider"], body={"name": name})
    return [*documents, *implied.values()]


def find_unknown(server: Server, documents: Sequence[Document]) -> Iterator[str]:
    """Names that documents use and that nothing has, on the server or in the files."""
    for document in documents:
        for named in document.kind.names(document.body):
            if (named.kind, named.name) == ("System", DEFAULT_SYSTEM) or server.knows(named.kind, named.name):
                continue
            near = server.near(named.kind, named.name)
            told = f"there is no {_spoken(named.kind)} named {named.name}{near}"
            yield document.fault(Fault(named.path, told, alone=True))


def _steps(server: Server, document: Document, whole_providers: frozenset[str]) -> list[Step]:
    """The step of one document, and of the resources that it lists."""
    kind = document.kind
    standing = server.standing(kind.name).get(document.name)
    if kind.name == "ResourceProvider":
        return _provider_steps(server, document, standing, whole_providers)
    body = unmasked(kind.settle(document.body), kind.settle(standing.body) if standing else None)
    if "systems" in kind.keys:
        body = _with_systems(body, standing)
    after = kind.whole(body, standing)
    if kind.name == "Resource":
        _refuse_others_resource(document, standing)
    if kind.name == "Freeze":
        note = freeze.over(after, standing)
        if note:
            return [Step("unchanged", kind.name, document.name, (), document, after, after, note)]
    return [_step(server, document, after, standing)]


def _step(server: Server, document: Document, after: Body, standing: Standing | None) -> Step:
    kind = document.kind
    before = kind.whole(standing.body) if standing else None
    if before is not None and is_same(before, after):
        return Step("unchanged", kind.name, document.name, (), document, before, after)
    identity = standing.id if standing else server.id_of(kind.name, document.name)
    writes = tuple(kind.write(server, after, standing, identity))
    return Step("changed" if standing else "created", kind.name, document.name, writes, document, before, after)


def _with_systems(body: Mapping[str, Any], standing: Standing | None) -> dict[str, Any]:
    """The body with all systems that it will be in: those it names, and those it is in. In none: the default one."""
    linked = system_names(standing.body) if standing else []
    names = [*system_names(body), *linked] or [DEFAULT_SYSTEM]
    rest = {key: value for key, value in body.items() if key not in {"system", "systems"}}
    return {**rest, **systems_body(names)}


def _default_system(server: Server, documents: Sequence[Document]) -> list[Step]:
    """The system `default`, where somebody needs it and it is not there."""
    if ("System", DEFAULT_SYSTEM) in server.described or server.find("System", DEFAULT_SYSTEM):
        return []
    for document in documents:
        if "systems" in document.kind.keys:
            standing = server.standing(document.type).get(document.name)
            if DEFAULT_SYSTEM in system_names(_with_systems(document.body, standing)):
                kind = KIND_BY_NAME["System"]
                body = {"name": DEFAULT_SYSTEM}
                writes = tuple(kind.write(server, body, None, server.id_of("System", DEFAULT_SYSTEM)))
                return [Step("created", "System", DEFAULT_SYSTEM, writes, document, None, body)]
    return []


def _refuse_others_resource(document: Document, standing: Standing | None) -> None:
    """A resource belongs to one provider: another cannot offer it as well."""
    wanted, has = document.body.get("provider"), standing.body.get("provider") if standing else None
    if wanted and has and wanted != has:
        said = f"{document.name} belongs to the provider {has}; take it from there first"
        raise Invalid(document.fault(Fault(("provider",), said, alone=True)))


def _provider_steps(
    server: Server, document: Document, standing: Standing | None, whole_providers: frozenset[str]
) -> list[Step]:
    """A provider with its list, and a step for each resource that stands in no document of its own."""
    kind = document.kind
    own = [each for each in server.described.values() if _offered_by(each) == document.name]
    offers = [] if standing is None else _offers(server, standing)
    body: dict[str, Any] = dict(document.body)
    if standing is not None and _implied(document):
        body["metadata"] = standing.body.get("metadata")
    listed = _list(document, own, offers, whole=document.name in whole_providers)
    if listed is not None:
        body["resources"] = listed
        if standing is not None:
            standing = replace(standing, body={**standing.body, "resources": offers})
    step = _step(server, document, kind.whole(body, standing), standing)
    lines = [] if listed is None else _listed_steps(document, own, before=offers, after=step.after or {})
    return [_without_list(step), *lines]


def _implied(document: Document) -> bool:
    """Whether nobody describes this provider: a resource names it."""
    return set(document.body) == {"name"} and document.written is not None and "identifier" in document.written


def _offered_by(document: Document) -> str | None:
    return document.body.get("provider") if document.type == "Resource" else None


def _offers(server: Server, standing: Standing) -> list[dict[str, Any]]:
    """What a provider offers now."""
    if "resources" in standing.body:
        return [dict(each) for each in standing.body["resources"]]
    return [content(each) for each in server.client.list_provider_resources(standing.name)]


def _list(
    document: Document, own: Sequence[Document], offers: Sequence[Body], *, whole: bool
) -> list[dict[str, Any]] | None:
    """The whole list that a provider will offer; None where nothing is said of it."""
    said = document.body.get("resources")
    if said is None and not own and not whole:
        return None
    wanted = {each["identifier"]: dict(each) for each in said or ()}
    wanted |= {each.name: content(each.body) for each in own}
    if said is not None or whole:
        return list(wanted.values())
    kept = {each["identifier"]: dict(each) for each in offers}
    return list({**kept, **wanted}.values())


def _listed_steps(document: Document, own: Sequence[Document], *, before: Sequence[Body], after: Body) -> list[Step]:
    """A step for each resource of a list: the requests are the provider's."""
    described = {each.name for each in own}
    short = KIND_BY_NAME["ResourceProvider"].whole
    old = {each["identifier"]: each for each in short({"resources": list(before)}).get("resources", ())}
    new = {each["identifier"]: each for each in after.get("resources") or ()}
    steps = []
    for identifier, body in new.items():
        stands = old.get(identifier)
        seen = (
            stands if stands is None or "variables" in body else {k: v for k, v in stands.items() if k != "variables"}
        )
        verdict = "created" if seen is None else "unchanged" if is_same(seen, body) else "changed"
        if identifier not in described:
            steps.append(Step(verdict, "Resource", identifier, (), document, seen, body))
    steps += [
        Step("removed", "Resource", identifier, (), document, body, None)
        for identifier, body in old.items()
        if identifier not in new
    ]
    return steps


def _without_list(step: Step) -> Step:
    """The provider's own step, its resources left out: each has one of its own."""
    before, after = (
        None if body is None else {key: value for key, value in body.items() if key != "resources"}
        for body in (step.before, step.after)
    )
    return replace(step, before=before, after=after)


def _spoken(kind: str) -> str:
    """`JobAgent` as people say it: job agent."""
    return "".join(f" {each.lower()}" if each.isupper() else each for each in kind).strip()
