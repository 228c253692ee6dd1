-- Job agents.

-- By the primary key.
-- name: find_agent
SELECT id, workspace_id, name, type, config, metadata FROM job_agent
WHERE id = $2 AND workspace_id = $1 AND deleted_at IS NULL;

-- By job_agent_name, as list_agents.
-- name: count_agents
SELECT count(*) FROM job_agent WHERE workspace_id = $1 AND deleted_at IS NULL;

-- In order of creation.
-- name: list_agents
SELECT id, workspace_id, name, type, config, metadata FROM job_agent
WHERE workspace_id = $1 AND deleted_at IS NULL
ORDER BY created_at, id LIMIT $2 OFFSET $3;

-- By the primary key, whatever its state: a client-chosen id may be taken elsewhere.
-- name: find_owner
SELECT workspace_id, deleted_at IS NULL AS live FROM job_agent WHERE id = $1;

-- One row or its few, by the primary key.
-- name: save_agent
INSERT INTO job_agent (id, workspace_id, name, type, config, metadata) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO UPDATE SET name = $3, type = $4, config = $5, metadata = $6, updated_at = interlock_now(), deleted_at = NULL
WHERE job_agent.workspace_id = $2;

-- One row or its few, by the primary key.
-- name: delete_agent
UPDATE job_agent SET deleted_at = interlock_now(), updated_at = interlock_now() WHERE id = $1 AND deleted_at IS NULL;
