-- Variables: what deployments declare, where values come from, and how things of the inventory relate.

CREATE TABLE deployment_variable (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id  uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    deployment_id uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    key           text NOT NULL,
    description   text,
    created_at    timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at    timestamptz NOT NULL DEFAULT interlock_now()
);
CREATE UNIQUE INDEX deployment_variable_key ON deployment_variable (deployment_id, key);
CREATE INDEX deployment_variable_of_workspace ON deployment_variable (workspace_id);

CREATE TABLE deployment_variable_value (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    variable_id       uuid NOT NULL REFERENCES deployment_variable ON DELETE CASCADE,
    priority          bigint NOT NULL DEFAULT 0,
    resource_selector text,                    -- NULL: every resource
    value             jsonb NOT NULL,          -- in the wire's form; JSON null is a value
    created_at        timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at        timestamptz NOT NULL DEFAULT interlock_now()
);
CREATE INDEX deployment_variable_value_of_variable ON deployment_variable_value (variable_id);

CREATE TABLE variable_set (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name         text NOT NULL,
    description  text NOT NULL DEFAULT '',
    selector     text NOT NULL,
    priority     integer NOT NULL DEFAULT 0,
    variables    jsonb NOT NULL DEFAULT '[]',  -- [{key, value}] in the order they were written
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at   timestamptz NOT NULL DEFAULT interlock_now()
);
CREATE INDEX variable_set_of_workspace ON variable_set (workspace_id, priority DESC);

CREATE TABLE relationship_rule (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name         text NOT NULL,
    description  text,
    reference    text NOT NULL,
    cel          text NOT NULL,
    metadata     jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at   timestamptz NOT NULL DEFAULT interlock_now()
);
CREATE INDEX relationship_rule_of_workspace ON relationship_rule (workspace_id, created_at, id);

-- Few values refer elsewhere; whoever has one is matched again when anything that it may refer to changes.
CREATE INDEX deployment_variable_value_refers ON deployment_variable_value (variable_id) WHERE value ? 'reference';
CREATE INDEX resource_variable_refers ON resource_variable (key) WHERE value ? 'reference';

-- Where each resolved variable of a target came from, and what was passed over: for people. Interned by digest; no round reads it.
CREATE TABLE variable_origin (
    digest     text PRIMARY KEY,
    body       jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT interlock_now()
);
ALTER TABLE target ADD COLUMN origin_digest text;
