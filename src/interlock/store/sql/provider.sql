-- Resource providers.

-- By the unique index on (workspace_id, name).
-- name: find_provider_by_name
SELECT id, workspace_id, name, metadata, created_at FROM resource_provider WHERE workspace_id = $1 AND name = $2;

-- One page, by the unique index on (workspace_id, name).
-- name: list_providers
SELECT id, workspace_id, name, metadata, created_at FROM resource_provider
WHERE workspace_id = $1 ORDER BY name COLLATE "C" LIMIT $2 OFFSET $3;

-- By the unique index on (workspace_id, name).
-- name: count_providers
SELECT count(*) FROM resource_provider WHERE workspace_id = $1;

-- By the primary key.
-- name: find_provider
SELECT id, workspace_id, name, metadata, created_at FROM resource_provider WHERE workspace_id = $1 AND id = $2;

-- As find_provider, held until the transaction ends: two sets of one provider take turns.
-- name: lock_provider
SELECT id, workspace_id, name, metadata, created_at FROM resource_provider WHERE workspace_id = $1 AND id = $2 FOR UPDATE;

-- By the primary key, whatever its state: a client-chosen id may be taken elsewhere.
-- name: find_owner
SELECT workspace_id, true AS live FROM resource_provider WHERE id = $1;

-- One row; its identity is the caller's.
-- name: insert_provider
INSERT INTO resource_provider (id, workspace_id, name, metadata) VALUES ($1, $2, $3, $4);

-- One row or its few, by the primary key.
-- name: update_provider
UPDATE resource_provider SET name = $2, metadata = $3, updated_at = interlock_now() WHERE id = $1;

-- One row or its few, by the primary key.
-- name: delete_provider
DELETE FROM resource_provider WHERE id = $1;

-- By resource_of_provider.
-- name: count_resources
SELECT count(*) FROM resource WHERE provider_id = $1 AND deleted_at IS NULL;
