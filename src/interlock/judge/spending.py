"""How much of a rollout's α may each of its tests spend?

A *test* is one metric of one verification that is judged at every look: it may wrongly stop a harmless rollout with
probability at most α times its part. By the union bound (Bonferroni) the rollout may be stopped wrongly with
probability at most α times the sum of all parts, however the tests depend on each other; so the parts of all tests that
a rollout ever begins, whatever happens to it, must sum to at most 1.

How many there will be is planned when the rollout opens: its targets times their gating metrics, its waves, and what is
measured while it is open. Nine tenths of α are split evenly over those. More may come: a target joins, a job is retried
and verified anew, a policy gains a metric. The k-th of these gets 1 / (k · (k + 1)) of the last tenth; the series sums
to 1 (it telescopes), so they never run out. A test that is planned and never begins leaves its part unspent.

Tests are numbered in the order in which they begin, so a part hangs on two numbers alone, and is written down with the
verification when it begins: nothing that comes later changes what an ongoing test may spend.

An even split over many is paid for in evidence, and little: the e-value that stops is 1 over the part of α, so a
hundred times as many tests ask for 4.6 more of log-evidence.

Source: definitions.md E3 ("divided by the number of gating metrics"); the union bound; Foster and Stine (2008),
"α-investing", for spending an error over a sequence of tests of unknown length, here by a fixed series.
"""

from __future__ import annotations

from fractions import Fraction

PLANNED = Fraction(9, 10)
"""What the tests that were planned share; the rest is for those that come on top."""


def alpha_share(number: int, planned: int) -> Fraction:
    """The part of α that a rollout's test may spend.

    Takes: `number` is its place among all tests that the rollout began, from 1; `planned` how many were planned when it
           opened, the same for all of them.
    """
    if number <= planned:
        return PLANNED / planned
    beyond = number - planned
    return (1 - PLANNED) / (beyond * (beyond + 1))


def evenly(tests: int) -> float:
    """The part of each, where a verification belongs to no rollout: all of its tests begin at once."""
    return 1 / max(tests, 1)
