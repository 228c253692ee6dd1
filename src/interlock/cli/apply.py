"""`interlock apply`: create or change what YAML files describe.

    interlock apply -f examples/quickstart/
    interlock apply -f 'fleet/**/*.yaml' -f -

Everything is read, checked and compared with the server before the first write. What is written stands in the order of
`documents.TYPES`, whatever the order in the files: names resolve to ids, and a policy stands before what it governs. An
object is known by its name (a resource by its identifier); a second run says `unchanged` everywhere and writes nothing.
Nothing is deleted, except resources that a provider's list no longer names, and variables that a deployment's list no
longer names.

A deployment or environment that names no system and is in none joins the system `default`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from interlock.cli.connection import connected
from interlock.cli.documents import RESOURCE_KEYS, TYPES, Document, read_documents
from interlock.cli.variables import check_declared, check_offered, declared_body, is_declared, offered_body
from interlock.client import Client, Seen, Wire
from interlock.model.errors import Invalid, Refused
from interlock.model.ids import derived_id, new_id

DEFAULT_SYSTEM = "default"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done about one object: the line that is printed, the writes behind it, where it was asked for."""

    verdict: str
    type: str
    name: str
    writes: tuple[Callable[[], object], ...] = ()
    at: str = ""


@dataclass(slots=True)
class Known:
    """What the server has, by name, and the ids that this run gives to what it creates."""

    client: Client
    documents: Sequence[Document]
    systems: dict[str, Seen] = field(default_factory=dict)
    environments: dict[str, Seen] = field(default_factory=dict)
    deployments: dict[str, Seen] = field(default_factory=dict)
    agents: dict[str, Seen] = field(default_factory=dict)
    policies: dict[str, Seen] = field(default_factory=dict)
    relationship_rules: dict[str, Seen] = field(default_factory=dict)
    variable_sets: dict[str, Seen] = field(default_factory=dict)
    ids: dict[tuple[str, str], str] = field(default_factory=dict)

    def described(self, kind: str) -> list[Document]:
        """The documents of one type, in the order they were read."""
        return [document for document in self.documents if document.type == kind]

    def id_of(self, kind: str, name: str) -> str:
        """The id of an object that stands or will stand."""
        rows = {"System": self.systems, "JobAgent": self.agents, "Policy": self.policies}
        rows |= {"Environment": self.environments, "Deployment": self.deployments}
        rows |= {"RelationshipRule": self.relationship_rules, "VariableSet": self.variable_sets}
        if name in rows[kind]:
            return str(rows[kind][name]["id"])
        return self.ids.setdefault((kind, name), new_id())


@click.command()
@click.option("-f", "--file", "sources", multiple=True, required=True, help="File, folder, glob or - ; may repeat.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Go on although a policy that would no longer count holds something.")
@connected
def apply(client: Client, sources: tuple[str, ...], *, dry_run: bool, yes: bool) -> None:
    r"""Create or change what YAML files describe.

    Everything is checked before anything is written. A second time changes nothing; what a file no longer names stays,
    but for the resources in a provider's list and the variables in a deployment's.

    \b
    interlock apply -f examples/quickstart/
    interlock apply -f fleet.yaml --dry-run
    """
    documents = read_documents(sources)
    check_meaning(documents)
    steps = plan_steps(client, documents)
    if not dry_run and not _may_let_go(client, documents, yes=yes):
        return
    for step in steps:
        if not dry_run:
            _run(step)
        click.echo(f"{step.verdict:<9}  {step.type:<16}  {step.name}")


def _may_let_go(client: Client, documents: Sequence[Document], *, yes: bool) -> bool:
    """Whether policies that would no longer count may let go what they hold: shown, and asked about."""
    policies = [document for document in documents if document.type == "Policy"]
    ending = [document for document in policies if document.value("enabled") is False]
    if not ending:
        return True
    from interlock.cli.what_if import confirmed

    enforced = {each["name"] for each in client.list_policies() if each.get("enabled", True)}
    names = [document.name for document in ending if document.name in enforced]
    if not names:
        return True
    changes: list[Wire] = [{"policyId": one, "policy": body} for one, body in policy_bodies(client, policies)]
    return confirmed(client, changes, f"Policy {', '.join(names)}", yes=yes)


def policy_bodies(client: Client, documents: Sequence[Document]) -> list[tuple[str, Wire]]:
    """(policy id, body) of each policy as `apply` would write it; one that is known keeps the ids of its rules."""
    known = _load(client, documents)
    return [(known.id_of("Policy", one.name), _policy_body(known, one)) for one in known.described("Policy")]


def _run(step: Step) -> None:
    """Make a step's writes; a refusal says which lines of which file it is about."""
    for write in step.writes:
        try:
            write()
        except Refused as error:
            fields = getattr(error, "fields", ())
            said = "; ".join(f"{each.path}: {each.message}" for each in fields) or error.message
            raise Invalid(f"{step.at}: {step.type} {step.name} was refused: {said}") from error


def check_meaning(documents: Iterable[Document]) -> None:
    """Refuse selectors and rules that the server would refuse, before anything is written.

    Why: files are written whole or not at all, as far as that can be known beforehand.
    """
    from interlock.decide.rules import parse_rules
    from interlock.inventory.scope import Scope
    from interlock.inventory.selector import parse_selector

    scopes = {
        ("Environment", "resourceSelector"): Scope.RESOURCE,
        ("Deployment", "resourceSelector"): Scope.RESOURCE,
        ("Deployment", "jobAgentSelector"): Scope.JOB_AGENT,
        ("Policy", "selector"): Scope.POLICY,
        ("VariableSet", "selector"): Scope.VARIABLE_SET,
        ("RelationshipRule", "cel"): Scope.RELATIONSHIP,
    }
    faults: list[str] = []
    for document in documents:
        for (kind, key), scope in scopes.items():
            if document.type == kind and str(document.body.get(key) or "").strip():
                try:
                    parse_selector(document.body[key], scope)
                except Invalid as error:
                    faults.append(f"{document.at(key)}: {key} is no valid CEL: {error.message}")
        if document.type == "Policy":
            try:
                parse_rules(document.value("rules"))
            except Invalid as error:
                said = [f"{each.path} {each.message}" for each in error.fields] or [error.message]
                faults += [f"{document.at('rules')}: {each}" for each in said]
        if document.type == "Deployment":
            faults += [
                f"{document.at('variables')}: {each}." for each in check_declared(document.value("variables") or [])
            ]
        if document.type == "VariableSet":
            faults += [f"{document.at('variables')}: {each}" for each in check_offered(document.value("variables"))]
    if faults:
        raise Invalid("\n".join(faults))


def plan_steps(client: Client, documents: Sequence[Document]) -> list[Step]:
    """Compare documents with the server.

    Gives: one step for each document, and one for each resource of a provider, in the order of writing.
    Fails: `Invalid` when a name resolves to nothing or to two objects. Nothing has been written then.
    """
    known = _load(client, documents)
    faults: list[str] = []
    steps: list[Step] = []
    for plan in (
        _systems,
        _agents,
        _policies,
        _relationship_rules,
        _variable_sets,
        _resources,
        _environments,
        _deployments,
    ):
        steps += plan(known, faults)
    if faults:
        raise Invalid("\n".join(faults))
    return steps


def _load(client: Client, documents: Sequence[Document]) -> Known:
    """Read what the documents could be about, each kind once."""
    types = {document.type for document in documents}
    known = Known(client, documents)
    if types & {"System", "Environment", "Deployment"}:
        known.systems = _by_name(client.list_systems(), "system", {d.name for d in known.described("System")})
    if types & {"JobAgent", "Deployment"}:
        known.agents = _by_name(client.list_job_agents(), "job agent", set())
    if "Policy" in types:
        known.policies = _by_name(client.list_policies(), "policy", {d.name for d in known.described("Policy")})
    if "RelationshipRule" in types:
        wanted = {d.name for d in known.described("RelationshipRule")}
        known.relationship_rules = _by_name(client.list_relationship_rules(), "relationship rule", wanted)
    if "VariableSet" in types:
        wanted = {d.name for d in known.described("VariableSet")}
        known.variable_sets = _by_name(client.list_variable_sets(), "variable set", wanted)
    for document in known.described("Environment"):
        environment = client.find_environment(document.name)
        if environment is not None:
            known.environments[document.name] = environment
    for document in known.described("Deployment"):
        found = client.find_deployment(document.name)
        if found is not None:
            more = {"systems": found["systems"], "variables": found.get("variables", [])}
            known.deployments[document.name] = {**found["deployment"], **more}
    return known


def _by_name(rows: Iterable[Seen], what: str, wanted: set[str]) -> dict[str, Seen]:
    """Rows by name. Names of systems and policies need not be unique on the server: a name wanted here must be."""
    named: dict[str, Seen] = {}
    for row in rows:
        if row["name"] in named and row["name"] in wanted:
            raise Invalid(f"There is more than one {what} named {row['name']}; rename one before applying.")
        named.setdefault(row["name"], row)
    return named


def _systems(known: Known, _: list[str]) -> list[Step]:
    """Systems that are described, and the default one if somebody needs it and it is not there."""
    steps = []
    for document in known.described("System"):
        body = _body(document, "name", "description", "metadata")
        steps.append(
            _put(known, document, body, current=known.systems.get(document.name), write=known.client.put_system)
        )
    missing = DEFAULT_SYSTEM not in known.systems and not any(step.name == DEFAULT_SYSTEM for step in steps)
    in_need = [
        document
        for document in (*known.described("Environment"), *known.described("Deployment"))
        if DEFAULT_SYSTEM in _system_names(known, document)
    ]
    if missing and in_need and "system" not in in_need[0].body and "systems" not in in_need[0].body:
        system_id = known.id_of("System", DEFAULT_SYSTEM)
        write = _later(known.client.put_system, system_id, {"name": DEFAULT_SYSTEM, "metadata": {}})
        steps.append(Step("created", "System", DEFAULT_SYSTEM, (write,), in_need[0].at()))
    return steps


def _agents(known: Known, _: list[str]) -> list[Step]:
    """Job agents."""
    steps = []
    for document in known.described("JobAgent"):
        body = {**_body(document, "name", "config", "metadata"), "type": document.value("agentType")}
        current = known.agents.get(document.name)
        steps.append(_put(known, document, body, current=current, write=known.client.put_job_agent))
    return steps


def _policies(known: Known, _: list[str]) -> list[Step]:
    """Policies. A rule keeps the id of the rule of its kind that stood at its place, and what is remembered by it."""
    steps = []
    for document in known.described("Policy"):
        current = known.policies.get(document.name)
        policy_id = known.id_of("Policy", document.name)
        body = _policy_body(known, document)
        seen = {**current, "rules": [_bare(rule) for rule in current["rules"]]} if current else None
        meant = {**body, "rules": [_bare(rule) for rule in body["rules"]]}
        write = _later(known.client.put_policy, policy_id, body)
        steps.append(_step(document, _verdict(meant, seen), write))
    return steps


def _policy_body(known: Known, document: Document) -> Wire:
    """What would be written of a policy."""
    current = known.policies.get(document.name)
    policy_id = known.id_of("Policy", document.name)
    body = _body(document, "name", "description", "selector", "priority", "enabled", "metadata")
    body["rules"] = _with_ids(document.value("rules"), current["rules"] if current else [], policy_id=policy_id)
    return body


def _bare(rule: Wire) -> Wire:
    """A rule without what the server or a client adds to it."""
    added = {"id", "createdAt", "policyId"}
    return {key: value for key, value in rule.items() if key not in added and value is not None}


def _with_ids(rules: Sequence[Wire], standing: Sequence[Wire], *, policy_id: str) -> list[Wire]:
    """Give each rule without an id the id of the standing rule of its kind at the same place, else one of its own."""
    ids_by_kind: dict[str, list[Wire]] = {}
    for rule in standing:
        ids_by_kind.setdefault(_kind(rule), []).append(rule)
    given: list[Wire] = []
    counts: dict[str, int] = {}
    for rule in rules:
        kind = _kind(rule)
        place = counts[kind] = counts.get(kind, -1) + 1
        old = ids_by_kind.get(kind, [])[place : place + 1]
        kept: Wire = {key: old[0][key] for key in ("id", "createdAt") if key in old[0]} if old else {}
        given.append({"id": derived_id(policy_id, kind, str(place)), **kept, **rule})
    return given


def _kind(rule: Wire) -> str:
    return ",".join(sorted(_bare(rule)))


def _relationship_rules(known: Known, _: list[str]) -> list[Step]:
    """Relationship rules."""
    steps = []
    for document in known.described("RelationshipRule"):
        body = _body(document, "name", "description", "reference", "cel", "metadata")
        current = known.relationship_rules.get(document.name)
        steps.append(_put(known, document, body, current=current, write=known.client.put_relationship_rule))
    return steps


def _variable_sets(known: Known, _: list[str]) -> list[Step]:
    """Variable sets. One that is not there yet gets its id from the server."""
    steps = []
    for document in known.described("VariableSet"):
        body = _body(document, "name", "description", "selector", "priority")
        body["variables"] = offered_body(document.value("variables"))
        current = known.variable_sets.get(document.name)
        if current is None:
            write = _later(known.client.create_variable_set, body)
        else:
            write = _later(known.client.put_variable_set, current["id"], body)
        steps.append(_step(document, _verdict(body, current), write))
    return steps


def _environments(known: Known, faults: list[str]) -> list[Step]:
    """Environments and their links."""
    steps = []
    for document in known.described("Environment"):
        body = _body(document, "name", "description", "resourceSelector", "metadata")
        current = known.environments.get(document.name)
        steps.append(
            _put(
                known,
                document,
                body,
                current=current,
                write=known.client.put_environment,
                more=_links(known, document, faults, link=known.client.link_environment),
            )
        )
    return steps


def _deployments(known: Known, faults: list[str]) -> list[Step]:
    """Deployments and their links. `jobAgent` names an agent; on the wire it is a selector over the agent's id."""
    described = {document.name for document in known.described("JobAgent")}
    steps = []
    for document in known.described("Deployment"):
        body = _body(
            document, "name", "description", "metadata", "resourceSelector", "jobAgentSelector", "jobAgentConfig"
        )
        body["slug"] = document.name
        agent = document.body.get("jobAgent")
        if agent is not None and agent not in known.agents and agent not in described:
            faults.append(f"{document.at('jobAgent')}: there is no job agent named {agent}.")
        elif agent is not None:
            body["jobAgentSelector"] = f'jobAgent.id == "{known.id_of("JobAgent", agent)}"'
        more = (*_links(known, document, faults, link=known.client.link_deployment), *_declared(known, document))
        current = known.deployments.get(document.name)
        steps.append(_put(known, document, body, current=current, write=known.client.put_deployment, more=more))
    return steps


def _declared(known: Known, document: Document) -> tuple[Callable[[], object], ...]:
    """The write of a deployment's variables, where it lists any and they differ: all at once, as one change."""
    if "variables" not in document.body:
        return ()
    wanted = declared_body(document.body["variables"])
    standing = known.deployments.get(document.name, {}).get("variables") or []
    if is_declared(wanted, standing):
        return ()
    deployment_id = known.id_of("Deployment", document.name)
    return (_later(known.client.put_deployment_variables, deployment_id, {"variables": wanted}),)


def _system_names(known: Known, document: Document) -> list[str]:
    """The systems that an object must be in: those it names, else the default one if it is in none."""
    if "system" in document.body:
        return [document.body["system"]]
    if "systems" in document.body:
        return list(document.body["systems"])
    rows = known.environments if document.type == "Environment" else known.deployments
    return [] if rows.get(document.name, {}).get("systems") else [DEFAULT_SYSTEM]


def _links(
    known: Known, document: Document, faults: list[str], *, link: Callable[[str, str], object]
) -> tuple[Callable[[], object], ...]:
    """The links that are missing. Links made elsewhere stay."""
    rows = known.environments if document.type == "Environment" else known.deployments
    linked = {system["id"] for system in rows.get(document.name, {}).get("systems") or ()}
    described = {each.name for each in known.described("System")}
    writes = []
    for name in _system_names(known, document):
        if name not in known.systems and name not in described and ("System", name) not in known.ids:
            key = "system" if "system" in document.body else "systems"
            faults.append(f"{document.at(key)}: there is no system named {name}.")
            continue
        system_id = known.id_of("System", name)
        if system_id not in linked:
            writes.append(_later(link, system_id, known.id_of(document.type, document.name)))
    return tuple(writes)


def _resources(known: Known, _: list[str]) -> list[Step]:
    """Resources of their own, and those of providers, which are set as one list."""
    steps = []
    providers = {document.name: document for document in known.described("ResourceProvider")}
    sets: dict[str, list[Wire]] = {
        name: [_filled(each) for each in document.body["resources"]]
        for name, document in providers.items()
        if "resources" in document.body
    }
    firsts: dict[str, Document] = dict(providers)
    for document in known.described("Resource"):
        if "provider" in document.body:
            name = document.body["provider"]
            firsts.setdefault(name, document)
            sets.setdefault(name, []).append({"identifier": document.name, **_body(document, *_RESOURCE_BODY)})
    for name, document in firsts.items():
        steps += _provider(known, name, document=document, described=name in providers, resources=sets.get(name))
    for document in known.described("Resource"):
        body = _body(document, *_RESOURCE_BODY)
        current = known.client.find_resource(document.name)
        writes: list[Callable[[], object]] = []
        verdict = _verdict(body, current)
        provided = "provider" in document.body
        if "variables" in document.body:
            body["variables"] = document.body["variables"]
            standing = known.client.list_resource_variables(document.name) if current else ()
            if {each["key"]: _unwrapped(each["value"]) for each in standing} != body["variables"]:
                verdict = "created" if current is None else "changed"
                if provided:
                    writes.append(_later(known.client.patch_resource_variables, document.name, body["variables"]))
        if not provided:
            writes.append(_later(known.client.put_resource, document.name, body))
        steps.append(_step(document, verdict, *writes))
    return steps


_RESOURCE_BODY = tuple(key for key in RESOURCE_KEYS if key != "identifier")


def _filled(resource: Wire) -> Wire:
    """A resource of a provider's list with the defaults it did not write."""
    return {key: resource.get(key) or RESOURCE_KEYS[key].default for key in RESOURCE_KEYS}


def _unwrapped(value: Any) -> Any:
    """A variable's value as it was written: the wire keeps an object as `{"object": …}` (contract.md section e)."""
    return value["object"] if isinstance(value, dict) and set(value) == {"object"} else value


def _provider(
    known: Known, name: str, *, document: Document, described: bool, resources: list[Wire] | None
) -> list[Step]:
    """A provider and its list. The list replaces what the provider offered before."""
    client = known.client
    current = client.find_resource_provider(name)
    provider_id = current["id"] if current else known.ids.setdefault(("ResourceProvider", name), new_id())
    metadata = document.value("metadata") if described else current["metadata"] if current else {}
    body = {"id": provider_id, "name": name, "metadata": metadata}
    verdict = _verdict({"name": name, "metadata": metadata}, current)
    writes = [] if verdict == "unchanged" else [_later(client.put_resource_provider, body)]
    lines: list[Step] = []
    if resources is not None:
        standing = client.list_provider_resources(name) if current else []
        by_identifier = {each["identifier"]: each for each in standing}
        verdicts = [(_verdict(each, by_identifier.get(each["identifier"])), each["identifier"]) for each in resources]
        wanted = {each["identifier"] for each in resources}
        verdicts += [("removed", identifier) for identifier in by_identifier if identifier not in wanted]
        in_order = [each["identifier"] for each in standing] == [each["identifier"] for each in resources]
        if not in_order or any(each != "unchanged" for each, _ in verdicts):
            writes.append(_later(client.set_resources, provider_id, resources))
            verdict = "changed" if verdict == "unchanged" else verdict
        own = {each.name for each in known.described("Resource") if each.body.get("provider") == name}
        lines = [Step(each, "Resource", identifier) for each, identifier in verdicts if identifier not in own]
    return [Step(verdict, "ResourceProvider", name, tuple(writes), document.at()), *lines]


def _body(document: Document, *keys: str) -> Wire:
    """The wire's body: what was written, else the default; a description only where one was given."""
    values = {key: document.value(key) for key in keys}
    return {key: value for key, value in values.items() if value is not None}


def _put(
    known: Known,
    document: Document,
    body: Wire,
    *,
    current: Seen | None,
    write: Callable[[str, Wire], object],
    more: tuple[Callable[[], object], ...] = (),
) -> Step:
    """Create or replace by id where something differs, then write what belongs to it."""
    verdict = _verdict(body, current)
    put = _later(write, known.id_of(document.type, document.name), body)
    if verdict == "unchanged" and more:
        return Step("changed", document.type, document.name, more, document.at())
    return _step(document, verdict, put, *more)


def _step(document: Document, verdict: str, *writes: Callable[[], object]) -> Step:
    return Step(verdict, document.type, document.name, () if verdict == "unchanged" else writes, document.at())


_ABSENT: Mapping[str, object] = {
    key: wanted.default for keys in TYPES.values() for key, wanted in keys.items() if not wanted.required
}
"""What a key that the server left out of its answer stands for."""


def _verdict(meant: Wire, current: Seen | None) -> str:
    """created, changed or unchanged: only the keys that would be written are compared."""
    if current is None:
        return "created"
    same = all(_seen(current, key) == value for key, value in meant.items())
    gone = "description" not in meant and bool(current.get("description"))
    return "unchanged" if same and not gone else "changed"


def _seen(current: Seen, key: str) -> object:
    value = current.get(key)
    return _ABSENT.get(key) if value is None else value


def _later(write: Callable[..., object], *args: object) -> Callable[[], object]:
    """A write to be made after everything was checked."""
    return lambda: write(*args)
