"""How long does it take to answer what a policy would change? Targets decided twice and compared, in one process.

The facts of `decide`'s benchmark in deployments of 10,000 targets, each with four gates and a gradual rollout; the
question replaces the policy with the gates by one without the approval, and each target stands elsewhere. `a round` is
one `decide` over the same facts: the answer must cost two of them, and little more.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from bench.decide import GATES, NOW, some_facts
from bench.forecast import cpu_ms
from bench.ground import Finding

from interlock.decide import decide
from interlock.decide.what_if import Proposal, differences
from interlock.simulate.world import policy

BUDGET_S = 10.0
"""Ours: an answer over 50,000 targets, while somebody waits for it."""


def main() -> list[Finding]:
    """Print the table; give the figure of 50,000 targets."""
    print("differences() of one changed policy; milliseconds of CPU")
    print(f"{'targets':>9} {'answer':>9} {'µs/target':>10} {'a round':>9} {'ratio':>7} {'changed':>8}")
    findings: list[Finding] = []
    for targets in (1_000, 10_000, 50_000):
        facts = some_facts(targets, paced=True)
        gates = next(one for one in facts.policies.values() if one.name == "gates")
        without = policy("gates", GATES[1:])
        selected = {key: frozenset({gates.id}) for key, one in facts.targets.items() if one.policy_set == "set"}
        proposal = Proposal({gates.id: replace(without, id=gates.id)}, selected, {})
        changed = len(differences(facts, proposal, NOW))
        answer_ms = cpu_ms(lambda: differences(facts, proposal, NOW))  # noqa: B023
        round_ms = cpu_ms(lambda: decide(facts, NOW))  # noqa: B023
        row = f"{targets:>9,} {answer_ms:>9.0f} {answer_ms * 1000 / targets:>10.1f} {round_ms:>9.0f}"
        print(f"{row} {answer_ms / round_ms:>7.1f} {changed:>8,}")
        if targets == 50_000:
            findings.append(Finding("what-if over 50,000 targets", answer_ms / 1000, BUDGET_S, "s"))
            findings.append(Finding("what-if, in rounds over the same facts", answer_ms / round_ms, None, "×"))
    return findings


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
    main()
