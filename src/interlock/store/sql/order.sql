-- Orders as people give, read and withdraw them. Rounds read them in fact.sql and write them in plan.sql.

-- The targets that an order may be about, each with what stands there: at most $6 of them. $2 is the deployment, $3 an environment, $4 a
-- resource, $5 one target; $7 the kind of order, $8 the version named, if any.
--   leaves     what a rollback takes off the target: what was handed over to it and still moves, else what runs
--   tried      the newest release of the version named (or of any version) that was handed over here
--   returns_to the newest release of another version (or of the one named) that was good here and is not in quarantine
-- By target's unique key (deployment first), move_one_open, job_one_active, move_of_target and steering_order_one_open.
-- name: find_order_targets
SELECT t.id, t.environment_id, e.name AS environment, t.resource_id, r.name AS resource,
       c.id AS current_id, c.version_id AS current_version_id,
       m.id AS move_id, m.kind AS move_kind, m.version_id AS move_version_id, mv.tag AS move_tag, j.id AS job_id,
       lv.id AS leaves_version_id, lv.tag AS leaves_tag, lv.created_at AS leaves_created_at,
       CASE WHEN m.started_at IS NULL THEN brought.id ELSE m.id END AS leaves_move_id,
       o.id AS order_id,
       tried.to_release_id AS tried_id, tried.version_id AS tried_version_id, tv.status AS tried_status,
       back.to_release_id AS returns_to_id, back.version_id AS returns_to_version_id, bv.tag AS returns_to_tag,
       EXISTS (SELECT FROM quarantine q
               WHERE q.deployment_id = t.deployment_id AND q.cleared_at IS NULL AND q.target_id = t.id
                 AND q.version_id = lv.id) AS in_quarantine
FROM target t
JOIN environment e ON e.id = t.environment_id
JOIN resource r ON r.id = t.resource_id
LEFT JOIN release c ON c.id = t.current_release_id
LEFT JOIN move m ON m.target_id = t.id AND m.closed_at IS NULL
LEFT JOIN version mv ON mv.id = m.version_id
LEFT JOIN version lv ON lv.id = CASE WHEN m.started_at IS NULL THEN c.version_id ELSE m.version_id END
LEFT JOIN job j ON j.move_id = m.id AND j.status IN ('pending', 'queued', 'inProgress', 'actionRequired')
LEFT JOIN steering_order o ON o.target_id = t.id AND o.kind = $7 AND o.state = 'open'
LEFT JOIN LATERAL (SELECT id FROM move WHERE target_id = t.id AND to_release_id = t.current_release_id
                   ORDER BY admitted_at DESC LIMIT 1) brought ON $7 = 'rollback'
LEFT JOIN LATERAL (SELECT to_release_id, version_id FROM move
                   WHERE target_id = t.id AND started_at IS NOT NULL AND ($8::uuid IS NULL OR version_id = $8)
                   ORDER BY admitted_at DESC LIMIT 1) tried ON $7 = 'redeploy'
LEFT JOIN version tv ON tv.id = tried.version_id
LEFT JOIN LATERAL (SELECT g.to_release_id, g.version_id FROM move g JOIN version gv ON gv.id = g.version_id
                   WHERE g.target_id = t.id AND g.state = 'succeeded'
                     AND CASE WHEN $8::uuid IS NULL
                              THEN g.version_id IS DISTINCT FROM lv.id AND gv.status <> 'rejected'
                                   AND NOT EXISTS (SELECT FROM quarantine q
                                                   WHERE q.deployment_id = t.deployment_id AND q.cleared_at IS NULL AND q.target_id = t.id
                                                     AND q.version_id = g.version_id)
                              ELSE g.version_id = $8 END
                   ORDER BY g.closed_at DESC LIMIT 1) back ON $7 = 'rollback'
LEFT JOIN version bv ON bv.id = back.version_id
WHERE t.workspace_id = $1 AND t.deployment_id = $2 AND t.state = 'attached'
  AND ($3::uuid IS NULL OR t.environment_id = $3)
  AND ($4::uuid IS NULL OR t.resource_id = $4)
  AND ($5::uuid IS NULL OR t.id = $5)
ORDER BY e.name COLLATE "C", r.name COLLATE "C", t.id LIMIT $6;

-- name: insert_change
INSERT INTO change (id, workspace_id, deployment_id, kind, version_id, author_id, refs) VALUES ($1, $2, $3, $4, $5, $6, '{}');

-- One row a target; what all of them share comes once.
-- name: insert_orders
INSERT INTO steering_order (workspace_id, deployment_id, kind, scope, change_id, starts, reason, created_by, created_at, expires_at,
                            id, target_id, version_id, release_id, undoes_move_id)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, interlock_now(), $9, n.*
FROM unnest($10::uuid[], $11::uuid[], $12::uuid[], $13::uuid[], $14::uuid[]) AS n;

-- What a person takes off targets is in quarantine there.
-- name: insert_quarantines
INSERT INTO quarantine (workspace_id, deployment_id, id, target_id, version_id, move_id)
SELECT $1, $2, n.* FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[]) AS n;

-- It speaks for no progression any more. By landed's primary key.
-- name: leave_versions
UPDATE landed l SET left_at = interlock_now() FROM unnest($1::uuid[], $2::uuid[]) AS n(target_id, version_id)
WHERE l.target_id = n.target_id AND l.version_id = n.version_id;

-- While an environment goes back, the version that it leaves starts nowhere in it: not where its rollout had not come, nor, if that was
-- complete, on a target that joins. By rollout_of_deployment and rollout_one_open.
-- name: halt_rollouts
UPDATE rollout o SET state = 'halted', reason = 'rolled_back', state_at = interlock_now()
FROM environment e, version v
WHERE o.deployment_id = $1 AND o.kind = 'version' AND o.environment_id = ANY ($2::uuid[])
  AND (o.state IN ('open', 'paused')
       OR o.state = 'complete' AND NOT EXISTS (SELECT FROM rollout l
                                               WHERE l.deployment_id = $1 AND l.environment_id = o.environment_id AND l.kind = 'version'
                                                 AND l.state IN ('open', 'paused', 'halted')))
  AND o.version_id = ANY ($3::uuid[]) AND e.id = o.environment_id AND v.id = o.version_id
RETURNING o.id, o.environment_id, e.name AS environment, o.version_id, v.tag, o.change_id;

-- By steering_order_newest or steering_order_of_deployment; one by the primary key.
-- name: list_orders
SELECT o.id, o.kind, o.scope, o.state, o.deployment_id, d.name AS deployment, t.environment_id, e.name AS environment, o.target_id,
       t.resource_id, r.name AS resource, o.version_id, v.tag, o.starts, o.reason, coalesce(p.name, 'interlock') AS created_by, o.created_at,
       o.expires_at, o.end_reason, w.name AS ended_by, o.ended_at, o.move_id, o.change_id, count(*) OVER () AS total
FROM steering_order o
JOIN deployment d ON d.id = o.deployment_id
JOIN target t ON t.id = o.target_id
JOIN environment e ON e.id = t.environment_id
JOIN resource r ON r.id = t.resource_id
JOIN version v ON v.id = o.version_id
LEFT JOIN principal p ON p.id = o.created_by
LEFT JOIN principal w ON w.id = o.ended_by
WHERE o.workspace_id = $1
  AND ($2::uuid[] IS NULL OR o.id = ANY ($2))
  AND ($3::uuid IS NULL OR o.deployment_id = $3)
  AND ($4::uuid IS NULL OR o.target_id = $4)
  AND ($5::text IS NULL OR o.state = $5)
ORDER BY o.created_at DESC, e.name COLLATE "C", r.name COLLATE "C", o.id LIMIT $6 OFFSET $7;

-- By the primary key.
-- name: withdraw_order
UPDATE steering_order SET state = 'withdrawn', end_reason = $3, ended_by = $2, ended_at = interlock_now() WHERE id = $1 AND state = 'open';

-- What an order's end is measured against.
-- name: now
SELECT interlock_now();
