"""What does a scenario file say, and on which line? Read, checked and bounded before anything is played.

A scenario is one YAML 1.2 document: environments with their targets, policies as in the files for `interlock apply`,
how agents and verifications behave, and a story of instants with what people do and what is expected then.

    scenario: A bad version stops at the first host
    starts: 2026-03-09T08:00:00Z
    runs: 1.0.0
    environments:
      production: {targets: 3}
    policies:
      - name: one-by-one
        selector: environment.name == "production"
        rules:
          - gradualRollout: {rolloutType: linear, timeScaleInterval: 60}
    agent:
      jobs:
        - {version: 1.1.0, place: 2, ends: failure}
    story:
      - at: +1m
        version: {tag: 1.1.0}
      - at: +10m
        expect:
          rollouts: {1.1.0: {production: halted}}

Every fault is told with its line, all of them together. The guide (docs/guides/simulate.md) has every word.

Source: requirement R3 (dry runs); house style rule 17 (limits on everything).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from interlock.model.errors import FieldError, Invalid
from interlock.model.wire import Fields
from interlock.simulate.acts import ACTS
from interlock.simulate.cast import Place, PlacedTarget, WrittenPolicy, placed, read_policy, texts
from interlock.simulate.conduct import Conduct, read_conduct
from interlock.simulate.expectations import read_expectations
from interlock.simulate.moments import Clock
from interlock.simulate.objectives import NAMES_MAX, WrittenObjective, read_objective
from interlock.simulate.stage import Doing

EVENTS_MAX = 20_000
"""So many steps of the virtual clock a story may take."""

TARGETS_MAX = 2_000
STORY_MAX = 1_000
SCENARIO_BYTES_MAX = 1024 * 1024

STARTS_AT = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
"""A Monday, where the file names no start."""

AFTER = timedelta(days=8)
"""How long a story that does not become quiet goes on after its last line: longer than a week, for weekly windows."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What happens at one instant of a story, and the line it stands on."""

    at: datetime
    line: int
    doings: tuple[Doing, ...]
    expected: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """A scenario file, read."""

    file: str
    title: str
    about: str
    starts_at: datetime
    ends_at: datetime
    deployment: str
    metadata: Mapping[str, str]
    supersede: str
    places: tuple[Place, ...]
    targets: tuple[PlacedTarget, ...]
    policies: tuple[WrittenPolicy, ...]
    conduct: Conduct
    moments: tuple[Moment, ...]
    objectives: tuple[WrittenObjective, ...] = ()
    events_max: int = EVENTS_MAX


def read_script(text: str, *, file: str = "-", events_max: int = EVENTS_MAX, targets_max: int = TARGETS_MAX) -> Script:
    """Read a scenario file.

    Fails: `Invalid`, each fault on a line of its own as `file:line: path fault`.
    """
    tree = _load(text, file)
    try:
        return _Reading(plain(tree), file, events_max, targets_max).script(tree)
    except Invalid as error:
        faults = error.fields or [FieldError("", error.message)]
        raise Invalid("\n".join(_placed(tree, file, fault) for fault in faults)) from error


def _load(text: str, file: str) -> Any:
    from ruamel.yaml import YAML  # noqa: PLC0415 - only this command reads YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415

    if len(text) > SCENARIO_BYTES_MAX:
        raise Invalid(f"{file} is longer than {SCENARIO_BYTES_MAX} characters.")
    try:
        documents = [one for one in YAML(typ="rt").load_all(text) if one is not None]
    except MarkedYAMLError as cause:
        mark = cause.problem_mark or cause.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise Invalid(f"{file}{line}: this is no YAML: {cause.problem or cause.context}.") from cause
    except YAMLError as cause:
        raise Invalid(f"{file}: this is no YAML: {cause}.") from cause
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise Invalid(f"{file}: a scenario is one YAML document, an object.")
    return documents[0]


def plain(value: Any) -> Any:
    """The value without the reader's own classes. An instant is its RFC 3339 text."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def _placed(tree: Any, file: str, fault: FieldError) -> str:
    """The fault behind the line of the deepest part of its path that the file has."""
    return f"{file}:{line_of(tree, fault.path)}: {fault.path.lstrip('.')} {fault.message}".rstrip()


def line_of(tree: Any, path: str) -> int:
    """The line of what a path names, from 1; the nearest that is there where it names something missing.

    Takes: keys may hold dots (a version's tag), so the longest key that fits is taken.
    """
    line: int = tree.lc.line + 1
    rest = path.lstrip(".")
    while rest:
        found = re.match(r"\[(\d+)\]\.?", rest)
        if isinstance(tree, dict):
            known = [key for key in tree if rest == str(key) or rest.startswith((f"{key}.", f"{key}["))]
            if not known:
                break
            key = max(known, key=lambda one: len(str(one)))
            line, tree, rest = _line(tree, key), tree[key], rest[len(str(key)) :].lstrip(".")
        elif isinstance(tree, list) and found is not None and int(found[1]) < len(tree):
            line, tree, rest = _line(tree, int(found[1])), tree[int(found[1])], rest[found.end() :]
        else:
            break
    return line


def _line(tree: Any, key: Any) -> int:
    """The line of a key of an object, or of an item of a list (the reader counts from 0)."""
    position = tree.lc
    return int((position.item(key) if isinstance(key, int) else position.key(key))[0]) + 1


class _Reading:
    """One scenario being read: faults are collected, and raised together."""

    def __init__(self, body: Mapping[str, Any], file: str, events_max: int, targets_max: int) -> None:
        self.file = file
        self.events_max = events_max
        self.targets_max = targets_max
        self.fields = Fields(body, "")
        self.faults: list[FieldError] = []

    def script(self, tree: Any) -> Script:
        fields = self.fields
        title = fields.text("scenario", required=True)
        about = fields.text("about").strip()
        starts_at = STARTS_AT
        if (starts := fields.text("starts")) and (read := self._kept(".starts", Clock(STARTS_AT).instant, starts)):
            starts_at = read
        clock = Clock(starts_at)
        name, metadata, supersede = self._deployment(fields.anything("deployment"))
        runs = fields.text("runs") or None
        places, targets = self._environments(fields.mapping("environments", required=True), runs)
        policies = self._policies(fields.items("policies"))
        conduct = self._kept("", lambda _: self._conduct(), "")
        moments = self._story(fields.items("story", maximum=STORY_MAX), clock, tree)
        objectives = self._objectives(fields.items("objectives", maximum=NAMES_MAX), {one.name for one in places})
        last_at = max((moment.at for moment in moments), default=starts_at)
        until = fields.text("until")
        after = timedelta() if objectives else AFTER  # they are read for ever
        ends_at = (self._kept(".until", clock.instant, until) if until else None) or last_at + after
        if ends_at < last_at:
            self.faults.append(FieldError(".until", "is before the last line of the story"))
        try:
            fields.done()
        except Invalid as error:
            self.faults = [*error.fields, *self.faults]
        if self.faults:
            raise Invalid("The scenario has faults.", fields=self.faults)
        assert conduct is not None
        if objectives and conduct.traffic is None:
            raise Invalid("", fields=[FieldError(".objectives", "are read from `traffic`, which the file has not")])
        return Script(
            file=self.file,
            title=title,
            about=about,
            starts_at=starts_at,
            ends_at=ends_at,
            deployment=name,
            metadata=metadata,
            supersede=supersede,
            places=places,
            targets=targets,
            policies=policies,
            conduct=conduct,
            moments=moments,
            objectives=objectives,
            events_max=self.events_max,
        )

    def _conduct(self) -> Conduct:
        fields = self.fields
        traffic = fields.anything("traffic")
        if traffic is not None and not isinstance(traffic, Mapping):
            fields.wrong("traffic", "must be an object")
            traffic = None
        return read_conduct(fields.mapping("agent"), fields.mapping("verification"), traffic)

    def _kept(self, path: str, read: Any, value: Any) -> Any:
        """What `read` makes of a value; None, and its faults noted, when it refuses."""
        try:
            return read(value)
        except Invalid as error:
            self.faults += error.fields or [FieldError(path, error.message)]
            return None

    def _done(self, fields: Fields) -> None:
        self._kept(fields.path, lambda _: fields.done(), None)

    def _deployment(self, value: object) -> tuple[str, Mapping[str, str], str]:
        if value is None or isinstance(value, str):
            return value or "shop-api", {}, "wait"
        fields = Fields(value, ".deployment")
        name = fields.text("name", default="shop-api")
        metadata = texts(fields, "metadata")
        supersede = fields.choice("supersede", allowed=("wait", "cancel"), default="wait")
        self._done(fields)
        return name, metadata, supersede

    # Environments -----------------------------------------------------------------------------------------------------

    def _environments(
        self, written: Mapping[str, object], runs: str | None
    ) -> tuple[tuple[Place, ...], tuple[PlacedTarget, ...]]:
        places: list[Place] = []
        targets: list[PlacedTarget] = []
        for name, body in written.items():
            fields = Fields(body if body is not None else {}, f".environments.{name}")
            systems = tuple(str(one) for one in fields.items("systems")) or ("default",)
            places.append(Place(name, systems, texts(fields, "metadata")))
            here = fields.text("runs") or runs
            listed = fields.anything("targets")
            entries = listed if isinstance(listed, list) else [] if listed is None else [listed]
            for number, entry in enumerate(entries):
                path = f"{fields.path}.targets[{number}]" if isinstance(listed, list) else f"{fields.path}.targets"
                targets += self._targets(entry, path, environment=name, runs=here)
            self._done(fields)
        names = [target.name for target in targets]
        for twice in sorted({one for one in names if names.count(one) > 1} if len(names) < 5000 else ()):
            self.faults.append(FieldError(".environments", f"has the target {twice} twice; names are unique"))
        if len(targets) > self.targets_max:
            self.faults.append(
                FieldError(".environments", f"has {len(targets)} targets; at most {self.targets_max} (targets_max)")
            )
        return tuple(places), tuple(targets)

    def _targets(self, entry: object, path: str, *, environment: str, runs: str | None) -> list[PlacedTarget]:
        """The targets of one entry: a number of them, a name, or an object with both."""
        if isinstance(entry, str):
            return [placed(entry, environment, runs=runs)]
        if isinstance(entry, int) and not isinstance(entry, bool):
            entry = {"count": entry}
        fields = Fields(entry, path)
        count = fields.integer("count", default=1, maximum=self.targets_max)
        name = fields.text("name", default=f"{environment}-{{n}}")
        kind = fields.text("kind", default="Host")
        metadata, config = texts(fields, "metadata"), fields.mapping("config")
        own = fields.text("runs") or runs
        if count > 1 and "{n}" not in name:
            fields.wrong("name", "must hold {n} where there are several")
        self._done(fields)
        return [
            placed(name.replace("{n}", str(n)), environment, kind=kind, metadata=metadata, config=config, runs=own)
            for n in range(1, count + 1)
        ]

    # Policies ---------------------------------------------------------------------------------------------------------

    def _policies(self, written: Sequence[object]) -> tuple[WrittenPolicy, ...]:
        found = [
            self._kept("", lambda b, n=number: read_policy(b, f".policies[{n}]"), body)
            for number, body in enumerate(written)
        ]
        policies = [one for one in found if one is not None]
        names = [one.name for one in policies]
        for twice in sorted({one for one in names if names.count(one) > 1}):
            self.faults.append(FieldError(".policies", f"has {twice} twice; names are unique"))
        return tuple(policies)

    def _objectives(self, written: Sequence[object], places: set[str]) -> tuple[WrittenObjective, ...]:
        found: list[WrittenObjective] = []
        for number, body in enumerate(written):
            fields = Fields(body, f".objectives[{number}]")
            one = read_objective(fields)
            if one.environment is not None and one.environment not in places:
                fields.wrong("environment", "is no environment of the file")
            if one.name in {other.name for other in found}:
                fields.wrong("name", "stands there twice; names are unique")
            self._done(fields)
            found.append(one)
        return tuple(found)

    # Story ------------------------------------------------------------------------------------------------------------

    def _story(self, written: Sequence[object], clock: Clock, tree: Any) -> tuple[Moment, ...]:
        moments: list[Moment] = []
        for number, body in enumerate(written):
            path = f".story[{number}]"
            fields = Fields(body, path)
            line = line_of(tree, path)
            when = fields.anything("at")
            at = clock.starts_at
            if when is None:
                fields.wrong("at", "is required")
            else:
                at = self._kept(f"{path}.at", clock.instant, str(when)) or at
            doings: list[Doing] = []
            for name in body if isinstance(body, Mapping) else ():
                if name in ACTS:
                    doings += self._doings(name, fields.anything(name), f"{path}.{name}", clock)
            words = list(body) if isinstance(body, Mapping) else []
            if "expect" in words and any(name in ACTS for name in words[words.index("expect") :]):
                fields.wrong("expect", "stands before an act, and is checked after it: give it an entry of its own")
            expected = fields.anything("expect")
            self._done_story(fields)
            if doings:
                moments.append(Moment(at, line, tuple(doings)))
            if expected is not None:
                checks = self._kept(path, lambda b, p=path: read_expectations(b, f"{p}.expect", clock), expected)
                moments.append(Moment(at, line_of(tree, f"{path}.expect"), tuple(checks or ()), expected=True))
        return tuple(sorted(moments, key=lambda one: (one.at, one.expected)))

    def _done_story(self, fields: Fields) -> None:
        try:
            fields.done()
        except Invalid as error:
            known = ", ".join(("at", *ACTS, "expect"))
            self.faults += [
                FieldError(one.path, f"is no act; known are {known}") if one.message == "is not known here" else one
                for one in error.fields
            ]

    def _doings(self, name: str, body: object, path: str, clock: Clock) -> Iterable[Doing]:
        """One act, or a list of the same."""
        bodies = body if isinstance(body, list) else [body]
        for number, one in enumerate(bodies):
            fields = Fields(one, f"{path}[{number}]" if isinstance(body, list) else path)
            doing = self._kept(path, lambda f, n=name: ACTS[n](f, clock), fields)
            self._done(fields)
            if doing is not None:
                yield doing
