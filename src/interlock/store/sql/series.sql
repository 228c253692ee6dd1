-- Verifications as people look at them: what they are about, and what was measured.

-- Heads of verifications, newest first; those about a wave or a rollout have no move. Relies on primary keys.
-- name: list_heads
SELECT v.id, v.subject_kind, v.subject_id, v.state, v.message, v.started_at, v.ended_at,
       v.deployment_id, d.name AS deployment, o.environment_id, e.name AS environment, o.target_id, t.resource_id, r.name AS resource,
       o.version_id, x.tag, o.rollout_id
FROM verification v
JOIN deployment d ON d.id = v.deployment_id
LEFT JOIN move o ON o.id = v.move_id
LEFT JOIN environment e ON e.id = o.environment_id
LEFT JOIN target t ON t.id = o.target_id
LEFT JOIN resource r ON r.id = t.resource_id
LEFT JOIN version x ON x.id = o.version_id
WHERE v.workspace_id = $1 AND v.id = ANY ($2::uuid[])
ORDER BY v.started_at DESC, v.id DESC;

-- Relies on verification_of_subject.
-- name: list_ids_of_subject
SELECT id FROM verification WHERE subject_id = $1 ORDER BY started_at DESC, id DESC LIMIT $2;

-- Relies on move_of_target and verification_of_move.
-- name: list_ids_of_target
SELECT v.id FROM move o JOIN verification v ON v.move_id = o.id WHERE o.target_id = $1 ORDER BY v.started_at DESC, v.id DESC LIMIT $2;

-- Those of its moves, and those about itself. Relies on move_of_rollout, verification_of_move and verification_of_subject.
-- name: list_ids_of_rollout
SELECT found.id FROM (
    SELECT v.id, v.started_at FROM move o JOIN verification v ON v.move_id = o.id WHERE o.rollout_id = $1
    UNION SELECT v.id, v.started_at FROM verification v WHERE v.subject_id = $1) found
ORDER BY found.started_at DESC, found.id DESC LIMIT $2;

-- Relies on verification_metric's unique key.
-- name: list_metrics
SELECT id, name, spec, state, message, next_at FROM verification_metric WHERE verification_id = $1 ORDER BY position;

-- The newest of each metric, in their order. Relies on measurement's unique key.
-- name: list_measurements
SELECT s.metric_id, s.status, s.result, s.message, s.measured_at
FROM verification_metric m
CROSS JOIN LATERAL (SELECT * FROM measurement WHERE metric_id = m.id ORDER BY number DESC LIMIT $2) s
WHERE m.verification_id = $1
ORDER BY s.metric_id, s.number;
