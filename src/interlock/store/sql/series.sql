-- Verifications as people look at them: what they are about, and what was measured.

-- Relies on verification_of_subject.
-- name: list_ids_of_subject
SELECT id FROM verification WHERE subject_id = $1 ORDER BY started_at DESC, id DESC LIMIT $2;

-- Relies on move_of_target and verification_of_move.
-- name: list_ids_of_target
SELECT v.id FROM move o JOIN verification v ON v.move_id = o.id WHERE o.target_id = $1 AND v.rollout_id IS NULL ORDER BY v.started_at DESC, v.id DESC LIMIT $2;

-- Those of its moves, its waves and itself: each has a move of it. Relies on move_of_rollout and verification_of_move.
-- name: list_ids_of_rollout
SELECT v.id FROM move o JOIN verification v ON v.move_id = o.id WHERE o.rollout_id = $1 ORDER BY v.started_at DESC, v.id DESC LIMIT $2;

-- Relies on verification_metric's unique key.
-- name: list_metrics
SELECT id, name, spec, state, message, next_at, alpha_share, progress FROM verification_metric WHERE verification_id = $1 ORDER BY position;

-- The newest of each metric in this run of its verification, in their order: of one that compares its samples alone. Relies on measurement's unique key.
-- name: list_measurements
SELECT s.metric_id, s.status, s.message, s.measured_at,
       CASE WHEN m.spec ? 'compare' THEN jsonb_build_object('sample', s.result -> 'sample', 'thinned', s.result -> 'thinned') ELSE s.result END AS result
FROM verification_metric m
CROSS JOIN LATERAL (SELECT * FROM measurement WHERE metric_id = m.id AND number > m.counted_from ORDER BY number DESC LIMIT $2) s
WHERE m.verification_id = $1
ORDER BY s.metric_id, s.number;
