-- Verifications as people look at them: what they are about, and what was measured.

-- Heads of verifications, newest first. One of a rollout as a whole has a move of it, and no target. Relies on primary keys.
-- name: list_heads
SELECT v.id, v.subject_kind, v.subject_id, v.state, v.message, v.started_at, v.ended_at,
       v.deployment_id, d.name AS deployment, o.environment_id, e.name AS environment, t.id AS target_id, t.resource_id, r.name AS resource,
       o.version_id, x.tag, COALESCE(v.rollout_id, o.rollout_id) AS rollout_id, v.wave
FROM verification v
JOIN deployment d ON d.id = v.deployment_id
LEFT JOIN move o ON o.id = v.move_id
LEFT JOIN environment e ON e.id = o.environment_id
LEFT JOIN target t ON t.id = o.target_id AND v.rollout_id IS NULL
LEFT JOIN resource r ON r.id = t.resource_id
LEFT JOIN version x ON x.id = o.version_id
WHERE v.workspace_id = $1 AND v.id = ANY ($2::uuid[])
ORDER BY v.started_at DESC, v.id DESC;

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
SELECT id, name, spec, state, message, next_at, alpha_share FROM verification_metric WHERE verification_id = $1 ORDER BY position;

-- The newest of each metric, in their order: of one that compares its samples alone, and more of them. Relies on measurement's unique key.
-- name: list_measurements
SELECT s.metric_id, s.status, s.message, s.measured_at,
       CASE WHEN m.spec ? 'compare' THEN jsonb_build_object('sample', s.result -> 'sample') ELSE s.result END AS result
FROM verification_metric m
CROSS JOIN LATERAL (SELECT * FROM measurement WHERE metric_id = m.id ORDER BY number DESC
                    LIMIT CASE WHEN m.spec ? 'compare' THEN $3::integer ELSE $2::integer END) s
WHERE m.verification_id = $1
ORDER BY s.metric_id, s.number;
