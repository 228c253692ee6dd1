"""What must hold of the core in any world? The pure laws of core.md section 9, each a function of a world or history.

They are kept apart from the tests that draw worlds, so that a hunt over many seeds can use them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from interlock.decide import decide, work_out
from interlock.decide.codec import decode, encode, in_order
from interlock.decide.explain import SENTENCES, sentences
from interlock.decide.facts import Elsewhere, Facts
from interlock.decide.index import Index
from interlock.decide.orders import ROLLBACK_CAP
from interlock.decide.plan import MOVING, Plan, applied
from interlock.decide.rules import RULES
from interlock.decide.standing import standing_of
from interlock.decide.tree import standing_json
from interlock.model.job import Handover
from interlock.model.policy import Policy, Rule
from interlock.simulate.world import World
from worlds import COMMANDS, History, Pick, Step, do

US = timedelta(microseconds=1)


def unwritten(facts: Facts) -> Facts:
    """The same facts as if no decision stood yet, so that a plan holds every verdict."""
    return replace(facts, decided_by_subject={}, decided_by_target={})


def settled(world: World) -> Facts:
    """The facts once nothing moves any more at this instant."""
    facts = world.snapshot()
    for _ in range(50):
        plan = decide(facts, world.now)
        if not plan.moving:
            return facts
        facts = applied(facts, plan, world.now)
    raise AssertionError("It does not settle.")


def what_moves(plan: Plan) -> dict[str, object]:
    """What a plan starts, ends and asks for, without the stamps of its instant."""
    return {
        "moves": sorted((m.target_id, m.kind, m.version_id, m.to_release.config_digest) for m in plan.moves),
        "ends": sorted((e.move_id, e.state, e.reason) for e in plan.ends),
        "retries": sorted((j.move_id, j.retry_of or "") for j in plan.jobs if j.retry_of),
        "rollouts": sorted((r.environment_id, r.kind, r.version_id or "") for r in plan.rollouts),
        "states": sorted((s.rollout_id, s.state) for s in plan.rollout_states if s.state != "complete"),
        "requests": sorted(r.id for r in plan.requests),
        "cancels": sorted(c.job_id for c in plan.cancels),
        "orders": sorted((o.target_id, o.kind, o.version_id) for o in plan.orders),
        "order ends": sorted((e.order_id, e.state, e.reason) for e in plan.order_ends),
        "escalations": sorted(e.move_id for e in plan.escalations),
        "withdrawn": sorted(plan.withdrawn_jobs),
        "verifying": sorted(plan.verifying),
    }


def verdicts_of(plan: Plan) -> dict[str, object]:
    """Every verdict of a plan over facts without stored decisions."""
    return {
        **{decision.subject: (decision.outcome, decision.verdicts) for decision in plan.decisions},
        **{row.target_id: (row.kind, row.version_id, row.outcome, row.verdicts) for row in plan.target_decisions},
    }


def instants_until(now: datetime, wake_at: datetime | None) -> Iterator[datetime]:
    """Instants before a wake-up, near both ends and between; far ones when there is none."""
    if wake_at is None:
        yield from (now + timedelta(seconds=s) for s in (0.000001, 61, 3600, 86_400, 40 * 86_400, 400 * 86_400))
        return
    for share in (0.0, 0.01, 0.5, 0.99, 1.0):
        yield max(now, min(now + (wake_at - now) * share, wake_at - US))


# 1 --------------------------------------------------------------------------------------------------------------------


def constant_until_wake_up(world: World) -> None:
    """Law 1: until `wake_at` the same moves with the same verdicts."""
    unsettled = world.snapshot()
    plan = decide(unsettled, world.now)
    if all(rollout.kind != "config" for rollout in plan.rollouts):  # whose order hangs on the instant that it opens
        for at in instants_until(world.now, plan.wake_at):
            assert what_moves(decide(unsettled, at)) == what_moves(plan), at
    facts = unwritten(settled(world))
    plan = decide(facts, world.now)
    said = [instant for instant in map(_changes_at, _all_verdicts(plan)) if instant is not None]
    assert all(plan.wake_at is not None and plan.wake_at <= instant for instant in said if instant > world.now)
    for at in instants_until(world.now, plan.wake_at):
        assert verdicts_of(decide(facts, at)) == verdicts_of(plan), at


def _all_verdicts(plan: Plan) -> list[Mapping[str, object]]:
    trees = [verdict for decision in plan.decisions for verdict in decision.verdicts]
    return trees + [verdict for row in plan.target_decisions for verdict in row.verdicts]


def _changes_at(verdict: Mapping[str, object]) -> datetime | None:
    text = verdict.get("changesAt")
    return datetime.fromisoformat(str(text)) if text else None


# 2 --------------------------------------------------------------------------------------------------------------------

HEAD = {"workspace_id", "deployment_id", "deployment_name", "generation", "fence", "rules_fence"}


class Watched:
    """Facts that remember which of their kinds were read."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> object:
        self.read.add(name)
        return getattr(self._facts, name)


def named_causes(world: World) -> None:
    """Law 2: a rule reads only the fact kinds that it declares, and a hold names what can lift it."""
    from interlock.decide.subjects import EnvironmentVersion, TargetMove

    facts = world.snapshot()
    by_kind: dict[str, list[Rule]] = {}
    for policy in facts.policies.values():
        for rule in policy.rules:
            by_kind.setdefault(rule.kind, []).append(rule)
    for module in RULES:
        if not hasattr(module, "evaluate"):
            continue
        watched = Watched(facts)
        index = Index(watched)  # type: ignore[arg-type]
        scope = module.evaluate.__annotations__["subject"]
        for version in facts.versions:
            subjects: list[object] = []
            if "EnvironmentVersion" in scope:
                subjects += [EnvironmentVersion(index, one, version, "forward") for one in facts.environments.values()]
            if "TargetMove" in scope:
                subjects += [TargetMove(index, one, version, "forward") for one in facts.targets.values()]
            for subject in subjects:
                for verdict in _evaluated(module, subject, by_kind.get(module.kind, []), world.now):
                    assert verdict.passes or verdict.changes_at or verdict.waits_on or verdict.who, verdict
        assert watched.read - HEAD <= module.needs, f"{module.kind} reads {watched.read - HEAD - module.needs}"
    for verdict in _all_verdicts(decide(unwritten(facts), world.now)):
        assert verdict["outcome"] == "pass" or {"changesAt", "waitsOn", "who"} & verdict.keys(), verdict


def _evaluated(module: object, subject: object, rules: Sequence[Rule], now: datetime) -> Iterator[object]:
    evaluate: Callable[..., object] = module.evaluate  # type: ignore[attr-defined]
    if not hasattr(module, "parse"):  # no policy carries it
        yield evaluate(subject, now)
    elif getattr(module, "joint", False):
        if rules:
            yield evaluate(subject, tuple(rules), now)
    else:
        for rule in rules:
            yield evaluate(subject, rule.params, now)


# 3 --------------------------------------------------------------------------------------------------------------------


def order_is_irrelevant(world: World, seed: int = 0) -> None:
    """Law 3: facts in another order give the same plan."""
    facts, chance = world.snapshot(), Random(seed)

    def shuffled(value: object) -> object:
        if isinstance(value, dict):
            items = list(value.items())
            chance.shuffle(items)
            return dict(items)
        if isinstance(value, tuple):
            items = list(value)
            chance.shuffle(items)
            return tuple(items)
        return value

    collections = {name: shuffled(getattr(facts, name)) for name in Facts.__dataclass_fields__}
    elsewhere = facts.elsewhere
    collections["elsewhere"] = Elsewhere(
        **{name: shuffled(getattr(elsewhere, name)) for name in Elsewhere.__dataclass_fields__}
    )
    assert decide(Facts(**collections), world.now) == decide(facts, world.now)
    assert decide(Facts(**collections), world.now, moves_max=1) == decide(facts, world.now, moves_max=1)


# 4 --------------------------------------------------------------------------------------------------------------------


def reaches_a_fixpoint(world: World) -> None:
    """Law 4: once a plan is applied, deciding again then moves nothing; with limits, after enough rounds."""
    facts = world.snapshot()
    plan = decide(facts, world.now)
    after = applied(facts, plan, world.now)
    again = decide(after, world.now)
    assert not again.moving, {name: value for name, value in what_is_written(again).items() if name in MOVING}
    falls_back = any(move.from_release is None for move in plan.moves)  # takes a place that others then read of
    assert falls_back or set(what_is_written(again)) <= {"renewals"}, what_is_written(again)
    limited, rounds = facts, 0
    while (one := decide(limited, world.now, moves_max=1)).moving:
        limited = applied(limited, one, world.now)
        rounds += 1
        assert rounds <= max(len(plan.moves), 1) + 1, "more rounds than moves"


def what_is_written(plan: Plan) -> dict[str, object]:
    """The parts of a plan that are not empty."""
    return {
        name: getattr(plan, name) for name in Plan.__dataclass_fields__ if name != "wake_at" and getattr(plan, name)
    }


# 5 --------------------------------------------------------------------------------------------------------------------


def time_alone_goes_forward(world: World) -> None:
    """Law 5: nothing but a pin, a force or a rollback starts an older version; time alone ends nothing that runs."""
    facts, now, by_time = world.snapshot(), world.now, False
    for _ in range(6):
        plan = decide(facts, now)
        index = Index(facts)
        for move in plan.moves:
            current = facts.targets[move.target_id].current
            older = current is not None and index.is_newer(current.version_id, move.version_id)
            assert not older or move.kind in {"pin", "rollback", "force"}, move
        if by_time:
            assert not plan.cancels or facts.supersede == "cancel"
            ours = {move.id for move in facts.moves if move.open and not any(_out(job) for job in move.jobs)}
            waiting = {move.id for move in facts.moves if move.open and move.jobs[-1].status.terminal}
            assert all(end.move_id in ours | waiting for end in plan.ends), plan.ends
        facts = applied(facts, plan, now)
        if not plan.moving:
            if plan.wake_at is None:
                return
            now, by_time = plan.wake_at, True


def _out(job: object) -> bool:
    return job.handover is not Handover.WAITING and not job.status.terminal  # type: ignore[attr-defined]


def unknown_starts_nothing(world: World) -> None:
    """Law 5: what is not matched yet starts nothing but a rollback."""
    facts = replace(world.snapshot(), policies_matched=False)
    plan = decide(facts, world.now)
    assert all(move.kind == "rollback" for move in plan.moves)
    started = {job.move_id for job in plan.jobs}
    moves = {move.id: move for move in (*facts.moves, *plan.moves)}
    assert all(moves[move_id].kind == "rollback" for move_id in started)


def fewer_gates_hold_no_more(world: World) -> None:
    """Law 5: removing a gate never turns another gate's pass into a hold."""
    facts = unwritten(world.snapshot())
    before = {d.subject: d.verdicts for d in decide(facts, world.now).decisions}
    gates = {module.kind for module in RULES if module.shape == "gate"}
    for kind in sorted({rule.kind for one in facts.policies.values() for rule in one.rules} & gates):
        fewer = {key: _without(one, kind) for key, one in facts.policies.items()}
        after = {d.subject: d.verdicts for d in decide(replace(facts, policies=fewer), world.now).decisions}
        for subject in before.keys() & after.keys():
            passed = {_rule(v) for v in before[subject] if v["outcome"] == "pass"}
            holding = {_rule(v) for v in after[subject] if v["outcome"] != "pass"}
            assert not passed & holding, (kind, subject)


def _without(policy: Policy, kind: str) -> Policy:
    return replace(policy, rules=tuple(rule for rule in policy.rules if rule.kind != kind))


def _rule(verdict: Mapping[str, object]) -> tuple[object, object, object]:
    return (verdict["rule"], verdict.get("ruleId"), verdict.get("policyId"))


def more_obligations_start_no_more(world: World) -> None:
    """Law 5: asking for one more approval never starts more of the newest version."""
    facts = world.snapshot()
    if not facts.versions:
        return
    newest = Index(facts).newest_first[0].id

    def starts(some: Facts) -> set[str]:
        return {
            move.target_id
            for move in decide(some, world.now).moves
            if move.version_id == newest and move.kind == "forward"
        }

    stricter = {key: replace(one, rules=tuple(map(_stricter, one.rules))) for key, one in facts.policies.items()}
    assert starts(replace(facts, policies=stricter)) <= starts(facts)


def _stricter(rule: Rule) -> Rule:
    if rule.kind != "anyApproval":
        return rule
    return replace(rule, params=replace(rule.params, minimum=rule.params.minimum + 1))  # type: ignore[attr-defined,type-var]


# 6 --------------------------------------------------------------------------------------------------------------------


def extra_rounds_change_nothing(history: History, seed: int = 0) -> None:
    """Law 6: rounds added at any instants write the same ledger."""
    chance = Random(seed)
    plain = told(history, lambda: 0)
    assert told(history, lambda: chance.choice((0, 0, 1, 2))) == plain


def told(history: History, extra: Callable[[], int]) -> list[object]:
    """The ledger of a history in which a round follows each fact and each wake-up, and extra ones come between."""
    world = history.begin()
    _decide_all(world, extra)
    for step in history.steps:
        name = COMMANDS[step[0] % len(COMMANDS)].__name__
        if step[2] is None and name in {"_round", "_settle", "_wake"}:
            continue
        if step[2] is None and name == "_wait":
            _let_time_pass(world, step, extra)
            continue
        do(world, step)
        _decide_all(world, extra)
    return list(world.ledger)


def _decide_all(world: World, extra: Callable[[], int]) -> None:
    world.settle(rounds_max=60)
    for _ in range(extra()):
        world.round()


def _let_time_pass(world: World, step: Step, extra: Callable[[], int]) -> None:
    from worlds import SECONDS

    ends_at = world.now + timedelta(seconds=min(Pick(step[1]).one(SECONDS), 7200))
    while world.wake_at is not None and world.wake_at <= ends_at:
        for _ in range(extra()):
            between = world.now + (world.wake_at - world.now) / 2
            if between > world.now:
                world.now = between
                world.round()
        world.now = max(world.now, world.wake_at)
        _decide_all(world, extra)
    world.now = ends_at


# 7 --------------------------------------------------------------------------------------------------------------------


def never_more_in_flight(history: History) -> None:
    """Law 7, the pure half: what waits for a place starts only while its lane has one."""
    world = history.begin()
    for step in history.steps:
        do(world, step)
        before = world.snapshot()
        plan = world.round()
        _goes_back_at_its_pace(before, plan)
        falls_back = {m.target_id for m in plan.moves if before.targets[m.target_id].current is None}
        speed = {one.id: one.speed for one in world.facts.rollouts}
        by_place = [m for m in plan.moves if m.kind in {"forward", "config"} and m.target_id not in falls_back]
        promoted = {m.target_id for m in by_place if m.rollout_id and speed[m.rollout_id].promoted_at is not None}
        sped = max((speed[m.rollout_id].max_in_flight or 0 for m in by_place if m.rollout_id), default=0)
        paced = {m.target_id for m in by_place} - promoted
        index = Index(world.facts)
        here = {**world.facts.leaving, **world.facts.targets}
        for environment_id in world.facts.environments:
            for policy in world.facts.policies.values():
                lane = {
                    target.id
                    for target in here.values()
                    if target.environment_id == environment_id and policy in index.policies_of(target.policy_set)
                }
                taken = len(lane & index.open_move_by_target.keys() - falls_back)
                for rule in policy.rules:
                    limit = getattr(rule.params, "max_in_flight", None)
                    if limit is not None and rule.kind == "gradualRollout" and not policy.observe and lane & paced:
                        assert taken <= max(limit, sped) or lane & promoted, (policy.name, taken, limit)
        _no_group_is_overfull(before, world.snapshot(), plan)


def _no_group_is_overfull(before: Facts, after: Facts, plan: Plan) -> None:
    """No round starts a move into a slot group that is full, whatever else holds slots there."""
    for move in plan.moves:
        target = before.targets[move.target_id]
        for rule in Index(before).enforced_rules(target.policy_set, "concurrency"):
            key = next((one.key for one in target.slot_keys if one.rule_id == rule.id), None)
            assert key is not None or move.kind in {"rollback", "force"}, "its group is unknown: it starts nothing"
            if key is not None:
                held = after.slots[key].held_by_others + sum(key in one.slots for one in after.moves if one.open)
                size = after.slots[key].size
                percentage = getattr(rule.params, "max_percentage", None)
                limit = getattr(rule.params, "max_in_flight", None) or max(size * percentage // 100, 1)
                limit = max(limit, size * 33 // 100) if move.kind == "rollback" else limit
                assert key in next(one for one in after.moves if one.id == move.id).slots
                assert held <= limit or move.kind == "force", (key, move.kind, held, limit)


def _goes_back_at_its_pace(before: Facts, plan: Plan) -> None:
    """What was asked to go back together starts only while less than the cap of its environment goes back."""
    after_reactions = {end.move_id for end in plan.ends}
    together = {order.id for order in (*before.orders, *plan.orders) if order.scope != "target"}
    for environment_id in before.environments:
        here = [target for target in before.targets.values() if target.environment_id == environment_id]
        started = [m for m in plan.moves if m.environment_id == environment_id and m.kind == "rollback"]
        if any(move.order_id in together for move in started):
            under_way = [
                move
                for move in before.moves
                if move.open and move.kind == "rollback" and move.environment_id == environment_id
                if move.id not in after_reactions
            ]
            assert len(under_way) + len(started) <= max(1, int(len(here) * ROLLBACK_CAP)), (under_way, started)


# 8 --------------------------------------------------------------------------------------------------------------------


def explains_every_hold(world: World) -> None:
    """Law 8: every rule that holds is named, in a sentence whose values are all there."""
    plan = decide(unwritten(world.snapshot()), world.now)
    trees = {decision.id: decision for decision in plan.decisions}
    for row in plan.target_decisions:
        verdicts = [*row.verdicts, *(v for key in row.decision_ids if key in trees for v in trees[key].verdicts)]
        told = sentences(verdicts)
        assert len(told) == len(verdicts)
        for one in told:
            assert one["reason"] in SENTENCES, one
            assert "?" not in str(one["sentence"]) and "{" not in str(one["sentence"]), one
            assert one["title"]
        holding = [one for one in told if one["outcome"] != "pass" and not one.get("observed")]
        assert row.outcome not in {"hold", "unknown"} or holding, row


def says_who_can_act(world: World) -> None:
    """Law 8, of any version on any target: each hold stands in the tree and says until when, or who can act."""
    worked = work_out(unwritten(world.snapshot()), world.now)
    for target in worked.index.targets_in_order:
        for version in worked.index.newest_first[:3]:
            standing = standing_of(worked, target, version)
            body = standing_json(worked, standing, now=world.now)
            tree = [verdict for policy in body["policies"] for verdict in policy["rules"]]
            shared = worked.gates.shared(target.environment_id, version, target.policy_set, standing.kind).judged
            told = {(one["rule"], one.get("ruleId"), one.get("observed", False)) for one in tree}
            for judged in shared:
                assert (judged.kind, ",".join(judged.rule_ids) or None, judged.observed) in told, judged
            assert {one["sentence"] for one in body["holds"]} <= {one["sentence"] for one in tree}
            for one in tree:
                text = str(one["sentence"])
                assert one["reason"] in SENTENCES and "?" not in text and "{" not in text, one
            for one in body["holds"]:
                ends = "changesAt" in one or "waitsOn" in one
                assert one["outcome"] == "unknown" or "who" in one or (one["waitsFor"] == "wait" and ends), one


# 9 --------------------------------------------------------------------------------------------------------------------


def facts_survive_the_codec(world: World) -> None:
    """Law 9, the pure half: what is written down is read back, and decides the same."""
    facts = world.snapshot()
    read = decode(dict(encode(facts)))
    assert read == in_order(facts)
    assert decide(read, world.now) == decide(facts, world.now)


def commits_what_was_applied(world: World) -> None:
    """Law 9, the pure half: a snapshot after a commit is the snapshot before it with the plan applied."""
    facts = world.snapshot()
    plan = world.round()
    after = applied(facts, plan, world.now)
    assert world.snapshot() == after
    consistent(after)


def consistent(facts: Facts) -> None:
    """What the unique indexes of the store would refuse."""
    open_moves = [move.target_id for move in facts.moves if move.open]
    assert len(open_moves) == len(set(open_moves)), "two open moves on one target"
    live = [(rollout.environment_id, rollout.kind) for rollout in facts.rollouts if rollout.live]
    assert len(live) == len(set(live)), "two live rollouts of a kind in one environment"
    for move in facts.moves:
        assert sum(1 for job in move.jobs if not job.status.terminal) <= 1, "two active jobs of one move"
        assert move.open == bool(move.jobs) or not move.open, "an open move without a job"
        assert not (move.open and move.state in {"succeeded", "failed", "withdrawn", "cancelled"})
    for ids in (
        [m.id for m in facts.moves],
        [r.id for r in facts.rollouts],
        [j.id for m in facts.moves for j in m.jobs],
    ):
        assert len(ids) == len(set(ids)), "an id twice"


# 10 -------------------------------------------------------------------------------------------------------------------


def failures_leave_a_known_release(history: History) -> None:
    """Law 10: after any failure a target is on the old release, the new one or its good one."""
    world = history.begin()
    for step in history.steps:
        before = {target.id: target for target in (*world.facts.targets.values(), *world.facts.leaving.values())}
        moves = {move.id: move for move in world.facts.moves}
        known = len(world.ledger)
        do(world, step)
        consistent(world.facts)
        after = {target.id: target for target in (*world.facts.targets.values(), *world.facts.leaving.values())}
        for line in world.ledger[known:]:
            move = moves.get(line.subject)
            if line.kind == "move.failed" and move is not None and move.target_id in after:
                was, now = before[move.target_id].current, after[move.target_id]
                assert now.current in {was, move.from_release, move.to_release, now.good}, line


def rolled_back_stays(world: World) -> None:
    """Law 10: after a rollback, with no new fact, a target takes nothing that is not newer than what failed."""
    facts, now = world.snapshot(), world.now
    for _ in range(5):
        plan, index = decide(facts, now), Index(facts)
        for move in plan.moves:
            failed = [
                one.version_id or one.failed_version_id for one in facts.quarantines if one.target_id == move.target_id
            ]
            if move.kind in {"forward", "config"}:
                assert all(
                    one is None or index.is_newer(move.version_id, one) or _proven(facts, move.target_id, one)
                    for one in failed
                )
        facts = applied(facts, plan, now)
        if not plan.moving and plan.wake_at is None:
            return
        now = now if plan.moving or plan.wake_at is None else plan.wake_at


def _proven(facts: Facts, target_id: str, version_id: str) -> bool:
    """Whether the target runs the version after all, proven: somebody pinned it."""
    good = facts.targets[target_id].good
    return good is not None and good.version_id == version_id


OF_A_WORLD: Mapping[str, Callable[[World], None]] = {
    "1 constant until wake-up": constant_until_wake_up,
    "2 named causes": named_causes,
    "3 order is irrelevant": order_is_irrelevant,
    "4 fixpoint": reaches_a_fixpoint,
    "5 time alone goes forward": time_alone_goes_forward,
    "5 unknown starts nothing": unknown_starts_nothing,
    "5 fewer gates hold no more": fewer_gates_hold_no_more,
    "5 more obligations start no more": more_obligations_start_no_more,
    "8 explains every hold": explains_every_hold,
    "8 says who can act": says_who_can_act,
    "9 facts survive the codec": facts_survive_the_codec,
    "9 commits what was applied": commits_what_was_applied,
    "10 rolled back stays": rolled_back_stays,
}

OF_A_HISTORY: Mapping[str, Callable[[History], None]] = {
    "7 never more in flight": never_more_in_flight,
    "6 extra rounds change nothing": extra_rounds_change_nothing,
    "10 failures leave a known release": failures_leave_a_known_release,
}
