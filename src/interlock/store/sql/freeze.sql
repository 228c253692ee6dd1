-- Freezes.

-- By the primary key.
-- name: find_freeze
SELECT id, scope_kind, scope_id, selector, reason, incident_url, created_by, created_at, expires_at, thawed_at, thawed_by, thaw_reason,
       thawed_at IS NULL AND (expires_at IS NULL OR expires_at > interlock_now()) AS in_force
FROM "freeze" WHERE id = $2 AND workspace_id = $1;

-- By freeze_in_force unless all are wanted ($2).
-- name: count_freezes
SELECT count(*) FROM "freeze"
WHERE workspace_id = $1 AND ($2 OR (thawed_at IS NULL AND (expires_at IS NULL OR expires_at > interlock_now())));

-- By freeze_in_force unless all are wanted ($2); newest first.
-- name: list_freezes
SELECT id, scope_kind, scope_id, selector, reason, incident_url, created_by, created_at, expires_at, thawed_at, thawed_by, thaw_reason,
       thawed_at IS NULL AND (expires_at IS NULL OR expires_at > interlock_now()) AS in_force
FROM "freeze"
WHERE workspace_id = $1 AND ($2 OR (thawed_at IS NULL AND (expires_at IS NULL OR expires_at > interlock_now())))
ORDER BY created_at DESC, id LIMIT $3 OFFSET $4;

-- One row; its identity is the caller's.
-- name: insert_freeze
INSERT INTO "freeze" (id, workspace_id, scope_kind, scope_id, selector, reason, incident_url, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- One row or its few, by the primary key.
-- name: extend_freeze
UPDATE "freeze" SET expires_at = $2 WHERE id = $1;

-- One row or its few, by the primary key.
-- name: thaw_freeze
UPDATE "freeze" SET thawed_at = interlock_now(), thawed_by = $2, thaw_reason = $3 WHERE id = $1;

-- The instant of this transaction.
-- name: now
SELECT interlock_now();
