-- Relationship rules.

-- By the primary key.
-- name: find_rule
SELECT id, workspace_id, name, description, reference, cel, metadata FROM relationship_rule WHERE id = $2 AND workspace_id = $1;

-- By the primary key, whatever its workspace: a client-chosen id may be taken elsewhere.
-- name: find_owner
SELECT workspace_id, true AS live FROM relationship_rule WHERE id = $1;

-- By relationship_rule_of_workspace.
-- name: count_rules
SELECT count(*) FROM relationship_rule WHERE workspace_id = $1;

-- By relationship_rule_of_workspace, in order of creation.
-- name: list_rules
SELECT id, workspace_id, name, description, reference, cel, metadata FROM relationship_rule
WHERE workspace_id = $1 ORDER BY created_at, id LIMIT $2 OFFSET $3;

-- Create or replace by id; another workspace's id changes nothing. By the primary key.
-- name: save_rule
INSERT INTO relationship_rule (id, workspace_id, name, description, reference, cel, metadata) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (id) DO UPDATE SET name = $3, description = $4, reference = $5, cel = $6, metadata = $7, updated_at = interlock_now()
WHERE relationship_rule.workspace_id = $2;

-- One row by the primary key.
-- name: delete_rule
DELETE FROM relationship_rule WHERE id = $1;
