"""How does a rule tree look in a terminal? Policy, rule, verdict; what holds is marked, and says since, until and who.

    held   v1.2.0 is held on prod-1 in production by 2 rules.
      careful
        HOLD  anyApproval       It has 0 of 1 approvals.
                                since 2026-03-09T08:00:00Z; who can act: anybody who may approve
        pass  deploymentWindow  The deployment window is open.
    It would go if all of this were so; no part of it is enough. Then it would start.
      - v1.2.0 gets 1 more of the 1 approvals for production. (anybody who may approve)

The words are the server's; here they are set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from interlock.client import Seen

MARKS = {"pass": "pass", "hold": "HOLD", "unknown": "????"}


def standing_lines(standing: Seen) -> Iterator[str]:
    """A standing: its sentence, the tree, what was set by hand, what would have to be different."""
    since = f"; so since {standing['since']}" if "since" in standing else ""
    yield f"{standing['says']} (at {standing['at']}{since})"
    for policy in standing["policies"]:
        yield from policy_lines(policy)
    yield from _overrides(standing.get("overrides") or {})
    if "counterfactual" in standing:
        yield from counterfactual_lines(standing["counterfactual"])


def policy_lines(policy: Seen) -> Iterator[str]:
    """One policy with its rules."""
    name = policy.get("policy") or "whatever the policies"
    yield f"  {name}{' (observed only: it holds nothing)' if policy.get('mode') == 'observe' else ''}"
    yield from rule_lines(policy["rules"])
    silent = sorted({str(one["rule"]) for one in policy.get("silent") or ()})
    if silent:
        yield f"    ----  {', '.join(silent)}: not asked here"


def rule_lines(verdicts: Sequence[Seen]) -> Iterator[str]:
    """Verdicts under each other, what they say in one column."""
    width = max((len(str(one["rule"])) for one in verdicts), default=0)
    for one in verdicts:
        yield f"    {MARKS.get(str(one['outcome']), '????')}  {one['rule']:<{width}}  {one['says']}"
        if one["outcome"] == "pass":
            continue
        beside = [f"since {one['since']}"] if "since" in one else []
        beside += [f"until {one['changesAt']}"] if "changesAt" in one else []
        beside += [f"who can act: {one['who']}"] if "who" in one else []
        if beside:
            yield f"          {'':<{width}}  {'; '.join(beside)}"


def counterfactual_lines(answer: Seen) -> Iterator[str]:
    """What would have to be different."""
    yield str(answer["says"])
    for one in answer["lifts"]:
        yield f"  - {one['sentence']}{_who(one)}"
    if not answer["found"]:
        for one in answer.get("left") or ():
            yield f"  - {one['title']}: {one['says']}{_who(one)}"


def _who(one: Seen) -> str:
    return f" ({one['who']})" if one.get("who") else ""


def _overrides(found: Seen) -> Iterator[str]:
    pin = found.get("pin")
    if pin:
        yield f"  pinned to {pin['version']} ({pin['scope']}) since {pin['since']}{_until(pin)}"
    for one in found.get("skips") or ():
        yield f"  a rule is skipped ({one['reason']}) since {one['since']}{_until(one)}"
    for one in found.get("freezes") or ():
        yield f"  frozen by {one['by']} ({one['reason']}) since {one['since']}{_until(one)}"
    for one in found.get("orders") or ():
        why = f" ({one['reason']})" if one.get("reason") else ""
        yield f"  a {one['kind']} is ordered by {one['by']}{why} since {one['since']}{_until(one)}"
    for one in found.get("quarantines") or ():
        yield f"  in quarantine here: {one['version']}"


def _until(one: Seen) -> str:
    return f" until {one['until']}" if one.get("until") else ""
