-- Workflows: jobs that somebody asks for by name, decided like every other job, which bring no version and need no release.

CREATE TABLE workflow (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name         text NOT NULL,
    slug         text NOT NULL,
    inputs       jsonb NOT NULL DEFAULT '[]',      -- as the client wrote them
    job_agents   jsonb NOT NULL DEFAULT '[]',      -- [{name, ref, config, selector}], in order
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at   timestamptz NOT NULL DEFAULT interlock_now(),
    deleted_at   timestamptz
);
CREATE UNIQUE INDEX workflow_slug ON workflow (workspace_id, slug) WHERE deleted_at IS NULL;
CREATE INDEX workflow_of_workspace ON workflow (workspace_id, created_at, id) WHERE deleted_at IS NULL;

-- The decision on a run belongs to no deployment and to no round: it is made in the request's own transaction.
ALTER TABLE decision
    ALTER COLUMN deployment_id DROP NOT NULL,
    ALTER COLUMN round_id DROP NOT NULL,
    ADD CHECK ((deployment_id IS NULL) = (round_id IS NULL) AND (deployment_id IS NULL) = (kind = 'workflow'));

CREATE TABLE workflow_run (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    workflow_id  uuid NOT NULL REFERENCES workflow ON DELETE CASCADE,
    inputs       jsonb NOT NULL,                   -- with the defaults filled in
    outcome      text NOT NULL CHECK (outcome IN ('started', 'refused')),
    decision_id  uuid NOT NULL REFERENCES decision,
    asked_by     uuid,
    asked_at     timestamptz NOT NULL DEFAULT interlock_now()
);
CREATE INDEX workflow_run_of_workflow ON workflow_run (workflow_id, asked_at DESC, id DESC);

-- A job is a step of a move, or of a run.
ALTER TABLE job
    ALTER COLUMN deployment_id DROP NOT NULL,
    ALTER COLUMN target_id DROP NOT NULL,
    ALTER COLUMN move_id DROP NOT NULL,
    ALTER COLUMN release_id DROP NOT NULL,
    ADD COLUMN run_id      uuid REFERENCES workflow_run ON DELETE CASCADE,
    ADD COLUMN resource_id uuid,                   -- the resource that a run's job is about, if there is one
    ADD COLUMN context     jsonb,                  -- what a run's job freezes: the dispatch context, less the job
    ADD CHECK (CASE WHEN run_id IS NULL THEN num_nulls(deployment_id, target_id, move_id, release_id) = 0
                    ELSE context IS NOT NULL AND num_nonnulls(deployment_id, target_id, move_id, release_id) = 0 END);
CREATE INDEX job_of_run ON job (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX job_of_run_open ON job (workspace_id) WHERE run_id IS NOT NULL AND status IN ('pending', 'queued', 'inProgress', 'actionRequired');

-- A workspace that was deleted keeps its history; its slug is free again.
ALTER TABLE workspace ADD COLUMN deleted_at timestamptz;
ALTER TABLE workspace DROP CONSTRAINT workspace_slug_key;
CREATE UNIQUE INDEX workspace_slug_key ON workspace (slug) WHERE deleted_at IS NULL;
