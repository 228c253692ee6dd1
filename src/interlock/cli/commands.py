"""Which commands are there? The table that help is written from, and that says where each one stands.

Nothing is imported here: `interlock --help` is this file and no more (25 ms, most of it Python itself). A test compares
each line with the command's own docstring. A line of help has room for 64 characters, so that 80 columns are enough.
"""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("interlock.cli.up:up", "Run API, console and a worker on this machine."),
    "apply": ("interlock.cli.apply:apply", "Make the server say what YAML files say."),
    "export": ("interlock.cli.export:export", "Write what the server says as files for apply."),
    "schema": ("interlock.cli.schema:schema", "Print the JSON Schema of files, for editors."),
    "login": ("interlock.cli.login:login", "Keep a server and a key for the commands to come."),
    "config": ("interlock.cli.config:config", "Say which server and workspace commands use."),
    "version": ("interlock.cli.version:version", "Create versions, as CI does, or reject them."),
    "plan": ("interlock.cli.plan:plan", "Show what a version would change, before it exists."),
    "get": ("interlock.cli.get:get", "List what there is of a kind, or show some of it."),
    "describe": ("interlock.cli.describe:describe", "Show everything that is known of one thing."),
    "jobs": ("interlock.cli.jobs:jobs", "List jobs, newest first, or show one."),
    "watch": ("interlock.cli.watch:watch", "Follow a version until it runs everywhere, or fails."),
    "explain": ("interlock.cli.explain:explain", "Say why a target, a version or a job waits."),
    "inspect": ("interlock.cli.inspect:inspect", "Say what is on a target now, and where it drifted."),
    "can-deploy": ("interlock.cli.can_deploy:can_deploy", "Ask whether a version may go somewhere now."),
    "policies": ("interlock.cli.policies:policies", "Say which policies apply, and why each matched."),
    "trace": ("interlock.cli.trace:trace", "Show what a version went through."),
    "replay": ("interlock.cli.replay:replay", "Decide a past decision again."),
    "budget": ("interlock.cli.budget:budget", "Show where the error budgets of a deployment stand."),
    "approve": ("interlock.cli.approve:approve", "Answer a request for approval, or list them."),
    "reject": ("interlock.cli.reject:reject", "Say no to a request for approval."),
    "task": ("interlock.cli.task:task", "Do what jobs ask of people: take, complete, reject."),
    "verification": (
        "interlock.cli.verification:verification",
        "Read and watch measuring; accept, fail or repeat it.",
    ),
    "rollout": ("interlock.cli.rollout:rollout", "List, show, pause, resume, speed up, promote or abort rollouts."),
    "rollback": ("interlock.cli.rollback:rollback", "Go back to what was good, now."),
    "redeploy": ("interlock.cli.redeploy:redeploy", "Bring the same release again."),
    "force": ("interlock.cli.force:force", "Bring a version past every rule."),
    "order": ("interlock.cli.order:order", "List what was asked for, or take it back."),
    "freeze": ("interlock.cli.freeze:freeze", "Stop every hand-over, from now on."),
    "thaw": ("interlock.cli.thaw:thaw", "End a freeze."),
    "incident": ("interlock.cli.incident:incident", "List, open or resolve what burns outside."),
    "saturation": ("interlock.cli.saturation:saturation", "List, report or forget how full things are."),
    "pin": ("interlock.cli.pin:pin", "Keep something at a version, or list pins."),
    "unpin": ("interlock.cli.unpin:unpin", "End a pin."),
    "skip": ("interlock.cli.skip:skip", "Let a version pass a rule or a freeze, or list skips."),
    "unskip": ("interlock.cli.unskip:unskip", "Take a skip back."),
    "quarantine": (
        "interlock.cli.quarantine:quarantine",
        "List or clear what failed and is kept off its targets.",
    ),
    "cancel": ("interlock.cli.cancel:cancel", "Ask for a job's end."),
    "post": ("interlock.cli.post:post", "Post what an outside system measured of a job."),
    "what-if": ("interlock.cli.what_if:what_if", "Say what policies would change before they are saved."),
    "delete": ("interlock.cli.delete:delete", "Take something away, once it is shown what that ends."),
    "forecast": ("interlock.cli.forecast:forecast", "Say when each target could start at the earliest."),
    "simulate": ("interlock.cli.simulate:simulate", "Play rollouts from files on a virtual clock."),
    "ledger": ("interlock.cli.ledger:ledger", "Show what happened, in order."),
    "subscription": (
        "interlock.cli.subscription:subscription",
        "Tell others what happens: webhooks, chats, letters.",
    ),
    "group": ("interlock.cli.group:group", "List groups of people, or say who is in one."),
    "member": ("interlock.cli.member:member", "List, invite or remove people, and give them roles."),
    "role": ("interlock.cli.role:role", "List, make, grant or revoke roles."),
    "access": ("interlock.cli.access:access", "Say who may do what, and why."),
    "agent": ("interlock.cli.agent:agent", "Run the reference agent: a command for each job."),
    "agent-token": ("interlock.cli.agent_token:agent_token", "Issue, list or revoke the tokens of job agents."),
    "keys": ("interlock.cli.keys:keys", "Make API keys for people and machines."),
    "completion": ("interlock.cli.completion:completion", "Make a shell complete commands and names."),
    "api": ("interlock.cli.api:api", "Run API and console on a shared database."),
    "worker": ("interlock.cli.worker:worker", "Run a worker on a shared database."),
    "work": ("interlock.cli.work:work", "List, retry or bury work items."),
    "secrets": ("interlock.cli.secrets:secrets", "Show and change the keys that seal secrets."),
    "db": ("interlock.cli.db:db", "Dump or restore the database."),
}
"""name -> where it is defined, and its line in `interlock --help`; in the order that help shows."""


SECTIONS = {
    "up": "Start, describe and ship",
    "get": "Look and ask",
    "approve": "Steer",
    "group": "People and keys",
    "api": "Run it",
}
"""The first command of a part of help -> the part's title."""

HELP = """\
Usage: interlock [OPTIONS] COMMAND [ARGS]...

  Decide which version may go where, and when; and see that it did.

  interlock up                                  start everything on this machine
  interlock apply -f fleet/                     say what there is
  interlock version upsert -d shop-api -t 1.4.0 say that a version exists
  interlock explain shop-api                    why it waits, and who can act
  interlock freeze --reason "checkout is down"  stop every hand-over, now

Options:
  --version   Show the version and exit.
  -h, --help  Show this message and exit.
"""


def render_help() -> str:
    """What `interlock --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [HELP]
    for name, (_, line) in COMMANDS.items():
        if name in SECTIONS:
            lines.append(f"\n{SECTIONS[name]}:\n")
        lines.append(f"  {name:<{width}}  {line}\n")
    lines.append("\n`interlock COMMAND --help` says more. Exit codes: docs/reference/exit-codes.md\n")
    return "".join(lines)
