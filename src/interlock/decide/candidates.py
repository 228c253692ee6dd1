"""Which versions may a target consider at all?

Its pin, if there is one. Else, newest first, at most `CANDIDATES_MAX` versions newer than its mark (the newest version
ever handed over to it) that are `ready`, that the versionSelector rules pick, and that are not in quarantine for it.
Older ones than the mark come back only by a pin or a rollback.

Source: core.md section 4, "A target goes for"; status semantics: reference-behaviour.md 1.7 [RB].
"""

from __future__ import annotations

from datetime import datetime

from interlock.decide.facts import Pin, Target, Version
from interlock.decide.index import Index
from interlock.decide.rules import version_selector
from interlock.decide.subjects import EnvironmentVersion
from interlock.decide.verdict import Judged, guarded, passes

CANDIDATES_MAX = 50

DEPLOYABLE = "ready"
"""`paused` keeps what runs and starts nothing new; building, failed, rejected and unspecified never start."""


class Candidates:
    """Candidate lists, shared by the targets of one environment, policy set and floor."""

    def __init__(self, index: Index, now: datetime) -> None:
        self.index = index
        self.now = now
        self._lists: dict[tuple[str, str | None, str | None], tuple[Version, ...]] = {}
        self._pin_by_place: dict[tuple[str | None, str | None], Pin] = {}
        self._said_by_pin: dict[str, Judged] = {}
        for pin in sorted(index.facts.pins, key=lambda one: (one.created_at, one.id)):
            if pin.expires_at is None or now < pin.expires_at:
                place = (None, pin.target_id) if pin.target_id else (pin.environment_id, None)
                self._pin_by_place[place] = pin

    def pin_of(self, target: Target) -> Pin | None:
        """The pin that concerns a target: the narrowest, and of two equally narrow ones the newer."""
        pins = self._pin_by_place
        if not pins:
            return None
        return pins.get((None, target.id)) or pins.get((target.environment_id, None)) or pins.get((None, None))

    def said_of(self, pin: Pin) -> Judged:
        """What explains a pinned target: who pinned it, why and until when."""
        if pin.id not in self._said_by_pin:
            version = self.index.version_by_id.get(pin.version_id)
            verdict = passes(
                "pin_in_force",
                since=pin.created_at,
                changes_at=pin.expires_at,
                version=version.tag if version else pin.version_id,
                scope="target" if pin.target_id else "environment" if pin.environment_id else "deployment",
                by=pin.created_by or None,
                why=pin.reason,
                until_at=pin.expires_at,
                pin=pin.id,
            )
            self._said_by_pin[pin.id] = Judged("pin", verdict)
        return self._said_by_pin[pin.id]

    def of(self, target: Target) -> tuple[Version, ...]:
        """What a target without a pin may consider, newest first."""
        listed = self.shared(target.environment_id, target.policy_set, self.index.floor(target))
        quarantined = self.index.quarantined
        if not quarantined:
            return listed
        return tuple(version for version in listed if (target.id, version.id) not in quarantined)

    def shared(self, environment_id: str, policy_set: str | None, floor: str | None) -> tuple[Version, ...]:
        """The list before quarantines."""
        key = (environment_id, policy_set, floor)
        if key not in self._lists:
            self._lists[key] = self._list(environment_id, policy_set, floor)
        return self._lists[key]

    def _list(self, environment_id: str, policy_set: str | None, floor: str | None) -> tuple[Version, ...]:
        found: list[Version] = []
        for version in self.index.newer_than(floor):
            if version.status == DEPLOYABLE and self.selected(environment_id, policy_set, version):
                found.append(version)
                if len(found) == CANDIDATES_MAX:
                    break
        return tuple(found)

    def selected(self, environment_id: str, policy_set: str | None, version: Version) -> bool:
        """Whether the versionSelector rules let a version be considered in an environment. One that raises does not."""
        environment = self.index.facts.environments.get(environment_id)
        if environment is None:
            return False
        subject = EnvironmentVersion(self.index, environment, version, "forward")
        return all(
            guarded(version_selector.evaluate, subject, rule.params, self.now).passes
            for policy in self.index.policies_of(policy_set)
            if not policy.observe
            for rule in policy.rules
            if rule.kind == version_selector.kind
        )
