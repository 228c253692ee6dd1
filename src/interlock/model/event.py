"""What can happen, who did it and what is it about? The nouns of the ledger and the catalogue of its event kinds.

Only transitions are events: something is now different from before, and a person may ask why. A kind is
`subject.what`, in the past tense. Its line in `KINDS` is the documentation; a kind that is not there cannot be
recorded.

An event's body holds what a reader needs beyond the envelope (from, to, numbers, reasons), in JSON, small and stable.
It never holds personal text: what a person wrote is a note, a row of its own that can be erased.

Source: core.md section 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from interlock.model.errors import Bug


@dataclass(frozen=True, slots=True)
class Ref:
    """A thing by kind and id, as in `job:8f14…`."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it: `user`, `service` (a key's owner), `agent` or `system` (a worker of ours). `name` is never stored."""

    kind: str
    id: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One transition.

    Takes: `refs` are the other things it is about; each finds the event in its own history. `chain` is the change it
           belongs to.
    Fails: `Bug` when the kind is not in the catalogue.
    """

    kind: str
    subject: Ref
    body: Mapping[str, object] = field(default_factory=dict)
    refs: tuple[Ref, ...] = ()
    decision_id: str | None = None
    chain: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise Bug(f"No ledger event is called {self.kind!r}; add it to model/event.py with its sentence.")


KINDS: dict[str, str] = {
    # Inventory
    "workspace.created": "A workspace exists; everything below belongs to one.",
    "workspace.changed": "A workspace's name or slug changed.",
    "workspace.deleted": "A workspace is gone: nothing starts there any more, and its ledger stays.",
    "system.created": "A system groups deployments and environments.",
    "system.changed": "A system's name or description changed.",
    "system.deleted": "A system is gone; its links are too.",
    "system.linked": "A deployment or environment joined a system, so targets may appear.",
    "system.unlinked": "A deployment or environment left a system, so targets may disappear.",
    "environment.created": "An environment selects resources.",
    "environment.changed": "An environment's selector, name or metadata changed.",
    "environment.deleted": "An environment is gone; its targets are detached.",
    "deployment.created": "A deployment can receive versions.",
    "deployment.changed": "A deployment's selector, agent, config or metadata changed.",
    "deployment.deleted": "A deployment is gone; its targets are detached.",
    "deployment_variable.created": "A deployment declares a variable; its releases carry a value for that key.",
    "deployment_variable.changed": "A deployment variable, or one of its values, changed.",
    "deployment_variable.deleted": "A deployment no longer declares a variable; its values are gone too.",
    "variable_set.created": "A variable set offers values to the deployments that it selects.",
    "variable_set.changed": "A variable set's selector, priority or values changed.",
    "variable_set.deleted": "A variable set is gone; what took its values takes others.",
    "workflow.created": "A workflow exists: jobs that somebody may ask for by name.",
    "workflow.changed": "A workflow's inputs, agents, name or slug changed.",
    "workflow.deleted": "A workflow is gone; its runs stay on record.",
    "relationship_rule.created": "References may lead from resources to what this rule relates to them.",
    "relationship_rule.changed": "A relationship rule relates other things than before.",
    "relationship_rule.deleted": "A relationship rule is gone; references by it lead nowhere.",
    "resource.created": "A resource arrived by API, sync or apply.",
    "resource.changed": "A resource's metadata, config or variables changed.",
    "resource.adopted": "A provider took over a resource that nobody offered.",
    "resource.deleted": "A resource left; its targets are detached.",
    "provider.created": "A resource provider may sync resources.",
    "provider.changed": "A resource provider's name or metadata changed.",
    "provider.synced": "A provider sent its whole set; the body counts what came, changed and left.",
    "provider.contested": "What a provider offers and another owns is not what it was; it stays the other's.",
    "provider.deleted": "A resource provider is gone.",
    "agent.created": "A job agent can be chosen.",
    "agent.changed": "A job agent's config or selector changed.",
    "agent.deleted": "A job agent is gone; what selected it holds.",
    "agent.down": "A job agent does not answer: its jobs wait, and one call at a time tries whether it is back.",
    "agent.back": "A job agent that was down answered; its jobs go on.",
    # Versions and policies
    "version.created": "CI announced a version.",
    "version.changed": "A version's name, config, metadata or evidence changed.",
    "version.dependencies_changed": "A version needs other deployments beside it, or needs them no longer.",
    "version.status_changed": "A version became ready, paused, rejected or another status.",
    "policy.created": "A policy exists with its first revision.",
    "policy.changed": "A policy has a new revision.",
    "policy.deleted": "A policy no longer applies.",
    # People and keys
    "principal.created": "A user or service account exists.",
    "principal.changed": "The identity provider's word made a person a system admin, or one no longer.",
    "key.created": "An API key was made; it was shown once.",
    "key.rotated": "A new key took the place of an old one, which ends after the overlap.",
    "key.revoked": "An API key no longer opens anything.",
    "agent_token.issued": "A job agent's program can sign in; its token was shown once.",
    "agent_token.revoked": "A job agent's token no longer opens anything.",
    "role.created": "A workspace has a role of its own.",
    "role.changed": "A role carries other permissions than before, for all who hold it.",
    "role.deleted": "A role that nobody held is gone.",
    "binding.granted": "A user, a group or a key has a role over something.",
    "binding.revoked": "A user, a group or a key no longer has a role there.",
    "member.added": "A principal has a role in a workspace.",
    "member.changed": "A member has another role.",
    "member.removed": "A principal is no longer a member.",
    "group.created": "People who are asked together have a name.",
    "group.changed": "Somebody joined or left a group.",
    "group.deleted": "A group is gone; a rule that names it waits.",
    "secrets.rotated": "Every secret is sealed with the newest key; the body counts what was sealed again.",
    # Targets and rollouts
    "target.attached": "A deployment, an environment and a resource met: there is something to release to.",
    "target.detached": "A target no longer matches; what runs there is left alone.",
    "target.removed": "A target was taken down on purpose.",
    "rollout.opened": "The first target of an environment passed all gates for this change.",
    "rollout.paused": "A person paused a rollout; it starts nothing.",
    "rollout.resumed": "A person resumed a paused or halted rollout.",
    "rollout.sped_up": "A person lets a rollout go faster: a shorter interval or bake, or more at once.",
    "rollout.promoted": "A person let all that was left of a rollout start at once; gates are still asked.",
    "rollout.halted": "More failed than is allowed; nothing starts until a person acts or a newer rollout comes.",
    "rollout.completed": "Every target of the rollout has landed.",
    "rollout.superseded": "A newer change took over.",
    "rollout.aborted": "A person gave the rollout up, a newer one came after it had halted, or its place was deleted.",
    # Changes, moves and jobs
    "change.created": "Someone wants something different: a version, a config, a rollback, a redeploy or a removal.",
    "move.admitted": "A target may go from its release to another one.",
    "move.started": "The first job of the move was handed over.",
    "move.not_started": "Nothing was started after all; the move waits as before.",
    "move.applied": "The move's job ended well; its verification runs.",
    "move.succeeded": "Every step of the move succeeded.",
    "move.failed": "A step of the move failed for good.",
    "move.withdrawn": "The move was taken back before it was handed over.",
    "move.cancelled": "The move was cancelled after it was handed over.",
    "move.reopened": "What had verified the move failed when it was measured again: it is judged once more.",
    "move.verified": "What the move brought was verified: the release is good.",
    "workflow_run.started": "Somebody asked for a run of a workflow, and it may start: its jobs wait for agents.",
    "workflow_run.refused": "Somebody asked for a run of a workflow, which a freeze covers: none of its jobs was made.",
    "job.created": "A step of a move, or of a run, waits for its agent.",
    "job.handed_over": "The agent has the job.",
    "job.uncertain": "The hand-over was not answered: whether the outside runs it is unknown.",
    "job.not_started": "No run came of a hand-over; the job waits again.",
    "job.status_changed": "The job went from one status to another.",
    "job.withdrawn": "The job was taken back before anybody had it.",
    "job.lease_ended": "Whoever had claimed the job was not heard of in time: it has it no longer.",
    "job.asked": "People are asked to do the job.",
    "job.claimed": "A pull agent, or a person, took the job.",
    "job.answered": "A person completed or rejected the job, with the evidence that it asks for.",
    "job.commented": "A person wrote something beside the job.",
    "job.overdue": "Nobody answered the job by the instant for which it was wanted.",
    "job.noted": "News came too late or out of order; it is noted and changes nothing.",
    "job.overran": "A run took longer than `timeoutSeconds` allows; its end is asked for, and the job fails.",
    "job.cancel_asked": "The outside was asked to stop the job.",
    "job.confirm_asked": "The run is planned outside, and waits to be confirmed.",
    "job.confirm_admitted": "Every gate let the planned run pass: it may be confirmed.",
    "job.confirm_held": "A rule holds the planned run again; nobody had confirmed it.",
    "job.confirmed": "The outside was told to apply the planned run.",
    "job.confirm_refused": "The outside did not take the confirmation: a person must act there.",
    # Judgement
    "verification.started": "Measuring began for this subject.",
    "verification.posted": "An outside system posted a result for a metric.",
    "verification.passed": "What was measured is good enough.",
    "verification.failed": "What was measured is not good enough, or a person said so.",
    "verification.inconclusive": "Measuring could not tell.",
    "slo.created": "A service promises something: an objective, whose error budget is read from now on.",
    "slo.changed": "An objective promises something else, asks elsewhere, or covers other deployments.",
    "slo.deleted": "An objective is gone, with what was read of it.",
    "slo.cover_changed": "An objective covers a deployment from now on, or no longer.",
    "slo.class_changed": "An error budget has another class: the body says from which to which, and why.",
    "verification.again": "It is measured again: a person asked, or its rule says so.",
    "verification.accepted": "A person accepted what measuring could not tell, and said why.",
    "verification.revoked": "Measured again it failed, and its rule takes back that it had passed.",
    "verification.stands": "Measured again it did not pass; that it had passed stands.",
    "approval.requested": "Nothing else holds; a person is asked.",
    "approval.given": "A person approved what they were shown.",
    "approval.rejected": "A person rejected what they were shown.",
    "approval.withdrawn": "A person took their approval back.",
    "approval.voided": "An approval no longer counts, because what it was given for changed.",
    # What people set
    "freeze.set": "Nothing may start where the freeze applies.",
    "freeze.extended": "A freeze ends later than it did.",
    "freeze.thawed": "A person ended a freeze.",
    "freeze.expired": "A freeze reached its end.",
    # What burns outside
    "saturation.changed": "What a deployment runs on is fuller or less full than it was, or is read no longer.",
    "incident.opened": "An incident began, or burns on after its end; if it gates, nothing new starts where it bites.",
    "incident.changed": "An open incident is about other things now, or is as bad as it was not before.",
    "incident.resolved": "An incident is over: its source says so, or a person.",
    "incident.expired": "An incident reached its end, and nobody had said that it is over.",
    "order.placed": "A redeploy, a force or a rollback of a target was asked for, by a person or by a rule.",
    "order.answered": "What an order asked for was handed over.",
    "order.ended": "An order ended unanswered: it expired, was withdrawn, or its target has nothing to bring.",
    "pin.set": "A target, environment or deployment is pinned to one version.",
    "pin.removed": "A pin was taken back, or another took its place.",
    "pin.expired": "A pin reached its end; what it left stays left.",
    "skip.set": "A version passes a rule, or a freeze, by hand.",
    "skip.removed": "A skip was taken back.",
    "skip.expired": "A skip reached its end; what it let start goes on.",
    "quarantine.set": "A version or config is kept off targets where it failed.",
    "quarantine.cleared": "A person let a quarantined version or config try again.",
    "rollback.started": "Targets go back to their last good release.",
    "rollback.escalated": "Going back did not help, or cannot: a person must act.",
    # Plans of versions
    "deployment_plan.asked": "Somebody wants to know what a version would change; nothing moves.",
    "deployment_plan.completed": "Every result of a deployment plan is known.",
    # Being told
    "subscription.created": "Somebody is told of what happens here from now on.",
    "subscription.changed": "A subscription tells other things, or tells them elsewhere.",
    "subscription.deleted": "A subscription is gone; what it had not told yet is not told.",
    "subscription.secret_rotated": "A subscription signs with a new secret; the one before is good for a while longer.",
    "subscription.paused": "A person paused a subscription; what happens meanwhile waits.",
    "subscription.resumed": "A paused or disabled subscription tells again.",
    "subscription.failing": "A receiver does not take what it is told; it is tried again.",
    "subscription.recovered": "A receiver that failed takes what it is told again.",
    "subscription.disabled": "A receiver failed for too long, or said that it is gone; a person may resume it.",
    # Self-checks
    "sweep.difference": "The sweep found a move that no fact had asked for; this is a fault of ours.",
}
"""kind -> what it means, in one sentence."""
