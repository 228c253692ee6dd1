-- How long things take: what a forecast knows of durations. Nothing is written.

-- The newest $2 moves of each environment of a deployment that ended well: how long the job took that did it, and how long until it was
-- proven after that. Relies on move_ended_well, job_of_move and verification_of_move.
-- name: list_durations
SELECT e.environment_id, extract(epoch FROM j.completed_at - j.handed_over_at)::double precision AS job_s,
       CASE WHEN v.ended_at IS NOT NULL
            THEN greatest(extract(epoch FROM v.ended_at - j.completed_at), 0)::double precision END AS verification_s
FROM (SELECT DISTINCT t.environment_id FROM target t WHERE t.deployment_id = $1 AND t.state = 'attached') e
CROSS JOIN LATERAL (
    SELECT m.id, m.closed_at
    FROM move m
    WHERE m.deployment_id = $1 AND m.environment_id = e.environment_id AND m.state = 'succeeded'
    ORDER BY m.closed_at DESC LIMIT $2) m
JOIN job j ON j.move_id = m.id AND j.status = 'successful' AND j.handed_over_at IS NOT NULL AND j.completed_at IS NOT NULL
LEFT JOIN LATERAL (
    SELECT max(ended_at) AS ended_at FROM verification WHERE move_id = m.id AND rollout_id IS NULL AND state = 'passed') v ON true
ORDER BY e.environment_id, m.closed_at DESC;
