-- Who may do what: a workspace's own roles, bindings of keys, tokens of job agents, keys that take the place of others.

CREATE TABLE role (                              -- the five built-in roles stand in the code
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name         text NOT NULL CHECK (name NOT IN ('viewer', 'developer', 'approver', 'operator', 'admin')),
    description  text NOT NULL DEFAULT '',
    permissions  text[] NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at   timestamptz NOT NULL DEFAULT interlock_now(),
    UNIQUE (workspace_id, name)
);

ALTER TABLE role_binding
    ALTER COLUMN role DROP NOT NULL,
    ADD COLUMN role_id uuid REFERENCES role,      -- one in use is not deleted
    ADD COLUMN key_id uuid REFERENCES api_key ON DELETE CASCADE,
    DROP CONSTRAINT role_binding_check,
    ADD CONSTRAINT role_binding_one_subject CHECK (num_nonnulls(principal_id, group_id, key_id) = 1),
    ADD CONSTRAINT role_binding_one_role CHECK ((role IS NULL) <> (role_id IS NULL));
CREATE INDEX role_binding_of_key ON role_binding (key_id, workspace_id) WHERE key_id IS NOT NULL;
CREATE INDEX role_binding_of_role ON role_binding (role_id) WHERE role_id IS NOT NULL;
CREATE INDEX role_binding_of_workspace ON role_binding (workspace_id, created_at);

ALTER TABLE api_key ADD COLUMN rotated_to uuid REFERENCES api_key;   -- the key that took its place

CREATE TABLE agent_token (                        -- for one agent's queue and jobs, and nothing else
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    agent_id     uuid NOT NULL REFERENCES job_agent ON DELETE CASCADE,
    name         text NOT NULL DEFAULT '',
    prefix       text NOT NULL UNIQUE,
    secret_hash  bytea NOT NULL,
    created_by   uuid REFERENCES principal,
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
CREATE INDEX agent_token_of_agent ON agent_token (agent_id, created_at);
