"""What may a signal do to a move? Let it pass, hold it, ask people first, or narrow its rollout: four words for every
rule that reads a signal.

On the wire an effect is `pass`, `hold`, or an object of `approvals`, `approverGroup` and `paceCap`:

    then: hold
    then: {approvals: 2, approverGroup: sre-leads, paceCap: 0.5}

How a rule uses it:

    effect = joined((of_one_signal, of_another))              # strictest of each: hold, most approvals, least pace
    return verdict_of(effect, subject, now, words=WORDS, …)   # one verdict, with obligations

    hold        `words.holds`, with what it waits for
    approvals   the yeses that anyApproval counts, shared with it; the request is opened as for that rule, so nobody is
                asked before everything else that could hold has passed (`Verdict.asks` puts it into judgement)
    pace cap    an obligation of the passing verdict: `paceCap` with the `percent` of each wave that may go at once. A
                rule whose verdicts may carry one says `caps = True`; `Gates.cap` reads it, `gradual_rollout.capped` and
                `wave_places.narrowed` are what it does. Several join by min, and more obligations never start more

Reasons: `approval_missing` and `rejected` are anyApproval's, so that everybody who looks for who is asked finds it; the
others are the rule's own (`Words`).

Source: core.md section 4, "Verdicts" (obligations); definitions.md E1, "Default reaction".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from interlock.decide.rules import any_approval
from interlock.decide.subjects import EnvironmentVersion
from interlock.decide.verdict import Obligation, Verdict, WaitsFor, earliest, holds, passes
from interlock.model.version_facts import CHANGE_TYPES
from interlock.model.wire import Fields

Row = TypeVar("Row")

APPROVALS_MAX = 100
PACE_CAP = "paceCap"
NAME_MAX = 200

EXEMPT = ("fix", "security", "rollback")
"""Types of change that go, whatever such a rule reads, where it says nothing else."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What is to happen. `percent` of each wave may go at once; 100 is no cap.

    Takes: `group` is whose approvals count; "" for anybody who may approve.
    """

    hold: bool = False
    approvals: int = 0
    group: str = ""
    percent: int = 100

    @property
    def severity(self) -> tuple[bool, int, int]:
        """Which of two is stricter: a hold, then more people, then a slower pace."""
        return (self.hold, self.approvals, 100 - self.percent)


PASS = Effect()
HOLD = Effect(hold=True)


def joined(effects: Iterable[Effect]) -> Effect:
    """All of them at once: any hold, the most approvals, the least pace. Nothing: pass.

    Why:    of several groups the strictest effect's is asked; a rule that must ask two groups has two rules.
    """
    found = sorted(effects, key=lambda one: (one.severity, one.group))
    if not found:
        return PASS
    asking = max(found, key=lambda one: (one.approvals, one.group))
    return Effect(any(one.hold for one in found), asking.approvals, asking.group, min(one.percent for one in found))


def read_effect(fields: Fields, name: str) -> Effect:
    """An effect from the wire. Faults are left in `fields`."""
    said = fields.anything(name)
    if said is None:
        fields.wrong(name, "is required: pass, hold, or an object of approvals, approverGroup and paceCap")
        return HOLD
    if isinstance(said, str):
        if said not in {"pass", "hold"}:
            fields.wrong(name, "must be pass, hold, or an object of approvals, approverGroup and paceCap")
        return PASS if said == "pass" else HOLD
    inner = Fields(said, f"{fields.path}.{name}")
    approvals = inner.optional_integer("approvals", minimum=1, maximum=APPROVALS_MAX)
    group = inner.text("approverGroup", maximum=any_approval.GROUP_NAME_MAX).strip()
    cap = inner.number("paceCap", default=None, minimum=0.01, maximum=1)
    if group and approvals is None:
        inner.wrong("approverGroup", "needs approvals, whose group it says")
    if not inner.errors and approvals is None and cap is None:
        inner.wrong("approvals", "or paceCap must be there; what does nothing is `pass`")
    inner.refuse_rest()
    fields.errors.extend(inner.errors)
    return Effect(approvals=approvals or 0, group=group, percent=100 if cap is None else max(1, round(cap * 100)))


def read_reactions(fields: Fields, read_row: Callable[[Fields], Row], *, maximum: int) -> tuple[Row, ...]:
    """The rows of `reactions`, each a closed object that `read_row` reads. Faults are left in `fields`."""
    rows = []
    for number, body in enumerate(fields.items("reactions", maximum=maximum)):
        row = Fields(body, f"{fields.path}.reactions[{number}]")
        rows.append(read_row(row))
        row.refuse_rest()
        fields.errors.extend(row.errors)
    return tuple(rows)


def read_exempt(fields: Fields) -> tuple[str, ...]:
    """The types of change that always go. Faults are left in `fields`."""
    return fields.words("exempt", allowed=CHANGE_TYPES, default=EXEMPT)


def read_names(fields: Fields, name: str, *, maximum: int) -> tuple[str, ...]:
    """A list of the names of things that are read, in order, each once. Faults are left in `fields`."""
    names = fields.items(name, maximum=maximum)
    if not all(isinstance(one, str) and 0 < len(one.strip()) <= NAME_MAX for one in names):
        fields.wrong(name, f"must be a list of the names of {name}")
        return ()
    return tuple(sorted({str(one).strip() for one in names}))


@dataclass(frozen=True, slots=True)
class Words:
    """A rule's own reason codes."""

    passes: str
    holds: str
    capped: str
    approved: str


def verdict_of(
    effect: Effect,
    subject: EnvironmentVersion,
    now: datetime,
    *,
    words: Words,
    asked_because: str,
    waits_for: WaitsFor = WaitsFor.WAIT,
    since: datetime | None = None,
    changes_at: datetime | None = None,
    waits_on: tuple[str, ...] = (),
    who: str | None = None,
    **values: object,
) -> Verdict:
    """The verdict of an effect.

    Takes: `asked_because` stands behind "It has 0 of 1 approvals", as in ", asked for because its budget burns".
           `changes_at` is when the signal ends by time alone. `values` are for the sentences.
    Reads: `approvals_by_version_environment` and what `subject.approvals` says beside it.
    """
    told: dict[str, Any] = {**values}
    if effect.hold:
        return holds(waits_for, words.holds, since=since, changes_at=changes_at, waits_on=waits_on, who=who, **told)
    capping = () if effect.percent >= 100 else (Obligation(PACE_CAP, {"percent": effect.percent}),)
    told |= {"percent": effect.percent} if capping else {}
    if not effect.approvals:
        reason = words.capped if capping else words.passes
        return passes(reason, since=since, changes_at=changes_at, obligations=capping, **told)
    params = any_approval.Params(effect.approvals, allow_self=True, group=effect.group)
    said = any_approval.evaluate(subject, params, now)
    changes_at = earliest((changes_at, said.changes_at))
    if said.passes:
        return passes(
            words.approved, since=said.since, changes_at=changes_at, obligations=capping, **told, by=said.values["by"]
        )
    about: dict[str, Any] = {**said.values, **values}
    if said.asks:
        about["of_group"] = f"{said.values.get('of_group', '')}{asked_because}"
    return holds(
        WaitsFor.PERSON,
        said.reason,
        since=said.since,
        changes_at=changes_at,
        waits_on=(*said.waits_on, *waits_on),
        who=said.who,
        obligations=(*said.obligations, *capping),
        **about,
    )


def percent_of(verdict: Verdict) -> int:
    """How much of each wave a verdict lets go at once; 100 where it does not say."""
    caps = [one.values.get("percent") for one in verdict.obligations if one.kind == PACE_CAP]
    return min((cap for cap in caps if isinstance(cap, int)), default=100)
