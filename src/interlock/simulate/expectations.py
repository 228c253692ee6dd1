"""What is expected of a story at an instant? Each word of `expect`, and how it is checked.

    expect:
      runs: {production: {1.1.0: 2, 1.0.0: 1}, staging-1: 1.1.0}     # all of a place, or how many of what
      moving: {production: {1.1.0: 1}, staging: none}
      desired: {production-1: 1.1.0}
      holds: {production: {rollout_due_later: 1}, staging: none}     # reason, rule, or words of the sentence
      rollouts: {1.1.0: {production: halted}}
      starts: {1.1.0: {production: [+0s, +60s]}}                     # when jobs were handed over, until now
      jobs: {1.1.0: {production: 3}}                                 # how many jobs were handed over, until now
      asked: {1.1.0: [production]}                                   # where a person was asked
      wakes: 2026-03-10T09:00:00Z                                    # when time alone may change something

An instant means the end of its second: all that happens in it has happened. Each expectation that does not hold gives a
sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from interlock.decide.explain import sentence
from interlock.decide.facts import Target
from interlock.model.errors import FieldError, Invalid, NotFound
from interlock.simulate.moments import Clock
from interlock.simulate.stage import NOTHING, Doing, Stage, Telling

Check = Callable[[Stage], Iterable[str]]
Read = Callable[[Any, str, Clock], Check]

FAILED = "expectation"
"""Who tells of an expectation that does not hold."""


def read_expectations(body: object, path: str, clock: Clock) -> list[Doing]:
    """Read one `expect`.

    Fails: `Invalid`, naming every fault with its path.
    """
    if not isinstance(body, Mapping) or not body:
        raise Invalid("The scenario has faults.", fields=[FieldError(path, "must be an object with something in it")])
    faults: list[FieldError] = []
    checks: list[Check] = []
    for name, value in body.items():
        read = WORDS.get(str(name))
        if read is None:
            faults.append(FieldError(f"{path}.{name}", f"cannot be expected; known are {', '.join(WORDS)}"))
            continue
        try:
            checks.append(read(value, f"{path}.{name}", clock))
        except Invalid as error:
            faults += error.fields or [FieldError(f"{path}.{name}", error.message)]
    if faults:
        raise Invalid("The scenario has faults.", fields=faults)
    return [_doing(check) for check in checks]


def _doing(check: Check) -> Doing:
    def do(stage: Stage) -> list[Telling]:
        try:
            return [Telling(FAILED, said) for said in check(stage)]
        except NotFound as error:
            return [Telling(FAILED, error.message)]

    return do


# By place -------------------------------------------------------------------------------------------------------------


def _of_places(name: str, tell: Callable[[Stage, Target], str]) -> Read:
    """Place -> what each of its targets gives, or how many give what."""

    def read(value: Any, path: str, _: Clock) -> Check:
        wanted = _object(value, path)
        for place, one in wanted.items():
            if isinstance(one, Mapping):
                _counts(one, f"{path}.{place}")
            elif isinstance(one, list | bool):
                raise _fault(f"{path}.{place}", "must be a version, none, or how many of each")

        def check(stage: Stage) -> Iterable[str]:
            for place, one in wanted.items():
                targets = stage.at(place)
                found = Counter(tell(stage, target) for target in targets)
                if isinstance(one, Mapping):
                    expected = {str(key): int(number) for key, number in one.items() if int(number)}
                    if dict(found) != expected:
                        yield f"{name}: {place} should be {_words(expected)}, and is {_words(found)}."
                elif set(found) - {str(one)} or not targets:
                    yield f"{name}: {place} should be {one}, and is {_words(found)}."

        return check

    return read


def _runs(stage: Stage, target: Target) -> str:
    return stage.tag(target.current.version_id if target.current else None)


def _moving(stage: Stage, target: Target) -> str:
    move = stage.world.open_move(target.id)
    return stage.tag(move.version_id if move else None)


def _desired(stage: Stage, target: Target) -> str:
    return stage.tag(target.desired)


def _holds(value: Any, path: str, _: Clock) -> Check:
    wanted = _object(value, path)
    for place, one in wanted.items():
        if isinstance(one, Mapping):
            _counts(one, f"{path}.{place}")

    def check(stage: Stage) -> Iterable[str]:
        for place, one in wanted.items():
            targets = stage.at(place)
            said = {target.name: [_said(v) for v in stage.holds(target.id)] for target in targets}
            if one == NOTHING:
                held = [name for name, found in said.items() if found]
                if held:
                    yield f"holds: nothing should hold {place}; {held[0]} is held: {_first(said[held[0]])}"
                continue
            counted = one if isinstance(one, Mapping) else dict.fromkeys(map(str, _listed(one)), len(targets))
            for words, number in counted.items():
                found = sum(any(str(words) in sentence for sentence in mine) for mine in said.values())
                if found != number or (not targets and not isinstance(one, Mapping)):
                    example = next((_first(mine) for mine in said.values() if mine), "nothing")
                    yield (
                        f"holds: {words!r} should hold {number} of {place}, and holds {found}; "
                        f"what holds there is: {example}"
                    )

    return check


def _said(verdict: Mapping[str, Any]) -> str:
    return f"{verdict['reason']} {verdict['rule']} {verdict.get('policy', '')} {sentence(verdict)}"


def _first(said: list[str]) -> str:
    return said[0] if said else "nothing"


# By version -----------------------------------------------------------------------------------------------------------


def _of_versions(value: Any, path: str) -> dict[str, dict[str, Any]]:
    found = {}
    for tag, places in _object(value, path).items():
        found[tag] = _object(places, f"{path}.{tag}")
    return found


def _rollouts(value: Any, path: str, _: Clock) -> Check:
    wanted = _of_versions(value, path)

    def check(stage: Stage) -> Iterable[str]:
        for tag, places in wanted.items():
            for environment, state in places.items():
                found = stage.world.rollout(tag, environment)
                known = found.state if found else NOTHING
                if known != state:
                    yield f"rollouts: that of {tag} in {environment} should be {state}, and is {known}."

    return check


def _starts(value: Any, path: str, clock: Clock) -> Check:
    wanted: dict[str, dict[str, list[datetime]]] = {}
    for tag, places in _of_versions(value, path).items():
        for place, instants in places.items():
            try:
                read = [clock.instant(str(one)) for one in _listed(instants)]
            except Invalid as error:
                raise _fault(f"{path}.{tag}.{place}", error.message) from error
            wanted.setdefault(tag, {})[place] = read

    def check(stage: Stage) -> Iterable[str]:
        for tag, places in wanted.items():
            for place, instants in places.items():
                found = [_second(one.at) for one in _handed_over(stage, tag, place)]
                if sorted(found) != sorted(map(_second, instants)):
                    yield f"starts: of {tag} in {place} should be {_instants(instants)}, and are {_instants(found)}."

    return check


def _jobs(value: Any, path: str, _: Clock) -> Check:
    wanted = _of_versions(value, path)
    for tag, places in wanted.items():
        _counts(places, f"{path}.{tag}")

    def check(stage: Stage) -> Iterable[str]:
        for tag, places in wanted.items():
            for place, number in places.items():
                found = len(_handed_over(stage, tag, place))
                if found != number:
                    yield f"jobs: {number} of {tag} in {place} should have been handed over; {found} were."

    return check


def _handed_over(stage: Stage, tag: str, place: str) -> list[Any]:
    targets = {target.id for target in stage.at(place)}
    return [one for one in stage.handed_over if one.move.target_id in targets and stage.tag(one.move.version_id) == tag]


def _asked(value: Any, path: str, _: Clock) -> Check:
    wanted = {tag: [str(one) for one in _listed(places)] for tag, places in _object(value, path).items()}

    def check(stage: Stage) -> Iterable[str]:
        for tag, places in wanted.items():
            found = sorted({environment for asked, environment in stage.requests.values() if asked == tag})
            if found != sorted(one for one in places if one != NOTHING):
                yield f"asked: of {tag} somebody should be asked in {_words(places)}, and is in {_words(found)}."

    return check


def _wakes(value: Any, path: str, clock: Clock) -> Check:
    at = None
    if str(value) != NOTHING:
        try:
            at = clock.instant(str(value))
        except Invalid as error:
            raise _fault(path, error.message) from error

    def check(stage: Stage) -> Iterable[str]:
        found = stage.world.wake_at
        if (_second(found) if found else None) != (_second(at) if at else None):
            yield f"wakes: should be {_instants([at] if at else [])}, and is {_instants([found] if found else [])}."

    return check


WORDS: Mapping[str, Read] = {
    "runs": _of_places("runs", _runs),
    "moving": _of_places("moving", _moving),
    "desired": _of_places("desired", _desired),
    "holds": _holds,
    "rollouts": _rollouts,
    "starts": _starts,
    "jobs": _jobs,
    "asked": _asked,
    "wakes": _wakes,
}
"""What may stand under `expect`."""


def _fault(path: str, message: str) -> Invalid:
    return Invalid("The scenario has faults.", fields=[FieldError(path, message)])


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _fault(path, "must be an object")
    return {str(key): one for key, one in value.items()}


def _counts(value: Mapping[str, Any], path: str) -> None:
    for key, number in value.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise _fault(f"{path}.{key}", "must be a number of targets")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _words(found: Mapping[str, int] | Iterable[str]) -> str:
    if isinstance(found, Mapping):
        return ", ".join(f"{number} × {key}" for key, number in sorted(found.items())) or "nothing"
    return ", ".join(found) or "nowhere"


def _instants(instants: Iterable[datetime]) -> str:
    return ", ".join(f"{_second(at):%Y-%m-%dT%H:%M:%SZ}" for at in sorted(instants)) or "never"


def _second(at: datetime) -> datetime:
    return at.replace(microsecond=0)
