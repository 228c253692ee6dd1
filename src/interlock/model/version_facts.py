"""What does CI say of a change, beyond its tag? Author, kind of change, commits, pull request, artifacts, risk.

Each is a documented metadata key of the version, so that a client that can send nothing but metadata says it too. What
is malformed is refused when it is written: a misspelt risk label would be a rule that never matches. What was stored
before its key meant anything is read as not said.

    interlock/author         ann@example.com
    interlock/change-type    code, config, infra, migration, fix, security or rollback
    interlock/commits        9f2c1d4e, 77ab01c3        one or several, newest first (interlock/commit is read too)
    interlock/pull-request   https://git.example.com/shop/api/pull/12, shop/api#12 or #12
    interlock/artifacts      shop-api@sha256:…         one or several digests, each perhaps with a name before it
    interlock/risk           low, medium, high or critical

Rules read them as `change`: its fields are there where they were said, and missing where not.

Source: issue "Every rule, one pure decision", version facts; guide docs/guides/version-facts.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from interlock.model.errors import FieldError
from interlock.model.wire import refusal

T = TypeVar("T")

AUTHOR = "interlock/author"
CHANGE_TYPE = "interlock/change-type"
COMMITS = "interlock/commits"
COMMIT = "interlock/commit"
PULL_REQUEST = "interlock/pull-request"
ARTIFACTS = "interlock/artifacts"
RISK = "interlock/risk"
LINKS = "ctrlplane/links"
"""Where the wire keeps a version's links: a JSON object of name and address, as text (contract.md section b)."""

CHANGE_TYPES = ("code", "config", "infra", "migration", "fix", "security", "rollback")
RISKS = ("low", "medium", "high", "critical")

TEXT_MAX = 500
LISTED_MAX = 250
"""A change names so many commits, and so many artifacts, at most."""

_COMMIT = re.compile(r"[0-9a-f]{7,64}", re.IGNORECASE)
_PULL_REQUEST = re.compile(r"https?://\S+|(?:[\w.-]+(?:/[\w.-]+)*)?[#!]?\d+")
_DIGEST = re.compile(r"(?:(?P<name>[^\s,@=]+)[@=])?(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")


@dataclass(frozen=True, slots=True)
class Artifact:
    """Something that was built, by its digest; `name` is "" where none was said."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What was said of a change. None, or nothing listed, where nothing was."""

    author: str | None = None
    change_type: str | None = None
    commits: tuple[str, ...] = ()
    pull_request: str | None = None
    artifacts: tuple[Artifact, ...] = ()
    risk: str | None = None

    @property
    def view(self) -> Mapping[str, object]:
        """The CEL map `change`: what was not said is not there, so that a default never stands in for it."""
        said = {
            "author": self.author,
            "type": self.change_type,
            "commits": list(self.commits),
            "pullRequest": self.pull_request,
            "artifacts": [one.digest for one in self.artifacts],
            "risk": self.risk,
        }
        return {name: value for name, value in said.items() if value}


def parse_version_facts(metadata: Mapping[str, str]) -> VersionFacts:
    """What metadata says of a change.

    Fails: `Invalid`, naming each malformed key and what it may hold.
    """
    facts, faults = _read(metadata)
    if faults:
        raise refusal(faults)
    return facts


def version_facts(metadata: Mapping[str, str]) -> VersionFacts:
    """The same of stored metadata: what is malformed was not said. Never fails."""
    return _read(metadata)[0]


def _read(metadata: Mapping[str, str]) -> tuple[VersionFacts, list[FieldError]]:
    faults: list[FieldError] = []

    def said(key: str, read: Callable[[str], T | None], allowed: str) -> T | None:
        text = metadata.get(key)
        if text is None:
            return None
        value = read(str(text).strip())
        if value is None:
            faults.append(FieldError(f'metadata["{key}"]', f"must be {allowed}"))
        return value

    commits = "commits of 7 to 64 hexadecimal digits, separated by commas or blanks"
    digests = "digests as in name@sha256:<64 hexadecimal digits>, separated by commas or blanks"
    facts = VersionFacts(
        author=said(AUTHOR, _line, f"a name on one line of at most {TEXT_MAX} characters"),
        change_type=said(CHANGE_TYPE, _one_of(CHANGE_TYPES), f"one of {', '.join(CHANGE_TYPES)}"),
        commits=said(COMMITS, _commits, commits) or said(COMMIT, _commits, commits) or (),
        pull_request=said(PULL_REQUEST, _pull_request, "a URL, owner/name#12 or #12"),
        artifacts=said(ARTIFACTS, _artifacts, digests) or (),
        risk=said(RISK, _one_of(RISKS), f"one of {', '.join(RISKS)}"),
    )
    return facts, faults


def _line(text: str) -> str | None:
    return text if 0 < len(text) <= TEXT_MAX and text.isprintable() else None


def _one_of(allowed: tuple[str, ...]) -> Callable[[str], str | None]:
    return lambda text: text if text in allowed else None


def _listed(text: str) -> list[str]:
    return [part for part in re.split(r"[\s,]+", text) if part]


def _commits(text: str) -> tuple[str, ...] | None:
    found = _listed(text)
    if not found or len(found) > LISTED_MAX or not all(_COMMIT.fullmatch(one) for one in found):
        return None
    return tuple(one.lower() for one in found)


def _pull_request(text: str) -> str | None:
    return text if len(text) <= TEXT_MAX and _PULL_REQUEST.fullmatch(text) else None


def _artifacts(text: str) -> tuple[Artifact, ...] | None:
    matches = [_DIGEST.fullmatch(one) for one in _listed(text)]
    if not matches or len(matches) > LISTED_MAX:
        return None
    found = [Artifact(one["name"] or "", one["digest"]) for one in matches if one is not None]
    return tuple(found) if len(found) == len(matches) else None
