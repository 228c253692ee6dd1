-- What versions need of other deployments.

-- By version_dependency's key.
-- name: list_dependencies
SELECT version_id, deployment_id, version_selector, environments FROM version_dependency
WHERE version_id = ANY ($1::uuid[]) ORDER BY version_id, deployment_id;

-- Whoever writes what depends on others takes turns with others who do, and with rounds that land something. By workspace's primary key.
-- name: lock_workspace
SELECT id FROM workspace WHERE id = $1 FOR NO KEY UPDATE;

-- Those of the deployments $2 that are there. By deployment's primary key.
-- name: list_names
SELECT id, name FROM deployment WHERE workspace_id = $1 AND id = ANY ($2::uuid[]) AND deleted_at IS NULL;

-- What each deployment of a workspace needs: what the newest of its versions that is neither failed nor rejected needs. By version_newest and
-- version_dependency's key, for those deployments that ever needed something.
-- name: list_needs
SELECT d.id, d.name, n.deployment_id AS needs
FROM deployment d
CROSS JOIN LATERAL (SELECT v.id FROM version v WHERE v.deployment_id = d.id AND v.status NOT IN ('failed', 'rejected')
                    ORDER BY v.created_at DESC, v.id DESC LIMIT 1) AS newest
JOIN version_dependency n ON n.version_id = newest.id
WHERE d.workspace_id = $1 AND d.deleted_at IS NULL;

-- By version_dependency's key.
-- name: delete_dependencies
DELETE FROM version_dependency WHERE version_id = $1 AND deployment_id = ANY ($2::uuid[]);

-- By version_dependency's key.
-- name: save_dependencies
INSERT INTO version_dependency (version_id, deployment_id, version_selector, environments)
SELECT $1, * FROM unnest($2::uuid[], $3::text[], $4::text[])
ON CONFLICT (version_id, deployment_id) DO UPDATE SET version_selector = excluded.version_selector, environments = excluded.environments;
