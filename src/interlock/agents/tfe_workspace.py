"""What does a job want of a Terraform Cloud workspace? The rendered template, read and compared with what stands there.

The template is YAML, as people write it for a workspace:

    name: shop-eu                       the rest is optional
    description, project (its id), execution_mode, agent_pool_id, terraform_version, working_directory,
    auto_apply, allow_destroy_plan, file_triggers_enabled, global_remote_state, queue_all_runs, speculative_enabled,
    trigger_prefixes, trigger_patterns,
    vcs_repo: {identifier, branch, oauth_token_id, github_app_installation_id, ingress_submodules, tags_regex}
    variables: [{key, value, category: terraform | env, hcl, sensitive, description}]

An unknown key is refused: a setting that is misspelt would silently not be set. What the template does not name stays
as it is in the workspace.

Terraform Cloud never tells a sensitive value again, so it cannot be compared. One that the template gives is written
each time; one that it names without a value, and one that it does not name, stays.

Source: HashiCorp's API reference, Workspaces and Workspace Variables; reference-behaviour.md 5.4.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from interlock.model.errors import Rejected

NAME_MAX = 90
VARIABLES_MAX = 500
CATEGORIES = ("terraform", "env")

_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
_TYPES: Mapping[str, type] = {
    "description": str,
    "execution_mode": str,
    "agent_pool_id": str,
    "terraform_version": str,
    "working_directory": str,
    "auto_apply": bool,
    "allow_destroy_plan": bool,
    "file_triggers_enabled": bool,
    "global_remote_state": bool,
    "queue_all_runs": bool,
    "speculative_enabled": bool,
    "trigger_prefixes": list,
    "trigger_patterns": list,
    "vcs_repo": dict,
}
_REPO_KEYS = (
    "branch",
    "github_app_installation_id",
    "identifier",
    "ingress_submodules",
    "oauth_token_id",
    "tags_regex",
)
_VARIABLE_KEYS = ("category", "description", "hcl", "key", "sensitive", "value")
_SAID = {str: "a text", bool: "true or false", list: "a list of texts", dict: "a map"}


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a workspace. `value` is None where the template leaves it as it is."""

    key: str
    category: str
    value: str | None
    hcl: bool = False
    sensitive: bool = False
    description: str = ""

    @property
    def attributes(self) -> dict[str, Any]:
        """As the API takes it."""
        found = {
            "key": self.key,
            "category": self.category,
            "hcl": self.hcl,
            "sensitive": self.sensitive,
            "description": self.description,
        }
        return found if self.value is None else {**found, "value": self.value}


@dataclass(frozen=True, slots=True)
class Workspace:
    """What the template asks for.

    Takes: `attributes` by the API's names. `variables` is None where the template says nothing of variables.
    """

    name: str
    attributes: Mapping[str, Any]
    project: str | None = None
    variables: tuple[Variable, ...] | None = None

    @property
    def auto_apply(self) -> bool:
        """Whether its runs are applied by Terraform Cloud itself."""
        return self.attributes.get("auto-apply") is True


@dataclass(frozen=True, slots=True)
class VariableSync:
    """What makes a workspace's variables those of the template. `update` and `delete` name ids."""

    create: tuple[Variable, ...] = ()
    update: tuple[tuple[str, Variable], ...] = ()
    delete: tuple[str, ...] = ()


def parse_workspace(text: str, *, field: str) -> Workspace:
    """The rendered template, read.

    Fails: `Rejected`, naming the key that is wrong.
    """
    try:
        found = YAML(typ="safe", pure=True).load(io.StringIO(text))
    except YAMLError as broken:
        raise Rejected(f"{field}: what it renders to is no YAML: {' '.join(str(broken).split())}") from broken
    if not isinstance(found, Mapping):
        raise Rejected(f"{field}: what it renders to is no workspace: it must be a map with a name.")
    name = _UNFIT.sub("-", str(found.get("name") or ""))[:NAME_MAX].strip("-")
    if not name:
        raise Rejected(f"{field}: the workspace has no name.")
    unknown = sorted(str(key) for key in found if key not in {*_TYPES, "name", "project", "variables"})
    if unknown:
        raise Rejected(f"{field}: a workspace has no {', '.join(unknown)}. It has {', '.join(sorted(_TYPES))}.")
    attributes: dict[str, Any] = {"name": name}
    for key, kind in _TYPES.items():
        if found.get(key) is not None:
            attributes[key.replace("_", "-")] = _typed(found[key], kind, f"{field}: {key}")
    project = found.get("project")
    return Workspace(name, attributes, str(project) if project else None, _variables(found.get("variables"), field))


def differing(wanted: Workspace, there: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a workspace that are not as wanted."""
    now, found = there.get("attributes") or {}, {}
    for name, value in wanted.attributes.items():
        is_so = related_id(there, "agent-pool") if name == "agent-pool-id" else now.get(name)
        if name == "vcs-repo":
            repo = now.get("vcs-repo") or {}
            is_so = {key: repo.get(key) for key in value}
        if is_so != value:
            found[name] = value
    return found


def related_id(document: Mapping[str, Any], name: str) -> str | None:
    """The id of what a JSON:API object is related to."""
    related = ((document.get("relationships") or {}).get(name) or {}).get("data")
    return str(related["id"]) if isinstance(related, Mapping) and related.get("id") else None


def sync_of(wanted: Sequence[Variable], there: Sequence[Mapping[str, Any]]) -> VariableSync:
    """What makes the variables that stand there those that are wanted.

    Why:    a sensitive one that nobody names is kept: it may be a credential that somebody put there by hand, and
            nobody could bring it back. One that shall not be sensitive any more is made anew, as the API asks.
    """
    known = {(one["attributes"]["category"], one["attributes"]["key"]): one for one in there}
    create, update, delete = [], [], []
    for variable in wanted:
        found = known.pop((variable.category, variable.key), None)
        if found is None:
            create.append(variable)
        elif found["attributes"].get("sensitive") and not variable.sensitive and variable.value is not None:
            delete.append(str(found["id"]))
            create.append(variable)
        elif not _same(variable, found["attributes"]):
            update.append((str(found["id"]), variable))
    delete += [str(one["id"]) for one in known.values() if not one["attributes"].get("sensitive")]
    return VariableSync(tuple(create), tuple(update), tuple(delete))


def _same(variable: Variable, there: Mapping[str, Any]) -> bool:
    """Whether a variable stands there as it is wanted. The value of a sensitive one is not told."""
    if there.get("sensitive") and variable.value is None:
        return True
    wanted = variable.attributes
    return not variable.sensitive and all((there.get(name) or "") == (wanted[name] or "") for name in wanted)


def described(wanted: Workspace) -> str:
    """A workspace as YAML, for people; what is sensitive has no value."""
    document: dict[str, Any] = {key.replace("-", "_"): value for key, value in sorted(wanted.attributes.items())}
    if wanted.project:
        document["project"] = wanted.project
    if wanted.variables is not None:
        document["variables"] = [
            {key: value for key, value in one.attributes.items() if key != "value" or not one.sensitive}
            for one in sorted(wanted.variables, key=lambda one: (one.category, one.key))
        ]
    return as_yaml(document)


def as_yaml(document: object) -> str:
    """A document as YAML."""
    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style, yaml.width = False, 1000
    yaml.dump(orjson.loads(orjson.dumps(document, default=str)), text)
    return text.getvalue()


def literal(variable: Variable) -> str:
    """A variable's value as an expression of Terraform's language, as a run takes it."""
    value = variable.value or ""
    if variable.hcl:
        return value
    return orjson.dumps(value).decode().replace("${", "$${").replace("%{", "%%{")


def _typed(value: object, kind: type, field: str) -> object:
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # terraform_version: 1.9
    if not isinstance(value, kind) or (kind is list and not all(isinstance(one, str) for one in value)):  # type: ignore[attr-defined]
        raise Rejected(f"{field} must be {_SAID[kind]}.")
    if kind is not dict:
        return value
    repo: Mapping[str, Any] = value  # type: ignore[assignment]
    unknown = sorted(set(map(str, repo)) - set(_REPO_KEYS))
    if unknown:
        raise Rejected(f"{field} has no {', '.join(unknown)}. It has {', '.join(_REPO_KEYS)}.")
    return {key.replace("_", "-"): one for key, one in repo.items() if one is not None}


def _variables(found: object, field: str) -> tuple[Variable, ...] | None:
    if found is None:
        return None
    if not isinstance(found, list) or len(found) > VARIABLES_MAX:
        raise Rejected(f"{field}: variables must be a list of at most {VARIABLES_MAX}.")
    variables = tuple(_variable(one, f"{field}: variables[{number}]") for number, one in enumerate(found))
    named = [(one.category, one.key) for one in variables]
    twice = sorted({key for category, key in named if named.count((category, key)) > 1})
    if twice:
        raise Rejected(f"{field}: these variables are there twice: {', '.join(twice)}.")
    return variables


def _variable(found: object, field: str) -> Variable:
    if not isinstance(found, Mapping) or not found.get("key"):
        raise Rejected(f"{field} must be a map with a key.")
    unknown = sorted(set(map(str, found)) - set(_VARIABLE_KEYS))
    if unknown:
        raise Rejected(f"{field} has no {', '.join(unknown)}. It has {', '.join(_VARIABLE_KEYS)}.")
    category = found.get("category") or "terraform"
    if category not in CATEGORIES:
        raise Rejected(f"{field}: category must be one of {', '.join(CATEGORIES)}.")
    flags = {name: found.get(name) for name in ("hcl", "sensitive")}
    for name, flag in flags.items():
        if flag is not None and not isinstance(flag, bool):
            raise Rejected(f"{field}: {name} must be true or false.")
    value = found.get("value")
    whole = isinstance(value, Mapping | list)
    sensitive = flags["sensitive"] is True
    if value is None:
        text = None if sensitive else ""
    elif whole:
        text = orjson.dumps(value, default=str).decode()
    else:
        text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    hcl = flags["hcl"] if flags["hcl"] is not None else whole
    return Variable(str(found["key"]), str(category), text, bool(hcl), sensitive, str(found.get("description") or ""))
