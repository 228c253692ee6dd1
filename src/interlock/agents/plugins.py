"""Which job agents come from other packages? Those that an installed package names in the group `interlock.agents`.

    [project.entry-points."interlock.agents"]
    acme = "acme_interlock:AcmeAgent"

The name is the agent's type. What it leads to is called with an `Http` and gives the agent: a class will do. It is held
to what every agent offers before anybody relies on it: the four verbs, its class, its keys, a method for each
capability that it declares; its secrets stand at names that are sealed; its type is not one of ours.

One that cannot be taken stops nobody: the log names package and reason, and its type is not known here, as any type
that nobody does. Who cannot do without it says so (`INTERLOCK_REQUIRED_AGENTS=acme`): then the process does not start.

A plug-in is code of this process; whoever can install a package here can do all that Interlock can.

Source: packaging.python.org, "Entry points specification".
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, cast

import structlog

from interlock.agents.keys import Key, Secret
from interlock.model.errors import Refused
from interlock.model.job import AgentClass
from interlock.model.secret import SECRET_FIELDS, Where
from interlock.outside.http import Http

if TYPE_CHECKING:
    from interlock.agents import Agent

GROUP = "interlock.agents"

VERBS = ("start", "find", "observe", "cancel")
METHODS: Mapping[str, str] = {"plan": "plan", "ask": "ask", "inspect": "inspect", "confirm": "confirm"}
"""Capability -> the method that an agent with it offers."""

SEALED = frozenset(one.name for one in SECRET_FIELDS if one.where is Where.AGENT_CONFIG)
"""The names in an agent's config at which a value is sealed."""

_log = structlog.get_logger("interlock.agents")


class Unfit(Exception):
    """A plug-in cannot be taken; says why."""


@dataclass(frozen=True, slots=True)
class Plugins:
    """What was found: agents by type, and for each that cannot be taken, why."""

    agents: Mapping[str, Agent]
    broken: Mapping[str, str]


def add_plugins(built: Mapping[str, Agent], http: Http, *, required: str = "") -> dict[str, Agent]:
    """Our agents and those of other packages.

    Takes: `required` are types with commas between them.
    Fails: `Refused` when a required type is neither.
    """
    found = load_plugins(http, taken=built)
    agents = {**built, **found.agents}
    for kind, why in found.broken.items():
        _log.error("agent_plugin_left_out", type=kind, reason=why)
    for kind in filter(None, (each.strip() for each in required.split(","))):
        if kind not in agents:
            why = found.broken.get(kind, "no installed package names it")
            raise Refused(f"INTERLOCK_REQUIRED_AGENTS names the agent {kind}, which is not to be had: {why}.")
    return agents


def load_plugins(http: Http, *, taken: Collection[str] = ()) -> Plugins:
    """Import and check every plug-in. None of them can make this fail.

    Takes: `taken` are types that no plug-in may have.
    """
    agents: dict[str, Agent] = {}
    broken: dict[str, str] = {}
    for point in _named(tuple(sys.path)):
        package = f"the package {point.dist.name} {point.dist.version}" if point.dist is not None else "a package"
        try:
            if point.name in taken:
                raise Unfit("Interlock has an agent of this type")
            if point.name in agents:
                raise Unfit("another package has an agent of this type")
            agent = point.load()(http)
            _check(agent, point.name)
        except Unfit as unfit:
            broken[point.name] = f"{package}: {unfit}"
        except Exception as raised:  # noqa: BLE001 - whatever a stranger's module does when it is imported
            broken[point.name] = f"{package}: {point.value} raised {type(raised).__name__}: {raised}"
        else:
            agents[point.name] = cast("Agent", agent)
    return Plugins(agents, broken)


@functools.cache
def _named(path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The entry points that can be imported from here, by name. Looking takes some milliseconds."""
    _ = path
    return tuple(sorted(entry_points(group=GROUP), key=lambda point: point.name))


def _check(agent: Any, name: str) -> None:
    """Hold a stranger's agent to what every agent offers.

    Fails: `Unfit` with the first thing that is missing.
    """
    if getattr(agent, "kind", None) != name:
        raise Unfit(f"its `kind` is {getattr(agent, 'kind', None)!r}, its entry point's name {name!r}")
    if not isinstance(getattr(agent, "klass", None), AgentClass):
        raise Unfit("its `klass` is no AgentClass")
    capabilities = getattr(agent, "capabilities", None)
    if not isinstance(capabilities, frozenset):
        raise Unfit("its `capabilities` are no frozenset")
    every_s = getattr(agent, "observe_every_s", 0)
    if every_s is not None and not (isinstance(every_s, int | float) and every_s > 0):
        raise Unfit("its `observe_every_s` is neither None nor above 0")
    keys = getattr(agent, "keys", None)
    if not isinstance(keys, tuple) or not all(isinstance(key, Key) for key in keys):
        raise Unfit("its `keys` are no tuple of Key")
    if not isinstance(getattr(agent, "open_ended", None), bool):
        raise Unfit("its `open_ended` is neither True nor False")
    for verb in (*VERBS, *(METHODS[each] for each in sorted(capabilities) if each in METHODS)):
        if not inspect.iscoroutinefunction(getattr(agent, verb, None)):
            raise Unfit(f"it has no `async def {verb}`")
    for method in ("check_config", "links"):
        if not callable(getattr(agent, method, None)):
            raise Unfit(f"it has no `{method}`")
    for key in keys:
        if isinstance(key.shape, Secret) and key.name not in SEALED:
            raise Unfit(f"its secret `{key.name}` would not be sealed; the names that are: {', '.join(sorted(SEALED))}")
