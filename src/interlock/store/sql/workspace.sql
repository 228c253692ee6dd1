-- Workspaces: every other row belongs to exactly one.

-- By the primary key or by the unique slug; $1 is NULL when the text is no id.
-- name: find_workspace
SELECT id, name, slug, created_at, sync_remove_max FROM workspace WHERE (id = $1 OR slug = $2) AND deleted_at IS NULL ORDER BY (id = $1) DESC NULLS LAST LIMIT 1;

-- By member_of_principal. $2: a system admin sees all.
-- name: list_workspaces_of
SELECT w.id, w.name, w.slug, w.created_at, w.sync_remove_max
FROM workspace w
WHERE w.deleted_at IS NULL AND ($2 OR w.id IN (SELECT workspace_id FROM member WHERE principal_id = $1))
ORDER BY w.created_at, w.id;

-- One row; its identity is the caller's.
-- name: insert_workspace
INSERT INTO workspace (id, name, slug) VALUES ($1, $2, $3);

-- One row or its few, by the primary key.
-- name: update_workspace
UPDATE workspace SET name = COALESCE($2, name), slug = COALESCE($3, slug), sync_remove_max = COALESCE($4, sync_remove_max) WHERE id = $1;

-- Nothing decided before it may be handed over after it. By the primary key.
-- name: delete_workspace
UPDATE workspace SET deleted_at = interlock_now(), rules_fence = rules_fence + 1 WHERE id = $1 AND deleted_at IS NULL;

-- A freeze: nothing decided before it may be handed over after it (core.md 2).
-- name: bump_rules_fence
UPDATE workspace SET rules_fence = rules_fence + 1 WHERE id = $1;

-- A policy: as a freeze, and targets do not know their policies until they are matched again.
-- name: bump_policies_fence
UPDATE workspace SET rules_fence = rules_fence + 1, policies_fence = policies_fence + 1 WHERE id = $1;
