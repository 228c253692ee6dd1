-- What people said about the pace of a rollout, word by word: append-only, read by every round of its deployment.

CREATE TABLE rollout_steering (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id  uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    rollout_id    uuid NOT NULL REFERENCES rollout ON DELETE CASCADE,
    step          text NOT NULL CHECK (step IN ('pause', 'resume', 'abort', 'speed_up', 'promote')),
    interval_s    integer CHECK (interval_s >= 0),     -- the three are of speed_up: what is NULL stays as it was
    max_in_flight integer CHECK (max_in_flight >= 1),
    bake_s        integer CHECK (bake_s >= 0),
    reason        text NOT NULL,
    by            uuid NOT NULL REFERENCES principal,
    at            timestamptz NOT NULL DEFAULT interlock_now()
);
CREATE INDEX steering_of_rollout ON rollout_steering (rollout_id, at);
