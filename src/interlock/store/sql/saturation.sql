-- How full things are, as it is posted and listed. Rounds read it in fact.sql.

-- By saturation_of_deployment.
-- name: list_saturations
SELECT s.name, s.environment_id, e.name AS environment, s.value, s.high_above, s.saturated_above, s.level, s.since, s.observed_at, s.fresh_until,
       s.source, s.fresh_until > interlock_now() AS fresh
FROM saturation s LEFT JOIN environment e ON e.id = s.environment_id
WHERE s.deployment_id = $1 ORDER BY s.name COLLATE "C", e.name COLLATE "C" NULLS FIRST;

-- By saturation_of_deployment.
-- name: find_saturation
SELECT s.name, s.environment_id, e.name AS environment, s.value, s.high_above, s.saturated_above, s.level, s.since, s.observed_at, s.fresh_until,
       s.source, s.fresh_until > interlock_now() AS fresh
FROM saturation s LEFT JOIN environment e ON e.id = s.environment_id
WHERE s.deployment_id = $1 AND s.name = $2 AND s.environment_id IS NOT DISTINCT FROM $3;

-- By saturation_of_deployment.
-- name: count_saturations
SELECT count(*) FROM saturation WHERE deployment_id = $1;

-- The rows are the caller's; the deployment is locked. By saturation_of_deployment.
-- name: save_saturation
INSERT INTO saturation (workspace_id, deployment_id, environment_id, name, value, high_above, saturated_above, level, since, observed_at,
                        fresh_until, source, reported_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (deployment_id, name, environment_id) DO UPDATE SET value = $5, high_above = $6, saturated_above = $7, level = $8, since = $9,
    observed_at = $10, fresh_until = $11, source = $12, reported_by = $13;

-- By saturation_of_deployment.
-- name: delete_saturation
DELETE FROM saturation WHERE deployment_id = $1 AND name = $2 AND environment_id IS NOT DISTINCT FROM $3;

-- The instant of this transaction.
-- name: now
SELECT interlock_now();
