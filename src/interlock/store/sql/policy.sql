-- Policies, their immutable revisions, and when each rule was first stored.

-- By the primary key.
-- name: find_policy
SELECT p.id, p.workspace_id, p.name, p.description, p.selector, p.metadata, p.priority, p.enabled, p.mode, p.revision_id, p.created_at,
       v.rules, v.number
FROM policy p JOIN policy_revision v ON v.id = p.revision_id
WHERE p.id = $2 AND p.workspace_id = $1 AND p.deleted_at IS NULL;

-- By policy_of_workspace, as list_policies.
-- name: count_policies
SELECT count(*) FROM policy WHERE workspace_id = $1 AND deleted_at IS NULL;

-- By policy_of_workspace: in order of creation.
-- name: list_policies
SELECT p.id, p.workspace_id, p.name, p.description, p.selector, p.metadata, p.priority, p.enabled, p.mode, p.revision_id, p.created_at,
       v.rules, v.number
FROM policy p JOIN policy_revision v ON v.id = p.revision_id
WHERE p.workspace_id = $1 AND p.deleted_at IS NULL
ORDER BY p.created_at, p.id LIMIT $2 OFFSET $3;

-- By the primary key, whatever its state: a client-chosen id may be taken elsewhere.
-- name: find_owner
SELECT workspace_id, deleted_at IS NULL AS live FROM policy WHERE id = $1;

-- By the unique index on (policy_id, number).
-- name: next_number
SELECT COALESCE(max(number), 0) + 1 FROM policy_revision WHERE policy_id = $1;

-- One row; its identity is the caller's.
-- name: insert_revision
INSERT INTO policy_revision (id, policy_id, number, selector, mode, enabled, rules, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- One row; its identity is the caller's.
-- name: insert_policy
INSERT INTO policy (id, workspace_id, name, description, selector, metadata, priority, enabled, mode, revision_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- One row or its few, by the primary key.
-- name: update_policy
UPDATE policy SET name = $2, description = $3, selector = $4, metadata = $5, priority = $6, enabled = $7, mode = $8, revision_id = $9,
                  updated_at = interlock_now(), deleted_at = NULL
WHERE id = $1;

-- One row or its few, by the primary key.
-- name: delete_policy
UPDATE policy SET deleted_at = interlock_now(), updated_at = interlock_now() WHERE id = $1 AND deleted_at IS NULL;

-- One row; its identity is the caller's.
-- name: insert_rules
INSERT INTO policy_rule (policy_id, rule_id) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING;

-- Stops at the limit: it only has to know whether a workspace is small.
-- name: count_targets_up_to
SELECT count(*) FROM (SELECT 1 FROM target WHERE workspace_id = $1 AND state = 'attached' LIMIT $2) few;

-- Deployments before the workspace, by id: the order of locks everywhere (core.md 3).
-- name: lock_deployments
SELECT id FROM deployment WHERE workspace_id = $1 AND deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE;

-- How many targets of a scope there are, and how many each policy governs. The targets by target_of_environment or the unique key.
-- name: count_governed
WITH here AS MATERIALIZED (
    SELECT policy_set_id FROM target
    WHERE workspace_id = $1 AND environment_id = $2 AND state = 'attached'
      AND ($3::uuid IS NULL OR deployment_id = $3) AND ($4::uuid IS NULL OR resource_id = $4)
)
SELECT NULL::uuid AS policy_id, count(*) AS targets FROM here
UNION ALL
SELECT m.policy_id, count(*) FROM here h JOIN policy_set s ON s.id = h.policy_set_id CROSS JOIN LATERAL unnest(s.policy_ids) AS m (policy_id)
GROUP BY m.policy_id;

-- Some targets of a scope to look at, those with different sets of policies first. As count_governed.
-- name: list_examples
SELECT x.deployment_id, x.resource_id, x.policy_ids
FROM (SELECT t.id, t.deployment_id, t.resource_id, coalesce(s.policy_ids, '{}') AS policy_ids,
             row_number() OVER (PARTITION BY t.policy_set_id ORDER BY t.attached_at, t.id) AS place
      FROM target t LEFT JOIN policy_set s ON s.id = t.policy_set_id
      WHERE t.workspace_id = $1 AND t.environment_id = $2 AND t.state = 'attached'
        AND ($3::uuid IS NULL OR t.deployment_id = $3) AND ($4::uuid IS NULL OR t.resource_id = $4)) x
ORDER BY x.place, x.id LIMIT $5;
