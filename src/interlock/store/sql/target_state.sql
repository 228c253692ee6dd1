-- Where targets are, what they go for and why they wait: what people and clients read. Rounds do not read this.

-- One row a target. A page is found first, by counting each deployment and environment and sorting only the targets of those that the page
-- touches; what is wide (verdicts) is read for the page alone: 10,000 targets took 3 times as long without. By the unique key of target (deployment
-- first), target_of_environment or target_of_resource where they narrow; the open move by move_one_open, the decision by its primary key.
-- name: list_targets
WITH pair AS (
    SELECT p.deployment_id, p.environment_id, p.targets, d.name AS deployment, e.name AS environment,
           sum(p.targets) OVER (ORDER BY d.name COLLATE "C", e.created_at, e.id, d.id) - p.targets AS before
    FROM (SELECT t.deployment_id, t.environment_id, count(*) AS targets FROM target t
          WHERE t.workspace_id = $1
            AND ($2::uuid IS NULL OR t.deployment_id = $2)
            AND ($3::uuid IS NULL OR t.environment_id = $3)
            AND ($4::uuid IS NULL OR t.resource_id = $4)
            AND (t.state = 'attached' OR $5)
          GROUP BY t.deployment_id, t.environment_id) p
    JOIN deployment d ON d.id = p.deployment_id JOIN environment e ON e.id = p.environment_id
), hit AS MATERIALIZED (
    SELECT * FROM pair WHERE before + targets > $7 AND ($6::bigint IS NULL OR before < $7 + $6)
), page AS MATERIALIZED (
    SELECT t.id, h.before, h.deployment, h.environment, r.name AS resource, r.identifier, r.kind AS resource_kind
    FROM hit h
    JOIN target t ON t.deployment_id = h.deployment_id AND t.environment_id = h.environment_id
    JOIN resource r ON r.id = t.resource_id
    WHERE t.workspace_id = $1 AND ($4::uuid IS NULL OR t.resource_id = $4) AND (t.state = 'attached' OR $5)
    ORDER BY h.before, r.name COLLATE "C", r.identifier COLLATE "C", t.id
    LIMIT $6 OFFSET $7 - coalesce((SELECT min(before) FROM hit), $7)
)
SELECT t.id, t.state, t.attached_at, t.detached_at, t.agent_state,
       t.deployment_id, p.deployment, t.environment_id, p.environment,
       t.resource_id, p.resource, p.identifier, p.resource_kind,
       t.desired_version_id, t.current_release_id, t.good_release_id,
       m.id AS move_id, m.kind AS move_kind, m.state AS move_state, m.version_id AS move_version_id, m.to_release_id AS move_release_id,
       q.outcome, q.kind AS decided_kind, q.version_id AS decided_version_id, COALESCE(q.verdicts, '[]'::jsonb) AS verdicts,
       COALESCE(q.decision_ids, '{}') AS decision_ids, q.since, q.wake_at, a.name AS agent, a.type AS agent_type
FROM page p
JOIN target t ON t.id = p.id
LEFT JOIN job_agent a ON a.id = t.agent_id
LEFT JOIN move m ON m.target_id = t.id AND m.closed_at IS NULL
LEFT JOIN target_decision q ON q.target_id = t.id
ORDER BY p.before, p.resource COLLATE "C", p.identifier COLLATE "C", t.id;

-- What targets would run with, and where each variable comes from. Relies on primary keys.
-- name: list_target_variables
SELECT t.id, COALESCE(c.body -> 'variables', '{}'::jsonb) AS values, COALESCE(o.body, '{}'::jsonb) AS origin
FROM target t
LEFT JOIN resolved_config c ON c.digest = t.config_digest
LEFT JOIN variable_origin o ON o.digest = t.origin_digest
WHERE t.id = ANY ($1::uuid[]);

-- As list_targets.
-- name: count_targets
SELECT count(*) FROM target t
WHERE t.workspace_id = $1
  AND ($2::uuid IS NULL OR t.deployment_id = $2)
  AND ($3::uuid IS NULL OR t.environment_id = $3)
  AND ($4::uuid IS NULL OR t.resource_id = $4)
  AND (t.state = 'attached' OR $5);

-- By the primary key.
-- name: list_releases
SELECT x.id, x.target_id, x.version_id, x.snapshot, x.created_at, t.deployment_id, t.environment_id, t.resource_id
FROM release x JOIN target t ON t.id = x.target_id
WHERE x.workspace_id = $1 AND x.id = ANY($2::uuid[]);

-- By the primary key.
-- name: list_decisions
SELECT d.id, d.kind, d.environment_id, d.version_id, v.tag, d.outcome, d.verdicts, d.at, d.valid_until
FROM decision d LEFT JOIN version v ON v.id = d.version_id
WHERE d.id = ANY($1::uuid[]);

-- The newest moves of each target that ended, at most four, newest first, with what ended each: the last verification that did not
-- pass, else the last job that ran. By move_of_target, verification_of_move and job_of_move.
-- name: list_ended_moves
SELECT m.id, m.target_id, m.kind, v.tag, m.state, m.closed_at, m.undoes_move_id,
       x.state AS measured_state, x.message AS measured_message, x.ended_at AS measured_at,
       j.status AS job_status, j.message AS job_message, j.completed_at AS job_ended_at, COALESCE(j.jobs, 0) AS jobs
FROM unnest($1::uuid[]) AS wanted (id)
CROSS JOIN LATERAL (SELECT * FROM move
                    WHERE target_id = wanted.id AND state IN ('succeeded', 'failed', 'cancelled')
                    ORDER BY admitted_at DESC, id DESC LIMIT 4) m
JOIN version v ON v.id = m.version_id
LEFT JOIN LATERAL (SELECT state, message, ended_at FROM verification
                   WHERE move_id = m.id AND rollout_id IS NULL AND state IN ('failed', 'inconclusive')
                   ORDER BY ended_at DESC LIMIT 1) x ON m.state = 'failed'
LEFT JOIN LATERAL (SELECT status, message, completed_at, count(*) OVER () AS jobs FROM job
                   WHERE move_id = m.id AND status <> 'skipped'
                   ORDER BY created_at DESC, id DESC LIMIT 1) j ON true
ORDER BY m.target_id, m.admitted_at DESC, m.id DESC;

-- Rollouts that still govern their environment. By rollout_one_open; the newest moves in each by move_of_rollout.
-- name: list_live_rollouts
SELECT o.id, o.environment_id, e.name AS environment, o.kind, o.version_id, v.tag, o.state, o.reason, o.opened_at, o.state_at,
       (SELECT count(*) FILTER (WHERE newest.state = 'failed')
        FROM (SELECT DISTINCT ON (m.target_id) m.state FROM move m
              WHERE m.rollout_id = o.id ORDER BY m.target_id, m.admitted_at DESC, m.id DESC) newest) AS failures
FROM rollout o
JOIN environment e ON e.id = o.environment_id
LEFT JOIN version v ON v.id = o.version_id
WHERE o.deployment_id = $1 AND o.state IN ('open', 'paused', 'halted')
ORDER BY o.opened_at, o.id;

-- When a deployment was decided last, and when it is looked at again. By the primary key.
-- name: find_deployment_pulse
SELECT decided_at, wake_at FROM deployment WHERE id = $1;

-- Metrics of verifications with their measurements, in order. By the unique keys of both.
-- name: list_metrics
SELECT m.verification_id, m.name, m.spec, m.state,
       COALESCE((SELECT jsonb_agg(jsonb_build_object('status', s.status, 'message', s.message, 'data', s.result, 'measuredAt', s.measured_at)
                                  ORDER BY s.number)
                 FROM measurement s WHERE s.metric_id = m.id), '[]'::jsonb) AS measurements
FROM verification_metric m
WHERE m.verification_id = ANY($1::uuid[])
ORDER BY m.verification_id, m.position;
