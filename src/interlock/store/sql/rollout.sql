-- Rollouts and quarantines as people read and steer them. Rounds read them in fact.sql.

-- By rollout_of_deployment where it narrows, else rollout's primary key; the newest move of each target in it by move_of_rollout.
-- name: list_rollouts
SELECT o.id, o.deployment_id, d.name AS deployment, o.environment_id, e.name AS environment, o.change_id, o.kind, o.version_id, v.tag,
       o.state, o.reason, o.opened_at, o.state_at, o.targets_at_open, o.failures_forgiven, o.paused_until, s.interval_s, s.max_in_flight, s.bake_s,
       s.promoted_at,
       (SELECT count(*) FILTER (WHERE newest.state = 'failed')
        FROM (SELECT DISTINCT ON (m.target_id) m.state FROM move m
              WHERE m.rollout_id = o.id ORDER BY m.target_id, m.admitted_at DESC, m.id DESC) newest) AS failures,
       count(*) OVER () AS total
FROM rollout o
JOIN deployment d ON d.id = o.deployment_id
JOIN environment e ON e.id = o.environment_id
LEFT JOIN version v ON v.id = o.version_id
CROSS JOIN LATERAL (
    SELECT (array_agg(interval_s ORDER BY at DESC, id DESC) FILTER (WHERE interval_s IS NOT NULL))[1] AS interval_s,
           (array_agg(max_in_flight ORDER BY at DESC, id DESC) FILTER (WHERE max_in_flight IS NOT NULL))[1] AS max_in_flight,
           (array_agg(bake_s ORDER BY at DESC, id DESC) FILTER (WHERE bake_s IS NOT NULL))[1] AS bake_s,
           min(at) FILTER (WHERE step = 'promote') AS promoted_at
    FROM rollout_steering WHERE rollout_id = o.id) s
WHERE o.workspace_id = $1
  AND ($2::uuid IS NULL OR o.id = $2)
  AND ($3::uuid IS NULL OR o.deployment_id = $3)
  AND ($4::text[] IS NULL OR o.state = ANY ($4))
ORDER BY o.opened_at DESC, o.id LIMIT $5 OFFSET $6;

-- By the primary key.
-- name: set_state
UPDATE rollout SET state = $2, reason = $3, failures_forgiven = $4, state_at = interlock_now(), paused_until = $6
WHERE id = $1 AND state = $5;

-- What ended badly keeps the rollout no longer. They are locked in the order in which everybody locks them. By verification_of_rollout.
-- name: forgive_proofs
WITH bad AS MATERIALIZED (
    SELECT id FROM verification WHERE rollout_id = $1 AND state IN ('failed', 'inconclusive') AND forgiven_at IS NULL ORDER BY id FOR UPDATE
)
UPDATE verification v SET forgiven_at = interlock_now(), ended_at = coalesce(ended_at, interlock_now()), held_until = NULL, again_at = NULL
FROM bad WHERE v.id = bad.id AND v.state IN ('failed', 'inconclusive') AND v.forgiven_at IS NULL;

-- A word on the pace, kept for ever.
-- name: insert_steering
INSERT INTO rollout_steering (workspace_id, rollout_id, step, interval_s, max_in_flight, bake_s, reason, by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- What people said about a rollout, newest first. By steering_of_rollout.
-- name: list_steering
SELECT s.step, s.interval_s, s.max_in_flight, s.bake_s, s.reason, coalesce(p.name, 'system') AS by, s.at
FROM rollout_steering s LEFT JOIN principal p ON p.id = s.by
WHERE s.rollout_id = $1 ORDER BY s.at DESC, s.id DESC LIMIT 100;

-- The targets of the rollout $1 of deployment $2 in environment $3 (of version $4): where each stands in it, and what its row says. By target's
-- unique key (deployment first), move_of_rollout and target_decision's primary key.
-- name: list_places
SELECT t.id::text AS target_id, r.id::text AS resource_id, r.name AS resource, m.state AS move_state, m.closed_at,
       (c.version_id = $4 OR $4 IS NULL AND c.config_digest = t.config_digest) IS TRUE AS there,
       w.outcome, w.version_id::text AS about_version_id, w.verdicts, w.wake_at
FROM target t
JOIN resource r ON r.id = t.resource_id
LEFT JOIN release c ON c.id = t.current_release_id
LEFT JOIN (SELECT DISTINCT ON (target_id) target_id, state, closed_at FROM move
           WHERE rollout_id = $1 AND state NOT IN ('withdrawn', 'cancelled') ORDER BY target_id, admitted_at DESC, id DESC) m ON m.target_id = t.id
LEFT JOIN target_decision w ON w.target_id = t.id
WHERE t.deployment_id = $2 AND t.environment_id = $3 AND (t.state = 'attached' OR m.state IS NOT NULL)
ORDER BY m.closed_at NULLS LAST, r.name, t.id;

-- By quarantine_in_force where it narrows, else the primary key.
-- name: list_quarantines
SELECT q.id, q.deployment_id, d.name AS deployment, q.target_id, t.environment_id, e.name AS environment, r.id AS resource_id, r.name AS resource,
       q.version_id, v.tag, q.config_digest, q.move_id, q.set_at, q.cleared_at, count(*) OVER () AS total
FROM quarantine q
JOIN deployment d ON d.id = q.deployment_id
JOIN target t ON t.id = q.target_id
JOIN environment e ON e.id = t.environment_id
JOIN resource r ON r.id = t.resource_id
LEFT JOIN version v ON v.id = q.version_id
WHERE q.workspace_id = $1
  AND ($2::uuid IS NULL OR q.id = $2)
  AND ($3::uuid IS NULL OR q.deployment_id = $3)
  AND (q.cleared_at IS NULL OR $4)
ORDER BY q.set_at DESC, q.id LIMIT $5 OFFSET $6;

-- By the primary key.
-- name: clear_quarantine
UPDATE quarantine SET cleared_at = interlock_now(), cleared_by = $2, clear_reason = $3 WHERE id = $1 AND cleared_at IS NULL;

-- What the target left is a candidate again: everything newer than what it runs. By the primary key.
-- name: forget_mark
UPDATE target SET mark_version_id = (SELECT x.version_id FROM release x WHERE x.id = target.current_release_id) WHERE id = $1;
