"""What can people, and the world around, do in a scenario? Each act: how it is written, and what it does.

An act takes its fields while the file is read, so that a wrong one is refused with its line, and gives what is done
later. A new act is one function and one line in `ACTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from interlock.decide.facts import Dependency, Target
from interlock.inventory.selector import Scope, parse_selector
from interlock.model.errors import NotFound
from interlock.model.ids import derived_id
from interlock.model.job import JobStatus
from interlock.model.wire import Fields
from interlock.simulate.cast import placed, read_policy, texts
from interlock.simulate.conduct import read_traffic
from interlock.simulate.moments import Clock, duration
from interlock.simulate.stage import Doing, Stage, Telling

INCIDENT_LASTS = timedelta(hours=12)
"""An incident that names no end."""

STATUSES = ("ready", "building", "failed", "rejected", "paused", "unspecified")


def version(fields: Fields, clock: Clock) -> Doing:
    """CI makes a version: {tag, status, metadata, by, createdAt}."""
    tag = fields.text("tag", required=True)
    status = fields.choice("status", allowed=STATUSES, default="ready")
    metadata = texts(fields, "metadata")
    by = fields.text("by", default="CI")
    created_at = fields.parsed("createdAt", clock.instant, required=False)

    def do(stage: Stage) -> list[Telling]:

        stage.world.create_version(
            tag, status=status, metadata=metadata, created_at=created_at, author_ids=(derived_id("principal", by),)
        )
        return [Telling(by, f"creates version {tag} ({status})")]

    return do


def status(fields: Fields, _: Clock) -> Doing:
    """Somebody sets a version's status: {version, status, rollback, by}."""
    tag = fields.text("version", required=True)
    wanted = fields.choice("status", allowed=STATUSES)
    back = fields.boolean("rollback", default=False)
    by = fields.text("by", default="somebody")

    def do(stage: Stage) -> list[Telling]:
        stage.world.set_version_status(tag, wanted)
        if back:
            stage.world.order_many("rollback", leaves=tag)
        return [Telling(by, f"sets version {tag} to {wanted}" + (" and rolls it back" if back else ""))]

    return do


def _says(verdict: str, verb: str) -> Callable[[Fields, Clock], Doing]:
    def read(fields: Fields, _: Clock) -> Doing:
        tag, environment = fields.text("version", required=True), fields.text("environment", required=True)
        by, comment = fields.text("by", default="somebody"), fields.text("comment")

        def do(stage: Stage) -> list[Telling]:
            stage.world.say(by, verdict, tag, environment)
            return [Telling(by, f"{verb} {tag} in {environment}", comment)]

        return do

    return read


def freeze(fields: Fields, clock: Clock) -> Doing:
    """Somebody says stop: {reason, environments, targets, for, until, by, name}."""
    reason = fields.text("reason", default="incident")
    name = fields.text("name", default=reason)
    environments = [str(one) for one in fields.items("environments")]
    targets = [str(one) for one in fields.items("targets", maximum=2_000)]
    by = fields.text("by", default="somebody")
    ends = _ends(fields, clock)

    def do(stage: Stage) -> list[Telling]:
        frozen = stage.world.freeze(
            reason, environments=environments or None, targets=targets or None, expires_at=ends(stage.world.now)
        )
        stage.names["freeze", name] = frozen
        where = ", ".join(targets or environments) or "everything"
        return [Telling(by, f"freezes {where}", reason)]

    return do


def thaw(fields: Fields, _: Clock) -> Doing:
    """A freeze ends: {freeze (its name, else its reason), by}."""
    name = fields.text("freeze", default="incident")
    by = fields.text("by", default="somebody")

    def do(stage: Stage) -> list[Telling]:
        stage.world.thaw(_named(stage, "freeze", name))
        return [Telling(by, f"ends the freeze: {name}")]

    return do


def pin(fields: Fields, clock: Clock) -> Doing:
    """Somebody wants a version to stay: {version, target | environment, for, until, by, name}."""
    tag = fields.text("version", required=True)
    target, environment = fields.text("target") or None, fields.text("environment") or None
    name = fields.text("name", default=tag)
    by = fields.text("by", default="somebody")
    ends = _ends(fields, clock)

    def do(stage: Stage) -> list[Telling]:
        pinned = stage.world.pin(tag, environment=environment, target=target, expires_at=ends(stage.world.now))
        stage.names["pin", name] = pinned
        return [Telling(by, f"pins {target or environment or 'everything'} to {tag}")]

    return do


def unpin(fields: Fields, _: Clock) -> Doing:
    """A pin is removed: {pin (its name, else its version), by}."""
    name = fields.text("pin", required=True)
    by = fields.text("by", default="somebody")

    def do(stage: Stage) -> list[Telling]:
        stage.world.remove_pin(_named(stage, "pin", name))
        return [Telling(by, f"removes the pin {name}")]

    return do


def skip(fields: Fields, clock: Clock) -> Doing:
    """A rule is passed by hand: {rule (its kind, or its id), policy, version, environment, target, for, until, by}."""
    rule, of_policy = fields.text("rule", required=True), fields.text("policy") or None
    tag = fields.text("version", required=True)
    environment, target = fields.text("environment") or None, fields.text("target") or None
    by, reason = fields.text("by", default="somebody"), fields.text("reason")
    ends = _ends(fields, clock)

    def do(stage: Stage) -> list[Telling]:
        stage.world.skip(
            stage.rule_id(rule, of_policy),
            tag,
            environment=environment,
            resource_id=stage.world.target(target).resource_id if target else None,
            expires_at=ends(stage.world.now),
        )
        where = target or environment or "everywhere"
        return [Telling(by, f"skips {rule} for {tag} on {where}", reason)]

    return do


def _rollout(state: str, verb: str) -> Callable[[Fields, Clock], Doing]:
    def read(fields: Fields, _: Clock) -> Doing:
        tag, environment = fields.text("version", required=True), fields.text("environment", required=True)
        by, reason = fields.text("by", default="somebody"), fields.text("reason")

        def do(stage: Stage) -> list[Telling]:
            stage.world.set_rollout(_rollout_id(stage, tag, environment), state)
            return [Telling(by, f"{verb} the rollout of {tag} in {environment}", reason)]

        return do

    return read


def _order(kind: str, verb: str) -> Callable[[Fields, Clock], Doing]:
    """Somebody asks for a move: {target | environment, version, when, scope, for, until, by, reason}."""

    def read(fields: Fields, clock: Clock) -> Doing:
        target, environment = fields.text("target") or None, fields.text("environment") or None
        if (target is None) == (environment is None):
            fields.wrong("target", "or an environment must be there, and only one of them")
        tag = fields.text("version", required=kind == "force") or None
        when = fields.choice("when", allowed=("now", "idle"), default="now")
        scope = fields.choice("scope", allowed=("target", "environment"), default="target")
        by, reason = fields.text("by", default="somebody"), fields.text("reason")
        ends = _ends(fields, clock)

        def do(stage: Stage) -> list[Telling]:
            world, expires_at = stage.world, ends(stage.world.now)
            if target is not None:
                asked = world.order(kind, target, tag, when=when, scope=scope, expires_at=expires_at) is not None
            else:
                asked = world.order_many(kind, tag, environment=environment, when=when, expires_at=expires_at) > 0
            what = f"{verb} {target or environment}" + (f" {'with' if kind == 'force' else 'to'} {tag}" if tag else "")
            return [Telling(by, what, reason if asked else "refused: it has an open move, or was asked for already")]

        return do

    return read


def speed_up(fields: Fields, _: Clock) -> Doing:
    """A rollout goes faster: {version, environment, interval, maxInFlight, bake, by}."""
    tag, environment = fields.text("version", required=True), fields.text("environment", required=True)
    interval = fields.parsed("interval", duration, required=False)
    bake = fields.parsed("bake", duration, required=False)
    most = fields.optional_integer("maxInFlight", minimum=1)
    by = fields.text("by", default="somebody")

    def do(stage: Stage) -> list[Telling]:
        stage.world.speed_up(
            _rollout_id(stage, tag, environment),
            interval_s=None if interval is None else int(interval.total_seconds()),
            max_in_flight=most,
            bake_s=None if bake is None else int(bake.total_seconds()),
        )
        return [Telling(by, f"speeds the rollout of {tag} in {environment} up")]

    return do


def promote(fields: Fields, _: Clock) -> Doing:
    """All that is left of a rollout may start at once: {version, environment, by, reason}."""
    tag, environment = fields.text("version", required=True), fields.text("environment", required=True)
    by, reason = fields.text("by", default="somebody"), fields.text("reason")

    def do(stage: Stage) -> list[Telling]:
        stage.world.promote(_rollout_id(stage, tag, environment))
        return [Telling(by, f"promotes the rollout of {tag} in {environment}", reason)]

    return do


def elsewhere(fields: Fields, _: Clock) -> Doing:
    """Another deployment runs a version beside a target: {deployment, version, target, environment, metadata}."""
    name, tag = fields.text("deployment", required=True), fields.text("version") or None
    target, environment = fields.text("target", required=True), fields.text("environment", required=True)
    metadata = texts(fields, "metadata")

    def do(stage: Stage) -> list[Telling]:
        stage.world.runs_elsewhere(name, tag, resource=target, environment=environment, metadata=metadata)
        return [Telling(name, f"runs {tag or 'nothing'} on {target} in {environment}")]

    return do


def depend(fields: Fields, _: Clock) -> Doing:
    """A version needs another deployment beside it: {version, on (a deployment), selector, environments}."""
    tag, on = fields.text("version", required=True), fields.text("on", required=True)
    checked = fields.parsed("selector", lambda text: parse_selector(text, Scope.VERSION), required=False)
    selector = checked.text if checked is not None else "true"
    everywhere = fields.choice("environments", allowed=("same", "all"), default="same") == "all"

    def do(stage: Stage) -> list[Telling]:
        known = stage.world.version(tag).dependencies
        needed = Dependency(derived_id("deployment", on), selector, everywhere)
        stage.world.depend(tag, (*known, needed))
        return [Telling("CI", f"says that {tag} needs {on}{'' if selector == 'true' else f' where {selector}'}")]

    return do


def label(fields: Fields, _: Clock) -> Doing:
    """A resource gets other metadata: {target, metadata}."""
    name, metadata = fields.text("target", required=True), texts(fields, "metadata")

    def do(stage: Stage) -> list[Telling]:
        stage.views[name] = {**stage.views[stage.world.target(name).name], "metadata": metadata}
        stage.world.label(name, **metadata)
        stage.match()
        return [Telling("the inventory", f"labels {name}: {', '.join(f'{k}={v}' for k, v in metadata.items())}")]

    return do


def clear(fields: Fields, _: Clock) -> Doing:
    """What failed on a target may be taken again: {target, by}."""
    target = fields.text("target", required=True)
    by = fields.text("by", default="somebody")

    def do(stage: Stage) -> list[Telling]:
        stage.world.clear_quarantine(target)
        return [Telling(by, f"clears the quarantine of {target}")]

    return do


def cancel(fields: Fields, _: Clock) -> Doing:
    """The running job of a target is asked to stop: {target, by}."""
    target = fields.text("target", required=True)
    by = fields.text("by", default="somebody")

    def do(stage: Stage) -> list[Telling]:
        stage.cancel(_running_job(stage, target))
        return [Telling(by, f"cancels the job of {target}")]

    return do


def job(fields: Fields, _: Clock) -> Doing:
    """News of a target's newest job that its agent did not foresee, be it late or twice: {target, status, message}."""
    target = fields.text("target", required=True)
    wanted = fields.choice("status", allowed=tuple(one.value for one in JobStatus))
    message = fields.text("message") or None

    def do(stage: Stage) -> list[Telling]:
        target_id = stage.world.target(target).id
        known = [one for one in stage.move_by_job.items() if stage.moves[one[1]].target_id == target_id]
        if not known:
            raise NotFound(f"{target} has had no job.")
        news = stage.world.hear(known[-1][0], JobStatus(wanted), message)
        return [] if news else [Telling("the agent", f"says {wanted} of {target}", "late news changes nothing")]

    return do


def incident(fields: Fields, clock: Clock) -> Doing:
    """An incident that gates is opened: {title, on (a deployment), environments, for, until, by, name}."""
    title = fields.text("title", default="it answers 500")
    name, on = fields.text("name", default=title), fields.text("on") or None
    environments = [str(one) for one in fields.items("environments")]
    by = fields.text("by", default="the pager")
    ends = _ends(fields, clock)

    def do(stage: Stage) -> list[Telling]:
        world, until = stage.world, ends(stage.world.now)
        opened = world.open_incident(
            title,
            on=None if on is None else [derived_id("deployment", on)],
            environments=environments or None,
            lasts=INCIDENT_LASTS if until is None else until - world.now,
        )
        stage.names["incident", name] = opened
        return [Telling(by, f"opens an incident on {on or world.facts.deployment_name}", title)]

    return do


def resolve(fields: Fields, _: Clock) -> Doing:
    """An incident is over: {incident (its name, else its title), by}."""
    name = fields.text("incident", default="it answers 500")
    by = fields.text("by", default="the pager")

    def do(stage: Stage) -> list[Telling]:
        stage.world.resolve_incident(_named(stage, "incident", name))
        return [Telling(by, f"resolves the incident: {name}")]

    return do


def saturation(fields: Fields, _: Clock) -> Doing:
    """How full something is was read: {name, value (1 is full), environment, for (so long it counts), by}."""
    name = fields.text("name", default="cpu")
    value = fields.number("value", default=None, minimum=0.0, maximum=1000.0, required=True) or 0.0
    environment = fields.text("environment") or None
    lasts = fields.parsed("for", duration, required=False)
    by = fields.text("by", default="the monitoring")

    def do(stage: Stage) -> list[Telling]:
        how = {} if lasts is None else {"fresh_for": lasts}
        stage.world.read_saturation(name, value, environment=environment, **how)
        return [Telling(by, f"reads {name} at {value:.0%}" + (f" in {environment}" if environment else ""))]

    return do


def _word(word: str, verb: str) -> Callable[[Fields, Clock], Doing]:
    """A person's word on what could not tell: {target, by, reason}."""

    def read(fields: Fields, _: Clock) -> Doing:
        target = fields.text("target", required=True)
        by, reason = fields.text("by", default="somebody"), fields.text("reason")

        def do(stage: Stage) -> list[Telling]:
            world, target_id = stage.world, stage.world.target(target).id
            held = [one for move, one in world.held_verifications() if move.target_id == target_id]
            if not held:
                raise NotFound(f"{target} has no verification that could not tell.")
            if word == "again":
                stage.measure_again(held[0].id)
            else:
                world.judge_held(held[0].id, word, reason)
            return [Telling(by, f"{verb} on {target}", reason)]

        return do

    return read


def traffic(fields: Fields, _: Clock) -> Doing:
    """The traffic fares otherwise from now on: {requests, bad, versions, silent}."""
    fields.unwanted("seed", "is that of the whole story")
    said = read_traffic(fields)

    def do(stage: Stage) -> list[Telling]:
        if stage.traffic is None:
            raise NotFound("The file has no `traffic`.")
        said.changes(stage.traffic)
        return [Telling("the service", said.sentence())]

    return do


def attach(fields: Fields, _: Clock) -> Doing:
    """A resource joins an environment: {target, environment, kind, metadata, config}."""
    name, environment = fields.text("target", required=True), fields.text("environment", required=True)
    kind = fields.text("kind", default="Host")
    one = placed(name, environment, kind=kind, metadata=texts(fields, "metadata"), config=fields.mapping("config"))

    def do(stage: Stage) -> list[Telling]:
        stage.attach(one)
        return [Telling("the inventory", f"{name} joins {environment}")]

    return do


def detach(fields: Fields, _: Clock) -> Doing:
    """A resource leaves: {target}."""
    name = fields.text("target", required=True)

    def do(stage: Stage) -> list[Telling]:
        stage.world.detach(name)
        return [Telling("the inventory", f"{name} leaves")]

    return do


def config(fields: Fields, _: Clock) -> Doing:
    """The resolved config of targets changes: {at (a place), to (any word)}."""
    place, to = fields.text("at", required=True), fields.text("to", required=True)

    def do(stage: Stage) -> list[Telling]:
        for target in stage.at(place):
            stage.world.edit_target(target.name, config_digest=to)
        return [Telling("somebody", f"changes the config of {place} to {to}")]

    return do


def agents(fields: Fields, _: Clock) -> Doing:
    """Which agent the deployment's selector picks: {at (a place), picked: one | no_agent | ambiguous_agent}."""
    place = fields.text("at", required=True)
    picked = fields.choice("picked", allowed=("one", "no_agent", "ambiguous_agent"))

    def do(stage: Stage) -> list[Telling]:
        for target in stage.at(place):
            stage.world.edit_target(target.name, agent=picked)
        words = {"one": "one agent", "no_agent": "no agent", "ambiguous_agent": "several agents"}
        return [Telling("somebody", f"the selector picks {words[picked]} for {place}")]

    return do


def policy(fields: Fields, _: Clock) -> Doing:
    """A policy is written, as in a file for `apply`; one of the same name is replaced."""
    body = {name: fields.anything(name) for name in POLICY_WORDS}
    written = read_policy({name: value for name, value in body.items() if value is not None}, fields.path)

    def do(stage: Stage) -> list[Telling]:
        verb = "changes" if written.name in stage.policies else "writes"
        stage.policies[written.name] = written
        stage.match()
        return [Telling("somebody", f"{verb} policy {written.name}")]

    return do


POLICY_WORDS = ("type", "name", "description", "selector", "priority", "enabled", "mode", "metadata", "rules")


def delete_policy(fields: Fields, _: Clock) -> Doing:
    """A policy is deleted: {name, by}."""
    name, by = fields.text("name", required=True), fields.text("by", default="somebody")

    def do(stage: Stage) -> list[Telling]:
        if stage.policies.pop(name, None) is None:
            raise NotFound(f"There is no policy {name}.")
        stage.match()
        return [Telling(by, f"deletes policy {name}")]

    return do


Act = Callable[[Fields, Clock], Doing]

ACTS: Mapping[str, Act] = {
    "version": version,
    "status": status,
    "approve": _says("approved", "approves"),
    "reject": _says("rejected", "rejects"),
    "withdraw": _says("withdrawn", "withdraws what was said of"),
    "freeze": freeze,
    "thaw": thaw,
    "pin": pin,
    "unpin": unpin,
    "skip": skip,
    "pause": _rollout("paused", "pauses"),
    "resume": _rollout("open", "resumes"),
    "abort": _rollout("aborted", "aborts"),
    "promote": promote,
    "speedUp": speed_up,
    "redeploy": _order("redeploy", "redeploys"),
    "force": _order("force", "forces"),
    "rollback": _order("rollback", "rolls back"),
    "clear": clear,
    "cancel": cancel,
    "job": job,
    "incident": incident,
    "resolve": resolve,
    "saturation": saturation,
    "accept": _word("passed", "accepts what could not tell"),
    "fail": _word("failed", "fails what could not tell"),
    "again": _word("again", "measures again"),
    "traffic": traffic,
    "attach": attach,
    "detach": detach,
    "label": label,
    "elsewhere": elsewhere,
    "depend": depend,
    "config": config,
    "agents": agents,
    "policy": policy,
    "deletePolicy": delete_policy,
}
"""The word in the story -> the act."""


def _ends(fields: Fields, clock: Clock) -> Callable[[datetime], datetime | None]:
    """When something ends: `for` a while, or `until` an instant; without either it does not."""
    lasts = fields.parsed("for", duration, required=False)
    until = fields.parsed("until", clock.instant, required=False)
    if lasts is not None and until is not None:
        fields.wrong("until", "stands beside `for`; give one of them")

    def ends(now: datetime) -> datetime | None:
        return until if lasts is None else now + lasts

    return ends


def _rollout_id(stage: Stage, tag: str, environment: str) -> str:
    found = stage.world.rollout(tag, environment)
    if found is None:
        raise NotFound(f"There is no rollout of {tag} in {environment}.")
    return found.id


def _named(stage: Stage, kind: str, name: str) -> str:
    found = stage.names.get((kind, name))
    if found is None:
        raise NotFound(f"There is no {kind} {name}.")
    return found


def _running_job(stage: Stage, name: str) -> str:
    target: Target = stage.world.target(name)
    move = stage.world.open_move(target.name)
    found = [one.id for one in (move.jobs if move else ()) if not one.status.terminal]
    if not found:
        raise NotFound(f"{name} has no running job.")
    return found[-1]
