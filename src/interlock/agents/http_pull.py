"""HTTP pull: the agent is a program of yours that asks Interlock for work.

For places that Interlock cannot reach, and for tools that have no agent here. Your program needs its agent's token
(`interlock agent-token issue datacenter-west`), and no other access: nothing of yours has to listen.

```yaml
type: JobAgent
name: datacenter-west
agentType: http-pull
config:
  leaseSeconds: 60          # who claims a job says within a minute that it lives
  onLeaseEnd: offer         # else somebody else may have it
  playbook: deploy.yml      # yours: whatever your program wants to read
```

{keys}

**The reference agent** does all that this page says, and runs a command for each job:

```sh
export INTERLOCK_URL=https://interlock.example.com INTERLOCK_WORKSPACE=shop
export INTERLOCK_API_KEY="$(cat /etc/interlock/token)"
interlock agent run --concurrency 4 --exec './deploy.sh "$INTERLOCK_RESOURCE" "$INTERLOCK_VERSION"'
```

The command gets `INTERLOCK_JOB`, `INTERLOCK_ATTEMPT`, `INTERLOCK_DEPLOYMENT`, `INTERLOCK_ENVIRONMENT`,
`INTERLOCK_RESOURCE` and `INTERLOCK_VERSION`, and on stdin (and in the file `INTERLOCK_CONTEXT`) the job's whole context
as JSON, secrets in full. What it prints is the job's output, exit status 0 is success. Into the file `INTERLOCK_REPORT`
it may write JSON with `message`, `externalId`, `links`, `metadata`, `applied` and `artifacts`. It never sees the token.

A cancel is SIGTERM to the command, SIGKILL after `--grace`. The command does not die with the agent: the next one with
the same `--state` goes on with it, or reports how it ended. When no agent comes back, or the server cannot be reached,
the command is stopped before its lease ends. SIGTERM lets the agent finish what it has and take nothing new; a second
one leaves what runs to the next agent. As a service:

```ini
# /etc/systemd/system/interlock-agent.service
[Unit]
Description=Interlock job agent
Wants=network-online.target
After=network-online.target

[Service]
User=deploy
StateDirectory=interlock-agent
Environment=INTERLOCK_URL=https://interlock.example.com INTERLOCK_WORKSPACE=shop
# INTERLOCK_API_KEY=<the agent's token>, readable by root alone
EnvironmentFile=/etc/interlock/agent.env
ExecStart=/usr/local/bin/interlock agent run --state /var/lib/interlock-agent --exec /opt/deploy/run.sh
# commands go on while the agent is restarted
KillMode=process
TimeoutStopSec=10min
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
```

In a container run it under an init (`docker run --init`) and keep the state directory on a volume.

**The calls**, with the token in `X-API-Key`. `$W` is the workspace's id or slug; `me` is the token's agent, whose id
may stand there too:

```sh
# 1. What waits, oldest first; an empty answer is kept back for 20 s, until a job comes. Claim the first.
curl -sH "X-API-Key: $T" "$I/api/v1/workspaces/$W/job-agents/me/jobs?status=queued&limit=10&waitSeconds=20"
# 2. Mine: the job with everything that it needs, secrets in full, and the attempt's number. 409: another was first.
curl -sH "X-API-Key: $T" -d '{"holder": "west-1", "leaseSeconds": 60}' \
     "$I/api/v1/workspaces/$W/job-agents/me/jobs/$J/claim"
# 3. Every third of the lease: I live. The answer says `cancelRequested`. 409: the job is not yours any more, stop.
curl -sH "X-API-Key: $T" -d '{"attempt": 1, "message": "12 of 40 hosts"}' \
     "$I/api/v1/workspaces/$W/jobs/$J/heartbeat"
# 4. How it ended.
curl -sX PUT -H "X-API-Key: $T" -d '{"attempt": 1, "status": "successful", "externalId": "run-7",
     "links": {"Run": "https://ci.example.com/7"}, "output": "done", "applied": ["Deployment/shop/api"]}' \
     "$I/api/v1/workspaces/$W/jobs/$J/status"
```

Beside `status` a report may hold `message`, `externalId`, `links`, `metadata`, `output` (its last 64,000 characters are
kept), `applied` (the objects that were written) and `artifacts` (digests that run now); a heartbeat the first five.

**Leases.** A claim has a lease where the agent's config says `leaseSeconds`, or where the claim asks for one (at most
what the config says). Heartbeats and reports begin it anew. When it ends, the job fails, or is offered again: then a
round judges it first, as any job that waits, and the next claim is the next attempt. Whoever takes a lease promises to
stop working when it cannot renew it in time; only so is there never more than one at work. Leave `onLeaseEnd` at `fail`
for work that must not be done twice.

**Many programs of one agent** should wait (`waitSeconds`, 60 at most) and not poll: a job that comes wakes one of them,
and the answer begins with a job that no other was given. After a 409 wait a moment before you list again. Without
`waitSeconds` all of them see the same oldest jobs: claim any of the page, not always the first.

**The fence.** What an attempt says after its lease ended is refused (409, code `FENCED`), stands in the ledger and
changes nothing. A program that sends no `attempt` is believed until a lease of that job has ended; one that knows of
nothing but the contract's three calls (list, claim, `{"status": …}`) goes on as ever where nobody sets `leaseSeconds`.

**Statuses**: queued until claimed, inProgress from the claim, then what your program reports; pending again while a
round judges a job whose lease ended.

**Cancel**: the next heartbeat says so, and the job shows it. Report `cancelled` when it has stopped. Without a word the
job ends cancelled when its lease does, and without a lease after 5 minutes.

**Permissions** of the token: its agent's own queue and jobs (list, claim, heartbeat, report), nothing else. An API key
works too, with `job:report` where the job lies.

**Class**: asked. The claim is one statement that succeeds once, and only while the decision behind the job still holds:
a freeze that was written before the claim answers it with 409. A job that nobody claimed may be withdrawn (skipped).
With `onLeaseEnd: fail` a job is worked on once at most; with `offer` once for each attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from interlock.agents.keys import Key, Number, Text, wrong_keys
from interlock.model.errors import FieldError, Invalid
from interlock.model.job import AgentClass, AgentJob, Authorization, JobStatus, Observation
from interlock.model.lease import ATTEMPTS_DEFAULT, ATTEMPTS_MAX, FAIL, LEASE_MAX_S, LEASE_MIN_S, OFFER

_KEYS_MAX = 200
KEYS = (
    Key(
        "leaseSeconds",
        Number(LEASE_MIN_S, LEASE_MAX_S),
        "whoever claims a job has it for so long, and from each heartbeat anew",
        shown_default="until it ends",
    ),
    Key(
        "onLeaseEnd",
        Text(choices=(FAIL, OFFER)),
        "what becomes of a job whose lease ends: it has failed, or is offered again",
        default=FAIL,
    ),
    Key(
        "attemptsMax",
        Number(1, ATTEMPTS_MAX, whole=True),
        "how often one job is claimed at most before it has failed",
        default=ATTEMPTS_DEFAULT,
    ),
)


class HttpPullAgent:
    """Puts a job where its agent finds it. Claim and reports are the API's."""

    kind: ClassVar[str] = "http-pull"
    klass: ClassVar[AgentClass] = AgentClass.ASKED
    capabilities: ClassVar[frozenset[str]] = frozenset()
    observe_every_s: ClassVar[float | None] = None
    keys: ClassVar[tuple[Key, ...]] = KEYS
    open_ended: ClassVar[bool] = True

    def check_config(self, config: Mapping[str, object]) -> None:
        """Any config is the puller's own, but for the keys of its leases; its size has a limit."""
        wrong = wrong_keys(config, self.keys, open_ended=self.open_ended)
        if len(config) > _KEYS_MAX:
            wrong.append(FieldError("config", f"May have {_KEYS_MAX} keys at most."))
        if wrong:
            raise Invalid(f"{wrong[0].path}: {wrong[0].message}", fields=wrong)

    async def start(self, job: AgentJob, authorization: Authorization) -> Observation:
        """Queued: it waits for somebody to claim it."""
        _ = job, authorization
        return Observation(JobStatus.QUEUED, message="Waits to be claimed.")

    async def find(self, job: AgentJob) -> Observation | None:
        """There is no outside to ask; None lets the job be queued, which is idempotent."""
        _ = job
        return None

    async def observe(self, job: AgentJob) -> Observation | None:
        """The agent reports by itself: nothing is known beyond the job's own row."""
        _ = job
        return Observation(None)

    async def cancel(self, job: AgentJob) -> Observation | None:
        """Nobody is called. The puller sees the cancel when it next asks; a job that nobody claimed ends at once.

        The store knows whether it was claimed, so None stands for "ask the job's row".
        """
        _ = job
        return None

    def links(self, job: AgentJob, observation: Observation) -> Mapping[str, str]:
        """None of our own; the puller may set links on the job."""
        _ = job, observation
        return {}
