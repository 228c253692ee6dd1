-- Secrets, sealed: each value once a workspace, under the keyed digest of what it says. The table of 0002 was never written.

DROP TABLE secret;

CREATE TABLE secret (
    id           uuid PRIMARY KEY,             -- keyed digest of workspace and value; documents hold it in place of the value
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    sealed       bytea NOT NULL,               -- a Fernet token of the value's canonical JSON
    key          text NOT NULL,                -- the name of the key that sealed it
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    sealed_at    timestamptz NOT NULL DEFAULT interlock_now()
);
CREATE INDEX secret_of_key ON secret (key);
CREATE INDEX secret_of_workspace ON secret (workspace_id);

-- The key of those digests, sealed like any secret. It never changes, so that a rotation changes no digest.
CREATE TABLE secret_identity (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    sealed bytea NOT NULL,
    key    text NOT NULL
);

-- All values of such a variable are secrets.
ALTER TABLE deployment_variable ADD COLUMN sensitive boolean NOT NULL DEFAULT false;
