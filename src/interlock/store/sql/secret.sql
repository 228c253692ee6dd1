-- Sealed values, each under the keyed digest of what it says. Nothing here is ever in the clear.

-- By the primary key. A value that is there already stays as it was sealed.
-- name: save_secrets
INSERT INTO secret (id, workspace_id, sealed, key)
SELECT n.id, $1, n.sealed, $4 FROM unnest($2::uuid[], $3::bytea[]) AS n(id, sealed)
ON CONFLICT (id) DO NOTHING;

-- By the primary key, within one workspace.
-- name: load_secrets
SELECT id, sealed, key FROM secret WHERE workspace_id = $1 AND id = ANY ($2::uuid[]);

-- The one row.
-- name: find_identity
SELECT sealed, key FROM secret_identity;

-- The first process of an installation makes it.
-- name: insert_identity
INSERT INTO secret_identity (sealed, key) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- The one row, held until the batch is committed.
-- name: lock_identity
SELECT sealed, key FROM secret_identity WHERE key <> $1 FOR UPDATE;

-- The one row.
-- name: reseal_identity
UPDATE secret_identity SET sealed = $1, key = $2;

-- What is sealed with another key than $1, a batch. By secret_of_key.
-- name: list_stale
SELECT id, sealed, key FROM secret WHERE key <> $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED;

-- By the primary key.
-- name: reseal_secrets
UPDATE secret s SET sealed = n.sealed, key = $3, sealed_at = interlock_now()
FROM unnest($1::uuid[], $2::bytea[]) AS n(id, sealed) WHERE s.id = n.id;

-- How many are sealed with which key. By secret_of_key.
-- name: count_by_key
SELECT key, count(*) AS secrets FROM (SELECT key FROM secret UNION ALL SELECT key FROM secret_identity) AS s
GROUP BY key ORDER BY key COLLATE "C";

-- Those of workspaces that were deleted $1 days ago and longer: what still ran there then has ended. By secret_of_workspace.
-- name: delete_of_deleted_workspaces
DELETE FROM secret WHERE id IN (
    SELECT s.id FROM workspace w JOIN secret s ON s.workspace_id = w.id
    WHERE w.deleted_at < interlock_now() - make_interval(days => $1) LIMIT 5000);
