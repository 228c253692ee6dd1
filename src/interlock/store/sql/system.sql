-- Systems and the links that let deployments and environments meet.

-- By the primary key.
-- name: find_system
SELECT id, workspace_id, name, description, metadata FROM system
WHERE id = $2 AND workspace_id = $1 AND deleted_at IS NULL;

-- By system_of_workspace, as list_systems.
-- name: count_systems
SELECT count(*) FROM system WHERE workspace_id = $1 AND deleted_at IS NULL;

-- By system_of_workspace: in order of creation.
-- name: list_systems
SELECT id, workspace_id, name, description, metadata FROM system
WHERE workspace_id = $1 AND deleted_at IS NULL
ORDER BY created_at, id LIMIT $2 OFFSET $3;

-- By system_of_deployment, then the primary key.
-- name: list_systems_of_deployments
SELECT l.deployment_id AS child_id, s.id, s.workspace_id, s.name, s.description, s.metadata
FROM system_deployment l JOIN system s ON s.id = l.system_id
WHERE l.deployment_id = ANY($1::uuid[]) AND s.deleted_at IS NULL
ORDER BY s.created_at, s.id;

-- By system_of_environment, then the primary key.
-- name: list_systems_of_environments
SELECT l.environment_id AS child_id, s.id, s.workspace_id, s.name, s.description, s.metadata
FROM system_environment l JOIN system s ON s.id = l.system_id
WHERE l.environment_id = ANY($1::uuid[]) AND s.deleted_at IS NULL
ORDER BY s.created_at, s.id;

-- Create or replace by id. Another workspace's id changes nothing, which the caller sees in the count.
-- name: save_system
INSERT INTO system (id, workspace_id, name, description, metadata) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET name = $3, description = $4, metadata = $5, updated_at = interlock_now(), deleted_at = NULL
WHERE system.workspace_id = $2;

-- One row or its few, by the primary key.
-- name: delete_system
UPDATE system SET deleted_at = interlock_now(), updated_at = interlock_now() WHERE id = $1 AND deleted_at IS NULL;

-- The workspace of a system whatever its state: a client-chosen id may be taken elsewhere.
-- name: find_owner
SELECT workspace_id, deleted_at IS NULL AS live FROM system WHERE id = $1;

-- One row or its few, by the primary key.
-- name: link_deployment
INSERT INTO system_deployment (system_id, deployment_id) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- One row or its few, by the primary key.
-- name: unlink_deployment
DELETE FROM system_deployment WHERE system_id = $1 AND deployment_id = $2;

-- One row or its few, by the primary key.
-- name: link_environment
INSERT INTO system_environment (system_id, environment_id) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- One row or its few, by the primary key.
-- name: unlink_environment
DELETE FROM system_environment WHERE system_id = $1 AND environment_id = $2;

-- One row, by the primary key or a unique index.
-- name: find_deployment_link
SELECT 1 FROM system_deployment WHERE system_id = $1 AND deployment_id = $2;

-- One row, by the primary key or a unique index.
-- name: find_environment_link
SELECT 1 FROM system_environment WHERE system_id = $1 AND environment_id = $2;

-- By the primary key of system_deployment.
-- name: list_linked_deployment_ids
SELECT deployment_id FROM system_deployment WHERE system_id = $1 ORDER BY linked_at, deployment_id;

-- By the primary key of system_environment.
-- name: list_linked_environment_ids
SELECT environment_id FROM system_environment WHERE system_id = $1 ORDER BY linked_at, environment_id;

-- One row or its few, by the primary key.
-- name: unlink_all_deployments
DELETE FROM system_deployment WHERE system_id = $1;

-- One row or its few, by the primary key.
-- name: unlink_all_environments
DELETE FROM system_environment WHERE system_id = $1;
