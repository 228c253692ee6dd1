-- Requests for approval and the answers to them.

-- The latest word of each person by approval_of_version; superseded by approval_request_newest.
-- $2: one request by id; $3: a status; $4: one deployment; NULL asks for all.
-- name: list_requests
WITH asked AS (
    SELECT r.id, r.deployment_id, d.name AS deployment, r.environment_id, e.name AS environment, r.version_id, v.tag, v.name AS version,
           r.change_id, r.minimum, r.approver_group AS "group", r.authors_excluded, r.lasts_s, r.config_digests, r.why, r.shown, r.shown_digest, r.opened_at, w.words,
           CASE
               WHEN w.rejected > 0 THEN 'rejected'
               WHEN v.status <> 'ready' OR d.deleted_at IS NOT NULL OR e.deleted_at IS NOT NULL OR EXISTS (
                   SELECT FROM approval_request later
                   WHERE later.deployment_id = r.deployment_id AND later.environment_id = r.environment_id
                     AND (later.config_digests IS NULL) = (r.config_digests IS NULL)
                     AND (later.change_id <> r.change_id OR later.approver_group IS NOT DISTINCT FROM r.approver_group)
                     AND (later.opened_at, later.id) > (r.opened_at, r.id)) THEN 'superseded'
               WHEN w.approved >= r.minimum THEN 'approved'
               ELSE 'open'
           END AS status
    FROM approval_request r
    JOIN deployment d ON d.id = r.deployment_id
    JOIN environment e ON e.id = r.environment_id
    JOIN version v ON v.id = r.version_id
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE word.verdict = 'approved' AND word.not_counted IS NULL) AS approved,
               count(*) FILTER (WHERE word.verdict = 'rejected') AS rejected,
               COALESCE(jsonb_agg(jsonb_build_object('principalId', word.principal_id, 'name', word.name, 'verdict', word.verdict,
                                                     'comment', word.comment, 'shownDigest', word.shown_digest,
                                                     'givenAt', word.given_at, 'notCounted', word.not_counted)
                                  ORDER BY word.given_at, word.id), '[]') AS words
        FROM (
            SELECT a.*, p.name,
                   CASE
                       WHEN a.verdict <> 'approved' THEN NULL
                       WHEN a.given_at <= interlock_now() - make_interval(secs => r.lasts_s) THEN 'ranOut'
                       WHEN r.authors_excluded
                            AND (a.principal_id = v.author_id OR p.name = v.metadata ->> 'interlock/author') THEN 'author'
                       WHEN r.approver_group IS NOT NULL AND NOT EXISTS (
                           SELECT FROM group_member m JOIN principal_group g ON g.id = m.group_id
                           WHERE m.principal_id = a.principal_id AND g.workspace_id = r.workspace_id
                             AND g.name = r.approver_group) THEN 'group'
                   END AS not_counted
            FROM (SELECT DISTINCT ON (a.principal_id) a.*
                  FROM approval a LEFT JOIN approval_request q ON q.id = a.request_id
                  WHERE a.version_id = r.version_id AND a.environment_id = r.environment_id
                    AND q.config_digests IS NOT DISTINCT FROM r.config_digests
                  ORDER BY a.principal_id, a.given_at DESC, a.id DESC) a
            JOIN principal p ON p.id = a.principal_id
        ) word
    ) w
    WHERE r.workspace_id = $1 AND ($2::uuid IS NULL OR r.id = $2) AND ($4::uuid IS NULL OR r.deployment_id = $4)
)
SELECT * FROM asked WHERE $3::text IS NULL OR status = $3
ORDER BY opened_at DESC, id LIMIT $5 OFFSET $6;

-- The newest request for a version in an environment; a change of config is another question. By approval_request_of_version.
-- name: find_newest_request_id
SELECT id FROM approval_request WHERE version_id = $1 AND environment_id = $2 AND config_digests IS NULL
ORDER BY opened_at DESC, id DESC LIMIT 1;

-- A person's latest word on a version ($4 is the request that is answered: on what it asks about), and whether it ran out for a rule that
-- asked. By approval_of_version.
-- name: find_word
SELECT a.verdict, a.shown_digest,
       EXISTS (SELECT FROM approval_request r
               WHERE r.version_id = $1 AND r.environment_id = $2 AND r.lasts_s IS NOT NULL
                 AND a.given_at <= interlock_now() - make_interval(secs => r.lasts_s)) AS ran_out
FROM approval a LEFT JOIN approval_request q ON q.id = a.request_id
WHERE a.version_id = $1 AND a.environment_id = $2 AND a.principal_id = $3
  AND q.config_digests IS NOT DISTINCT FROM (SELECT config_digests FROM approval_request WHERE id = $4)
ORDER BY a.given_at DESC, a.id DESC LIMIT 1;

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
