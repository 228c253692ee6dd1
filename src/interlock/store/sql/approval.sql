-- Requests for approval and the answers to them.

-- The latest word of each person by approval_of_version; superseded by approval_request_newest.
-- $2: one request by id; $3: a status; $4: one deployment; NULL asks for all.
-- name: list_requests
WITH asked AS (
    SELECT r.id, r.deployment_id, d.name AS deployment, r.environment_id, e.name AS environment, r.version_id, v.tag, v.name AS version,
           r.change_id, r.minimum, r.group_id, r.why, r.shown, r.shown_digest, r.opened_at, w.words,
           CASE
               WHEN w.rejected > 0 THEN 'rejected'
               WHEN v.status <> 'ready' OR EXISTS (
                   SELECT FROM approval_request later
                   WHERE later.deployment_id = r.deployment_id AND later.environment_id = r.environment_id
                     AND (later.opened_at, later.id) > (r.opened_at, r.id)) THEN 'superseded'
               WHEN w.approved >= r.minimum THEN 'approved'
               ELSE 'open'
           END AS status
    FROM approval_request r
    JOIN deployment d ON d.id = r.deployment_id
    JOIN environment e ON e.id = r.environment_id
    JOIN version v ON v.id = r.version_id
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE word.verdict = 'approved') AS approved,
               count(*) FILTER (WHERE word.verdict = 'rejected') AS rejected,
               COALESCE(jsonb_agg(jsonb_build_object('principalId', word.principal_id, 'name', p.name, 'verdict', word.verdict,
                                                     'comment', word.comment, 'shownDigest', word.shown_digest,
                                                     'givenAt', word.given_at) ORDER BY word.given_at, word.id), '[]') AS words
        FROM (SELECT DISTINCT ON (a.principal_id) a.*
              FROM approval a WHERE a.version_id = r.version_id AND a.environment_id = r.environment_id
              ORDER BY a.principal_id, a.given_at DESC, a.id DESC) word
        JOIN principal p ON p.id = word.principal_id
    ) w
    WHERE r.workspace_id = $1 AND ($2::uuid IS NULL OR r.id = $2) AND ($4::uuid IS NULL OR r.deployment_id = $4)
)
SELECT * FROM asked WHERE $3::text IS NULL OR status = $3
ORDER BY opened_at DESC, id LIMIT $5 OFFSET $6;

-- The newest request for a version in an environment. By approval_request_of_version.
-- name: find_newest_request_id
SELECT id FROM approval_request WHERE version_id = $1 AND environment_id = $2 ORDER BY opened_at DESC, id DESC LIMIT 1;

-- A person's latest word. By approval_of_version.
-- name: find_word
SELECT verdict, shown_digest FROM approval
WHERE version_id = $1 AND environment_id = $2 AND principal_id = $3
ORDER BY given_at DESC, id DESC LIMIT 1;

-- One answer; rows of this table never change.
-- name: insert_approval
INSERT INTO approval (id, workspace_id, deployment_id, request_id, version_id, environment_id, principal_id, verdict, comment, shown_digest)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- Environments that share a system with the deployment: where its versions can go at all. By system_of_deployment.
-- name: list_reachable
SELECT DISTINCT e.id, e.name
FROM system_deployment d
JOIN system s ON s.id = d.system_id AND s.deleted_at IS NULL
JOIN system_environment l ON l.system_id = s.id
JOIN environment e ON e.id = l.environment_id AND e.deleted_at IS NULL
WHERE d.deployment_id = $1
ORDER BY e.name, e.id;
