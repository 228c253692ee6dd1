-- Slot groups as people look at them.

-- Relies on target_slot_of_key.
-- name: count_slot_groups
SELECT count(DISTINCT key) FROM target_slot WHERE workspace_id = $1 AND key IS NOT NULL;

-- A page of the groups of the workspace $1, the fullest first; `rule` is the group's rule as it stands now, in a list. Relies on
-- target_slot_of_key, slot's primary key, policy's primary key and target_decision_waits_for_slot.
-- name: list_slot_groups
WITH sized AS MATERIALIZED (
    SELECT key, policy_id, rule_id, count(*) AS size FROM target_slot WHERE workspace_id = $1 AND key IS NOT NULL GROUP BY key, policy_id, rule_id
), holding AS (
    SELECT key, sum(weight)::bigint AS held FROM slot WHERE workspace_id = $1 GROUP BY key
), waits AS (
    SELECT said.value -> 'values' ->> 'key' AS key, count(DISTINCT t.target_id) AS waiting
    FROM deployment d
    JOIN target_decision t ON t.deployment_id = d.id AND t.verdicts @> '[{"reason": "concurrency_full"}]'
    CROSS JOIN LATERAL jsonb_array_elements(t.verdicts) AS said
    WHERE d.workspace_id = $1 AND d.deleted_at IS NULL AND said.value ->> 'reason' = 'concurrency_full'
    GROUP BY said.value -> 'values' ->> 'key'
)
SELECT g.key, g.policy_id, p.name AS policy, g.rule_id, g.size, coalesce(h.held, 0) AS held, coalesce(w.waiting, 0) AS waiting,
       (SELECT coalesce(jsonb_agg(one.value), '[]') FROM jsonb_array_elements(v.rules) AS one WHERE one.value ->> 'id' = g.rule_id) AS rule
FROM sized g
LEFT JOIN holding h ON h.key = g.key
LEFT JOIN waits w ON w.key = g.key
LEFT JOIN policy p ON p.id = g.policy_id AND p.deleted_at IS NULL
LEFT JOIN policy_revision v ON v.id = p.revision_id
ORDER BY waiting DESC, held DESC, p.name COLLATE "C", g.key COLLATE "C" LIMIT $2 OFFSET $3;

-- Who holds the groups $2, at most $3 a group, the longest first. Relies on slot's primary key.
-- name: list_slot_holders
SELECT key, move_id, kind, state, weight, taken_at, target_id, resource, environment, deployment_id, deployment, tag FROM (
    SELECT s.key, s.move_id, m.kind, m.state, s.weight, s.taken_at, m.target_id, r.name AS resource, e.name AS environment,
           m.deployment_id, d.name AS deployment, v.tag, row_number() OVER (PARTITION BY s.key ORDER BY s.taken_at, s.move_id) AS place
    FROM slot s
    JOIN move m ON m.id = s.move_id
    JOIN target t ON t.id = m.target_id
    JOIN resource r ON r.id = t.resource_id
    JOIN environment e ON e.id = t.environment_id
    JOIN deployment d ON d.id = m.deployment_id
    JOIN version v ON v.id = m.version_id
    WHERE s.workspace_id = $1 AND s.key = ANY ($2::text[])) AS found
WHERE place <= $3 ORDER BY key, place;

-- Groups in which no target is and nobody holds anything: a rule that is there no more, a label that nobody has. Relies on slot's primary key
-- and target_slot_of_key.
-- name: delete_unused_slot_groups
DELETE FROM slot_group g
WHERE NOT EXISTS (SELECT FROM slot s WHERE s.workspace_id = g.workspace_id AND s.key = g.key)
  AND NOT EXISTS (SELECT FROM target_slot t WHERE t.workspace_id = g.workspace_id AND t.key = g.key);
