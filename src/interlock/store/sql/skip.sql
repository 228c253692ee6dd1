-- Skips of rules and bypasses of freezes as people set, read and remove them. Rounds read them in fact.sql.

-- Skips in force, or with $4 those that are over as well; the skip $2, those of the deployment $3. `rule` is the skipped rule as it is now:
-- NULL when no live policy has it any more. By skip_in_force where it narrows, else the primary key; rules by policy_of_workspace.
-- name: list_skips
SELECT o.id, o.deployment_id, d.name AS deployment, o.environment_id, e.name AS environment, o.resource_id, r.name AS resource,
       o.version_id, v.tag, o.rule_id, g.policy_id, g.policy, g.rule, f.reason AS freeze_reason, o.reason, p.name AS created_by, o.created_at,
       o.expires_at, o.removed_at, q.name AS removed_by, o.remove_reason,
       o.removed_at IS NULL AND (o.expires_at IS NULL OR o.expires_at > interlock_now()) AS in_force,
       CASE WHEN o.rule_id LIKE 'kind:%' THEN false
            WHEN o.rule_id LIKE 'freeze:%'
            THEN f.id IS NULL OR f.thawed_at IS NOT NULL OR coalesce(f.expires_at <= interlock_now(), false)
            ELSE g.rule IS NULL END AS orphaned,
       count(*) OVER () AS total
FROM skip o
JOIN deployment d ON d.id = o.deployment_id
JOIN version v ON v.id = o.version_id
LEFT JOIN environment e ON e.id = o.environment_id
LEFT JOIN resource r ON r.id = o.resource_id
LEFT JOIN principal p ON p.id = o.created_by
LEFT JOIN principal q ON q.id = o.removed_by
LEFT JOIN "freeze" f ON 'freeze:' || f.id::text = o.rule_id
LEFT JOIN LATERAL (
    SELECT y.id AS policy_id, y.name AS policy, one.rule
    FROM policy y JOIN policy_revision w ON w.id = y.revision_id CROSS JOIN LATERAL jsonb_array_elements(w.rules) AS one (rule)
    WHERE y.workspace_id = o.workspace_id AND y.deleted_at IS NULL AND y.enabled AND one.rule ->> 'id' = o.rule_id
    ORDER BY y.id LIMIT 1) g ON true
WHERE o.workspace_id = $1
  AND ($2::uuid IS NULL OR o.id = $2)
  AND ($3::uuid IS NULL OR o.deployment_id = $3)
  AND ($4 OR (o.removed_at IS NULL AND (o.expires_at IS NULL OR o.expires_at > interlock_now())))
ORDER BY o.created_at DESC, o.id LIMIT $5 OFFSET $6;

-- The skip in force that says exactly this. By skip_in_force.
-- name: find_same
SELECT id FROM skip
WHERE deployment_id = $1 AND version_id = $2 AND rule_id = $3 AND environment_id IS NOT DISTINCT FROM $4 AND resource_id IS NOT DISTINCT FROM $5
  AND reason = $6 AND expires_at IS NOT DISTINCT FROM $7 AND removed_at IS NULL AND (expires_at IS NULL OR expires_at > interlock_now())
LIMIT 1;

-- The rule with this id, in a live policy. By policy_of_workspace.
-- name: find_rule
SELECT p.id AS policy_id, p.name AS policy, one.rule
FROM policy p JOIN policy_revision v ON v.id = p.revision_id CROSS JOIN LATERAL jsonb_array_elements(v.rules) AS one (rule)
WHERE p.workspace_id = $1 AND p.deleted_at IS NULL AND p.enabled AND one.rule ->> 'id' = $2
ORDER BY p.id LIMIT 1;

-- The rules of these kinds in live policies, at most $3. By policy_of_workspace.
-- name: list_rules
SELECT one.rule ->> 'id' AS id, p.name AS policy, one.rule
FROM policy p JOIN policy_revision v ON v.id = p.revision_id CROSS JOIN LATERAL jsonb_array_elements(v.rules) WITH ORDINALITY AS one (rule, place)
WHERE p.workspace_id = $1 AND p.deleted_at IS NULL AND p.enabled AND one.rule ?| $2::text[]
ORDER BY p.name COLLATE "C", p.id, one.place LIMIT $3;

-- One row; its identity is the caller's.
-- name: insert_skip
INSERT INTO skip (id, workspace_id, deployment_id, version_id, environment_id, resource_id, rule_id, reason, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- By the primary key.
-- name: remove_skip
UPDATE skip SET removed_at = interlock_now(), removed_by = $2, remove_reason = $3 WHERE id = $1 AND removed_at IS NULL;
