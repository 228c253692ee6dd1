-- Jobs that people do, and when the outside was last heard of each job.

CREATE TABLE task (                              -- what a job asks of people, and their answer
    job_id      uuid PRIMARY KEY REFERENCES job ON DELETE CASCADE,
    workspace_id uuid NOT NULL,
    instructions text NOT NULL,                  -- rendered for this job
    assignee_id uuid REFERENCES principal,
    assignee    text,                            -- as the config named them
    asked_group text,                            -- by name: who is in the group of this name at the answer counts
    evidence    jsonb NOT NULL DEFAULT '[]',     -- the fields that are asked for, in order
    due_at      timestamptz,
    on_overdue  text NOT NULL DEFAULT 'wait' CHECK (on_overdue IN ('wait', 'fail')),
    overdue_at  timestamptz,                     -- noted once
    asked_at    timestamptz NOT NULL,
    taken_by    uuid REFERENCES principal,
    taken_at    timestamptz,
    answer      text CHECK (answer IN ('completed', 'rejected')),
    answered_by uuid REFERENCES principal,
    answered_at timestamptz,
    given       jsonb NOT NULL DEFAULT '{}',     -- the evidence by name
    comment     text,
    CHECK ((answer IS NULL) = (answered_at IS NULL))
);
CREATE INDEX task_newest ON task (workspace_id, asked_at DESC, job_id DESC);
CREATE INDEX task_open ON task (workspace_id, asked_at) WHERE answer IS NULL;

-- When its agent, a webhook or a report last said how it goes, whether or not that was news. No index: it is written at every look.
ALTER TABLE job ADD COLUMN observed_at timestamptz;
