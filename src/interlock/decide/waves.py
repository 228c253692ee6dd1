"""How is a fleet cut into waves: how large is each, and who is in it?

    sizes   a list of counts and percentages, or exponential growth up to a cap; never larger than written
    order   by domain (lightest first, then by name), within a domain by sha256(version id, target id)
    cut     each wave takes the first targets that the failure domains admit, as many as its size allows

With failure domains [region, zone] no wave touches more than one region until the second wave is over, and none touches
more than one zone of a region until that region's first zone is over; every further key binds in the same way within
its parent. What is over has baked, because a wave starts only after the one before it baked. A wave that the domains
cut short stays short: what is left goes in later waves, so a wave is never larger than its size.

Pure arithmetic over ids and labels; whether a wave may start is `schedule`'s question.

Source: definitions.md E4, with its numbers; core.md section 4 (order).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from heapq import heapify, heappop, heappush
from itertools import islice, repeat

ONE_REGION_WAVES = 2
"""So many waves stay within one region each."""

_WEIGHT = re.compile(r"\d{1,12}(\.\d{1,6})?")


@dataclass(frozen=True, slots=True)
class Reach:
    """How many targets have started once a wave has: a count, or a part of all of them, rounded up."""

    count: int = 0
    part: Fraction | None = None

    def of(self, targets: int) -> int:
        """As a number of targets."""
        reached = self.count if self.part is None else -(-targets * self.part.numerator // self.part.denominator)
        return min(reached, targets)


@dataclass(frozen=True, slots=True)
class Growth:
    """Waves that grow: the first has `initial` targets, each next is `factor` times as large, none above `cap`."""

    initial: int
    factor: Fraction
    cap: Fraction


@dataclass(frozen=True, slots=True)
class Domains:
    """Which metadata keys name a target's failure domain, widest first, and which key (if any) weighs it."""

    keys: tuple[str, ...]
    weight: str | None = None

    @property
    def read(self) -> frozenset[str]:
        """The metadata keys that a round must know."""
        return frozenset(self.keys) | ({self.weight} if self.weight else frozenset())

    def missing(self, labels: Mapping[str, str]) -> str | None:
        """The first key that a target lacks, without which it has no place."""
        return next((key for key in self.keys if not labels.get(key)), None)


def listed_sizes(reaches: Sequence[Reach], targets: int) -> Iterator[int]:
    """The sizes of listed waves, without empty ones; then the largest again and again, for those that join later."""
    done, largest = 0, 1
    for reach in reaches:
        size = reach.of(targets) - done
        if size > 0:
            yield size
            done, largest = done + size, max(largest, size)
    yield from repeat(largest)


def growing_sizes(growth: Growth, targets: int) -> Iterator[int]:
    """min(⌊initial · factor^k⌋, ⌊cap · targets⌋), at least 1, without end; the rest is the caller's."""
    most, size = max(int(growth.cap * targets), 1), Fraction(growth.initial)
    while int(size) < most:
        yield max(int(size), 1)
        size *= growth.factor
    yield from repeat(most)


def order_key(salt: str, target_id: str) -> bytes:
    """Where a target stands within its domain."""
    return hashlib.sha256(f"{salt}{target_id}".encode()).digest()


def cut(members: Iterable[str], sizes: Iterator[int]) -> Iterator[tuple[str, ...]]:
    """Waves of targets in the order in which they come."""
    left = iter(members)
    while wave := tuple(islice(left, next(sizes))):
        yield wave


# Failure domains ------------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Domain:
    """A failure domain: the domains within it, or its targets where it is a narrowest one.

    Takes: `left` targets are in no wave yet. `weight` is None when one of its targets has no number there. `unlocked`
           says that all domains within it may be touched.
    """

    name: str
    parent: Domain | None = None
    children: dict[str, Domain] = field(default_factory=dict)
    inner: tuple[Domain, ...] = ()
    members: list[str] = field(default_factory=list)
    left: int = 0
    weight: int | None = 0
    rank: int = 0
    unlocked: bool = False

    @property
    def order(self) -> tuple[bool, int, str]:
        """The lightest first, then by name; those of unknown weight last."""
        return (self.weight is None, self.weight or 0, self.name)

    @property
    def region(self) -> Domain:
        """The widest domain that it is in."""
        domain = self
        while domain.parent is not None and domain.parent.parent is not None:
            domain = domain.parent
        return domain

    @property
    def first(self) -> Domain:
        """The one narrowest domain within it that may be touched first."""
        domain = self
        while domain.inner:
            domain = domain.inner[0]
        return domain


def cut_by_domain(
    members: Sequence[str], labels: Mapping[str, Mapping[str, str]], domains: Domains, sizes: Iterator[int]
) -> Iterator[tuple[str, ...]]:
    """Waves of targets that each have a domain.

    Takes: `members` in the order that they have within a domain; `labels`: target id -> metadata key -> value.
    Costs: O(n + d log d) for d domains.
    """
    root = _tree(members, labels, domains)
    heap = [(leaf.rank, leaf) for leaf in (region.first for region in root.inner)]
    heapify(heap)
    number = 0
    while heap:
        wave, emptied = _draw(heap, next(sizes), one_region=number < ONE_REGION_WAVES)
        for leaf in emptied:
            for opened in _unlocked(leaf):
                heappush(heap, (opened.rank, opened))
        number += 1
        yield wave


def _tree(members: Sequence[str], labels: Mapping[str, Mapping[str, str]], domains: Domains) -> Domain:
    root = Domain("")
    for target_id in members:
        mine = labels[target_id]
        weight = 1 if domains.weight is None else _weight(mine.get(domains.weight, ""))
        domain = root
        _add(domain, weight)
        for key in domains.keys:
            within = domain
            domain = within.children.get(mine[key]) or within.children.setdefault(mine[key], Domain(mine[key], within))
            _add(domain, weight)
        domain.members.append(target_id)
    _rank(root, 0)
    return root


def _add(domain: Domain, weight: int | None) -> None:
    domain.left += 1
    domain.weight = None if weight is None or domain.weight is None else domain.weight + weight


def _rank(domain: Domain, rank: int) -> int:
    """Number the narrowest domains in their order; gives the next number."""
    domain.inner = tuple(sorted(domain.children.values(), key=lambda one: one.order))
    domain.rank = rank
    for one in domain.inner:
        rank = _rank(one, rank)
    return rank if domain.inner else rank + 1


def _weight(text: str) -> int | None:
    """Millionths, so that sums are exact; None for what is no number."""
    return int(Fraction(text) * 1_000_000) if _WEIGHT.fullmatch(text) else None


def _draw(heap: list[tuple[int, Domain]], size: int, *, one_region: bool) -> tuple[tuple[str, ...], list[Domain]]:
    """One wave out of the open domains, and those that it emptied."""
    wave: list[str] = []
    emptied: list[Domain] = []
    region: Domain | None = None
    while heap and len(wave) < size:
        leaf = heap[0][1]
        if one_region and region is not None and leaf.region is not region:
            break
        region = leaf.region
        begin = len(leaf.members) - leaf.left
        taken = leaf.members[begin : begin + size - len(wave)]
        wave.extend(taken)
        domain: Domain | None = leaf
        while domain is not None:
            domain.left -= len(taken)
            domain = domain.parent
        if not leaf.left:
            heappop(heap)
            emptied.append(leaf)
    return tuple(wave), emptied


def _unlocked(leaf: Domain) -> Iterator[Domain]:
    """The narrowest domains that wait for this one, or for one around it that it was the last of."""
    domain = leaf
    while domain.parent is not None and domain.parent.parent is not None and not domain.left:
        within = domain.parent
        if within.inner[0] is domain and not within.unlocked:
            within.unlocked = True
            yield from (sibling.first for sibling in within.inner[1:])
        domain = within
