-- Variable sets.

-- By the primary key.
-- name: find_set
SELECT id, workspace_id, name, description, selector, priority, variables, created_at, updated_at
FROM variable_set WHERE id = $2 AND workspace_id = $1;

-- By variable_set_of_workspace.
-- name: count_sets
SELECT count(*) FROM variable_set WHERE workspace_id = $1;

-- By variable_set_of_workspace: in the order in which they are tried.
-- name: list_sets
SELECT id, workspace_id, name, description, selector, priority, variables, created_at, updated_at
FROM variable_set WHERE workspace_id = $1
ORDER BY priority DESC, name COLLATE "C", id LIMIT $2 OFFSET $3;

-- name: insert_set
INSERT INTO variable_set (id, workspace_id, name, description, selector, priority, variables) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- One row by the primary key.
-- name: update_set
UPDATE variable_set SET name = $2, description = $3, selector = $4, priority = $5, variables = $6, updated_at = interlock_now()
WHERE id = $1;

-- One row by the primary key.
-- name: delete_set
DELETE FROM variable_set WHERE id = $1;
