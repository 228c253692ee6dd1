-- Environments.

-- By the primary key.
-- name: find_environment
SELECT id, name, description, resource_selector, metadata, created_at FROM environment
WHERE id = $2 AND workspace_id = $1 AND deleted_at IS NULL;

-- By environment_name.
-- name: find_environment_by_name
SELECT id, name, description, resource_selector, metadata, created_at FROM environment
WHERE workspace_id = $1 AND name = $2 AND deleted_at IS NULL;

-- By environment_name, as list_environments.
-- name: count_environments
SELECT count(*) FROM environment WHERE workspace_id = $1 AND deleted_at IS NULL;

-- In order of creation.
-- name: list_environments
SELECT id, name, description, resource_selector, metadata, created_at FROM environment
WHERE workspace_id = $1 AND deleted_at IS NULL
ORDER BY created_at, id LIMIT $2 OFFSET $3;

-- By the primary key, in the order of the ids.
-- name: list_environments_by_ids
SELECT e.id, e.name, e.description, e.resource_selector, e.metadata, e.created_at
FROM unnest($1::uuid[]) WITH ORDINALITY wanted (id, place)
JOIN environment e USING (id)
WHERE e.deleted_at IS NULL
ORDER BY wanted.place;

-- What had a name last and is gone. By environment_gone.
-- name: find_gone
SELECT id FROM environment WHERE workspace_id = $1 AND name = $2 AND deleted_at IS NOT NULL ORDER BY deleted_at DESC LIMIT 1;

-- By the primary key, whatever its state: a client-chosen id may be taken elsewhere.
-- name: find_owner
SELECT workspace_id, deleted_at IS NULL AS live FROM environment WHERE id = $1;

-- One row or its few, by the primary key. Those that one transaction writes are listed in the order in which they were written.
-- name: save_environment
INSERT INTO environment (id, workspace_id, name, description, resource_selector, metadata, created_at)
VALUES ($1, $2, $3, $4, $5, $6, interlock_now() + (clock_timestamp() - now()))
ON CONFLICT (id) DO UPDATE SET name = $3, description = $4, resource_selector = $5, metadata = $6,
                               updated_at = interlock_now()
WHERE environment.workspace_id = $2;

-- One row or its few, by the primary key.
-- name: delete_environment
UPDATE environment SET deleted_at = interlock_now(), updated_at = interlock_now() WHERE id = $1 AND deleted_at IS NULL;

-- By system_of_environment.
-- name: unlink_environment
DELETE FROM system_environment WHERE environment_id = $1;

-- By the primary key of what it lists.
-- name: list_system_ids
SELECT system_id FROM system_environment WHERE environment_id = $1 ORDER BY system_id;
