-- Policies, their immutable revisions, and when each rule was first stored.

-- By the primary key.
-- name: find_policy
SELECT p.id, p.workspace_id, p.name, p.description, p.selector, p.metadata, p.priority, p.enabled, p.mode, p.revision_id, p.created_at,
       v.rules, v.number
FROM policy p JOIN policy_revision v ON v.id = p.revision_id
WHERE p.id = $2 AND p.workspace_id = $1 AND p.deleted_at IS NULL;

-- By policy_of_workspace, as list_policies.
-- name: count_policies
SELECT count(*) FROM policy WHERE workspace_id = $1 AND deleted_at IS NULL;

-- By policy_of_workspace: in order of creation.
-- name: list_policies
SELECT p.id, p.workspace_id, p.name, p.description, p.selector, p.metadata, p.priority, p.enabled, p.mode, p.revision_id, p.created_at,
       v.rules, v.number
FROM policy p JOIN policy_revision v ON v.id = p.revision_id
WHERE p.workspace_id = $1 AND p.deleted_at IS NULL
ORDER BY p.created_at, p.id LIMIT $2 OFFSET $3;

-- By the primary key, whatever its state: a client-chosen id may be taken elsewhere.
-- name: find_owner
SELECT workspace_id, deleted_at IS NULL AS live FROM policy WHERE id = $1;

-- By the unique index on (policy_id, number).
-- name: next_number
SELECT COALESCE(max(number), 0) + 1 FROM policy_revision WHERE policy_id = $1;

-- One row; its identity is the caller's.
-- name: insert_revision
INSERT INTO policy_revision (id, policy_id, number, selector, mode, enabled, rules, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- One row; its identity is the caller's.
-- name: insert_policy
INSERT INTO policy (id, workspace_id, name, description, selector, metadata, priority, enabled, mode, revision_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- One row or its few, by the primary key.
-- name: update_policy
UPDATE policy SET name = $2, description = $3, selector = $4, metadata = $5, priority = $6, enabled = $7, mode = $8, revision_id = $9,
                  updated_at = interlock_now(), deleted_at = NULL
WHERE id = $1;

-- One row or its few, by the primary key.
-- name: delete_policy
UPDATE policy SET deleted_at = interlock_now(), updated_at = interlock_now() WHERE id = $1 AND deleted_at IS NULL;

-- One row; its identity is the caller's.
-- name: insert_rules
INSERT INTO policy_rule (policy_id, rule_id) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING;

-- Stops at the limit: it only has to know whether a workspace is small.
-- name: count_targets_up_to
SELECT count(*) FROM (SELECT 1 FROM target WHERE workspace_id = $1 AND state = 'attached' LIMIT $2) few;

-- Deployments before the workspace, by id: the order of locks everywhere (core.md 3).
-- name: lock_deployments
SELECT id FROM deployment WHERE workspace_id = $1 AND deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE;
