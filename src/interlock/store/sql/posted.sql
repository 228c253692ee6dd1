-- Results that outside systems posted for the metrics of what is verified.

-- The metrics that a post is for: those of its name, of every verification of its subject. Relies on verification_of_subject.
-- name: list_metrics_of_subject
SELECT m.id, m.spec -> 'provider' ->> 'type' AS provider, m.state = 'running' AND v.state = 'running' AS runs, v.deployment_id
FROM verification v JOIN verification_metric m ON m.verification_id = v.id
WHERE v.workspace_id = $1 AND v.subject_id = $2 AND m.name = $3
ORDER BY v.started_at, m.position;

-- What a verification is about. Relies on verification's primary key.
-- name: find_subject
SELECT v.subject_id, v.subject_kind, v.deployment_id FROM verification v WHERE v.workspace_id = $1 AND v.id = $2;

-- A result that is posted again is there already. Relies on posted_result's unique key.
-- name: insert_posted
INSERT INTO posted_result (id, workspace_id, subject_id, metric, name, result, principal_id, posted_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, interlock_now())
ON CONFLICT (subject_id, metric, name) DO NOTHING
RETURNING id;

-- Relies on posted_result's unique key.
-- name: count_posted
SELECT count(*) FROM posted_result WHERE subject_id = $1 AND metric = $2;

-- The oldest result that a metric has not taken yet. Relies on posted_result's unique key: a metric has few.
-- name: find_posted
SELECT p.id, p.name, p.result, p.posted_at, n.name AS by
FROM verification_metric m
JOIN verification v ON v.id = m.verification_id
JOIN posted_result p ON p.subject_id = v.subject_id AND p.metric = m.name
LEFT JOIN principal n ON n.id = p.principal_id
WHERE m.id = $1 AND NOT m.id = ANY (p.taken_by)
ORDER BY p.posted_at, p.id
LIMIT 1;

-- It became the measurement of that instant; where none was written, it is still to be had. Relies on primary keys.
-- name: take_posted
UPDATE posted_result p SET taken_by = p.taken_by || $2::uuid
WHERE p.id = $1 AND NOT $2::uuid = ANY (p.taken_by)
  AND EXISTS (SELECT 1 FROM measurement s WHERE s.metric_id = $2 AND s.measured_at = $3);

-- Results of jobs that are no more, and of what ended long ago. Relies on posted_result_by_age.
-- name: delete_old_posted
DELETE FROM posted_result WHERE id IN (
    SELECT id FROM posted_result WHERE posted_at < interlock_now() - make_interval(days => $1) LIMIT 5000);

-- Whether anything verifies this already. Relies on verification_of_subject.
-- name: is_verified
SELECT EXISTS (SELECT 1 FROM verification WHERE workspace_id = $1 AND subject_id = $2);

-- What was posted of a subject, oldest first, with how many there are. Relies on posted_result's unique key.
-- name: list_posted
SELECT p.id, p.metric, p.name, p.result, p.posted_at, n.name AS by, cardinality(p.taken_by) AS taken, count(*) OVER () AS total
FROM posted_result p LEFT JOIN principal n ON n.id = p.principal_id
WHERE p.workspace_id = $1 AND p.subject_id = $2
ORDER BY p.posted_at, p.id
LIMIT $3 OFFSET $4;
