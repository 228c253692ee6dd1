"""Which nouns can be listed, described, deleted and completed? One entry each: how it is read, named and shown.

`get`, `describe`, `delete` and completion read this table, so that a noun is the same everywhere: the same singular and
plural, the same name, the same columns.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from interlock.cli.tables import about
from interlock.client import Client, Seen
from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.job import TERMINAL, age
from interlock.model.version_facts import LINKS

BEGINNING_MIN = 4
"""Letters of an id that name something; fewer are taken for a name alone."""

JOBS_SHOWN = 200
"""Jobs that are read where no limit is given: there is no end of them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list is narrowed to."""

    cel: str | None = None
    deployment: str | None = None
    environment: str | None = None
    resource: str | None = None
    status: Sequence[str] = ()
    system: str | None = None
    agent: str | None = None
    agent_type: Sequence[str] = ()
    tag: str | None = None
    job_kind: str | None = None
    since: str | None = None
    text: str | None = None
    over: bool = False
    items_max: int | None = None


def _named(each: Seen) -> str:
    return str(each["name"])


def _id(each: Seen) -> str:
    return str(each["id"])


@dataclass(frozen=True, slots=True)
class Noun:
    """One noun. `takes` are the fields of `Wanted` that narrow its list; `row` is a line of the table."""

    kind: str
    plural: str
    line: str
    heads: tuple[str, ...]
    row: Callable[[Seen], tuple[object, ...]]
    read: Callable[[Client, Wanted], Iterable[Seen]]
    name: Callable[[Seen], str] = _named
    takes: frozenset[str] = field(default_factory=frozenset)
    items_max: int | None = None
    also: tuple[str, ...] = ()
    delete: Callable[[Client, Seen], Any] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """Every word that means it."""
        return self.kind, self.plural, *self.also


def tag_of(version: Any) -> str | None:
    """The tag of a version, or of a release's."""
    if not isinstance(version, dict):
        return None
    inner = version.get("version")
    return str((inner if isinstance(inner, dict) else version).get("tag") or "")


def pairs(metadata: Seen | None) -> str:
    """Metadata on one line. A version's links, which are JSON, are left to `describe`."""
    return " ".join(f"{key}={value}" for key, value in sorted((metadata or {}).items()) if key != LINKS)


def frozen(target: Seen) -> str | None:
    """What is said of a target that nothing holds, where a freeze would."""
    for freeze in target.get("frozen") or ():
        until = f"until {freeze['until']}" if freeze.get("until") else "until thawed"
        return f"frozen ({freeze['scope']}) by {freeze['by']} {until}: {freeze['reason']}"
    return None


def _name_in(item: Seen, key: str) -> str | None:
    found = item.get(key)
    return str(found.get("name") or found.get("id")) if isinstance(found, dict) else None


def _slo_row(each: Seen) -> tuple[object, ...]:
    status = each["status"]
    left = f"{status['remaining'] * 100:.1f} %" if "remaining" in status else None
    burn = f"{status['burn']['1h']:.3g}" if "1h" in status["burn"] else None
    covers = ", ".join(one["name"] for one in each["covers"])
    target = f"{each['target']:g} % of {each['windowDays']} d"
    return each["name"], target, status["budget"], left, burn, status["since"], covers


def _systems(each: Seen) -> str:
    return ", ".join(system["name"] for system in each.get("systems") or ())


def _holder(holder: Seen) -> str:
    """Which move holds a slot, as in `api/production/one 1.2.0`."""
    place = f"{holder['deployment']['name']}/{holder['environment']}/{holder['resource']}"
    return f"{place} {holder['version']}" + (f" ({holder['kind']})" if holder["kind"] != "forward" else "")


def _deployments(client: Client, wanted: Wanted) -> Iterator[Seen]:
    for each in client.list_deployments(cel=wanted.cel, items_max=wanted.items_max):
        yield {**each["deployment"], "systems": each["systems"]}


def _agent_health(health: Seen) -> tuple[str, str]:
    """Whether an agent answers, and how many jobs wait for it."""
    since = f"down since {health['since']}" if health.get("state") == "down" and health.get("since") else ""
    return since or str(health.get("state") or ""), str(health.get("waiting") or "")


def _agent_words(each: Seen) -> str:
    said = each.get("jobAgentSelector") or ""
    named = ", ".join(str(one.get("selector") or one.get("ref") or "") for one in each.get("jobAgents") or ())
    return " ".join(str(said or named).split())


def _versions(client: Client, wanted: Wanted) -> Iterator[Seen]:
    if not wanted.deployment:
        raise Invalid("Versions of which deployment? Give --deployment NAME.")
    for each in client.list_versions(id_of_deployment(client, wanted.deployment), items_max=wanted.items_max):
        yield {**each, "deployment": wanted.deployment}


def _narrowed(client: Client, wanted: Wanted) -> dict[str, str | None]:
    """Ids for names."""
    ids: dict[str, str | None] = {"deployment_id": None, "environment_id": None, "resource_id": None}
    if wanted.deployment:
        ids["deployment_id"] = id_of_deployment(client, wanted.deployment)
    if wanted.environment:
        ids["environment_id"] = environment_id(client, wanted.environment)
    if wanted.resource:
        found = client.find_resource(wanted.resource)
        if found is None:
            raise NotFound(missing(client, "resource", wanted.resource))
        ids["resource_id"] = found["id"]
    return ids


JOB_TAKES = frozenset(
    {
        *("deployment", "environment", "resource", "status", "system"),
        *("agent", "agent_type", "tag", "job_kind", "since", "text"),
    }
)
"""What narrows a list of jobs."""


def _jobs(client: Client, wanted: Wanted) -> Iterable[Seen]:
    return client.list_jobs(
        **_narrowed(client, wanted),
        system_id=found_one(client, noun_of("system"), wanted.system)["id"] if wanted.system else None,
        agent_id=found_one(client, noun_of("agent"), wanted.agent)["id"] if wanted.agent else None,
        status=wanted.status,
        agent_types=wanted.agent_type,
        version=wanted.tag,
        kind=wanted.job_kind,
        since=_since(wanted.since) if wanted.since else None,
        text=wanted.text,
        items_max=wanted.items_max,
    )


def _since(text: str) -> str:
    """An instant: as it was given, or so long ago.

    Fails: `BadParameter` for a text that is neither.
    """
    from datetime import UTC, datetime

    from interlock.cli.places import parse_duration

    if text[:1].isdigit() and text[-1:] in "smhd":
        return (datetime.now(UTC) - parse_duration(text, option="--since")).isoformat()
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"--since is a duration like 2h, or an instant like 2026-03-09T12:00Z; not {text}.") from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()


OVER = frozenset(each.value for each in TERMINAL)


def _age(each: Seen) -> str | None:
    """How long ago a job that is not over was last heard of; `never` where it was not yet."""
    from datetime import UTC, datetime

    if each["status"] in OVER:
        return None
    if "observedAt" not in each:
        return "never"
    return age((datetime.now(UTC) - datetime.fromisoformat(each["observedAt"])).total_seconds())


def _key_end(each: Seen) -> str:
    return f"revoked {each['revokedAt']}" if "revokedAt" in each else str(each.get("expiresAt", "never"))


_TARGET = ("deployment", "environment", "resource")

NOUNS: tuple[Noun, ...] = (
    Noun(
        kind="workspace",
        plural="workspaces",
        line="List the workspaces that the key may see.",
        heads=("slug", "name", "id", "created"),
        row=lambda each: (each["slug"], each["name"], each["id"], each["createdAt"]),
        read=lambda client, _: client.list_workspaces(),
        name=lambda each: str(each["slug"]),
    ),
    Noun(
        kind="system",
        plural="systems",
        line="List systems.",
        heads=("name", "description", "metadata"),
        row=lambda each: (each["name"], each.get("description"), pairs(each["metadata"])),
        read=lambda client, wanted: client.list_systems(items_max=wanted.items_max),
        delete=lambda client, each: client.delete_system(each["id"]),
    ),
    Noun(
        kind="environment",
        plural="environments",
        also=("env", "envs"),
        line="List environments.",
        heads=("name", "systems", "selects", "description"),
        row=lambda each: (each["name"], _systems(each), each.get("resourceSelector"), each.get("description")),
        read=lambda client, wanted: client.list_environments(items_max=wanted.items_max),
        delete=lambda client, each: client.delete_environment(each["id"]),
    ),
    Noun(
        kind="deployment",
        plural="deployments",
        line="List deployments.",
        heads=("name", "systems", "selects", "agents", "description"),
        row=lambda each: (
            *(each["name"], _systems(each), each.get("resourceSelector")),
            *(_agent_words(each), each.get("description")),
        ),
        read=_deployments,
        takes=frozenset({"cel"}),
        delete=lambda client, each: client.delete_deployment(each["id"]),
    ),
    Noun(
        kind="version",
        plural="versions",
        line="List a deployment's versions, newest first.",
        heads=("tag", "status", "created", "name", "metadata"),
        row=lambda each: (each["tag"], each["status"], each["createdAt"], each["name"], pairs(each.get("metadata"))),
        read=_versions,
        name=lambda each: f"{each['deployment']}/{each['tag']}",
        takes=frozenset({"deployment"}),
    ),
    Noun(
        kind="resource",
        plural="resources",
        line="List resources.",
        heads=("name", "kind", "version", "identifier", "metadata"),
        row=lambda each: (each["name"], each["kind"], each["version"], each["identifier"], pairs(each["metadata"])),
        read=lambda client, wanted: client.list_resources(cel=wanted.cel, items_max=wanted.items_max),
        name=lambda each: str(each["identifier"]),
        takes=frozenset({"cel"}),
        delete=lambda client, each: client.delete_resource(each["identifier"]),
    ),
    Noun(
        kind="agent",
        plural="agents",
        also=("job-agent", "job-agents"),
        line="List job agents.",
        heads=("name", "type", "health", "waiting", "metadata", "id"),
        row=lambda each: (
            *(each["name"], each["type"], *_agent_health(each.get("health") or {})),
            *(pairs(each["metadata"]), each["id"]),
        ),
        read=lambda client, wanted: client.list_job_agents(items_max=wanted.items_max),
        delete=lambda client, each: client.delete_job_agent(each["id"]),
    ),
    Noun(
        kind="agent-type",
        plural="agent-types",
        line="List the types of job agents that the server knows; -o json shows the schema of each one's config.",
        heads=("type", "class", "capabilities", "needs on the agent", "needs on a job"),
        row=lambda each: (
            *(each["type"], each["class"], ", ".join(each["capabilities"])),
            *(", ".join(each["configSchema"]["required"]), ", ".join(each["neededByJobs"])),
        ),
        read=lambda client, _: client.list_job_agent_types(),
        name=lambda each: str(each["type"]),
    ),
    Noun(
        kind="target",
        plural="targets",
        also=("release-target", "release-targets"),
        line="List release targets: what runs on each, and what each goes for.",
        heads=("deployment", "environment", "resource", "state", "runs", "goes for", "outcome", "why"),
        row=lambda each: (
            *(_name_in(each, part) for part in _TARGET),
            *(each.get("state"), tag_of(each.get("current")), tag_of(each.get("desired"))),
            *(each.get("outcome"), each.get("reason") or frozen(each)),
        ),
        read=lambda client, wanted: client.list_targets(**_narrowed(client, wanted), items_max=wanted.items_max),
        name=about,
        takes=frozenset({"deployment", "environment", "resource"}),
    ),
    Noun(
        kind="job",
        plural="jobs",
        line="List jobs, newest first.",
        heads=("job", "status", "measured", "age", *_TARGET, "version", "agent", "created", "link", "message"),
        row=lambda each: (
            *(
                each["id"][:8],
                each["status"],
                each.get("verification"),
                _age(each),
                *(_name_in(each, part) for part in _TARGET),
            ),
            *(tag_of(each.get("release")), _name_in(each, "jobAgent"), each.get("createdAt")),
            *(next(iter((each.get("links") or {}).values()), None), each.get("message")),
        ),
        read=_jobs,
        name=_id,
        takes=JOB_TAKES,
        items_max=JOBS_SHOWN,
    ),
    Noun(
        kind="rollout",
        plural="rollouts",
        line="List rollouts, newest first; without --all those that are open, paused or halted.",
        heads=("rollout", "about", "version", "state", "since", "failures"),
        row=lambda each: (
            *(each["id"][:8], about(each), tag_of(each.get("version")) or each["kind"]),
            *(each["state"], each["stateAt"], each["failures"]),
        ),
        read=lambda client, wanted: client.list_rollouts(
            state=None if wanted.over else "live",
            deployment_id=id_of_deployment(client, wanted.deployment) if wanted.deployment else None,
            items_max=wanted.items_max,
        ),
        name=_id,
        takes=frozenset({"deployment", "over"}),
    ),
    Noun(
        kind="policy",
        plural="policies",
        line="List policies.",
        heads=("name", "applies where", "rules", "enabled", "mode", "description"),
        row=lambda each: (
            *(each["name"], each["selector"], ", ".join(rule_kinds(each)), each["enabled"]),
            *(each.get("mode", "enforce"), each.get("description")),
        ),
        read=lambda client, wanted: client.list_policies(items_max=wanted.items_max),
        delete=lambda client, each: client.delete_policy(each["id"]),
    ),
    Noun(
        kind="variable-set",
        plural="variable-sets",
        line="List variable sets, in the order in which they are tried.",
        heads=("name", "selects", "priority", "variables"),
        row=lambda each: (
            *(each["name"], each["selector"], each["priority"]),
            ", ".join(str(one["key"]) for one in each["variables"]),
        ),
        read=lambda client, wanted: client.list_variable_sets(items_max=wanted.items_max),
        delete=lambda client, each: client.delete_variable_set(each["id"]),
    ),
    Noun(
        kind="relationship-rule",
        plural="relationship-rules",
        line="List relationship rules.",
        heads=("name", "reference", "relates"),
        row=lambda each: (each["name"], each["reference"], each["cel"]),
        read=lambda client, wanted: client.list_relationship_rules(items_max=wanted.items_max),
        delete=lambda client, each: client.delete_relationship_rule(each["id"]),
    ),
    Noun(
        kind="request",
        plural="requests",
        also=("approval-request", "approval-requests"),
        line="List requests for approval; without --all those still open.",
        heads=("request", "about", "version", "status", "approved", "asked at"),
        row=lambda each: (
            *(each["id"][:8], about(each), each["version"]["tag"], each["status"]),
            f"{sum(one.get('verdict') == 'approved' for one in each['approvals'])}/{each['minimum']}",
            each["openedAt"],
        ),
        read=lambda client, wanted: client.list_approval_requests(status=None if wanted.over else "open"),
        name=_id,
        takes=frozenset({"over"}),
    ),
    Noun(
        kind="slot",
        plural="slots",
        line="List slot groups: how many of each may be in flight, who they are, and how many wait.",
        heads=("group", "policy", "in flight", "targets", "waiting", "holders"),
        row=lambda each: (
            *(each["group"] or "all", each["policy"]["name"], f"{each['held']} of {each['limit'] or '?'}"),
            *(each["size"], each["waiting"], ", ".join(map(_holder, each["holders"]))),
        ),
        read=lambda client, wanted: client.list_slots(items_max=wanted.items_max),
        name=lambda each: str(each["key"]),
    ),
    Noun(
        kind="order",
        plural="orders",
        line="List redeploys, forces and rollbacks that were asked for; without --all those still open.",
        heads=("order", "kind", "about", "version", "state", "by", "until", "reason"),
        row=lambda each: (
            *(each["id"][:8], each["kind"], about(each), each["version"]["tag"], each["state"]),
            *(each.get("createdBy"), each.get("expiresAt"), each.get("reason")),
        ),
        read=lambda client, wanted: client.list_orders(
            state=None if wanted.over else "open", items_max=wanted.items_max
        ),
        name=_id,
        takes=frozenset({"over"}),
    ),
    Noun(
        kind="freeze",
        plural="freezes",
        line="List freezes; without --all those in force.",
        heads=("freeze", "scope", "only where", "since", "until", "by", "reason"),
        row=lambda each: (
            *(each["id"][:8], each["scope"].get("kind"), each.get("selector"), each["createdAt"]),
            *(each.get("thawedAt") or each.get("expiresAt"), each.get("createdBy"), each["reason"]),
        ),
        read=lambda client, wanted: client.list_freezes(over=wanted.over or None),
        name=_id,
        takes=frozenset({"over"}),
    ),
    Noun(
        kind="incident",
        plural="incidents",
        line="List incidents; without --all those that are open.",
        heads=("incident", "severity", "about", "title", "source", "since", "until"),
        row=lambda each: (
            *(each["id"][:8], each["severity"], ", ".join(one["name"] for one in each["deployments"])),
            *(each["title"], each["source"], each["startedAt"], each.get("resolvedAt") or each["expiresAt"]),
        ),
        read=lambda client, wanted: client.list_incidents(over=wanted.over or None),
        name=_id,
        takes=frozenset({"over"}),
    ),
    Noun(
        kind="slo",
        plural="slos",
        line="List objectives with where their error budgets stand.",
        heads=("slo", "target", "class", "left", "burn 1h", "since", "covers"),
        row=_slo_row,
        read=lambda client, wanted: client.list_slos(deployment=wanted.deployment, items_max=wanted.items_max),
        takes=frozenset({"deployment"}),
        also=("objective", "objectives"),
        delete=lambda client, each: client.delete_slo(each["id"]),
    ),
    Noun(
        kind="pin",
        plural="pins",
        line="List pins; without --all those in force.",
        heads=("pin", "what", "version", "by", "since", "until", "reason"),
        row=lambda each: (
            *(each["id"][:8], about(each), each["version"]["tag"], each.get("createdBy"), each["createdAt"]),
            *(each.get("removedAt") or each.get("expiresAt"), each["reason"]),
        ),
        read=lambda client, wanted: client.list_pins(over=wanted.over or None),
        name=_id,
        takes=frozenset({"over"}),
    ),
    Noun(
        kind="skip",
        plural="skips",
        line="List skips of rules and freezes; without --all those in force.",
        heads=("skip", "where", "version", "passes", "by", "since", "until", "reason"),
        row=lambda each: (
            *(each["id"][:8], about(each), each["version"]["tag"]),
            *(each.get("ruleKind") or f"freeze {str(each.get('freezeId'))[:8]}", each.get("createdBy")),
            *(each["createdAt"], each.get("removedAt") or each.get("expiresAt"), each["reason"]),
        ),
        read=lambda client, wanted: client.list_skips(over=wanted.over or None),
        name=_id,
        takes=frozenset({"over"}),
    ),
    Noun(
        kind="quarantine",
        plural="quarantines",
        line="List what failed and is kept off its targets.",
        heads=("quarantine", "target", "version", "since"),
        row=lambda each: (each["id"][:8], about(each), tag_of(each.get("version")), each["setAt"]),
        read=lambda client, _: client.list_quarantines(),
        name=_id,
    ),
    Noun(
        kind="workflow",
        plural="workflows",
        line="List workflows.",
        heads=("name", "slug", "inputs", "agents"),
        row=lambda each: (
            *(each["name"], each["slug"], ", ".join(str(one.get("key") or one.get("name")) for one in each["inputs"])),
            ", ".join(str(one["name"]) for one in each["jobAgents"]),
        ),
        read=lambda client, wanted: client.list_workflows(items_max=wanted.items_max),
        delete=lambda client, each: client.delete_workflow(each["id"]),
    ),
    Noun(
        kind="subscription",
        plural="subscriptions",
        line="List who is told what happens.",
        heads=("name", "channel", "state", "kinds", "waiting", "parked"),
        row=lambda each: (
            *(each["name"], each["channel"], each["state"], ", ".join(each["kinds"])),
            *(each["pending"], each["parked"]),
        ),
        read=lambda client, _: client.list_subscriptions(),
        delete=lambda client, each: client.delete_subscription(each["id"]),
    ),
    Noun(
        kind="role",
        plural="roles",
        line="List roles: the built-in ones, then the workspace's own.",
        heads=("name", "built in", "held by", "permissions", "description"),
        row=lambda each: (
            *(each["name"], each["builtIn"], each["bindings"]),
            *(", ".join(each["permissions"]), each["description"]),
        ),
        read=lambda client, _: client.list_roles(),
        delete=lambda client, each: client.delete_role(each["name"]),
    ),
    Noun(
        kind="group",
        plural="groups",
        line="List groups of people.",
        heads=("group", "members"),
        row=lambda each: (each["name"], ", ".join(member["name"] for member in each["members"])),
        read=lambda client, _: client.list_groups(),
        delete=lambda client, each: client.delete_group(each["name"]),
    ),
    Noun(
        kind="member",
        plural="members",
        line="List who is in the workspace, with their roles.",
        heads=("name", "kind", "roles", "email", "added"),
        row=lambda each: (
            *(each["name"], each["kind"], ", ".join(str(one["role"]) for one in each["bindings"])),
            *(each.get("email"), each["addedAt"]),
        ),
        read=lambda client, _: client.list_members(),
    ),
    Noun(
        kind="key",
        plural="keys",
        line="List API keys: whose, what for, until when. Never their text.",
        heads=("key", "user", "name", "scopes", "ends", "last used"),
        row=lambda each: (
            *(
                each["prefix"][:6],
                each["user"]["name"],
                each["name"],
                ", ".join(each.get("scopes", ())) or "everything",
            ),
            *(_key_end(each), each.get("lastUsedAt", "never")),
        ),
        read=lambda client, _: client.list_keys(),
        name=lambda each: str(each["prefix"]),
    ),
)


def noun_of(word: str) -> Noun:
    """The noun that a word means.

    Fails: `Invalid`, which names those that there are.
    """
    for noun in NOUNS:
        if word.lower() in noun.words:
            return noun
    near = difflib.get_close_matches(word.lower(), [each for noun in NOUNS for each in noun.words], n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    raise Invalid(f"There is no kind {word}.{meant} Kinds: {', '.join(noun.kind for noun in NOUNS)}.")


def rule_kinds(policy: Seen) -> list[str]:
    """The kinds of a policy's rules."""
    beside = {"id", "createdAt", "policyId"}
    return [key for rule in policy["rules"] for key, value in rule.items() if key not in beside and value is not None]


def found_one(client: Client, noun: Noun, text: str, *, wanted: Wanted | None = None) -> Seen:
    """The one thing that a name, an id or the beginning of an id means.

    Fails: `NotFound`, with the name that is nearest; `Conflict` when several are meant.
    """
    wanted = wanted or Wanted(over=True)
    if noun.kind == "version":
        deployment, slash, tag = text.rpartition("/")
        wanted = Wanted(deployment=deployment if slash else wanted.deployment)
        text = f"{wanted.deployment}/{tag}" if wanted.deployment else text
    known = list(noun.read(client, wanted))
    exact = [each for each in known if text in {noun.name(each), each.get("id"), each.get("name"), each.get("key")}]
    begun = [each for each in known if len(text) >= BEGINNING_MIN and str(each.get("id", "")).startswith(text)]
    meant = exact or begun
    if not meant:
        near = difflib.get_close_matches(text, [noun.name(each) for each in known], n=1)
        raise NotFound(f"There is no {noun.kind} named {text}.{f' Did you mean {near[0]}?' if near else ''}")
    if len(meant) > 1:
        raise Conflict(f"{len(meant)} {noun.plural} are named {text}; give the id.")
    return meant[0]


def id_of_deployment(client: Client, text: str) -> str:
    """The id of a deployment given by name or id.

    Fails: `NotFound`, with the name that is nearest.
    """
    from interlock.cli.version import deployment_id

    return deployment_id(client, text)


def environment_id(client: Client, text: str) -> str:
    """The id of an environment given by name.

    Fails: `NotFound`, with the name that is nearest.
    """
    found = client.find_environment(text)
    if found is None:
        raise NotFound(missing(client, "environment", text))
    return found["id"]


def missing(client: Client, kind: str, text: str) -> str:
    """The sentence for a name that nothing has, with the one that is nearest."""
    noun = noun_of(kind)
    names = [noun.name(each) for each in noun.read(client, Wanted(items_max=1000))]
    near = difflib.get_close_matches(text, names, n=1)
    return f"There is no {kind} named {text}.{f' Did you mean {near[0]}?' if near else ''}"
