-- Verifications, their metrics and measurements.

-- Metrics to measure, with what they are about, and the run of the job that each verifies. Relies on primary keys.
-- name: find_metrics
SELECT m.id, m.verification_id, m.name, m.spec, m.state, m.next_at, v.state AS verification_state, v.ended_at, v.started_at, v.workspace_id,
       v.deployment_id, v.subject_kind, v.subject_id, v.move_id, r.snapshot, o.target_id, o.environment_id, o.version_id, o.change_id, o.decision_id,
       j.external_id, v.rollout_id, v.wave, p.opened_at, p.kind AS rollout_kind
FROM verification_metric m
JOIN verification v ON v.id = m.verification_id
JOIN move o ON o.id = v.move_id
JOIN release r ON r.id = o.to_release_id
LEFT JOIN rollout p ON p.id = v.rollout_id
LEFT JOIN job j ON j.id = v.subject_id AND v.subject_kind = 'job'
WHERE m.id = ANY ($1::uuid[]);

-- Relies on verification's primary key.
-- name: lock_verification
SELECT state, started_at, ended_at, coalesce(measured_from, started_at) AS measured_from, gates, again_s, hold_s, comes_to, revokes, run,
       held_since, held_until, again_at, passed_at, message
FROM verification WHERE id = $1 FOR UPDATE;

-- Those of a batch, in the order in which everybody locks them. Relies on verification's primary key.
-- name: lock_verifications
SELECT id, state, started_at, ended_at, coalesce(measured_from, started_at) AS measured_from, gates, again_s, hold_s, comes_to, revokes, run,
       held_since, held_until, again_at, passed_at, message
FROM verification WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE;

-- Whose verifications end, before those are locked, in the order in which everybody locks them. Relies on deployment's primary key.
-- name: lock_deployments
SELECT id FROM deployment WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- Relies on verification_metric's unique key.
-- name: list_metrics
SELECT id, name, spec, state, message, next_at, alpha_share, counted_from, taken, progress
FROM verification_metric WHERE verification_id = $1 ORDER BY position;

-- Those of several verifications. Relies on verification_metric's unique key.
-- name: list_metrics_of
SELECT id, verification_id, name, spec, state, message, next_at, alpha_share, counted_from, taken, progress
FROM verification_metric WHERE verification_id = ANY ($1::uuid[]) ORDER BY verification_id, position;

-- All measurements of a verification, in their order. Relies on measurement's unique key.
-- name: list_measurements
SELECT s.metric_id, s.number, s.status, s.result, s.message, s.measured_at
FROM measurement s JOIN verification_metric m ON m.id = s.metric_id
WHERE m.verification_id = $1
ORDER BY s.metric_id, s.number;

-- Those of this run alone: what the judge looks at. Relies on measurement's unique key.
-- name: list_counted
SELECT s.number, s.status, s.result, s.message, s.measured_at
FROM measurement s JOIN verification_metric m ON m.id = s.metric_id
WHERE m.id = $1 AND s.number > m.counted_from
ORDER BY s.number;

-- All samples that are kept of a metric. Relies on measurement's unique key.
-- name: list_all
SELECT number, status, result, message, measured_at FROM measurement WHERE metric_id = $1 ORDER BY number;

-- Those that others stand for now. Relies on measurement's unique key.
-- name: delete_thinned
DELETE FROM measurement WHERE metric_id = $1 AND NOT number = ANY ($2::integer[]);

-- Relies on measurement's unique key.
-- name: write_thinned
UPDATE measurement s SET status = n.status, message = n.message, result = n.result
FROM unnest($2::integer[], $3::text[], $4::text[], $5::jsonb[]) AS n(number, status, message, result)
WHERE s.metric_id = $1 AND s.number = n.number;

-- The instant of the database, by which verdicts are stamped. Relies on no row.
-- name: now
SELECT interlock_now();

-- A pass is taken back: the target's good release is again the one from before the move. Relies on target's primary key.
-- name: revoke_good
UPDATE target SET good_release_id = $3 WHERE id = $1 AND good_release_id = $2;

-- Relies on landed's primary key.
-- name: revoke_landing
UPDATE landed SET verified_at = NULL, renewed_at = NULL WHERE target_id = $1 AND version_id = $2;

-- Its move is judged once more. Relies on move's primary key and move_one_open.
-- name: reopen_move
UPDATE move SET state = 'verifying', closed_at = NULL, reason = NULL WHERE id = $1 AND closed_at IS NOT NULL;

-- A second write of the same place on the grid changes nothing. Relies on measurement's unique key.
-- name: insert_measurements
INSERT INTO measurement (metric_id, number, status, result, message, measured_at)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::jsonb[], $5::text[], $6::timestamptz[])
ON CONFLICT (metric_id, number) DO NOTHING;

-- Relies on verification_metric's primary key.
-- name: set_metric_states
UPDATE verification_metric m SET state = n.state, message = n.message, next_at = n.next_at, taken = n.taken, progress = n.progress
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::int[], $6::jsonb[])
     AS n(id, state, message, next_at, taken, progress) WHERE m.id = n.id;

-- Relies on verification's primary key.
-- name: end_verification
UPDATE verification SET state = $2, message = $3, ended_at = $4, held_until = NULL, again_at = NULL, passed_at = NULL
WHERE id = $1 AND ended_at IS NULL;

-- Nothing could tell: it waits, and has no end yet. Relies on verification's primary key.
-- name: hold_verification
UPDATE verification SET state = 'inconclusive', message = $2, held_since = $3, held_until = $4, again_at = $5
WHERE id = $1 AND state = 'running';

-- Measure it once more. That it had passed stands meanwhile. Relies on verification's primary key.
-- name: restart_verification
UPDATE verification SET state = 'running', run = run + 1, measured_from = $2, again_at = NULL, held_until = NULL, ended_at = NULL,
    passed_at = CASE WHEN state = 'passed' THEN ended_at ELSE passed_at END
WHERE id = $1;

-- The metrics that are measured once more: after a pass all of them, else those that have not passed. What they measured before is shown and
-- counts no more. Relies on the unique keys of verification_metric and measurement.
-- name: restart_metrics
UPDATE verification_metric m SET state = 'running', message = NULL, progress = NULL, counted_from = taken, next_at = $2::timestamptz + make_interval(secs => coalesce((spec ->> 'warmUpSeconds')::float8, 0))
WHERE verification_id = $1 AND ($3 OR state <> 'passed')
RETURNING id, next_at;

-- Measured again, each sequential metric is one more of its rollout's tests: which number it has among them, of so many that were planned. Relies
-- on primary keys and verification_metric's unique key.
-- name: begin_tests
WITH test AS (
    SELECT m.id, row_number() OVER (ORDER BY m.position) AS place, count(*) OVER () AS tests FROM verification_metric m
    WHERE m.verification_id = $1 AND m.alpha_share IS NOT NULL AND m.state = 'running'
), begun AS (
    UPDATE rollout o SET tests_begun = o.tests_begun + (SELECT count(*) FROM test)
    FROM verification v JOIN move x ON x.id = v.move_id
    WHERE v.id = $1 AND o.id = x.rollout_id AND EXISTS (SELECT FROM test)
    RETURNING o.tests_begun, o.tests_planned
)
SELECT test.id, (begun.tests_begun - test.tests + test.place)::integer AS number, begun.tests_planned AS planned FROM test, begun;

-- Relies on verification_metric's primary key.
-- name: set_alpha_shares
UPDATE verification_metric m SET alpha_share = n.alpha_share FROM unnest($1::uuid[], $2::float8[]) AS n(id, alpha_share) WHERE m.id = n.id;

-- Where a move stands for which something was measured again, and the rollout of which something was. Relies on primary keys and move_one_open.
-- name: find_measured_move
SELECT o.id, o.state, o.target_id, o.deployment_id, o.environment_id, o.version_id, o.change_id, o.decision_id, o.to_release_id, o.good_release_id,
       o.closed_at, t.current_release_id, t.state AS target_state, (SELECT x.id FROM move x WHERE x.target_id = t.id AND x.closed_at IS NULL) AS open_move_id,
       (SELECT p.state FROM rollout p WHERE p.id = v.rollout_id) AS rollout_state
FROM verification v JOIN move o ON o.id = v.move_id JOIN target t ON t.id = o.target_id WHERE v.id = $1;

-- name: insert_word
INSERT INTO verification_word (id, workspace_id, verification_id, word, reason, principal_id) VALUES ($1, $2, $3, $4, $5, $6);

-- Verifications for people, newest first, each with its place in names; those about no job's move have none of a target. Relies on primary keys,
-- verification_of_subject, verification_held and verification_of_workspace.
-- name: list_verifications
SELECT v.id, v.subject_kind, v.subject_id, v.state, v.message, v.started_at, v.ended_at, v.run, v.held_since, v.held_until, v.again_at, v.passed_at,
       v.comes_to, v.gates, v.revokes, v.deployment_id, d.name AS deployment, o.environment_id, e.name AS environment, t.id AS target_id,
       t.resource_id, r.name AS resource, o.version_id, x.tag, coalesce(v.rollout_id, o.rollout_id) AS rollout_id, v.wave, o.change_id, o.decision_id, v.move_id, count(*) OVER () AS total
FROM verification v
JOIN deployment d ON d.id = v.deployment_id
LEFT JOIN move o ON o.id = v.move_id
LEFT JOIN environment e ON e.id = o.environment_id
LEFT JOIN target t ON t.id = o.target_id AND v.rollout_id IS NULL
LEFT JOIN resource r ON r.id = t.resource_id
LEFT JOIN version x ON x.id = o.version_id
WHERE v.workspace_id = $1 AND ($2::uuid[] IS NULL OR v.id = ANY ($2)) AND ($3::uuid IS NULL OR v.deployment_id = $3)
  AND ($4::uuid IS NULL OR v.subject_id = $4)
  AND ($5::text IS NULL OR ($5 = 'held' AND v.state = 'inconclusive' AND v.ended_at IS NULL) OR ($5 <> 'held' AND v.state = $5))
ORDER BY v.started_at DESC, v.id DESC LIMIT $6 OFFSET $7;

-- What people said of verifications, oldest first. Relies on verification_word_of_verification.
-- name: list_words
SELECT w.verification_id, w.word, w.reason, w.at, w.principal_id, p.name AS by
FROM verification_word w JOIN principal p ON p.id = w.principal_id WHERE w.verification_id = ANY ($1::uuid[]) ORDER BY w.at, w.id;

-- What is still measured of rollouts that are over, or waits for somebody who can tell: while they were open nothing was found; a pass that was
-- measured again stands; the rest was not decided. They are locked in the order in which everybody locks them. By verification_of_rollout.
-- name: end_proofs
WITH mine AS MATERIALIZED (
    SELECT id, passed_at FROM verification WHERE rollout_id = ANY ($1::uuid[]) AND ended_at IS NULL ORDER BY id FOR UPDATE
)
UPDATE verification v
SET state = CASE WHEN mine.passed_at IS NOT NULL OR v.wave IS NULL AND v.state = 'running' THEN 'passed' ELSE 'inconclusive' END,
    ended_at = coalesce(mine.passed_at, interlock_now()), passed_at = NULL,
    message = CASE WHEN v.state <> 'running' THEN v.message
                   WHEN mine.passed_at IS NOT NULL THEN 'measured again, the rollout was over before it was decided; that it had passed stands'
                   WHEN v.wave IS NULL THEN 'nothing was found while the rollout was open'
                   ELSE 'the rollout was over before it was decided' END,
    held_until = NULL, again_at = NULL
FROM mine, move o, version n, environment e, deployment d
WHERE v.id = mine.id AND v.ended_at IS NULL
  AND o.id = v.move_id AND n.id = o.version_id AND e.id = o.environment_id AND d.id = o.deployment_id
RETURNING v.id, v.state, mine.passed_at IS NOT NULL AS stood, v.message, v.wave, v.rollout_id, o.environment_id, o.deployment_id, o.version_id, o.decision_id, o.change_id,
          n.tag AS version, e.name AS environment, d.name AS deployment;

-- What people read beside a job. Relies on verification_of_subject.
-- name: list_verifications_of_job
SELECT v.id, v.subject_id AS job_id, v.state, v.message, v.started_at, v.ended_at, v.state = 'inconclusive' AND v.ended_at IS NULL AS held
FROM verification v WHERE v.subject_kind = 'job' AND v.subject_id = ANY ($1::uuid[]) ORDER BY v.started_at, v.id;

-- Measurements go so many days after their verification ended. Relies on nothing: it runs once an hour.
-- name: delete_old_measurements
DELETE FROM measurement WHERE id IN (
    SELECT s.id FROM measurement s JOIN verification_metric m ON m.id = s.metric_id JOIN verification v ON v.id = m.verification_id
    WHERE s.measured_at < interlock_now() - make_interval(days => $1) AND v.ended_at < interlock_now() - make_interval(days => $1) LIMIT 5000);

-- Captured output older than so many days goes; the job and its message stay.
-- name: delete_old_output
UPDATE job SET output = NULL WHERE id IN (
    SELECT id FROM job WHERE output IS NOT NULL AND completed_at < interlock_now() - make_interval(days => $1) LIMIT 5000);

-- Relies on verification_metric's unique key.
-- name: find_first_metric
SELECT id FROM verification_metric WHERE verification_id = $1 ORDER BY position LIMIT 1;

-- Metrics with how often each said what in this run. Relies on verification_metric's unique key.
-- name: list_metric_counts
SELECT name, spec, state, message, next_at, coalesce((progress ->> 'passed')::integer, 0) AS passed,
       coalesce((progress ->> 'failed')::integer, 0) AS failed, coalesce((progress ->> 'inconclusive')::integer, 0) AS inconclusive,
       coalesce((progress ->> 'errored')::integer, 0) AS errored
FROM verification_metric WHERE verification_id = $1 ORDER BY position;
