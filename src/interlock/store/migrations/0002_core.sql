-- The tables of the core, with their final seams. core.md sections 1, 4, 5, 6 say what each means.
--
-- Conventions: ids are uuid; instants are timestamptz; wire objects that must come back as they were written are jsonb (order of
-- arrays kept); words of an enumeration are text with a CHECK, so that a later migration can add one without a lock.
-- A row with `deleted_at` is a tombstone: history keeps pointing at it.

-- Who ------------------------------------------------------------------------------------------------------------------------

CREATE TABLE workspace (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name        text NOT NULL,
    slug        text NOT NULL UNIQUE,
    rules_fence bigint NOT NULL DEFAULT 0,   -- bumped by every change of a policy or freeze: one row, core.md 2
    policies_fence   bigint NOT NULL DEFAULT 0,   -- bumped by every change of a policy
    policies_matched bigint NOT NULL DEFAULT 0,   -- the policies_fence up to which targets know their policies; behind it rounds hold
    created_at  timestamptz NOT NULL DEFAULT interlock_now()
);

CREATE TABLE principal (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind        text NOT NULL DEFAULT 'user' CHECK (kind IN ('user', 'service')),
    name        text NOT NULL UNIQUE,
    email       text,
    system_role text NOT NULL DEFAULT 'user' CHECK (system_role IN ('user', 'admin')),
    created_at  timestamptz NOT NULL DEFAULT interlock_now(),
    disabled_at timestamptz
);

CREATE TABLE principal_group (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    UNIQUE (workspace_id, name)
);

CREATE TABLE group_member (
    group_id     uuid NOT NULL REFERENCES principal_group ON DELETE CASCADE,
    principal_id uuid NOT NULL REFERENCES principal ON DELETE CASCADE,
    PRIMARY KEY (group_id, principal_id)
);

CREATE TABLE member (
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    principal_id uuid NOT NULL REFERENCES principal ON DELETE CASCADE,
    added_at     timestamptz NOT NULL DEFAULT interlock_now(),
    PRIMARY KEY (workspace_id, principal_id)
);
CREATE INDEX member_of_principal ON member (principal_id);

CREATE TABLE role_binding (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    principal_id uuid REFERENCES principal ON DELETE CASCADE,
    group_id     uuid REFERENCES principal_group ON DELETE CASCADE,
    role         text NOT NULL CHECK (role IN ('viewer', 'developer', 'approver', 'operator', 'admin')),
    scope_kind   text NOT NULL DEFAULT 'workspace' CHECK (scope_kind IN ('workspace', 'system', 'deployment', 'environment')),
    scope_id     uuid,
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    CHECK ((principal_id IS NULL) <> (group_id IS NULL)),
    CHECK ((scope_kind = 'workspace') = (scope_id IS NULL))
);
CREATE INDEX role_binding_of_principal ON role_binding (principal_id, workspace_id);
CREATE INDEX role_binding_of_group ON role_binding (group_id, workspace_id);

CREATE TABLE api_key (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    principal_id uuid NOT NULL REFERENCES principal ON DELETE CASCADE,
    name         text NOT NULL DEFAULT '',
    prefix       text NOT NULL UNIQUE,
    secret_hash  bytea NOT NULL,             -- sha256 of the secret part: 32 random bytes need no slow hash
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
CREATE INDEX api_key_of_principal ON api_key (principal_id);

CREATE TABLE session (
    id_hash      bytea PRIMARY KEY,          -- sha256 of the cookie's value
    principal_id uuid NOT NULL REFERENCES principal ON DELETE CASCADE,
    csrf         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    expires_at   timestamptz NOT NULL
);

CREATE TABLE secret (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name         text NOT NULL,
    ciphertext   bytea NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at   timestamptz NOT NULL DEFAULT interlock_now(),
    UNIQUE (workspace_id, name)
);

-- Inventory ------------------------------------------------------------------------------------------------------------------

CREATE TABLE system (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name         text NOT NULL,
    description  text,
    metadata     jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at   timestamptz NOT NULL DEFAULT interlock_now(),
    deleted_at   timestamptz
);
CREATE INDEX system_of_workspace ON system (workspace_id, created_at, id) WHERE deleted_at IS NULL;

CREATE TABLE environment (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id      uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name              text NOT NULL,
    description       text,
    resource_selector text NOT NULL DEFAULT 'false',
    metadata          jsonb NOT NULL DEFAULT '{}',
    created_at        timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at        timestamptz NOT NULL DEFAULT interlock_now(),
    deleted_at        timestamptz
);
CREATE UNIQUE INDEX environment_name ON environment (workspace_id, name) WHERE deleted_at IS NULL;

CREATE TABLE job_agent (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name         text NOT NULL,
    type         text NOT NULL,
    config       jsonb NOT NULL DEFAULT '{}',
    metadata     jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at   timestamptz NOT NULL DEFAULT interlock_now(),
    deleted_at   timestamptz
);
CREATE UNIQUE INDEX job_agent_name ON job_agent (workspace_id, name) WHERE deleted_at IS NULL;

CREATE TABLE deployment (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id        uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name                text NOT NULL,
    description         text,
    resource_selector   text NOT NULL DEFAULT 'false',
    job_agent_selector  text NOT NULL DEFAULT '',
    job_agent_config    jsonb NOT NULL DEFAULT '{}',
    job_agents          jsonb,               -- the older provider's form: [{ref, config, selector}]; NULL where not used
    metadata            jsonb NOT NULL DEFAULT '{}',
    supersede           text NOT NULL DEFAULT 'wait' CHECK (supersede IN ('wait', 'cancel')),
    created_at          timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at          timestamptz NOT NULL DEFAULT interlock_now(),
    deleted_at          timestamptz,
    -- How its rounds stay consistent with facts that arrive meanwhile (core.md 2 and 3).
    generation          bigint NOT NULL DEFAULT 0,   -- every own fact
    fence               bigint NOT NULL DEFAULT 0,   -- own facts that can take something away
    decided_fence       bigint NOT NULL DEFAULT 0,
    decided_rules_fence bigint NOT NULL DEFAULT 0,
    decided_at          timestamptz,
    round_ms            integer NOT NULL DEFAULT 0,
    wake_at             timestamptz
);
CREATE UNIQUE INDEX deployment_name ON deployment (workspace_id, name) WHERE deleted_at IS NULL;

CREATE TABLE system_deployment (
    system_id     uuid NOT NULL REFERENCES system ON DELETE CASCADE,
    deployment_id uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    linked_at     timestamptz NOT NULL DEFAULT interlock_now(),
    PRIMARY KEY (system_id, deployment_id)
);
CREATE INDEX system_of_deployment ON system_deployment (deployment_id);

CREATE TABLE system_environment (
    system_id      uuid NOT NULL REFERENCES system ON DELETE CASCADE,
    environment_id uuid NOT NULL REFERENCES environment ON DELETE CASCADE,
    linked_at      timestamptz NOT NULL DEFAULT interlock_now(),
    PRIMARY KEY (system_id, environment_id)
);
CREATE INDEX system_of_environment ON system_environment (environment_id);

CREATE TABLE resource_provider (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name         text NOT NULL,
    metadata     jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at   timestamptz NOT NULL DEFAULT interlock_now(),
    UNIQUE (workspace_id, name)
);

CREATE TABLE resource (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id   uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    provider_id    uuid REFERENCES resource_provider ON DELETE SET NULL,
    identifier     text NOT NULL,
    name           text NOT NULL,
    kind           text NOT NULL,
    version        text NOT NULL,
    config         jsonb NOT NULL DEFAULT '{}',
    metadata       jsonb NOT NULL DEFAULT '{}',
    position       integer NOT NULL DEFAULT 0,   -- its place in the provider's last `set`
    content_digest text NOT NULL DEFAULT '',     -- of name, kind, version, config, metadata: tells whether a sync changed it
    created_at     timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at     timestamptz NOT NULL DEFAULT interlock_now(),
    deleted_at     timestamptz
);
CREATE UNIQUE INDEX resource_identifier ON resource (workspace_id, identifier) WHERE deleted_at IS NULL;
CREATE INDEX resource_metadata ON resource USING gin (metadata jsonb_path_ops) WHERE deleted_at IS NULL;
CREATE INDEX resource_kind ON resource (workspace_id, kind) WHERE deleted_at IS NULL;
CREATE INDEX resource_of_provider ON resource (provider_id, position) WHERE deleted_at IS NULL;

CREATE TABLE resource_variable (
    resource_id uuid NOT NULL REFERENCES resource ON DELETE CASCADE,
    key         text NOT NULL,
    value       jsonb NOT NULL,
    PRIMARY KEY (resource_id, key)
);

-- Policies -------------------------------------------------------------------------------------------------------------------

CREATE TABLE policy (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name        text NOT NULL,
    description text,
    selector    text NOT NULL DEFAULT 'true',
    metadata    jsonb NOT NULL DEFAULT '{}',
    priority    integer NOT NULL DEFAULT 0,
    enabled     boolean NOT NULL DEFAULT true,
    mode        text NOT NULL DEFAULT 'enforce' CHECK (mode IN ('enforce', 'observe')),
    revision_id uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at  timestamptz NOT NULL DEFAULT interlock_now(),
    deleted_at  timestamptz
);
CREATE INDEX policy_of_workspace ON policy (workspace_id, created_at, id) WHERE deleted_at IS NULL;

CREATE TABLE policy_revision (                 -- immutable
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    policy_id  uuid NOT NULL REFERENCES policy ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    number     integer NOT NULL,
    selector   text NOT NULL,
    mode       text NOT NULL CHECK (mode IN ('enforce', 'observe')),
    enabled    boolean NOT NULL,
    rules      jsonb NOT NULL,                 -- as the client wrote them: ids, createdAt and order kept, no defaults injected
    created_at timestamptz NOT NULL DEFAULT interlock_now(),
    created_by uuid,
    UNIQUE (policy_id, number)
);
ALTER TABLE policy ADD FOREIGN KEY (revision_id) REFERENCES policy_revision DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE policy_rule (                     -- when the server first stored a rule with this id: the default DTSTART (core.md 10)
    policy_id       uuid NOT NULL REFERENCES policy ON DELETE CASCADE,
    rule_id         text NOT NULL,
    first_stored_at timestamptz NOT NULL DEFAULT interlock_now(),
    PRIMARY KEY (policy_id, rule_id)
);

CREATE TABLE policy_set (                      -- the policies that select a target, interned; id is derived from the sorted ids
    id         uuid PRIMARY KEY,
    policy_ids uuid[] NOT NULL
);

CREATE TABLE "freeze" (   -- a reserved word of SQL: always in quotes
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    scope_kind   text NOT NULL CHECK (scope_kind IN ('workspace', 'system', 'environment', 'deployment')),
    scope_id     uuid,
    selector     text,
    reason       text NOT NULL,
    incident_url text,
    created_by   uuid,
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    expires_at   timestamptz,
    thawed_at    timestamptz,
    thawed_by    uuid,
    thaw_reason  text,
    CHECK ((scope_kind = 'workspace') = (scope_id IS NULL))
);
CREATE INDEX freeze_in_force ON "freeze" (workspace_id) WHERE thawed_at IS NULL;

-- Versions, changes ----------------------------------------------------------------------------------------------------------

CREATE TABLE version (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id     uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    deployment_id    uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    tag              text NOT NULL,
    name             text NOT NULL,
    status           text NOT NULL DEFAULT 'ready'
                     CHECK (status IN ('unspecified', 'building', 'ready', 'failed', 'rejected', 'paused')),
    message          text,
    config           jsonb NOT NULL DEFAULT '{}',
    job_agent_config jsonb NOT NULL DEFAULT '{}',
    metadata         jsonb NOT NULL DEFAULT '{}',
    author_id        uuid,                     -- the principal whose key created it
    created_at       timestamptz NOT NULL DEFAULT interlock_now(),   -- the client's when it sent one
    stored_at        timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at       timestamptz NOT NULL DEFAULT interlock_now(),
    UNIQUE (deployment_id, tag)
);
CREATE INDEX version_newest ON version (deployment_id, created_at DESC, id DESC);

CREATE TABLE version_dependency (
    version_id       uuid NOT NULL REFERENCES version ON DELETE CASCADE,
    deployment_id    uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    version_selector text NOT NULL,
    PRIMARY KEY (version_id, deployment_id)
);

CREATE TABLE version_artifact (
    version_id uuid NOT NULL REFERENCES version ON DELETE CASCADE,
    digest     text NOT NULL,
    name       text NOT NULL DEFAULT '',
    PRIMARY KEY (version_id, digest)
);
CREATE INDEX version_of_artifact ON version_artifact (digest);

CREATE TABLE evidence (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    version_id   uuid REFERENCES version ON DELETE CASCADE,
    kind         text NOT NULL,
    digest       text NOT NULL,
    body         jsonb NOT NULL,
    observed_at  timestamptz NOT NULL,
    fresh_until  timestamptz,
    source       text NOT NULL,
    stored_at    timestamptz NOT NULL DEFAULT interlock_now()
);
CREATE INDEX evidence_of_version ON evidence (version_id, kind);

CREATE TABLE change (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id  uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    deployment_id uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    kind          text NOT NULL CHECK (kind IN ('version', 'config', 'rollback', 'redeploy', 'remove')),
    version_id    uuid REFERENCES version ON DELETE CASCADE,
    config_digest text,
    author_id     uuid,
    refs          jsonb NOT NULL DEFAULT '{}',   -- pull request, commits, ticket
    created_at    timestamptz NOT NULL DEFAULT interlock_now()
);
CREATE UNIQUE INDEX change_of_version ON change (version_id) WHERE kind = 'version';

-- Targets --------------------------------------------------------------------------------------------------------------------

CREATE TABLE resolved_config (                  -- what a target's version will run with, interned by digest; immutable
    digest     text PRIMARY KEY,
    body       jsonb NOT NULL,                  -- {jobAgentId, jobAgentConfig (agent, then deployment), variables}
    created_at timestamptz NOT NULL DEFAULT interlock_now()
);

CREATE TABLE target (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id       uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    deployment_id      uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    environment_id     uuid NOT NULL REFERENCES environment ON DELETE CASCADE,
    resource_id        uuid NOT NULL REFERENCES resource ON DELETE CASCADE,
    state              text NOT NULL DEFAULT 'attached' CHECK (state IN ('attached', 'detached', 'removed')),
    attached_at        timestamptz NOT NULL DEFAULT interlock_now(),
    detached_at        timestamptz,
    -- Resolved before deciding (core.md 2). NULL policy_set_id: not matched yet, which holds.
    policy_set_id      uuid REFERENCES policy_set,
    agent_state        text NOT NULL DEFAULT 'no_agent' CHECK (agent_state IN ('one', 'no_agent', 'ambiguous_agent')),
    agent_id           uuid REFERENCES job_agent,
    config_digest      text,
    -- Where it is. Only rounds write these.
    desired_version_id uuid REFERENCES version ON DELETE SET NULL,
    current_release_id uuid,
    good_release_id    uuid,
    mark_version_id    uuid REFERENCES version ON DELETE SET NULL,   -- newest version ever handed over
    last_started_at    timestamptz,             -- when its last move was handed over: what versionCooldown counts from
    UNIQUE (deployment_id, environment_id, resource_id)
)
-- A round writes where its targets go, many of them at once: leave room for updates in place.
WITH (fillfactor = 70);
CREATE INDEX target_of_resource ON target (resource_id);
CREATE INDEX target_of_environment ON target (environment_id);

CREATE TABLE target_observation (
    target_id   uuid PRIMARY KEY REFERENCES target ON DELETE CASCADE,
    digest      text,
    revision    text,
    observed_at timestamptz NOT NULL,
    source      text NOT NULL
);

CREATE TABLE release (                          -- immutable
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id    uuid NOT NULL,
    target_id       uuid NOT NULL REFERENCES target ON DELETE CASCADE,
    version_id      uuid NOT NULL REFERENCES version ON DELETE CASCADE,
    config_digest   text NOT NULL,
    snapshot        jsonb NOT NULL,             -- the dispatch context less the job, frozen
    snapshot_digest text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT interlock_now()
);
CREATE INDEX release_of_target ON release (target_id, created_at DESC);
ALTER TABLE target ADD FOREIGN KEY (current_release_id) REFERENCES release,
                   ADD FOREIGN KEY (good_release_id) REFERENCES release;

CREATE TABLE landed (                           -- what a round needs of history, so that no round reads old jobs
    target_id        uuid NOT NULL REFERENCES target ON DELETE CASCADE,
    version_id       uuid NOT NULL REFERENCES version ON DELETE CASCADE,
    first_success_at timestamptz NOT NULL,
    verified_at      timestamptz,
    left_at          timestamptz,               -- rolled back from: it no longer counts for progression
    PRIMARY KEY (target_id, version_id)
);
CREATE INDEX landed_of_version ON landed (version_id);

CREATE TABLE pin (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id   uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    deployment_id  uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    environment_id uuid REFERENCES environment ON DELETE CASCADE,
    target_id      uuid REFERENCES target ON DELETE CASCADE,
    version_id     uuid NOT NULL REFERENCES version ON DELETE CASCADE,
    reason         text NOT NULL,
    created_by     uuid,
    created_at     timestamptz NOT NULL DEFAULT interlock_now(),
    expires_at     timestamptz,
    removed_at     timestamptz
);
CREATE INDEX pin_in_force ON pin (deployment_id) WHERE removed_at IS NULL;

CREATE TABLE skip (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id   uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    deployment_id  uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    version_id     uuid NOT NULL REFERENCES version ON DELETE CASCADE,
    environment_id uuid REFERENCES environment ON DELETE CASCADE,
    resource_id    uuid REFERENCES resource ON DELETE CASCADE,
    rule_id        text NOT NULL,
    reason         text NOT NULL,
    created_by     uuid,
    created_at     timestamptz NOT NULL DEFAULT interlock_now(),
    expires_at     timestamptz,
    removed_at     timestamptz
);
CREATE INDEX skip_in_force ON skip (deployment_id) WHERE removed_at IS NULL;

CREATE TABLE quarantine (                       -- what a target must not take again, until cleared or a newer version
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id  uuid NOT NULL,
    deployment_id uuid NOT NULL,
    target_id     uuid NOT NULL REFERENCES target ON DELETE CASCADE,
    version_id    uuid REFERENCES version ON DELETE CASCADE,
    config_digest text,
    move_id       uuid NOT NULL,
    set_at        timestamptz NOT NULL DEFAULT interlock_now(),
    cleared_at    timestamptz,
    cleared_by    uuid,
    clear_reason  text,
    CHECK ((version_id IS NULL) <> (config_digest IS NULL))
);
CREATE INDEX quarantine_in_force ON quarantine (deployment_id) WHERE cleared_at IS NULL;

-- What rounds write by the thousand names its workspace, deployment and environment for the indexes below, without a foreign key: the target or
-- move that it does refer to has them, and each key costs 10 µs a row.

-- Rollouts, moves, jobs ------------------------------------------------------------------------------------------------------

CREATE TABLE rollout (
    id              uuid PRIMARY KEY,           -- derived from change and environment
    workspace_id    uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    deployment_id   uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    environment_id  uuid NOT NULL REFERENCES environment ON DELETE CASCADE,
    change_id       uuid NOT NULL REFERENCES change ON DELETE CASCADE,
    kind            text NOT NULL CHECK (kind IN ('version', 'config', 'rollback', 'redeploy', 'remove')),
    version_id      uuid REFERENCES version ON DELETE CASCADE,
    state           text NOT NULL CHECK (state IN ('open', 'paused', 'halted', 'complete', 'superseded', 'aborted')),
    reason          text,
    opened_at       timestamptz NOT NULL,       -- written once
    targets_at_open integer NOT NULL,           -- the n of linear-normalized
    failures_forgiven integer NOT NULL DEFAULT 0,   -- failures already seen when a person resumed it
    state_at        timestamptz NOT NULL,
    UNIQUE (change_id, environment_id)
);
CREATE UNIQUE INDEX rollout_one_open ON rollout (deployment_id, environment_id, kind) WHERE state IN ('open', 'paused', 'halted');
CREATE INDEX rollout_of_deployment ON rollout (deployment_id, opened_at DESC);

CREATE TABLE round (                            -- a round that changed a decision or moved something, with what it knew
    id               uuid PRIMARY KEY,
    workspace_id     uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    deployment_id    uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    at               timestamptz NOT NULL,      -- its `now`
    fact_digests     jsonb NOT NULL,            -- shard name -> digest in blob
    engine_version   text NOT NULL,
    tzdata_version   text NOT NULL,
    policy_revisions uuid[] NOT NULL,
    committed_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX round_of_deployment ON round (deployment_id, at DESC);

CREATE TABLE decision (                         -- one verdict tree per environment, version and policy set; written when it changes
    id             uuid PRIMARY KEY,
    workspace_id   uuid NOT NULL,
    deployment_id  uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    subject        text NOT NULL,               -- kind, environment, version and policy set: what it is the latest of
    environment_id uuid,
    version_id     uuid,
    kind           text NOT NULL,               -- kind of move judged
    outcome        text NOT NULL CHECK (outcome IN ('pass', 'hold', 'unknown')),
    verdicts       jsonb NOT NULL,
    digest         text NOT NULL,
    valid_until    timestamptz,
    round_id       uuid NOT NULL REFERENCES round DEFERRABLE INITIALLY DEFERRED,
    at             timestamptz NOT NULL
);
CREATE INDEX decision_of_deployment ON decision (deployment_id, subject, at DESC);

CREATE TABLE target_decision (                  -- the latest short row per target
    target_id   uuid PRIMARY KEY REFERENCES target ON DELETE CASCADE,
    deployment_id uuid NOT NULL,
    kind        text,
    version_id  uuid,
    outcome     text NOT NULL,                  -- settled, moving, hold, unknown
    verdicts    jsonb NOT NULL,                 -- those about this target alone: its gates, its place in the rollout
    decision_ids uuid[] NOT NULL,               -- the shared trees it rests on
    digest      text NOT NULL,
    wake_at     timestamptz,
    since       timestamptz NOT NULL
);
CREATE INDEX target_decision_of_deployment ON target_decision (deployment_id);

CREATE TABLE move (
    id              uuid PRIMARY KEY,
    workspace_id    uuid NOT NULL,
    deployment_id   uuid NOT NULL,
    environment_id  uuid NOT NULL,
    target_id       uuid NOT NULL REFERENCES target ON DELETE CASCADE,
    rollout_id      uuid REFERENCES rollout ON DELETE CASCADE,
    change_id       uuid NOT NULL REFERENCES change ON DELETE CASCADE,
    kind            text NOT NULL CHECK (kind IN ('forward', 'config', 'redeploy', 'rollback', 'pin', 'force')),
    version_id      uuid NOT NULL REFERENCES version ON DELETE CASCADE,
    from_release_id uuid REFERENCES release,
    to_release_id   uuid NOT NULL REFERENCES release,
    state           text NOT NULL DEFAULT 'admitted'
                    CHECK (state IN ('admitted', 'running', 'verifying', 'succeeded', 'failed', 'withdrawn', 'cancelled')),
    reason          text,
    undoes_move_id  uuid REFERENCES move,       -- a rollback: the move it answers
    decision_id     uuid NOT NULL REFERENCES decision,
    admitted_at     timestamptz NOT NULL,
    started_at      timestamptz,                -- first hand-over
    closed_at       timestamptz
);
CREATE UNIQUE INDEX move_one_open ON move (target_id) WHERE closed_at IS NULL;
CREATE INDEX move_open_of_deployment ON move (deployment_id) WHERE closed_at IS NULL;
CREATE INDEX move_of_rollout ON move (rollout_id);
CREATE INDEX move_for_pin ON move (deployment_id, admitted_at) WHERE kind = 'pin';
CREATE INDEX move_of_target ON move (target_id, admitted_at DESC);

CREATE TABLE job (
    id              uuid PRIMARY KEY,
    workspace_id    uuid NOT NULL,
    deployment_id   uuid NOT NULL,
    target_id       uuid NOT NULL,
    move_id         uuid NOT NULL REFERENCES move ON DELETE CASCADE,
    release_id      uuid NOT NULL REFERENCES release,
    agent_id        uuid NOT NULL REFERENCES job_agent,
    decision_id     uuid NOT NULL REFERENCES decision,
    step            text NOT NULL DEFAULT 'apply',
    retry_of        uuid REFERENCES job,
    status          text NOT NULL DEFAULT 'pending'
                    CHECK (status IN ('pending', 'queued', 'inProgress', 'actionRequired', 'successful', 'failure', 'cancelled', 'skipped',
                                      'invalidJobAgent', 'invalidIntegration', 'externalRunNotFound')),
    message         text,
    external_id     text,
    links           jsonb NOT NULL DEFAULT '{}',
    metadata        jsonb NOT NULL DEFAULT '{}',
    output          text,
    -- The hand-over, apart from the status (core.md 5).
    handover        text NOT NULL DEFAULT 'waiting' CHECK (handover IN ('waiting', 'starting', 'started', 'uncertain')),
    attempt         integer NOT NULL DEFAULT 0,
    attempt_until   timestamptz,                -- lease of the hand-over under way
    uncertain_since timestamptz,
    valid_until     timestamptz,                -- earliest change of a verdict that let it pass
    not_before      timestamptz,                -- back-off of a retry
    cancel_asked_at timestamptz,
    cancel_reason   text,
    created_at      timestamptz NOT NULL,
    handed_over_at  timestamptz,
    started_at      timestamptz,
    completed_at    timestamptz,
    updated_at      timestamptz NOT NULL
);
CREATE UNIQUE INDEX job_one_active ON job (move_id, step)
    WHERE status IN ('pending', 'queued', 'inProgress', 'actionRequired');
CREATE INDEX job_active_of_deployment ON job (deployment_id)
    WHERE status IN ('pending', 'queued', 'inProgress', 'actionRequired');
CREATE INDEX job_waiting ON job (workspace_id, deployment_id) WHERE handover = 'waiting' AND status = 'pending';
CREATE INDEX job_of_agent ON job (agent_id, status, created_at);
CREATE INDEX job_of_move ON job (move_id);
CREATE INDEX job_of_target ON job (target_id, created_at DESC);
CREATE INDEX job_newest ON job (workspace_id, created_at DESC, id DESC);

-- Slots ----------------------------------------------------------------------------------------------------------------------

CREATE TABLE slot_group (                       -- the row that commits lock, in order of key, before they count its holders
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    key          text NOT NULL,
    PRIMARY KEY (workspace_id, key)
);

CREATE TABLE slot (                             -- held while its move is open
    workspace_id uuid NOT NULL,
    key          text NOT NULL,
    move_id      uuid NOT NULL REFERENCES move ON DELETE CASCADE,
    weight       integer NOT NULL DEFAULT 1 CHECK (weight > 0),
    lease_until  timestamptz,
    taken_at     timestamptz NOT NULL DEFAULT interlock_now(),
    PRIMARY KEY (workspace_id, key, move_id),
    FOREIGN KEY (workspace_id, key) REFERENCES slot_group ON DELETE CASCADE
);
CREATE INDEX slot_of_move ON slot (move_id);

-- Approvals: append-only -----------------------------------------------------------------------------------------------------

CREATE TABLE approval_request (
    id             uuid PRIMARY KEY,
    workspace_id   uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    deployment_id  uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    environment_id uuid NOT NULL REFERENCES environment ON DELETE CASCADE,
    version_id     uuid NOT NULL REFERENCES version ON DELETE CASCADE,
    change_id      uuid NOT NULL REFERENCES change ON DELETE CASCADE,
    minimum        integer NOT NULL,
    group_id       uuid,
    why            text NOT NULL,
    shown          jsonb NOT NULL,              -- what a person was asked about, when the request was opened
    shown_digest   text NOT NULL,
    opened_at      timestamptz NOT NULL
);
CREATE INDEX approval_request_of_version ON approval_request (version_id, environment_id);
CREATE INDEX approval_request_newest ON approval_request (workspace_id, opened_at DESC);

CREATE TABLE approval (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id   uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    deployment_id  uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    request_id     uuid REFERENCES approval_request,
    version_id     uuid NOT NULL REFERENCES version ON DELETE CASCADE,
    environment_id uuid NOT NULL REFERENCES environment ON DELETE CASCADE,
    principal_id   uuid NOT NULL REFERENCES principal,
    verdict        text NOT NULL CHECK (verdict IN ('approved', 'rejected', 'withdrawn', 'voided')),
    comment        text,
    shown_digest   text,                        -- NULL: package not seen (the wire's call may omit it)
    given_at       timestamptz NOT NULL DEFAULT interlock_now()
);
CREATE INDEX approval_of_version ON approval (version_id, environment_id, given_at);
CREATE INDEX approval_of_deployment ON approval (deployment_id);

-- Verification ---------------------------------------------------------------------------------------------------------------

CREATE TABLE verification (
    id            uuid PRIMARY KEY,
    workspace_id  uuid NOT NULL,
    deployment_id uuid NOT NULL,
    subject_kind  text NOT NULL CHECK (subject_kind IN ('job', 'wave', 'rollout', 'target', 'slo')),
    subject_id    uuid NOT NULL,
    move_id       uuid REFERENCES move ON DELETE CASCADE,
    state         text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'passed', 'failed', 'inconclusive')),
    message       text,
    started_at    timestamptz NOT NULL,
    ended_at      timestamptz
);
CREATE INDEX verification_of_subject ON verification (subject_id);
CREATE INDEX verification_of_move ON verification (move_id);

CREATE TABLE verification_metric (
    id              uuid PRIMARY KEY,
    verification_id uuid NOT NULL REFERENCES verification ON DELETE CASCADE,
    position        integer NOT NULL,
    name            text NOT NULL,
    spec            jsonb NOT NULL,             -- the wire's metric object
    policy_id       uuid,
    state           text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'passed', 'failed', 'inconclusive')),
    message         text,
    next_at         timestamptz,
    UNIQUE (verification_id, position)
);

CREATE TABLE measurement (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    metric_id   uuid NOT NULL REFERENCES verification_metric ON DELETE CASCADE,
    number      integer NOT NULL,               -- its place on the metric's grid: a second write of the same place is refused
    status      text NOT NULL CHECK (status IN ('passed', 'failed', 'inconclusive', 'errored')),
    result      jsonb,
    message     text,
    measured_at timestamptz NOT NULL,
    UNIQUE (metric_id, number)
);

-- Counted: what processes did, summed over all of them, for /metrics. Lost counts of a killed process are only that. -----------

CREATE TABLE counter (
    name  text NOT NULL COLLATE "C",
    label text NOT NULL DEFAULT '' COLLATE "C",
    value double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (name, label)
);

-- No status changes without its ledger row in the same transaction (0001_ground.sql has the function) -------------------------

CREATE CONSTRAINT TRIGGER job_new_recorded AFTER INSERT ON job
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_ledger_row();
CREATE CONSTRAINT TRIGGER job_recorded AFTER UPDATE OF status ON job
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION require_ledger_row();
CREATE CONSTRAINT TRIGGER move_new_recorded AFTER INSERT ON move
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_ledger_row();
CREATE CONSTRAINT TRIGGER move_recorded AFTER UPDATE OF state ON move
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION require_ledger_row();
CREATE CONSTRAINT TRIGGER rollout_new_recorded AFTER INSERT ON rollout
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_ledger_row();
CREATE CONSTRAINT TRIGGER rollout_recorded AFTER UPDATE OF state ON rollout
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION require_ledger_row();
CREATE CONSTRAINT TRIGGER version_new_recorded AFTER INSERT ON version
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_ledger_row();
CREATE CONSTRAINT TRIGGER version_recorded AFTER UPDATE OF status ON version
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION require_ledger_row();
CREATE CONSTRAINT TRIGGER verification_new_recorded AFTER INSERT ON verification
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_ledger_row();
CREATE CONSTRAINT TRIGGER verification_recorded AFTER UPDATE OF state ON verification
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION require_ledger_row();
CREATE CONSTRAINT TRIGGER target_new_recorded AFTER INSERT ON target
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_ledger_row();
CREATE CONSTRAINT TRIGGER target_recorded AFTER UPDATE OF state ON target
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION require_ledger_row();
CREATE CONSTRAINT TRIGGER approval_recorded AFTER INSERT ON approval
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_ledger_row();
CREATE CONSTRAINT TRIGGER freeze_recorded AFTER INSERT OR UPDATE ON "freeze"
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_ledger_row();

-- Append-only: what was said, shown, frozen or revised never changes ----------------------------------------------------------

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused.', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER approval_append_only BEFORE UPDATE ON approval FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER approval_request_append_only BEFORE UPDATE ON approval_request FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER policy_revision_append_only BEFORE UPDATE ON policy_revision FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER release_append_only BEFORE UPDATE ON release FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER resolved_config_append_only BEFORE UPDATE ON resolved_config FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
