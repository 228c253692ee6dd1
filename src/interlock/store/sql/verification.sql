-- Verifications, their metrics and measurements.

-- One metric to measure, with what it is about, and the run of the job that it verifies. Relies on primary keys.
-- name: find_metric
SELECT m.id, m.verification_id, m.name, m.spec, m.state, m.next_at, v.state AS verification_state, v.started_at, v.workspace_id, v.deployment_id,
       v.subject_kind, v.subject_id, v.move_id, r.snapshot, o.target_id, o.environment_id, o.version_id, o.change_id, o.decision_id, j.external_id,
       v.rollout_id, v.wave, p.opened_at, p.kind AS rollout_kind
FROM verification_metric m
JOIN verification v ON v.id = m.verification_id
JOIN move o ON o.id = v.move_id
JOIN release r ON r.id = o.to_release_id
LEFT JOIN rollout p ON p.id = v.rollout_id
LEFT JOIN job j ON j.id = v.subject_id AND v.subject_kind = 'job'
WHERE m.id = $1;

-- Relies on verification's primary key.
-- name: lock_verification
SELECT state, started_at FROM verification WHERE id = $1 FOR UPDATE;

-- Relies on verification_metric's unique key.
-- name: list_metrics
SELECT id, name, spec, state, message, next_at, alpha_share FROM verification_metric WHERE verification_id = $1 ORDER BY position;

-- All measurements of a verification, in their order. Relies on measurement's unique key.
-- name: list_measurements
SELECT s.metric_id, s.number, s.status, s.result, s.message, s.measured_at
FROM measurement s JOIN verification_metric m ON m.id = s.metric_id
WHERE m.verification_id = $1
ORDER BY s.metric_id, s.number;

-- A second write of the same place on the grid changes nothing. Relies on measurement's unique key.
-- name: insert_measurement
INSERT INTO measurement (metric_id, number, status, result, message, measured_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (metric_id, number) DO NOTHING;

-- Relies on verification_metric's primary key.
-- name: set_metric_state
UPDATE verification_metric SET state = $2, message = $3, next_at = $4 WHERE id = $1;

-- Relies on verification's primary key.
-- name: end_verification
UPDATE verification SET state = $2, message = $3, ended_at = $4 WHERE id = $1 AND state = 'running';

-- What is still measured of rollouts that are over: while they were open nothing was found; a wave was not decided. By verification_of_rollout.
-- name: end_proofs
UPDATE verification v
SET state = CASE WHEN v.wave IS NULL THEN 'passed' ELSE 'inconclusive' END, ended_at = interlock_now(),
    message = CASE WHEN v.wave IS NULL THEN 'nothing was found while the rollout was open' ELSE 'the rollout was over before it was decided' END
FROM move o, version n, environment e, deployment d
WHERE v.rollout_id = ANY ($1::uuid[]) AND v.state = 'running'
  AND o.id = v.move_id AND n.id = o.version_id AND e.id = o.environment_id AND d.id = o.deployment_id
RETURNING v.id, v.state, v.message, v.wave, v.rollout_id, o.environment_id, o.deployment_id, o.version_id, o.decision_id, o.change_id,
          n.tag AS version, e.name AS environment, d.name AS deployment;

-- What people read beside a job. Relies on verification_of_subject.
-- name: list_verifications_of_job
SELECT v.id, v.subject_id AS job_id, v.state, v.message, v.started_at, v.ended_at
FROM verification v WHERE v.subject_kind = 'job' AND v.subject_id = ANY ($1::uuid[]) ORDER BY v.started_at, v.id;

-- Measurements older than so many days go. Relies on nothing: it runs once an hour.
-- name: delete_old_measurements
DELETE FROM measurement WHERE id IN (
    SELECT s.id FROM measurement s JOIN verification_metric m ON m.id = s.metric_id
    WHERE s.measured_at < interlock_now() - make_interval(days => $1) AND m.state <> 'running' LIMIT 5000);

-- Captured output older than so many days goes; the job and its message stay.
-- name: delete_old_output
UPDATE job SET output = NULL WHERE id IN (
    SELECT id FROM job WHERE output IS NOT NULL AND completed_at < interlock_now() - make_interval(days => $1) LIMIT 5000);
