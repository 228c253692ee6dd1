-- Deployment plans: what a version would change before it exists.

-- One row; its identity is the caller's.
-- name: insert_plan
INSERT INTO deployment_plan (id, workspace_id, deployment_id, version, metadata, created_by, expires_at, targets_left_out)
SELECT $1, $2, $3, $4, $5, $6, interlock_now() + make_interval(secs => $7),
       greatest(0, (SELECT count(*) FROM target WHERE deployment_id = $3 AND state = 'attached') - $8)::int;

-- One row a target, at most $3. Relies on target's unique key (deployment first).
-- name: insert_results
INSERT INTO deployment_plan_result (plan_id, target_id, current_release_id)
SELECT $1, t.id, t.current_release_id
FROM target t JOIN environment e ON e.id = t.environment_id JOIN resource r ON r.id = t.resource_id
WHERE t.deployment_id = $2 AND t.state = 'attached'
ORDER BY e.name COLLATE "C", r.name COLLATE "C", t.id
LIMIT $3;

-- By the primary key.
-- name: find_plan
SELECT id, workspace_id, deployment_id, version, metadata, targets_left_out, created_at, expires_at, completed_at
FROM deployment_plan WHERE id = $1;

-- What is still to compute, with everything that a release of it would freeze. Relies on the unique key (plan first) and primary keys.
-- name: list_pending
SELECT p.id, p.target_id, t.environment_id, t.config_digest, t.policy_set_id, c.snapshot AS current,
       a.id AS agent_id, a.type AS agent_type, a.name AS agent_name
FROM deployment_plan_result p
JOIN target t ON t.id = p.target_id
LEFT JOIN release c ON c.id = p.current_release_id
LEFT JOIN job_agent a ON a.id = t.agent_id AND t.agent_state = 'one'
WHERE p.plan_id = $1 AND p.status = 'computing'
ORDER BY p.id
LIMIT $2;

-- Done once. By the primary key.
-- name: record_result
UPDATE deployment_plan_result
SET status = $2, has_changes = $3, content_hash = $4, current = $5, proposed = $6, message = $7, completed_at = interlock_now()
WHERE id = $1 AND status = 'computing';

-- By the primary key.
-- name: record_validations
INSERT INTO deployment_plan_validation (result_id, rule_id, policy_id, name, status, violations, message)
SELECT $1, n.rule_id, n.policy_id, n.name, n.status, n.violations::jsonb, n.message
FROM unnest($2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[]) AS n(rule_id, policy_id, name, status, violations, message)
ON CONFLICT DO NOTHING;

-- What was never computed. By the unique key (plan first).
-- name: give_up_results
UPDATE deployment_plan_result SET status = 'errored', message = $2, completed_at = interlock_now()
WHERE plan_id = $1 AND status = 'computing';

-- By the primary key and the unique key (plan first).
-- name: complete_plan
UPDATE deployment_plan SET completed_at = interlock_now()
WHERE id = $1 AND completed_at IS NULL
  AND NOT EXISTS (SELECT FROM deployment_plan_result WHERE plan_id = $1 AND status = 'computing');

-- A plan's results with the names of their places and what rules said of each. Relies on the unique key (plan first) and primary keys.
-- name: list_results
SELECT p.id, p.status, p.has_changes, p.content_hash, p.current, p.proposed, p.message,
       e.id AS environment_id, e.name AS environment, r.id AS resource_id, r.name AS resource,
       COALESCE((SELECT jsonb_agg(jsonb_build_object('ruleId', v.rule_id, 'policyId', v.policy_id, 'name', v.name, 'status', v.status,
                                                     'passed', v.status = 'passed', 'violations', v.violations, 'message', v.message)
                                  ORDER BY v.name COLLATE "C", v.rule_id COLLATE "C")
                 FROM deployment_plan_validation v WHERE v.result_id = p.id), '[]'::jsonb) AS validations
FROM deployment_plan_result p
JOIN target t ON t.id = p.target_id
JOIN environment e ON e.id = t.environment_id
JOIN resource r ON r.id = t.resource_id
WHERE p.plan_id = $1
ORDER BY e.name COLLATE "C", r.name COLLATE "C", p.id;

-- So many days after they expired. Relies on deployment_plan_age.
-- name: delete_old_plans
DELETE FROM deployment_plan WHERE id IN
    (SELECT id FROM deployment_plan WHERE expires_at < interlock_now() - make_interval(days => $1) LIMIT 500);

-- The policies that judge targets' plans, as they stand. Relies on policy_set's and policy's primary keys.
-- name: load_policies
SELECT s.id AS set_id, p.id, p.name, r.rules
FROM policy_set s
JOIN policy p ON p.id = ANY (s.policy_ids) AND p.deleted_at IS NULL
JOIN policy_revision r ON r.id = p.revision_id
WHERE s.id = ANY ($1::uuid[])
ORDER BY p.id;
