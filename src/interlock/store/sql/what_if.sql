-- What policies would change before they are saved.

-- name: insert_what_if
INSERT INTO what_if (id, workspace_id, proposal, asked_by) VALUES ($1, $2, $3, $4);

-- Relies on the primary key.
-- name: find_what_if
SELECT id, workspace_id, proposal, asked_by, asked_at, answer, answered_at FROM what_if WHERE id = $1;

-- Relies on the primary key.
-- name: answer_what_if
UPDATE what_if SET answer = $2, answered_at = interlock_now() WHERE id = $1 AND answered_at IS NULL;

-- So many days after they were asked. Relies on what_if_age.
-- name: delete_old_what_ifs
DELETE FROM what_if WHERE id IN
    (SELECT id FROM what_if WHERE asked_at < interlock_now() - make_interval(days => $1) LIMIT 500);

-- Deployments with attached targets, by name: how many there are, in which environments, and how many of them one of the policies $2
-- selects now. Relies on deployment_name and target's unique key (deployment first).
-- name: list_candidates
SELECT d.id, d.name, d.metadata, t.targets, t.environment_ids, t.selected
FROM deployment d
CROSS JOIN LATERAL (
    SELECT count(*) AS targets, array_agg(DISTINCT t.environment_id) AS environment_ids,
           count(*) FILTER (WHERE s.policy_ids && $2::uuid[]) AS selected
    FROM target t LEFT JOIN policy_set s ON s.id = t.policy_set_id
    WHERE t.deployment_id = d.id AND t.state = 'attached') t
WHERE d.workspace_id = $1 AND d.deleted_at IS NULL AND t.targets > 0
ORDER BY d.name COLLATE "C", d.id;
