-- Incidents as sources and people report, list and resolve them. Rounds read them in fact.sql.

-- Whoever reports incidents of a workspace takes turns, before anything else is locked.
-- name: take_turn
SELECT pg_advisory_xact_lock(hashtextextended('incidents of ' || $1, 0));

-- By the primary key.
-- name: find_incident
SELECT i.id, i.source, i.external_id, i.title, i.severity, i.gates, i.links, i.labels, i.unmatched, i.environment_ids, i.started_at, i.opened_at,
       i.renewed_at, i.expires_at, i.expired_at, i.resolved_at, i.ended_at, i.resolved_by, i.resolve_reason, i.reported_by,
       i.resolved_at IS NULL AND i.expires_at > interlock_now() AS is_open
FROM incident i WHERE i.id = $2 AND i.workspace_id = $1;

-- By the primary key.
-- name: list_by_ids
SELECT i.id, i.source, i.external_id, i.title, i.severity, i.gates, i.links, i.labels, i.unmatched, i.environment_ids, i.started_at, i.opened_at,
       i.renewed_at, i.expires_at, i.expired_at, i.resolved_at, i.ended_at, i.resolved_by, i.resolve_reason, i.reported_by,
       i.resolved_at IS NULL AND i.expires_at > interlock_now() AS is_open
FROM incident i WHERE i.workspace_id = $1 AND i.id = ANY ($2::uuid[]);

-- The newest that a source told of under each of these ids. By incident_told.
-- name: list_told
SELECT DISTINCT ON (i.external_id)
       i.id, i.source, i.external_id, i.title, i.severity, i.gates, i.links, i.labels, i.unmatched, i.environment_ids, i.started_at, i.opened_at,
       i.renewed_at, i.expires_at, i.expired_at, i.resolved_at, i.ended_at, i.resolved_by, i.resolve_reason, i.reported_by,
       i.resolved_at IS NULL AND i.expires_at > interlock_now() AS is_open
FROM incident i WHERE i.workspace_id = $1 AND i.source = $2 AND i.external_id = ANY ($3::text[])
ORDER BY i.external_id, i.opened_at DESC, i.id DESC;

-- Those that are open, or with $2 all; with $3 those about a deployment; newest first. By incident_newest, else by incident_of_deployment.
-- name: list_incidents
SELECT i.id, i.source, i.external_id, i.title, i.severity, i.gates, i.links, i.labels, i.unmatched, i.environment_ids, i.started_at, i.opened_at,
       i.renewed_at, i.expires_at, i.expired_at, i.resolved_at, i.ended_at, i.resolved_by, i.resolve_reason, i.reported_by,
       i.resolved_at IS NULL AND i.expires_at > interlock_now() AS is_open
FROM incident i
WHERE i.workspace_id = $1 AND ($2 OR (i.resolved_at IS NULL AND i.expires_at > interlock_now()))
  AND ($3::uuid IS NULL OR EXISTS (SELECT FROM incident_deployment d WHERE d.incident_id = i.id AND d.deployment_id = $3))
ORDER BY i.opened_at DESC, i.id LIMIT $4 OFFSET $5;

-- How many of them there are. By incident_newest, else by incident_of_deployment.
-- name: count_incidents
SELECT count(*) FROM incident i
WHERE i.workspace_id = $1 AND ($2 OR (i.resolved_at IS NULL AND i.expires_at > interlock_now()))
  AND ($3::uuid IS NULL OR EXISTS (SELECT FROM incident_deployment d WHERE d.incident_id = i.id AND d.deployment_id = $3));

-- Which deployments incidents are about, deleted ones left out. By incident_deployment's key.
-- name: list_deployments
SELECT b.incident_id, d.id, d.name
FROM incident_deployment b JOIN deployment d ON d.id = b.deployment_id
WHERE b.incident_id = ANY ($1::uuid[]) AND d.deleted_at IS NULL
ORDER BY b.incident_id, d.name COLLATE "C";

-- The live deployments with these names or ids. By deployment_name and the primary key.
-- name: match_deployments
SELECT id, name FROM deployment WHERE workspace_id = $1 AND deleted_at IS NULL AND (name = ANY ($2::text[]) OR id::text = ANY ($2::text[]));

-- The live environments with these names or ids. By environment_name and the primary key.
-- name: match_environments
SELECT id, name FROM environment WHERE workspace_id = $1 AND deleted_at IS NULL AND (name = ANY ($2::text[]) OR id::text = ANY ($2::text[]));

-- The live deployments that say which alerts are about them ($2 is the metadata key). By deployment_name.
-- name: list_matchers
SELECT id, metadata ->> $2 AS matchers FROM deployment WHERE workspace_id = $1 AND deleted_at IS NULL AND metadata ? $2;

-- Everybody locks a deployment before what is its own; several by id. By the primary key.
-- name: lock_deployments
SELECT id FROM deployment WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- One row; its identity is the caller's.
-- name: insert_incident
INSERT INTO incident (id, workspace_id, source, external_id, title, severity, gates, links, labels, unmatched, environment_ids, started_at,
                      expires_at, resolved_at, ended_at, resolved_by, reported_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, coalesce($12, interlock_now()), $13, $14, $15, $16, $17);

-- By the primary key.
-- name: renew_incident
UPDATE incident SET title = $2, severity = $3, gates = $4, links = $5, labels = $6, unmatched = $7, environment_ids = $8, expires_at = $9,
                    started_at = greatest(started_at, $10), expired_at = NULL, renewed_at = interlock_now()
WHERE id = $1;

-- By the primary key.
-- name: resolve_incident
UPDATE incident SET resolved_at = interlock_now(), ended_at = coalesce($4, interlock_now()), resolved_by = $2, resolve_reason = $3
WHERE id = $1 AND resolved_at IS NULL;

-- By incident_deployment's key.
-- name: forget_deployments
DELETE FROM incident_deployment WHERE incident_id = $1 AND NOT deployment_id = ANY ($2::uuid[]);

-- Rows that the caller names.
-- name: add_deployments
INSERT INTO incident_deployment (incident_id, deployment_id) SELECT $1, * FROM unnest($2::uuid[]) ON CONFLICT DO NOTHING;

-- How many are open in a workspace. By incident_unresolved.
-- name: count_open
SELECT count(*) FROM incident WHERE workspace_id = $1 AND resolved_at IS NULL AND expires_at > interlock_now();

-- By the primary key.
-- name: end_incident
UPDATE incident SET expired_at = interlock_now()
WHERE id = $1 AND resolved_at IS NULL AND expired_at IS NULL AND expires_at <= interlock_now() RETURNING gates;

-- By the primary key.
-- name: find_incident_end
SELECT expires_at FROM incident WHERE id = $1 AND resolved_at IS NULL AND expired_at IS NULL;

-- The instant of this transaction.
-- name: now
SELECT interlock_now();

-- Those that ended more than $1 days ago, in batches. By incident_old.
-- name: delete_old_incidents
DELETE FROM incident WHERE id IN (
    SELECT id FROM incident WHERE expires_at < interlock_now() - $1::integer * interval '1 day'
      AND coalesce(resolved_at, expires_at) < interlock_now() - $1::integer * interval '1 day' LIMIT 1000);
