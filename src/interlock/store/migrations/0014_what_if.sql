-- What policies would change before they are saved: a question, and its answer once it is worked out. Nothing here moves anything.

CREATE TABLE what_if (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    proposal     jsonb NOT NULL,               -- [{policyId, policy: what a client would save, or null for gone}]
    asked_by     uuid,
    asked_at     timestamptz NOT NULL DEFAULT interlock_now(),
    answer       jsonb,
    answered_at  timestamptz
);
CREATE INDEX what_if_age ON what_if (asked_at);
CREATE INDEX what_if_of_workspace ON what_if (workspace_id, asked_at DESC);
