-- Deployment variables and their values. A variable of a deleted deployment is gone with it.

-- By the primary key.
-- name: find_variable
SELECT v.id, v.deployment_id, v.key, v.description, v.sensitive
FROM deployment_variable v JOIN deployment d ON d.id = v.deployment_id AND d.deleted_at IS NULL
WHERE v.id = $2 AND v.workspace_id = $1;

-- By the primary key, whatever its workspace: a client-chosen id may be taken elsewhere.
-- name: find_variable_owner
SELECT workspace_id, true AS live FROM deployment_variable WHERE id = $1;

-- By deployment_variable_key.
-- name: count_variables
SELECT count(*) FROM deployment_variable WHERE deployment_id = $1;

-- By deployment_variable_key; NULL limit: all of them.
-- name: list_variables
SELECT id, deployment_id, key, description, sensitive FROM deployment_variable
WHERE deployment_id = $1 ORDER BY key COLLATE "C" LIMIT $2 OFFSET $3;

-- Create or replace by id; the caller has seen that the id is ours. By the primary key.
-- name: save_variable
INSERT INTO deployment_variable (id, workspace_id, deployment_id, key, description, sensitive) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO UPDATE SET deployment_id = $3, key = $4, description = $5, sensitive = $6, updated_at = interlock_now()
WHERE deployment_variable.workspace_id = $2;

-- One row by the primary key; its values go with it.
-- name: delete_variable
DELETE FROM deployment_variable WHERE id = $1;

-- By the primary key; their values go with them.
-- name: delete_variables
DELETE FROM deployment_variable WHERE id = ANY ($1::uuid[]);

-- By the primary key.
-- name: delete_values
DELETE FROM deployment_variable_value WHERE id = ANY ($1::uuid[]);

-- By deployment_variable_key; their values go with them.
-- name: delete_variables_of_deployment
DELETE FROM deployment_variable WHERE deployment_id = $1;

-- By deployment_variable_value_of_variable: in the order in which they are tried.
-- name: list_values
SELECT id, variable_id, priority, resource_selector, value FROM deployment_variable_value
WHERE variable_id = ANY ($1::uuid[]) ORDER BY variable_id, priority DESC, id;

-- By the primary key.
-- name: find_value
SELECT n.id, n.variable_id, n.priority, n.resource_selector, n.value
FROM deployment_variable_value n
JOIN deployment_variable v ON v.id = n.variable_id AND v.workspace_id = $1
JOIN deployment d ON d.id = v.deployment_id AND d.deleted_at IS NULL
WHERE n.id = $2;

-- By the primary keys, whatever the workspace.
-- name: find_value_owner
SELECT v.workspace_id, n.variable_id, true AS live
FROM deployment_variable_value n JOIN deployment_variable v ON v.id = n.variable_id WHERE n.id = $1;

-- By deployment_variable_value_of_variable.
-- name: count_values
SELECT count(*) FROM deployment_variable_value WHERE variable_id = $1;

-- Create or replace by id. The value comes inside an object, because the driver takes a bare null for no value. By the primary key.
-- name: save_value
INSERT INTO deployment_variable_value (id, variable_id, priority, resource_selector, value) VALUES ($1, $2, $3, $4, $5::jsonb -> 'value')
ON CONFLICT (id) DO UPDATE SET priority = $3, resource_selector = $4, value = $5::jsonb -> 'value', updated_at = interlock_now()
WHERE deployment_variable_value.variable_id = $2;

-- One row by the primary key.
-- name: delete_value
DELETE FROM deployment_variable_value WHERE id = $1;

-- Held until the transaction ends, so that two writers of one deployment's variables take turns. By the primary key.
-- name: lock_deployments
SELECT id FROM deployment WHERE id = ANY ($2::uuid[]) AND workspace_id = $1 AND deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE;

-- The resources of a deployment's targets. By target's unique key.
-- name: list_target_resources
SELECT DISTINCT r.id, r.workspace_id, r.provider_id, r.identifier, r.name, r.kind, r.version, r.config, r.metadata, r.created_at, r.updated_at
FROM target t JOIN resource r ON r.id = t.resource_id
WHERE t.deployment_id = $1 AND t.state = 'attached' LIMIT $2;
