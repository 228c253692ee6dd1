"""What can be wrong with a document that has the right shape? Selectors, rules, variables, before it is sent.

The server judges the same and more; here it is told with the line, all at once, and without a server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from interlock.decide.rule_schema import rule_schema
from interlock.decide.rules import parse_rules
from interlock.documents.kinds.variables import check_declared, check_offered
from interlock.documents.reading import Document, find_documents
from interlock.documents.shapes import Fault, Path, meant, parse_path
from interlock.inventory.scope import Scope
from interlock.inventory.selector import parse_selector
from interlock.judge.slo import SPEC, parse_slo
from interlock.model.errors import Invalid


def check_meaning(documents: Iterable[Document]) -> None:
    """Refuse selectors, rules and variables that the server would refuse.

    Fails: `Invalid` with a line for each fault.
    """
    faults = [document.fault(fault) for document in documents for fault in find_faults(document)]
    if faults:
        raise Invalid("\n".join(faults))


def read_checked(sources: Sequence[str]) -> list[Document]:
    """The documents that the sources mean, read and judged: a fault of shape in one hides none of sense in another.

    Fails: `Invalid` with a line for each fault.
    """
    documents, faults = find_documents(sources)
    faults += [document.fault(fault) for document in documents for fault in find_faults(document)]
    if faults:
        raise Invalid("\n".join(faults))
    return documents


def find_faults(document: Document) -> Iterator[Fault]:
    """What is wrong with one document."""
    scopes: Mapping[tuple[str, str], Scope] = {
        ("Environment", "resourceSelector"): Scope.RESOURCE,
        ("Deployment", "resourceSelector"): Scope.RESOURCE,
        ("Deployment", "jobAgentSelector"): Scope.JOB_AGENT,
        ("Policy", "selector"): Scope.POLICY,
        ("Freeze", "selector"): Scope.POLICY,
        ("Slo", "selector"): Scope.DEPLOYMENT,
        ("VariableSet", "selector"): Scope.VARIABLE_SET,
        ("RelationshipRule", "cel"): Scope.RELATIONSHIP,
    }
    for (kind, key), scope in scopes.items():
        if document.type == kind:
            yield from _cel(document.body.get(key), scope, (key,))
    match document.type:
        case "Policy":
            try:
                parse_rules(document.value("rules"))
            except Invalid as error:
                yield from _told(error)
        case "Deployment":
            yield from check_declared(document.value("variables") or [])
            for number, each in enumerate(document.value("jobAgents") or ()):
                yield from _cel(each.get("selector"), Scope.JOB_AGENT, ("jobAgents", number, "selector"))
        case "VariableSet" | "Resource":
            yield from check_offered(document.value("variables") or {})
        case "Slo":
            try:
                parse_slo({key: document.body[key] for key in SPEC if document.body.get(key) is not None})
            except Invalid as error:
                yield from _told(error)
        case "Freeze":
            scope_said = document.value("scope")
            if scope_said["kind"] != "workspace" and not scope_said.get("name"):
                yield Fault(("scope",), "needs a name")


def _cel(text: Any, scope: Scope, path: tuple[str | int, ...]) -> Iterator[Fault]:
    if str(text or "").strip():
        try:
            parse_selector(text, scope)
        except Invalid as error:
            yield Fault(path, f"is no valid CEL: {error.message.rstrip('.')}")


def _near(path: Path) -> str:
    """The word of a rule that was probably meant."""
    kinds = rule_schema()["properties"]
    match path:
        case (_, int(), str() as kind):
            return meant(kind, [name for name in kinds if kinds[name]])
        case (_, int(), str() as kind, str() as field) if kind in kinds:
            return meant(field, list(kinds[kind]["properties"]))
        case (_, int(), "verification", "metrics", int(), str() as field):
            return meant(field, list(kinds["verification"]["properties"]["metrics"]["items"]["properties"]))
        case _:
            return ""


def _told(error: Invalid) -> Iterator[Fault]:
    """A refusal's fields, each at its path; else its sentence."""
    for each in error.fields:
        path = parse_path(each.path)
        near = _near(path) if each.message.startswith("is not ") else ""
        yield Fault(path, f"{each.path} {each.message.rstrip('.')}{near}", alone=True)
    if not error.fields:
        yield Fault((), error.message.rstrip("."))
