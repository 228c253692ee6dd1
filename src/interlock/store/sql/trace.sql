-- What one version went through: the ledger tells the story, the tables where it stands.

-- Where it stands: every target of the deployment, with what it did with the version. By target's unique key, landed's key, move_of_target.
-- name: list_cells
SELECT t.id, t.environment_id, e.name AS environment, t.resource_id, r.name AS resource, t.state, c.version_id = $2 AS runs,
       g.version_id = $2 AS proven, l.first_success_at, l.verified_at, l.left_at,
       coalesce(m.state = 'failed' AND m.to_release_id = t.current_release_id, false) AS runs_failed,
       m.id AS move_id, m.kind AS move_kind, m.state AS move_state, m.reason AS move_reason, m.admitted_at, m.started_at, m.closed_at,
       j.id AS job_id, j.status AS job_status,
       q.outcome, q.version_id = $2 AS wanted, coalesce(q.verdicts, '[]'::jsonb) AS verdicts, coalesce(q.decision_ids, '{}') AS decision_ids
FROM target t
JOIN environment e ON e.id = t.environment_id
JOIN resource r ON r.id = t.resource_id
LEFT JOIN release c ON c.id = t.current_release_id
LEFT JOIN release g ON g.id = t.good_release_id
LEFT JOIN landed l ON l.target_id = t.id AND l.version_id = $2
LEFT JOIN LATERAL (SELECT * FROM move n WHERE n.target_id = t.id AND n.version_id = $2 ORDER BY n.admitted_at DESC, n.id DESC LIMIT 1) m ON true
LEFT JOIN LATERAL (SELECT k.id, k.status FROM job k WHERE k.move_id = m.id ORDER BY k.created_at DESC, k.id DESC LIMIT 1) j ON true
LEFT JOIN target_decision q ON q.target_id = t.id
WHERE t.deployment_id = $1 AND (t.state = 'attached' OR l.version_id IS NOT NULL OR m.id IS NOT NULL)
ORDER BY e.created_at, e.id, r.name COLLATE "C", t.id
LIMIT $3;

-- The moves that undid a move of the version, whose story belongs to it. By move_of_target, over the targets that the version moved.
-- name: list_undoing
SELECT n.id
FROM target t
JOIN move m ON m.target_id = t.id AND m.version_id = $2
JOIN move n ON n.target_id = t.id AND n.undoes_move_id = m.id
WHERE t.deployment_id = $1;

-- The story: events that refer to any of these ids, in order. Relies on ledger_refs.
-- name: read_story
SELECT * FROM ledger_feed
WHERE workspace_id = $1 AND refs && $2::text[] AND seq > $3
ORDER BY seq LIMIT $4;

-- Decisions about the version, oldest first. By decision_of_deployment.
-- name: list_decisions_about
SELECT d.id, d.kind, d.environment_id, e.name AS environment, d.outcome, d.verdicts, d.at, d.valid_until, d.round_id
FROM decision d LEFT JOIN environment e ON e.id = d.environment_id
WHERE d.deployment_id = $1 AND d.version_id = $2
ORDER BY d.at, d.id LIMIT $3;

-- The rollouts of the version, oldest first. By rollout_of_deployment.
-- name: list_rollouts_of
SELECT o.id, o.environment_id, e.name AS environment, o.state, o.reason, o.opened_at, o.state_at
FROM rollout o JOIN environment e ON e.id = o.environment_id
WHERE o.deployment_id = $1 AND o.version_id = $2
ORDER BY o.opened_at, o.id;

-- The round that a decision was made in. By the primary key.
-- name: find_round_of_decision
SELECT d.round_id, d.id, d.subject FROM decision d WHERE d.workspace_id = $1 AND d.id = $2;

-- Whether a round is of this workspace. By the primary key.
-- name: find_round_in
SELECT id FROM round WHERE workspace_id = $1 AND id = $2;
