"""What is put before a person who is asked for an approval?

What changes from what to what, on which targets, what the environments before it showed, why a person is asked, what a
rollback would do. Plain JSON, stored with the request under its digest: the approval names exactly what was seen.

Source: core.md section 4, "Approval answers a request"; requirements.md R003-63 to R003-68 (later issues add evidence
        and risk).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from interlock.decide.facts import Target, Version
from interlock.decide.index import Index
from interlock.decide.subjects import EnvironmentVersion, change_view
from interlock.decide.verdict import Judged, instant

TARGETS_SHOWN_MAX = 100


def shown(
    index: Index,
    environment_id: str,
    version: Version,
    missing: Sequence[Judged],
    *,
    configs: tuple[str, ...] | None = None,
) -> Mapping[str, object]:
    """The package for one version into one environment, as plain JSON in a stable order.

    Takes: `configs` are the resolved configs that targets would take, where only their config is to change.
    """
    environment = index.facts.environments[environment_id]
    targets = index.targets_by_environment.get(environment_id, ())
    if configs is not None:
        targets = tuple(one for one in targets if one.config_digest in configs and index.drifts(one))
    subject = EnvironmentVersion(index, environment, version, "forward")
    return {
        "deployment": index.facts.deployment_name,
        "environment": environment.name,
        "version": {"id": version.id, "tag": version.tag, "createdAt": instant(version.created_at), **_change(version)},
        "from": _counted(index, targets),
        "targets": sorted(target.name or target.id for target in targets)[:TARGETS_SHOWN_MAX],
        "targetsTotal": len(targets),
        "showed": [_showed(subject, other.id, other.name) for other in subject.neighbours],
        "why": [
            {
                "rule": one.kind,
                "ruleId": ",".join(one.rule_ids),
                "policy": one.policy_name,
                "minimum": one.verdict.values.get("minimum"),
                **({"group": one.verdict.values["group"]} if "group" in one.verdict.values else {}),
            }
            for one in missing
        ],
        "rollback": _back(index, targets),
        **({"configs": list(configs)} if configs is not None else {}),
    }


def _change(version: Version) -> dict[str, object]:
    """What CI said of the change, where it said anything."""
    said = change_view(version)
    return {"change": dict(said)} if said else {}


def _counted(index: Index, targets: Sequence[Target]) -> list[dict[str, object]]:
    """What runs there now: each version with how many targets."""
    counts = Counter(_tag(index, target.current.version_id) if target.current else "nothing" for target in targets)
    return [{"version": tag, "targets": number} for tag, number in sorted(counts.items())]


def _back(index: Index, targets: Sequence[Target]) -> list[dict[str, object]]:
    """Where a rollback would take the targets."""
    counts = Counter(
        _tag(index, target.good.version_id) if target.good else "nowhere: no good release" for target in targets
    )
    return [{"to": tag, "targets": number} for tag, number in sorted(counts.items())]


def _tag(index: Index, version_id: str) -> str:
    version = index.version_by_id.get(version_id)
    return version.tag if version else version_id


def _showed(subject: EnvironmentVersion, environment_id: str, name: str) -> dict[str, object]:
    """How this version did in another environment of the same system."""
    other = subject.index.facts.environments[environment_id]
    rows = subject.upstream(other)
    landed = [one for _, one in rows if one is not None and one.left_at is None]
    verified = [one.verified_at for one in landed if one.verified_at is not None]
    body: dict[str, object] = {
        "environment": name,
        "targets": len(rows),
        "succeeded": len(landed),
        "verified": len(verified),
    }
    if verified:
        body["lastVerifiedAt"] = instant(max(verified))
    return body
