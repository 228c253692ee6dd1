-- Versions and the changes that they are.

-- By the primary key; the deployment says in which workspace.
-- name: find_version
SELECT id, deployment_id, tag, name, status, message, config, job_agent_config, metadata, author_id, created_at
FROM version WHERE id = $2 AND workspace_id = $1;

-- By the unique index on (deployment_id, tag).
-- name: find_version_by_tag
SELECT id, deployment_id, tag, name, status, message, config, job_agent_config, metadata, author_id, created_at
FROM version WHERE deployment_id = $1 AND tag = $2;

-- By version_newest, as list_newest_first. A translated selector takes its place.
-- name: count_versions
SELECT count(*) FROM version v WHERE v.deployment_id = $1 AND (TRUE /* selector */);

-- By version_newest. A translated selector takes its place.
-- name: list_newest_first
SELECT v.id, v.deployment_id, v.tag, v.name, v.status, v.message, v.config, v.job_agent_config, v.metadata, v.author_id, v.created_at
FROM version v WHERE v.deployment_id = $1 AND (TRUE /* selector */)
ORDER BY v.created_at DESC, v.tag COLLATE "C" DESC LIMIT $2 OFFSET $3;

-- By version_newest. A translated selector takes its place.
-- name: list_oldest_first
SELECT v.id, v.deployment_id, v.tag, v.name, v.status, v.message, v.config, v.job_agent_config, v.metadata, v.author_id, v.created_at
FROM version v WHERE v.deployment_id = $1 AND (TRUE /* selector */)
ORDER BY v.created_at, v.tag COLLATE "C" LIMIT $2 OFFSET $3;

-- By the primary key, in the order of the ids.
-- name: list_versions_by_ids
SELECT v.id, v.deployment_id, v.tag, v.name, v.status, v.message, v.config, v.job_agent_config, v.metadata, v.author_id, v.created_at
FROM unnest($1::uuid[]) WITH ORDINALITY wanted (id, place)
JOIN version v USING (id)
ORDER BY wanted.place;

-- Two writers of one tag take turns; their rounds' commits do too.
-- name: lock_deployment
SELECT id FROM deployment WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE;

-- One row; its identity is the caller's.
-- name: insert_version
INSERT INTO version (id, workspace_id, deployment_id, tag, name, status, message, config, job_agent_config, metadata, author_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, COALESCE($12, interlock_now()));

-- One row or its few, by the primary key.
-- name: update_version
UPDATE version SET tag = $2, name = $3, status = $4, message = $5, config = $6, job_agent_config = $7, metadata = $8, created_at = $9,
                   updated_at = interlock_now()
WHERE id = $1;

-- One row; its identity is the caller's.
-- name: insert_change
INSERT INTO change (id, workspace_id, deployment_id, kind, version_id, author_id, refs)
VALUES ($1, $2, $3, 'version', $4, $5, $6);

-- By change_of_version.
-- name: find_change
SELECT id FROM change WHERE version_id = $1 AND kind = 'version';

-- Nothing keeps the version off its targets any more. By quarantine_in_force.
-- name: clear_quarantines
UPDATE quarantine q SET cleared_at = interlock_now(), cleared_by = $3, clear_reason = 'the version is ready again'
FROM target t, environment e, resource r, deployment d
WHERE q.deployment_id = $1 AND q.version_id = $2 AND q.cleared_at IS NULL
  AND t.id = q.target_id AND e.id = t.environment_id AND r.id = t.resource_id AND d.id = q.deployment_id
RETURNING q.id, q.target_id, t.environment_id, q.move_id, e.name AS environment, r.name AS resource, d.name AS deployment;

-- Targets that left the version may consider it again: everything newer than what they run. By the unique key of target.
-- name: forget_marks
UPDATE target SET mark_version_id = (SELECT x.version_id FROM release x WHERE x.id = target.current_release_id)
WHERE deployment_id = $1 AND mark_version_id = $2;
