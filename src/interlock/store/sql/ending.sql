-- What ends when a deployment, environment or resource is deleted. In each, $2 is its kind and $3 are its ids; ids of different kinds are never equal.

-- Whose rounds a deletion concerns, in the order in which everybody locks them. By target_of_environment, target_of_resource and the primary key.
-- name: lock_concerned
SELECT d.id FROM deployment d
WHERE d.workspace_id = $1
  AND d.id IN (SELECT unnest($3::uuid[]) WHERE $2::text = 'deployment'
               UNION SELECT deployment_id FROM target WHERE $2::text = 'environment' AND environment_id = ANY ($3)
               UNION SELECT deployment_id FROM target WHERE $2::text = 'resource' AND resource_id = ANY ($3))
ORDER BY d.id FOR NO KEY UPDATE;

-- Jobs that somebody has: asked to stop. What nobody has is withdrawn by the next round. By target's unique key (deployment first),
-- target_of_environment, target_of_resource and job_of_target.
-- name: ask_cancels
WITH mine AS MATERIALIZED (
    SELECT id FROM target WHERE $2::text = 'deployment' AND deployment_id = ANY ($3::uuid[])
    UNION ALL SELECT id FROM target WHERE $2::text = 'environment' AND environment_id = ANY ($3)
    UNION ALL SELECT id FROM target WHERE $2::text = 'resource' AND resource_id = ANY ($3)
)
UPDATE job j SET cancel_asked_at = interlock_now(), cancel_reason = $4, updated_at = interlock_now()
WHERE j.workspace_id = $1 AND j.target_id IN (SELECT id FROM mine) AND j.completed_at IS NULL AND j.cancel_asked_at IS NULL
  AND NOT (j.status = 'queued' OR j.status = 'pending' AND j.handover = 'waiting')
RETURNING j.id;

-- Jobs of workflow runs on resources that go: no round looks at them, so those that wait are asked to stop too. By job_of_run_open.
-- name: ask_run_cancels
UPDATE job j SET cancel_asked_at = interlock_now(), cancel_reason = $4, updated_at = interlock_now()
WHERE j.workspace_id = $1 AND j.run_id IS NOT NULL AND j.status IN ('pending', 'queued', 'inProgress', 'actionRequired')
  AND $2::text = 'resource' AND j.resource_id = ANY ($3::uuid[]) AND j.cancel_asked_at IS NULL
RETURNING j.id;

-- Live rollouts. By rollout_one_open.
-- name: abort_rollouts
UPDATE rollout o SET state = 'aborted', reason = $4, state_at = interlock_now()
FROM rollout b JOIN deployment d ON d.id = b.deployment_id JOIN environment e ON e.id = b.environment_id LEFT JOIN version v ON v.id = b.version_id
WHERE o.id = b.id AND o.workspace_id = $1 AND o.state IN ('open', 'paused', 'halted')
  AND ($2::text = 'deployment' AND o.deployment_id = ANY ($3::uuid[]) OR $2::text = 'environment' AND o.environment_id = ANY ($3))
RETURNING o.id, o.deployment_id, d.name AS deployment, o.environment_id, e.name AS environment, o.version_id, v.tag AS version, o.change_id,
          b.state AS was;

-- Open orders on its targets. By steering_order_one_open.
-- name: end_orders
WITH mine AS MATERIALIZED (
    SELECT id FROM target WHERE $2::text = 'deployment' AND deployment_id = ANY ($3::uuid[])
    UNION ALL SELECT id FROM target WHERE $2::text = 'environment' AND environment_id = ANY ($3)
    UNION ALL SELECT id FROM target WHERE $2::text = 'resource' AND resource_id = ANY ($3)
)
UPDATE steering_order o SET state = 'withdrawn', end_reason = $4, ended_at = interlock_now()
WHERE o.workspace_id = $1 AND o.state = 'open' AND o.target_id IN (SELECT id FROM mine)
RETURNING o.id, o.deployment_id, o.target_id, o.version_id, o.change_id, o.kind;

-- Pins in force on it, or on one of its targets. By pin_in_force.
-- name: end_pins
WITH mine AS MATERIALIZED (
    SELECT id FROM target WHERE $2::text = 'environment' AND environment_id = ANY ($3::uuid[])
    UNION ALL SELECT id FROM target WHERE $2::text = 'resource' AND resource_id = ANY ($3)
)
UPDATE pin o SET removed_at = interlock_now(), remove_reason = $4
WHERE o.workspace_id = $1 AND o.removed_at IS NULL AND (o.expires_at IS NULL OR o.expires_at > interlock_now())
  AND (o.deployment_id = ANY ($3) OR o.environment_id = ANY ($3) OR o.target_id IN (SELECT id FROM mine))
RETURNING o.id, o.deployment_id, o.environment_id, o.target_id, o.version_id;

-- Skips in force on it. By skip_in_force.
-- name: end_skips
UPDATE skip o SET removed_at = interlock_now(), remove_reason = $4
WHERE o.workspace_id = $1 AND $2::text IS NOT NULL AND o.removed_at IS NULL AND (o.expires_at IS NULL OR o.expires_at > interlock_now())
  AND (o.deployment_id = ANY ($3::uuid[]) OR o.environment_id = ANY ($3) OR o.resource_id = ANY ($3))
RETURNING o.id, o.deployment_id, o.environment_id, o.resource_id, o.version_id;

-- Freezes in force whose scope it is. By freeze_in_force.
-- name: end_freezes
UPDATE "freeze" o SET thawed_at = interlock_now(), thaw_reason = $4
WHERE o.workspace_id = $1 AND o.thawed_at IS NULL AND (o.expires_at IS NULL OR o.expires_at > interlock_now())
  AND o.scope_kind = $2::text AND o.scope_id = ANY ($3::uuid[])
RETURNING o.id;

-- What is kept off its targets, where nothing goes any more. By quarantine_in_force.
-- name: end_quarantines
WITH mine AS MATERIALIZED (
    SELECT id FROM target WHERE $2::text = 'deployment' AND deployment_id = ANY ($3::uuid[])
    UNION ALL SELECT id FROM target WHERE $2::text = 'environment' AND environment_id = ANY ($3)
    UNION ALL SELECT id FROM target WHERE $2::text = 'resource' AND resource_id = ANY ($3)
)
UPDATE quarantine o SET cleared_at = interlock_now(), clear_reason = $4
WHERE o.workspace_id = $1 AND o.cleared_at IS NULL AND o.target_id IN (SELECT id FROM mine)
RETURNING o.id, o.deployment_id, o.target_id, o.version_id;

-- How much of each kind a deletion would end. By the same indexes as what ends it.
-- name: count_endings
WITH mine AS MATERIALIZED (
    SELECT id, state FROM target WHERE $2::text = 'deployment' AND deployment_id = ANY ($3::uuid[])
    UNION ALL SELECT id, state FROM target WHERE $2::text = 'environment' AND environment_id = ANY ($3)
    UNION ALL SELECT id, state FROM target WHERE $2::text = 'resource' AND resource_id = ANY ($3)
), going AS MATERIALIZED (
    SELECT status = 'queued' OR status = 'pending' AND handover = 'waiting' AS waits FROM job
    WHERE workspace_id = $1 AND target_id IN (SELECT id FROM mine) AND completed_at IS NULL
)
SELECT (SELECT count(*) FROM mine WHERE state = 'attached') AS targets,
       (SELECT count(*) FROM going WHERE waits) AS jobs_waiting,
       (SELECT count(*) FROM going WHERE NOT waits) AS jobs_running,
       (SELECT count(*) FROM rollout o WHERE o.workspace_id = $1 AND o.state IN ('open', 'paused', 'halted')
        AND (o.deployment_id = ANY ($3) OR o.environment_id = ANY ($3))) AS rollouts,
       (SELECT count(*) FROM steering_order o WHERE o.workspace_id = $1 AND o.state = 'open' AND o.target_id IN (SELECT id FROM mine)) AS orders,
       (SELECT count(*) FROM pin o WHERE o.workspace_id = $1 AND o.removed_at IS NULL
        AND (o.expires_at IS NULL OR o.expires_at > interlock_now())
        AND (o.deployment_id = ANY ($3) OR o.environment_id = ANY ($3) OR o.target_id IN (SELECT id FROM mine))) AS pins,
       (SELECT count(*) FROM skip o WHERE o.workspace_id = $1 AND o.removed_at IS NULL
        AND (o.expires_at IS NULL OR o.expires_at > interlock_now())
        AND (o.deployment_id = ANY ($3) OR o.environment_id = ANY ($3) OR o.resource_id = ANY ($3))) AS skips,
       (SELECT count(*) FROM "freeze" o WHERE o.workspace_id = $1 AND o.thawed_at IS NULL
        AND (o.expires_at IS NULL OR o.expires_at > interlock_now()) AND o.scope_kind = $2 AND o.scope_id = ANY ($3)) AS freezes,
       (SELECT count(*) FROM quarantine o WHERE o.workspace_id = $1 AND o.cleared_at IS NULL
        AND o.target_id IN (SELECT id FROM mine)) AS quarantines,
       (SELECT count(*) FROM deployment_variable o WHERE o.deployment_id = ANY ($3))
           + (SELECT count(*) FROM resource_variable o WHERE o.resource_id = ANY ($3)) AS variables,
       (SELECT count(*) FROM system_deployment o WHERE o.deployment_id = ANY ($3) OR o.system_id = ANY ($3))
           + (SELECT count(*) FROM system_environment o WHERE o.environment_id = ANY ($3) OR o.system_id = ANY ($3)) AS links;

-- The ready versions of others that need the deployment $2 beside them. By version_dependency_on.
-- name: list_needing
SELECT DISTINCT d.name AS deployment, v.tag
FROM version_dependency n JOIN version v ON v.id = n.version_id AND v.status = 'ready' JOIN deployment d ON d.id = v.deployment_id
WHERE n.deployment_id = $2 AND d.workspace_id = $1 AND d.deleted_at IS NULL AND d.id <> $2
ORDER BY 1, 2 LIMIT 100;

-- The rules that choose environments or deployments by selector, of live policies. By policy_of_workspace.
-- name: list_pointing
SELECT p.id AS policy_id, p.name AS policy, one.rule ->> 'id' AS rule_id,
       CASE WHEN one.rule ? 'environmentProgression' THEN 'environmentProgression' ELSE 'deploymentDependency' END AS kind,
       coalesce(one.rule -> 'environmentProgression' ->> 'dependsOnEnvironmentSelector', one.rule -> 'deploymentDependency' ->> 'dependsOn') AS selector
FROM policy p JOIN policy_revision v ON v.id = p.revision_id CROSS JOIN LATERAL jsonb_array_elements(v.rules) WITH ORDINALITY AS one (rule, place)
WHERE p.workspace_id = $1 AND p.deleted_at IS NULL AND p.enabled AND one.rule ?| ARRAY['environmentProgression', 'deploymentDependency']
ORDER BY p.name COLLATE "C", p.id, one.place;

-- What has or had a name or identifier, those that are there first, then the latest gone. By the unique name indexes and those of what is gone.
-- name: list_named
SELECT kind, id FROM (
    SELECT 'deployment' AS kind, id, deleted_at FROM deployment WHERE workspace_id = $1 AND name = $3 AND $2::text IN ('', 'deployment')
    UNION ALL SELECT 'environment', id, deleted_at FROM environment WHERE workspace_id = $1 AND name = $3 AND $2 IN ('', 'environment')
    UNION ALL SELECT 'resource', id, deleted_at FROM resource WHERE workspace_id = $1 AND identifier = $3 AND $2 IN ('', 'resource')
    UNION ALL SELECT 'system', id, deleted_at FROM system WHERE workspace_id = $1 AND name = $3 AND $2 IN ('', 'system')
    UNION ALL SELECT 'agent', id, deleted_at FROM job_agent WHERE workspace_id = $1 AND name = $3 AND $2 IN ('', 'agent')
    UNION ALL SELECT 'policy', id, deleted_at FROM policy WHERE workspace_id = $1 AND name = $3 AND $2 IN ('', 'policy')
    UNION ALL SELECT 'provider', id, NULL FROM resource_provider WHERE workspace_id = $1 AND name = $3 AND $2 IN ('', 'provider')
) named
ORDER BY deleted_at DESC NULLS FIRST, kind, id LIMIT 1;
