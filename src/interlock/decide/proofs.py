"""What is measured of a rollout as a whole, and when does that begin?

A *proof* is a verification of a rollout, not of one target:

    of a wave      once, when a wave is over and another one waits behind it: the next wave starts when it passed
    while open     from the first hand-over of the rollout until it ends; it passes when nothing was found till then

Both measure the change in its environment, so they know the rollout, the version, the environment and the deployment,
and no resource. When one fails the rollout halts, and what it moved goes back where a rollback rule answers failed
verifications (`react.py`). When one could not tell, nothing more starts. A person who lets the rollout go on (resumes
or promotes it) forgives both: the wave counts as proven, and what runs while it is open begins anew.

Which metrics there are is asked when a proof begins, of all policies of the targets that it is about; so are the parts
of the rollout's α that its sequential tests may spend (`judge/spending.py`).

Source: issue "Verification that acts", "A metric can also run between waves and continuously while a rollout is open".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interlock.decide.facts import Move, Proof, Rollout, Target
from interlock.decide.index import Index
from interlock.decide.plan import NewProof
from interlock.decide.rules import verification
from interlock.judge.spending import alpha_share
from interlock.model.ids import derived_id
from interlock.model.verification import MetricSpec, Runs, Terms

Metrics = tuple[tuple[str, MetricSpec], ...]
"""(policy id, metric), by policy and in the order in which they are written."""

GATING = ("jobSuccess", "jobStarted", "jobCreated")
"""The triggers whose verification a move must pass. `jobFailure` only records what was seen."""


def metrics_of(index: Index, targets: Iterable[Target], runs: Runs) -> Metrics:
    """What the policies of some targets want to be measured of their rollout, each metric once."""
    sets = {target.policy_set for target in targets}
    policies = {policy.id: policy for policy_set in sets for policy in index.policies_of(policy_set)}
    return tuple(
        (policy.id, spec)
        for _, policy in sorted(policies.items())
        if not policy.observe
        for rule in policy.rules
        if isinstance(rule.params, verification.Params)
        for spec in rule.params.metrics
        if spec.runs is runs
    )


def terms_of(index: Index, targets: Iterable[Target], runs: Runs) -> Terms:
    """What the rules that ask for these metrics say of the end of their verification."""
    sets = {target.policy_set for target in targets}
    policies = {policy.id: policy for policy_set in sets for policy in index.policies_of(policy_set)}
    rules = [
        rule.params
        for policy in policies.values()
        if not policy.observe
        for rule in policy.rules
        if isinstance(rule.params, verification.Params) and any(spec.runs is runs for spec in rule.params.metrics)
    ]
    return verification.joint_terms(rules, gates=True)


# α --------------------------------------------------------------------------------------------------------------------


def tests_planned(index: Index, targets: Sequence[Target], waves: int) -> int:
    """How many sequential tests a rollout begins if it goes as planned: a try a target, a proof between two waves."""
    by_set: dict[str | None, int] = {}
    for target in targets:
        if target.policy_set not in by_set:
            of_target = metrics_of_jobs(index, target)
            by_set[target.policy_set] = sum(spec.spends_alpha for _, spec in of_target)
    tests = sum(by_set[target.policy_set] for target in targets)
    between, while_open = (
        sum(spec.spends_alpha for _, spec in metrics_of(index, targets, runs))
        for runs in (Runs.BETWEEN_WAVES, Runs.WHILE_OPEN)
    )
    return tests + between * max(waves - 1, 0) + while_open


def metrics_of_jobs(index: Index, target: Target) -> Metrics:
    """What a target's move must pass."""
    return tuple(
        (policy.id, spec)
        for policy in index.policies_of(target.policy_set)
        if not policy.observe
        for rule in policy.rules
        if isinstance(rule.params, verification.Params) and rule.params.trigger in GATING
        for spec in rule.params.of_job
    )


def alpha_shares(rollout: Rollout | None, metrics: Metrics, *, begun: int) -> tuple[float | None, ...]:
    """The part of the rollout's α of each metric that spends some; nothing where there is no rollout to split it.

    Takes: `begun` of its tests were begun before.
    """
    if rollout is None:
        return ()
    shares: list[float | None] = []
    for _, spec in metrics:
        begun += spec.spends_alpha
        shares.append(float(alpha_share(begun, rollout.tests_planned)) if spec.spends_alpha else None)
    return tuple(shares)


# Beginning ------------------------------------------------------------------------------------------------------------


def begin_while_open(index: Index) -> tuple[NewProof, ...]:
    """The proofs that begin now because a rollout has begun to move, or a person let it go on."""
    found = []
    for rollout in sorted(index.facts.rollouts, key=lambda one: one.id):
        if rollout.state not in {"open", "paused"}:
            continue
        before = [one for one in rollout.proofs if one.wave is None]
        if any(one.state == "running" or stops(one) for one in before):
            continue
        first = _first_started(index.moves_by_rollout.get(rollout.id, ()))
        if first is None:
            continue
        here = index.targets_by_environment.get(rollout.environment_id, ())
        metrics = metrics_of(index, here, Runs.WHILE_OPEN)
        if metrics:
            proof = Proof(derived_id("verification", rollout.id, "open", str(len(before))), None, "", "running")
            found.append(_begun(rollout, proof, first, metrics, terms_of(index, here, Runs.WHILE_OPEN)))
    return tuple(found)


def begin_of_wave(
    index: Index, rollout: Rollout, members: Sequence[Target], *, lane: str, wave: int
) -> NewProof | None:
    """The proof of a wave that is over, unless it was begun or nobody asks for one.

    Takes: `lane` is the rule that the wave is of, `members` are the targets in it.
    """
    if proof_of_wave(rollout, lane=lane, wave=wave) is not None:
        return None
    metrics = metrics_of(index, members, Runs.BETWEEN_WAVES)
    ids = {target.id for target in members}
    move = _first_started(one for one in index.moves_by_rollout.get(rollout.id, ()) if one.target_id in ids)
    if not metrics or move is None:
        return None
    proof_id = derived_id("verification", rollout.id, "wave", lane, str(wave))
    terms = terms_of(index, members, Runs.BETWEEN_WAVES)
    return _begun(rollout, Proof(proof_id, wave, lane, "running"), move, metrics, terms)


def _begun(rollout: Rollout, proof: Proof, move: Move, metrics: Metrics, terms: Terms) -> NewProof:
    names = tuple(spec.name for _, spec in metrics)
    shares = alpha_shares(rollout, metrics, begun=rollout.tests_begun)
    named = Proof(proof.id, proof.wave, proof.lane, proof.state, metrics=names)
    return NewProof(named, rollout.id, move.id, metrics, shares, terms)


def _first_started(moves: Iterable[Move]) -> Move | None:
    """The move that was handed over first."""
    started = [(move.started_at, move.id, move) for move in moves if move.started_at is not None]
    return min(started)[2] if started else None


# What came of it ------------------------------------------------------------------------------------------------------


def proof_of_wave(rollout: Rollout, *, lane: str, wave: int) -> Proof | None:
    """The proof of a wave; None where none was begun."""
    return next((one for one in rollout.proofs if (one.lane, one.wave) == (lane, wave)), None)


def stops(proof: Proof) -> bool:
    """Whether a proof keeps its rollout from going on: it failed or could not tell, and nobody has forgiven it."""
    return proof.state in {"failed", "inconclusive"} and not proof.forgiven


def disproved(rollout: Rollout) -> Proof | None:
    """The proof that halts a rollout: it failed, and nobody has forgiven it."""
    found = [one for one in rollout.proofs if one.state == "failed" and stops(one)]
    return min(found, key=lambda one: one.id, default=None)


def unclear(rollout: Rollout) -> Proof | None:
    """The proof of a whole rollout that could not tell, and keeps it from starting more."""
    found = [one for one in rollout.proofs if one.wave is None and one.state == "inconclusive" and stops(one)]
    return min(found, key=lambda one: one.id, default=None)


def named(proof: Proof) -> str:
    """What a proof is about, for people: waves are counted from 1."""
    return "what is measured while it is open" if proof.wave is None else f"wave {proof.wave + 1}"
