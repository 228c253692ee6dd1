-- What there would be: asked about things that do not exist.

-- Every system with a live deployment and a live environment in it, by their names. Relies on system_of_deployment and system_of_environment.
-- name: list_triples
SELECT s.id AS system_id, d.id AS deployment_id, e.id AS environment_id,
       d.resource_selector AS deployment_selector, e.resource_selector AS environment_selector
FROM system s
JOIN system_deployment sd ON sd.system_id = s.id
JOIN system_environment se ON se.system_id = s.id
JOIN deployment d ON d.id = sd.deployment_id AND d.deleted_at IS NULL
JOIN environment e ON e.id = se.environment_id AND e.deleted_at IS NULL
WHERE s.workspace_id = $1 AND s.deleted_at IS NULL
ORDER BY s.name COLLATE "C", s.id, d.name COLLATE "C", e.name COLLATE "C", d.id, e.id;
