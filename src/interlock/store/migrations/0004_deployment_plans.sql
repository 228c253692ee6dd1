-- What a version would change before it exists: one result a target, and what rules say of each. Dry: nothing here moves anything.

CREATE TABLE deployment_plan (
    id            uuid PRIMARY KEY,
    workspace_id  uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    deployment_id uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    version       jsonb NOT NULL,              -- tag, name, config, jobAgentConfig, metadata, as the client wrote them
    metadata      jsonb NOT NULL,
    targets_left_out integer NOT NULL DEFAULT 0, -- beyond the most that one plan looks at
    created_by    uuid,
    created_at    timestamptz NOT NULL DEFAULT interlock_now(),
    expires_at    timestamptz NOT NULL,        -- what is not computed by then never will be
    completed_at  timestamptz
);
CREATE INDEX deployment_plan_of_deployment ON deployment_plan (deployment_id, created_at DESC);
CREATE INDEX deployment_plan_age ON deployment_plan (expires_at);

CREATE TABLE deployment_plan_result (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    plan_id            uuid NOT NULL REFERENCES deployment_plan ON DELETE CASCADE,
    target_id          uuid NOT NULL REFERENCES target ON DELETE CASCADE,
    current_release_id uuid REFERENCES release,
    status             text NOT NULL DEFAULT 'computing' CHECK (status IN ('computing', 'completed', 'errored', 'unsupported')),
    has_changes        boolean NOT NULL DEFAULT false,
    content_hash       text NOT NULL DEFAULT '',
    current            text NOT NULL DEFAULT '',
    proposed           text NOT NULL DEFAULT '',
    message            text NOT NULL DEFAULT '',
    completed_at       timestamptz,
    UNIQUE (plan_id, target_id)
);

CREATE TABLE deployment_plan_validation (
    result_id  uuid NOT NULL REFERENCES deployment_plan_result ON DELETE CASCADE,
    rule_id    text NOT NULL,
    policy_id  uuid NOT NULL,
    name       text NOT NULL,
    status     text NOT NULL CHECK (status IN ('passed', 'failed', 'errored', 'unsupported')),
    violations jsonb NOT NULL DEFAULT '[]',
    message    text NOT NULL DEFAULT '',
    PRIMARY KEY (result_id, rule_id)
);
