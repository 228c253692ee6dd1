-- Whether a database was ever migrated.
-- name: find_workspace_table
SELECT to_regclass('workspace') IS NOT NULL;

-- name: find_any_workspace
SELECT EXISTS (SELECT FROM workspace);
