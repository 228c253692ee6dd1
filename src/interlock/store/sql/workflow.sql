-- Workflows and their runs.

-- By the primary key.
-- name: find_workflow
SELECT id, name, slug, inputs, job_agents FROM workflow WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL;

-- By workflow_slug.
-- name: find_workflow_by_slug
SELECT id, name, slug, inputs, job_agents FROM workflow WHERE workspace_id = $1 AND slug = $2 AND deleted_at IS NULL;

-- By workflow_of_workspace.
-- name: count_workflows
SELECT count(*) FROM workflow WHERE workspace_id = $1 AND deleted_at IS NULL;

-- By workflow_of_workspace, oldest first.
-- name: list_workflows
SELECT id, name, slug, inputs, job_agents FROM workflow WHERE workspace_id = $1 AND deleted_at IS NULL
ORDER BY created_at, id LIMIT $2 OFFSET $3;

-- Nothing where the slug is taken: whoever has it is looked up then. By workflow_slug.
-- name: insert_workflow
INSERT INTO workflow (id, workspace_id, name, slug, inputs, job_agents) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (workspace_id, slug) WHERE deleted_at IS NULL DO NOTHING;

-- By the primary key.
-- name: update_workflow
UPDATE workflow SET name = $2, slug = $3, inputs = $4, job_agents = $5, updated_at = interlock_now() WHERE id = $1 AND deleted_at IS NULL;

-- By the primary key.
-- name: delete_workflow
UPDATE workflow SET deleted_at = interlock_now() WHERE id = $1 AND deleted_at IS NULL;

-- Waits for a freeze that is being written, so that it is seen or comes after. By the primary key.
-- name: hold_rules
SELECT id FROM workspace WHERE id = $1 FOR SHARE;

-- The freezes in force that may cover jobs on these resources, with the place of the resource that they cover: of the workspace; of an environment or a
-- system where the resource is a target. A deployment's freeze is about that deployment alone. Relies on freeze_in_force and target_of_resource.
-- name: list_covering
SELECT f.id, f.scope_kind, f.selector, f.reason, f.created_at, f.expires_at, coalesce(p.name, 'system') AS created_by,
       q.resource_id, t.environment_id, e.name AS environment, e.metadata AS environment_metadata, t.deployment_id, d.name AS deployment
FROM "freeze" f
LEFT JOIN principal p ON p.id = f.created_by
CROSS JOIN unnest($2::uuid[]) AS q(resource_id)
LEFT JOIN target t ON t.resource_id = q.resource_id AND t.state = 'attached' AND t.workspace_id = f.workspace_id
    AND (f.selector IS NOT NULL OR f.scope_kind <> 'workspace')
LEFT JOIN environment e ON e.id = t.environment_id
LEFT JOIN deployment d ON d.id = t.deployment_id
WHERE f.workspace_id = $1 AND f.thawed_at IS NULL AND (f.expires_at IS NULL OR f.expires_at > interlock_now())
  AND (f.scope_kind = 'workspace' OR f.scope_kind = 'environment' AND f.scope_id = t.environment_id
       OR f.scope_kind = 'system'
          AND EXISTS (SELECT FROM system_environment s WHERE s.system_id = f.scope_id AND s.environment_id = t.environment_id)
          AND EXISTS (SELECT FROM system_deployment s WHERE s.system_id = f.scope_id AND s.deployment_id = t.deployment_id))
ORDER BY f.created_at, f.id, q.resource_id;

-- One row; its identity is the caller's.
-- name: insert_decision
INSERT INTO decision (id, workspace_id, subject, kind, outcome, verdicts, digest, at)
VALUES ($1, $2, $3, 'workflow', $4, $5::text::jsonb, $6, $7);

-- One row; its identity is the caller's.
-- name: insert_run
INSERT INTO workflow_run (id, workspace_id, workflow_id, inputs, outcome, decision_id, asked_by) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- The jobs of a run. Ids are the caller's.
-- name: insert_jobs
INSERT INTO job (workspace_id, run_id, decision_id, created_at, updated_at, id, agent_id, resource_id, context)
SELECT $1, $2, $3, interlock_now(), interlock_now(), n.id, n.agent_id, n.resource_id, n.context::jsonb
FROM unnest($4::uuid[], $5::uuid[], $6::uuid[], $7::text[]) AS n(id, agent_id, resource_id, context);

-- The jobs of runs that nobody has yet, of a workspace. Relies on job_of_run_open.
-- name: list_waiting
SELECT id FROM job
WHERE workspace_id = $1 AND run_id IS NOT NULL AND status IN ('pending', 'queued') AND handover = 'waiting'
ORDER BY id;

