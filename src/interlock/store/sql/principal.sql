-- Who signs in, by what, and with which roles.

-- One row by the unique index on api_key.prefix. The secret is compared by the caller, in constant time.
-- name: find_key
SELECT k.id AS key_id, k.secret_hash, k.expires_at, k.last_used_at, k.scopes,
       EXISTS (SELECT FROM role_binding b WHERE b.key_id = k.id) AS limited,
       p.id AS principal_id, p.name, p.kind, p.system_role = 'admin' AS system_admin
FROM api_key k
JOIN principal p ON p.id = k.principal_id
WHERE k.prefix = $1
  AND k.revoked_at IS NULL
  AND p.disabled_at IS NULL
  AND (k.expires_at IS NULL OR k.expires_at > interlock_now());

-- At most once a minute and key, so that a busy key is no hot row, and never waiting for another who notes the same. By the primary key.
-- name: touch_key
UPDATE api_key SET last_used_at = interlock_now()
WHERE id = (SELECT id FROM api_key
            WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < interlock_now() - interval '1 minute')
            FOR UPDATE SKIP LOCKED);

-- One row; its identity is the caller's.
-- name: insert_key
INSERT INTO api_key (id, principal_id, name, prefix, secret_hash, expires_at, scopes, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- One row or its few, by the primary key.
-- name: revoke_key
UPDATE api_key SET revoked_at = interlock_now() WHERE id = $1 AND revoked_at IS NULL;

-- The keys of a workspace's members, of one ($2) or only one key ($3). By member's primary key and api_key_of_principal. Never the hash.
-- name: list_keys
SELECT k.id, k.principal_id, p.name AS principal, k.name, k.prefix, k.scopes, k.created_at, k.expires_at, k.revoked_at, k.last_used_at, k.rotated_to,
       COALESCE((SELECT jsonb_agg(jsonb_build_object('id', b.id, 'role', COALESCE(r.name, b.role), 'scopeKind', b.scope_kind, 'scopeId', b.scope_id)
                                  ORDER BY b.created_at, b.id)
                 FROM role_binding b LEFT JOIN role r ON r.id = b.role_id WHERE b.key_id = k.id AND b.workspace_id = $1), '[]'::jsonb) AS bindings
FROM member m
JOIN api_key k ON k.principal_id = m.principal_id
JOIN principal p ON p.id = m.principal_id
WHERE m.workspace_id = $1 AND ($2::uuid IS NULL OR m.principal_id = $2) AND ($3::uuid IS NULL OR k.id = $3)
ORDER BY k.created_at DESC, k.id
LIMIT $4 OFFSET $5;

-- By the same.
-- name: count_keys
SELECT count(*) FROM member m JOIN api_key k ON k.principal_id = m.principal_id
WHERE m.workspace_id = $1 AND ($2::uuid IS NULL OR m.principal_id = $2);

-- By group_member_of_principal.
-- name: leave_groups
DELETE FROM group_member WHERE principal_id = $2 AND group_id IN (SELECT id FROM principal_group WHERE workspace_id = $1);

-- Whose word counts is a rule of the workspace. By its primary key.
-- name: bump_rules_fence
UPDATE workspace SET rules_fence = rules_fence + 1 WHERE id = $1;

-- By the primary key, or by session_of_old_value while the value before goes on. $2: for how long nobody may have been there.
-- name: find_session
SELECT s.csrf, s.expires_at, s.seen_at < interlock_now() - interval '1 minute' AS unseen,
       s.id_hash = $1 AND s.renewed_at < interlock_now() - interval '15 minutes' AS due, p.id AS principal_id, p.name, p.kind, p.system_role = 'admin' AS system_admin
FROM session s
JOIN principal p ON p.id = s.principal_id
WHERE (s.id_hash = $1 OR (s.old_hash = $1 AND s.old_until > interlock_now()))
  AND s.expires_at > interlock_now() AND s.seen_at > interlock_now() - make_interval(secs => $2) AND p.disabled_at IS NULL;

-- At most once a minute, and never waiting. By the primary key.
-- name: touch_session
UPDATE session SET seen_at = interlock_now()
WHERE id_hash = (SELECT id_hash FROM session WHERE id_hash = $1 FOR UPDATE SKIP LOCKED);

-- The value changes; the one before goes on for a minute. By the primary key.
-- name: renew_session
UPDATE session SET id_hash = $2, old_hash = id_hash, old_until = interlock_now() + interval '1 minute', renewed_at = interlock_now()
WHERE id_hash = $1 AND renewed_at < interlock_now() - interval '15 minutes';

-- One row; its identity is the caller's.
-- name: insert_session
INSERT INTO session (id_hash, principal_id, csrf, expires_at)
VALUES ($1, $2, $3, interlock_now() + make_interval(secs => $4));

-- One row or its few, by the primary key.
-- name: delete_session
DELETE FROM session WHERE id_hash = $1 OR old_hash = $1;

-- One row or its few, by the primary key.
-- name: delete_expired_sessions
DELETE FROM session WHERE expires_at <= interlock_now();

-- One row, by the primary key or a unique index.
-- name: find_principal
SELECT id, name, kind, email, system_role, created_at FROM principal WHERE id = $1;

-- One row, by the primary key or a unique index.
-- name: find_principal_by_name
SELECT id, name, kind, email, system_role, created_at FROM principal WHERE name = $1;

-- By the primary key of what it lists.
-- name: list_principals_by_ids
SELECT id, name, kind, email, system_role, created_at FROM principal WHERE id = ANY($1::uuid[]);

-- One row; its identity is the caller's.
-- name: insert_principal
INSERT INTO principal (id, kind, name, email, system_role) VALUES ($1, $2, $3, $4, $5);

-- One row; its identity is the caller's.
-- name: insert_member
INSERT INTO member (workspace_id, principal_id) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- One row or its few, by the primary key.
-- name: delete_member
DELETE FROM member WHERE workspace_id = $1 AND principal_id = $2;

-- One row; its identity is the caller's.
-- name: insert_binding
INSERT INTO role_binding (workspace_id, principal_id, role, role_id, scope_kind, scope_id)
SELECT $1, $2, $3, $4, $5, $6
WHERE NOT EXISTS (
    SELECT 1 FROM role_binding
    WHERE workspace_id = $1 AND principal_id = $2 AND role IS NOT DISTINCT FROM $3::text AND role_id IS NOT DISTINCT FROM $4::uuid
      AND scope_kind = $5 AND scope_id IS NOT DISTINCT FROM $6::uuid);

-- One row or its few, by the primary key.
-- name: delete_bindings
DELETE FROM role_binding WHERE workspace_id = $1 AND principal_id = $2;

-- By the primary key of member, then role_binding_of_principal, group_member_of_principal.
-- name: list_members
SELECT p.id, p.name, p.kind, coalesce(m.email, p.email) AS email, m.added_at,
       COALESCE(jsonb_agg(jsonb_build_object('id', b.id, 'role', COALESCE(r.name, b.role), 'scopeKind', b.scope_kind, 'scopeId', b.scope_id)
                          ORDER BY b.created_at, b.id) FILTER (WHERE b.id IS NOT NULL), '[]'::jsonb) AS bindings,
       ARRAY(SELECT g.name FROM group_member gm JOIN principal_group g ON g.id = gm.group_id
             WHERE gm.principal_id = p.id AND g.workspace_id = $1 ORDER BY g.name COLLATE "C") AS groups
FROM member m
JOIN principal p ON p.id = m.principal_id
LEFT JOIN role_binding b ON b.workspace_id = m.workspace_id AND b.principal_id = m.principal_id
LEFT JOIN role r ON r.id = b.role_id
WHERE m.workspace_id = $1 AND ($2::uuid IS NULL OR p.id = $2)
GROUP BY p.id, p.name, p.kind, coalesce(m.email, p.email), m.added_at
ORDER BY m.added_at, p.id
LIMIT $3 OFFSET $4;

-- By the primary key of member.
-- name: count_members
SELECT count(*) FROM member WHERE workspace_id = $1;

-- By the primary key of what it lists.
-- name: is_member
SELECT EXISTS (SELECT 1 FROM member WHERE workspace_id = $1 AND principal_id = $2);

-- What one who leaves a workspace had their keys bound to there. By api_key_of_principal and role_binding_of_key.
-- name: delete_key_bindings
DELETE FROM role_binding WHERE workspace_id = $1 AND key_id IN (SELECT id FROM api_key WHERE principal_id = $2);

-- The key that took its place, and when the old one ends; sooner stays sooner. By the primary key.
-- name: rotate_key
UPDATE api_key SET rotated_to = $2, expires_at = LEAST(expires_at, interlock_now() + make_interval(secs => $3::float8)) WHERE id = $1;

-- The new key has what the old one had. By role_binding_of_key.
-- name: copy_key_bindings
INSERT INTO role_binding (workspace_id, key_id, role, role_id, scope_kind, scope_id)
SELECT workspace_id, $2, role, role_id, scope_kind, scope_id FROM role_binding WHERE key_id = $1;

-- By the unique index on api_key.prefix.
-- name: find_key_id
SELECT id FROM api_key WHERE prefix = $1;

-- The workspaces in which a key has roles of its own. By role_binding_of_key.
-- name: list_key_workspaces
SELECT DISTINCT workspace_id FROM role_binding WHERE key_id = $1;

-- By member_of_principal.
-- name: count_memberships_elsewhere
SELECT count(*) FROM member WHERE principal_id = $1 AND workspace_id <> $2;
