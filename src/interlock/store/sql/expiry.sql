-- The ends that overrides reach by themselves: each noted once, by the primary key.

-- By the primary key.
-- name: end_pin
UPDATE pin SET expired_at = interlock_now()
WHERE id = $1 AND removed_at IS NULL AND expired_at IS NULL AND expires_at <= interlock_now()
RETURNING deployment_id, version_id, environment_id, target_id, NULL::uuid AS resource_id;

-- By the primary key.
-- name: end_skip
UPDATE skip SET expired_at = interlock_now()
WHERE id = $1 AND removed_at IS NULL AND expired_at IS NULL AND expires_at <= interlock_now()
RETURNING deployment_id, version_id, environment_id, NULL::uuid AS target_id, resource_id;

-- By the primary key.
-- name: end_freeze
UPDATE "freeze" SET expired_at = interlock_now()
WHERE id = $1 AND thawed_at IS NULL AND expired_at IS NULL AND expires_at <= interlock_now()
RETURNING scope_kind, scope_id;

-- By the primary key.
-- name: find_pin_end
SELECT expires_at FROM pin WHERE id = $1 AND removed_at IS NULL AND expired_at IS NULL;

-- By the primary key.
-- name: find_skip_end
SELECT expires_at FROM skip WHERE id = $1 AND removed_at IS NULL AND expired_at IS NULL;

-- By the primary key.
-- name: find_freeze_end
SELECT expires_at FROM "freeze" WHERE id = $1 AND thawed_at IS NULL AND expired_at IS NULL;
