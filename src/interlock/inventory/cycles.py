"""Do dependencies lead back to where they begin? Then each would wait for the other for ever.

Between deployments: one needs what the newest of its versions that is neither failed nor rejected needs. So an old
version's dependencies stop counting when a newer one comes without them.

Source: requirements.md R000-36; reference-behaviour.md 4.9 [RB].
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


def find_cycle(
    start: str, needs: Collection[str], *, needs_by_deployment: Mapping[str, Collection[str]]
) -> tuple[str, ...]:
    """The shortest way from `start` over `needs` back to itself; empty when there is none.

    Takes: `needs` is what `start` would need; what `needs_by_deployment` says of it does not count.
    Gives: as in (start, other, start).
    """
    ways: list[tuple[str, ...]] = [(start, one) for one in sorted(needs)]
    seen = {start}
    while ways:
        further: list[tuple[str, ...]] = []
        for way in ways:
            if way[-1] == start:
                return way
            if way[-1] not in seen:
                seen.add(way[-1])
                further += [(*way, one) for one in sorted(needs_by_deployment.get(way[-1], ()))]
        ways = further
    return ()
