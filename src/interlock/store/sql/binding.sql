-- Role bindings: which role, over what, for a user, a group or a key.

-- The roles of a person in a workspace, their groups' among them. By role_binding_of_principal, group_member_of_principal and role_binding_of_group.
-- name: list_of_principal
SELECT COALESCE(r.name, b.role) AS role, r.permissions, b.scope_kind, b.scope_id, NULL::text AS group_name
FROM role_binding b LEFT JOIN role r ON r.id = b.role_id
WHERE b.workspace_id = $1 AND b.principal_id = $2
UNION ALL
SELECT COALESCE(r.name, b.role), r.permissions, b.scope_kind, b.scope_id, g.name
FROM group_member m
JOIN principal_group g ON g.id = m.group_id
JOIN role_binding b ON b.group_id = g.id
LEFT JOIN role r ON r.id = b.role_id
WHERE b.workspace_id = $1 AND m.principal_id = $2;

-- The roles that a key has of its own in a workspace. By role_binding_of_key.
-- name: list_of_key
SELECT COALESCE(r.name, b.role) AS role, r.permissions, b.scope_kind, b.scope_id, NULL::text AS group_name
FROM role_binding b LEFT JOIN role r ON r.id = b.role_id
WHERE b.workspace_id = $1 AND b.key_id = $2;

-- The roles that a group gives. By role_binding_of_group.
-- name: list_of_group
SELECT COALESCE(r.name, b.role) AS role, r.permissions, b.scope_kind, b.scope_id, NULL::text AS group_name
FROM role_binding b LEFT JOIN role r ON r.id = b.role_id
WHERE b.workspace_id = $1 AND b.group_id = $2;

-- A page with the names of everything, oldest first. By role_binding_of_workspace, then primary keys.
-- name: list_bindings
SELECT b.id, COALESCE(r.name, b.role) AS role, r.permissions, b.scope_kind, b.scope_id,
       COALESCE(s.name, d.name, e.name) AS scope_name,
       CASE WHEN b.principal_id IS NOT NULL THEN 'user' WHEN b.group_id IS NOT NULL THEN 'group' ELSE 'key' END AS subject_kind,
       COALESCE(b.principal_id, b.group_id, b.key_id) AS subject_id,
       COALESCE(p.name, g.name, k.prefix) AS subject_name,
       b.created_at
FROM role_binding b
LEFT JOIN role r ON r.id = b.role_id
LEFT JOIN principal p ON p.id = b.principal_id
LEFT JOIN principal_group g ON g.id = b.group_id
LEFT JOIN api_key k ON k.id = b.key_id
LEFT JOIN system s ON b.scope_kind = 'system' AND s.id = b.scope_id
LEFT JOIN deployment d ON b.scope_kind = 'deployment' AND d.id = b.scope_id
LEFT JOIN environment e ON b.scope_kind = 'environment' AND e.id = b.scope_id
WHERE b.workspace_id = $1
  AND ($2::uuid IS NULL OR b.id = $2)
  AND ($3::uuid IS NULL OR COALESCE(b.principal_id, b.group_id, b.key_id) = $3)
  AND ($4::text IS NULL OR COALESCE(r.name, b.role) = $4)
  AND ($5::uuid IS NULL OR b.scope_id = $5)
ORDER BY b.created_at, b.id
LIMIT $6 OFFSET $7;

-- By the same.
-- name: count_bindings
SELECT count(*)
FROM role_binding b LEFT JOIN role r ON r.id = b.role_id
WHERE b.workspace_id = $1
  AND ($2::uuid IS NULL OR COALESCE(b.principal_id, b.group_id, b.key_id) = $2)
  AND ($3::text IS NULL OR COALESCE(r.name, b.role) = $3)
  AND ($4::uuid IS NULL OR b.scope_id = $4);

-- The same binding, if it is there. By role_binding_of_principal, role_binding_of_group or role_binding_of_key.
-- name: find_same
SELECT id FROM role_binding
WHERE workspace_id = $1 AND principal_id IS NOT DISTINCT FROM $2::uuid AND group_id IS NOT DISTINCT FROM $3::uuid AND key_id IS NOT DISTINCT FROM $4::uuid
  AND role IS NOT DISTINCT FROM $5::text AND role_id IS NOT DISTINCT FROM $6::uuid AND scope_kind = $7 AND scope_id IS NOT DISTINCT FROM $8::uuid;

-- One row; its identity is the caller's.
-- name: insert_binding
INSERT INTO role_binding (id, workspace_id, principal_id, group_id, key_id, role, role_id, scope_kind, scope_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- By the primary key.
-- name: delete_binding
DELETE FROM role_binding WHERE id = $1;

-- What a scope is called and which systems it is in; no row for one that is not in this workspace. By primary keys, system_of_environment and system_of_deployment.
-- name: find_scope
SELECT s.name, ARRAY[s.id] AS system_ids FROM system s WHERE $2 = 'system' AND s.id = $3 AND s.workspace_id = $1 AND s.deleted_at IS NULL
UNION ALL
SELECT e.name, ARRAY(SELECT l.system_id FROM system_environment l WHERE l.environment_id = e.id)
FROM environment e WHERE $2 = 'environment' AND e.id = $3 AND e.workspace_id = $1 AND e.deleted_at IS NULL
UNION ALL
SELECT d.name, ARRAY(SELECT l.system_id FROM system_deployment l WHERE l.deployment_id = d.id)
FROM deployment d WHERE $2 = 'deployment' AND d.id = $3 AND d.workspace_id = $1 AND d.deleted_at IS NULL;

-- The systems of a deployment, of those that an environment is in too. By system_of_deployment and system_environment's key.
-- name: list_systems_of
SELECT ARRAY(
    SELECT l.system_id FROM system_deployment l
    WHERE l.deployment_id = $1
      AND ($2::uuid IS NULL OR EXISTS (SELECT FROM system_environment e WHERE e.environment_id = $2 AND e.system_id = l.system_id))
    ORDER BY l.system_id);

-- Two who each take the other's last admin away meet here. By the primary key.
-- name: lock_workspace
SELECT id FROM workspace WHERE id = $1 FOR NO KEY UPDATE;

-- People who are admin over the whole workspace, by themselves or through a group. By role_binding_of_workspace and group_member's key.
-- name: count_admins
SELECT count(DISTINCT p.id)
FROM role_binding b
LEFT JOIN group_member m ON m.group_id = b.group_id
JOIN principal p ON p.id = COALESCE(b.principal_id, m.principal_id) AND p.disabled_at IS NULL
WHERE b.workspace_id = $1 AND b.role = 'admin' AND b.scope_kind = 'workspace';
