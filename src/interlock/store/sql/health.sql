-- Jobs that are not over, by status and by how long they have had it. Relies on job_active_of_deployment.
-- name: measure_jobs
SELECT status, count(*) AS jobs, coalesce(extract(epoch FROM interlock_now() - min(updated_at))::float8, 0) AS oldest_s
FROM job
WHERE status IN ('pending', 'queued', 'inProgress', 'actionRequired')
GROUP BY status;

-- An agent is up unless the last look through it failed. Relies on job_of_agent and the primary key of work.
-- name: list_agents_up
SELECT a.name, a.type, ws.slug AS workspace,
       l.down_since IS NOT NULL AS down,
       (SELECT count(*) FROM job j WHERE j.agent_id = a.id AND j.status = 'pending' AND j.handover = 'waiting') AS waiting,
       l.down_since IS NULL AND
       NOT EXISTS (SELECT FROM job j JOIN work w ON w.kind IN ('dispatch', 'observe') AND w.key = j.id::text
                   WHERE j.agent_id = a.id AND j.status IN ('pending', 'queued', 'inProgress', 'actionRequired')
                     AND w.attempts > 0) AS up
FROM job_agent a JOIN workspace ws ON ws.id = a.workspace_id LEFT JOIN agent_line l ON l.agent_id = a.id
WHERE a.deleted_at IS NULL AND ws.deleted_at IS NULL
ORDER BY ws.slug, a.name
LIMIT 1000;

-- Reads the whole table, which has a few dozen rows.
-- name: list_counters
SELECT name, label, value FROM counter;

-- Several processes add to one row: each adds, none sets. In one order, so that two flushes never wait for each other in a ring.
-- name: add_counters
INSERT INTO counter (name, label, value)
SELECT c.name, c.label, c.amount FROM unnest($1::text[], $2::text[], $3::float8[]) AS c (name, label, amount)
ORDER BY c.name, c.label
ON CONFLICT (name, label) DO UPDATE SET value = counter.value + excluded.value;
