-- Roles that a workspace made. The five built-in ones stand in the code.

-- By the unique index on (workspace_id, name).
-- name: list_roles
SELECT r.id, r.name, r.description, r.permissions, r.created_at, r.updated_at,
       (SELECT count(*) FROM role_binding b WHERE b.role_id = r.id) AS bindings
FROM role r
WHERE r.workspace_id = $1 AND ($2::text IS NULL OR r.name = $2)
ORDER BY r.name COLLATE "C";

-- How often each built-in role is held. By role_binding_of_workspace.
-- name: count_built_in
SELECT role, count(*) AS bindings FROM role_binding WHERE workspace_id = $1 AND role IS NOT NULL GROUP BY role;

-- By the unique index on (workspace_id, name); its identity is the caller's.
-- name: save_role
INSERT INTO role (id, workspace_id, name, description, permissions) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workspace_id, name) DO UPDATE
SET description = excluded.description, permissions = excluded.permissions, updated_at = interlock_now();

-- By the primary key.
-- name: delete_role
DELETE FROM role WHERE id = $1;
