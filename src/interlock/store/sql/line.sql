-- Lines: how it stands between us and each agent. A line's row is locked after jobs and before work rows; whoever holds it waits for no job.

-- The agent's line, locked, with the conduct that its config names now. Relies on primary keys.
-- name: lock_line
WITH made AS (
    INSERT INTO agent_line (agent_id) VALUES ($1) ON CONFLICT (agent_id) DO UPDATE SET agent_id = $1 RETURNING *
)
SELECT m.agent_id, m.failures, m.failing_since, m.down_since, m.next_try_at, m.pause_s, m.trying_until, m.next_turn_at, m.stands,
       m.moves_at, m.reason, interlock_now() AS now, a.name, a.workspace_id, a.config
FROM made m JOIN job_agent a ON a.id = m.agent_id;

-- Relies on agent_line's primary key.
-- name: save_line
UPDATE agent_line
SET failures = $2, failing_since = $3, down_since = $4, next_try_at = $5, pause_s = $6, trying_until = $7, next_turn_at = $8,
    stands = $9, moves_at = $10, reason = $11
WHERE agent_id = $1;

-- One try at a time of an agent that is down. Relies on agent_line's primary key.
-- name: take_try
UPDATE agent_line SET trying_until = interlock_now() + make_interval(secs => $2)
WHERE agent_id = $1 AND down_since IS NOT NULL AND next_try_at <= interlock_now()
  AND (trying_until IS NULL OR trying_until <= interlock_now())
RETURNING agent_id;

-- A try came to nothing without a call: the job was not to be handed over. Relies on agent_line's primary key.
-- name: give_try_back
UPDATE agent_line SET trying_until = NULL WHERE agent_id = $1 AND trying_until IS NOT NULL RETURNING agent_id;

-- Whoever waits may be tried now. Relies on agent_line's primary key.
-- name: hurry_line
UPDATE agent_line SET next_try_at = least(next_try_at, interlock_now()), moves_at = interlock_now() WHERE agent_id = $1 AND (stands OR down_since IS NOT NULL)
RETURNING agent_id;

-- The first of the line whose hand-over may succeed now, those that never had a turn before those that had. Whoever is locked is passed over.
-- Relies on job_in_line.
-- name: list_line
SELECT j.id
FROM job j JOIN workspace w ON w.id = j.workspace_id LEFT JOIN deployment d ON d.id = j.deployment_id
WHERE j.agent_id = $1 AND j.status = 'pending' AND j.handover = 'waiting' AND j.cancel_asked_at IS NULL AND w.deleted_at IS NULL
  AND (j.valid_until IS NULL OR j.valid_until > interlock_now()) AND (j.turn_at IS NULL OR j.turn_at + make_interval(secs => $3) <= interlock_now())
  AND (j.run_id IS NOT NULL OR (d.decided_fence = d.fence AND d.decided_rules_fence = w.rules_fence))
ORDER BY j.turn_at NULLS FIRST, j.created_at, j.id
LIMIT $2
FOR UPDATE OF j SKIP LOCKED;

-- Whether anybody still stands there who has no turn: also those that somebody has locked. Relies on job_in_line.
-- name: is_anybody_there
SELECT EXISTS (
    SELECT FROM job j JOIN workspace w ON w.id = j.workspace_id LEFT JOIN deployment d ON d.id = j.deployment_id
    WHERE j.agent_id = $1 AND j.status = 'pending' AND j.handover = 'waiting' AND j.cancel_asked_at IS NULL AND w.deleted_at IS NULL
      AND (j.valid_until IS NULL OR j.valid_until > interlock_now()) AND (j.turn_at IS NULL OR j.turn_at + make_interval(secs => $2) <= interlock_now())
      AND (j.run_id IS NOT NULL OR (d.decided_fence = d.fence AND d.decided_rules_fence = w.rules_fence))
);

-- Relies on job's primary key.
-- name: give_turns
UPDATE job j SET turn_at = t.turn_at FROM unnest($1::uuid[], $2::timestamptz[]) AS t (id, turn_at) WHERE j.id = t.id;

-- Which of these jobs' agents have a line that stands, and which of them have their turn all the same. Relies on primary keys.
-- name: list_standing
SELECT j.id AS job_id, l.agent_id, l.moves_at,
       CASE WHEN j.turn_at + make_interval(secs => $2) > interlock_now() THEN j.turn_at END AS turn_at
FROM job j JOIN agent_line l ON l.agent_id = j.agent_id AND l.stands
WHERE j.id = ANY ($1::uuid[]);

-- Why jobs of these agents wait, where they do. Relies on primary keys.
-- name: list_waits
SELECT l.agent_id, a.name, l.down_since, l.next_try_at, l.reason, a.config -> 'ratePerMinute' AS rate
FROM agent_line l JOIN job_agent a ON a.id = l.agent_id
WHERE l.agent_id = ANY ($1::uuid[]) AND (l.down_since IS NOT NULL OR (l.stands AND a.config ? 'ratePerMinute'));

-- How it stands with these agents, and how many of their jobs wait. Relies on primary keys and job_in_line.
-- name: list_lines
SELECT a.id AS agent_id, a.name, coalesce(l.failures, 0) AS failures, l.failing_since, l.down_since, l.next_try_at, l.trying_until, l.reason,
       (SELECT count(*) FROM job j WHERE j.agent_id = a.id AND j.status = 'pending' AND j.handover = 'waiting') AS waiting
FROM job_agent a LEFT JOIN agent_line l ON l.agent_id = a.id
WHERE a.id = ANY ($1::uuid[]);
