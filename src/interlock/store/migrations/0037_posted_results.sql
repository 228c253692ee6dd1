-- Results that outside systems post, for the metrics whose provider is `webhook`. They come before, while or after a metric waits for one, so
-- they belong to what is verified and a metric's name; each metric of that name takes each of them once.

CREATE TABLE posted_result (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    subject_id   uuid NOT NULL,                 -- of a verification: a job, or what else it is about
    metric       text NOT NULL,
    name         text NOT NULL,                 -- the outside's own name of it: posted twice, it is one
    result       jsonb NOT NULL,
    principal_id uuid REFERENCES principal ON DELETE SET NULL,
    posted_at    timestamptz NOT NULL,
    taken_by     uuid[] NOT NULL DEFAULT '{}',  -- the metrics of which it is a measurement
    UNIQUE (subject_id, metric, name)
);
CREATE INDEX posted_result_by_age ON posted_result (posted_at);
CREATE INDEX posted_result_of_workspace ON posted_result (workspace_id);
