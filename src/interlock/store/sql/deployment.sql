-- Deployments.

-- By the primary key.
-- name: find_deployment
SELECT id, name, description, resource_selector, job_agent_selector, job_agent_config, job_agents, metadata, supersede
FROM deployment WHERE id = $2 AND workspace_id = $1 AND deleted_at IS NULL;

-- By deployment_name.
-- name: find_deployment_by_name
SELECT id, name, description, resource_selector, job_agent_selector, job_agent_config, job_agents, metadata, supersede
FROM deployment WHERE workspace_id = $1 AND name = $2 AND deleted_at IS NULL;

-- By deployment_name, as list_deployments. A translated selector takes its place.
-- name: count_deployments
SELECT count(*) FROM deployment d WHERE d.workspace_id = $1 AND d.deleted_at IS NULL AND (TRUE /* selector */);

-- In order of creation. NULL limit: all of them. A translated selector takes its place.
-- name: list_deployments
SELECT d.id, d.name, d.description, d.resource_selector, d.job_agent_selector, d.job_agent_config, d.job_agents, d.metadata, d.supersede
FROM deployment d WHERE d.workspace_id = $1 AND d.deleted_at IS NULL AND (TRUE /* selector */)
ORDER BY d.created_at, d.id LIMIT $2 OFFSET $3;

-- By the primary key, in the order of the ids.
-- name: list_deployments_by_ids
SELECT d.id, d.name, d.description, d.resource_selector, d.job_agent_selector, d.job_agent_config, d.job_agents, d.metadata,
       d.supersede
FROM unnest($1::uuid[]) WITH ORDINALITY wanted (id, place)
JOIN deployment d USING (id)
WHERE d.deleted_at IS NULL
ORDER BY wanted.place;

-- By target_of_resource, as list_deployments_of_resource.
-- name: count_deployments_of_resource
SELECT count(*) FROM deployment d
WHERE d.deleted_at IS NULL
  AND EXISTS (SELECT 1 FROM target t WHERE t.deployment_id = d.id AND t.resource_id = $1 AND t.state = 'attached');

-- By target_of_resource, then the primary key; by name.
-- name: list_deployments_of_resource
SELECT id, name, description, resource_selector, job_agent_selector, job_agent_config, job_agents, metadata, supersede
FROM deployment d
WHERE d.deleted_at IS NULL
  AND d.id IN (SELECT deployment_id FROM target WHERE resource_id = $1 AND state = 'attached')
ORDER BY name COLLATE "C", id LIMIT $2 OFFSET $3;

-- What had a name last and is gone. By deployment_gone.
-- name: find_gone
SELECT id FROM deployment WHERE workspace_id = $1 AND name = $2 AND deleted_at IS NOT NULL ORDER BY deleted_at DESC LIMIT 1;

-- By the primary key, whatever its state: a client-chosen id may be taken elsewhere.
-- name: find_owner
SELECT workspace_id, deleted_at IS NULL AS live FROM deployment WHERE id = $1;

-- Create or replace by id; another workspace's id changes nothing. Those that one transaction writes are listed in the order in which
-- they were written.
-- name: save_deployment
INSERT INTO deployment (id, workspace_id, name, description, resource_selector, job_agent_selector, job_agent_config, job_agents,
                        metadata, supersede, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, interlock_now() + (clock_timestamp() - now()))
ON CONFLICT (id) DO UPDATE SET name = $3, description = $4, resource_selector = $5, job_agent_selector = $6,
    job_agent_config = $7, job_agents = $8, metadata = $9, supersede = $10, updated_at = interlock_now()
WHERE deployment.workspace_id = $2;

-- One row or its few, by the primary key.
-- name: delete_deployment
UPDATE deployment SET deleted_at = interlock_now(), updated_at = interlock_now() WHERE id = $1 AND deleted_at IS NULL;

-- By system_of_deployment.
-- name: unlink_deployment
DELETE FROM system_deployment WHERE deployment_id = $1;

-- By the primary key of what it lists.
-- name: list_system_ids
SELECT system_id FROM system_deployment WHERE deployment_id = $1 ORDER BY system_id;

-- Everybody locks a deployment before what is its own, and rounds do too. By the primary key.
-- name: lock_deployment
SELECT id FROM deployment WHERE id = $1 FOR NO KEY UPDATE;

-- An own fact was written: the next round must see it (core.md 2).
-- name: touch
UPDATE deployment SET generation = generation + 1 WHERE id = $1;

-- As touch, for a fact that can take something away: a round that has not seen it may not commit.
-- name: touch_taking_away
UPDATE deployment SET generation = generation + 1, fence = fence + 1 WHERE id = $1;
