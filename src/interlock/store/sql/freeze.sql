-- Freezes.

-- By the primary key.
-- name: find_freeze
SELECT id, scope_kind, scope_id, selector, reason, incident_url, created_by, created_at, expires_at, thawed_at, thawed_by, thaw_reason,
       thawed_at IS NULL AND (expires_at IS NULL OR expires_at > interlock_now()) AS in_force
FROM "freeze" WHERE id = $2 AND workspace_id = $1;

-- By freeze_in_force unless all are wanted ($2); those that may concern the deployment $3, if there is one.
-- name: count_freezes
SELECT count(*) FROM "freeze"
WHERE workspace_id = $1 AND ($2 OR (thawed_at IS NULL AND (expires_at IS NULL OR expires_at > interlock_now())))
  AND ($3::uuid IS NULL OR scope_kind = 'workspace' OR scope_id = $3
       OR scope_id IN (SELECT system_id FROM system_deployment WHERE deployment_id = $3)
       OR scope_id IN (SELECT e.environment_id FROM system_environment e JOIN system_deployment d ON d.system_id = e.system_id
                       WHERE d.deployment_id = $3));

-- By freeze_in_force unless all are wanted ($2); those that may concern the deployment $5, if there is one; newest first.
-- name: list_freezes
SELECT id, scope_kind, scope_id, selector, reason, incident_url, created_by, created_at, expires_at, thawed_at, thawed_by, thaw_reason,
       thawed_at IS NULL AND (expires_at IS NULL OR expires_at > interlock_now()) AS in_force
FROM "freeze"
WHERE workspace_id = $1 AND ($2 OR (thawed_at IS NULL AND (expires_at IS NULL OR expires_at > interlock_now())))
  AND ($5::uuid IS NULL OR scope_kind = 'workspace' OR scope_id = $5
       OR scope_id IN (SELECT system_id FROM system_deployment WHERE deployment_id = $5)
       OR scope_id IN (SELECT e.environment_id FROM system_environment e JOIN system_deployment d ON d.system_id = e.system_id
                       WHERE d.deployment_id = $5))
ORDER BY created_at DESC, id LIMIT $3 OFFSET $4;

-- By the primary keys.
-- name: load_scope_names
SELECT id, name FROM system WHERE id = ANY ($1::uuid[])
UNION ALL SELECT id, name FROM environment WHERE id = ANY ($1::uuid[])
UNION ALL SELECT id, name FROM deployment WHERE id = ANY ($1::uuid[]);

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

-- The freezes in force whose scope holds one of these targets. By freeze_in_force and the primary keys of targets and links.
-- name: list_biting
SELECT t.id AS target_id, t.environment_id, t.deployment_id, f.id, f.scope_kind, f.selector, f.reason, f.created_at, f.expires_at,
       coalesce(p.name, 'system') AS created_by
FROM target t
JOIN "freeze" f ON f.workspace_id = t.workspace_id AND f.thawed_at IS NULL AND (f.expires_at IS NULL OR f.expires_at > interlock_now())
LEFT JOIN principal p ON p.id = f.created_by
WHERE t.id = ANY ($1::uuid[])
  AND (f.scope_kind = 'workspace' OR f.scope_id = t.environment_id OR f.scope_id = t.deployment_id
       OR f.scope_kind = 'system'
          AND EXISTS (SELECT FROM system_environment s WHERE s.system_id = f.scope_id AND s.environment_id = t.environment_id)
          AND EXISTS (SELECT FROM system_deployment s WHERE s.system_id = f.scope_id AND s.deployment_id = t.deployment_id))
ORDER BY f.created_at, f.id;

-- What a selector reads of these targets. By primary keys.
-- name: list_views
SELECT t.id AS target_id, r.id, r.identifier, r.name, r.kind, r.version, r.workspace_id, r.provider_id, r.config, r.metadata, r.created_at,
       r.updated_at, e.id AS environment_id, e.name AS environment, e.metadata AS environment_metadata, d.id AS deployment_id,
       d.name AS deployment
FROM target t JOIN resource r ON r.id = t.resource_id JOIN environment e ON e.id = t.environment_id JOIN deployment d ON d.id = t.deployment_id
WHERE t.id = ANY ($1::uuid[]);
