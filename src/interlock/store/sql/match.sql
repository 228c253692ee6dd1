-- What the matching of targets reads and writes.

-- Every pair of a live deployment and a live environment that share a system and are touched: the deployment is in $2 or the environment in $3
-- (both NULL: all). $4 narrows to some deployments. Relies on system_of_deployment and system_of_environment.
-- name: list_pairs
SELECT DISTINCT sd.deployment_id, se.environment_id
FROM system_deployment sd
JOIN system_environment se ON se.system_id = sd.system_id
JOIN deployment d ON d.id = sd.deployment_id AND d.workspace_id = $1 AND d.deleted_at IS NULL
JOIN environment e ON e.id = se.environment_id AND e.deleted_at IS NULL
JOIN system s ON s.id = sd.system_id AND s.deleted_at IS NULL
WHERE ($2::uuid[] IS NULL AND $3::uuid[] IS NULL OR sd.deployment_id = ANY ($2::uuid[]) OR se.environment_id = ANY ($3::uuid[]))
  AND ($4::uuid[] IS NULL OR sd.deployment_id = ANY ($4::uuid[]));

-- Relies on primary keys.
-- name: list_deployments
SELECT id, name, description, resource_selector, job_agent_selector, job_agent_config, job_agents, metadata, supersede
FROM deployment WHERE id = ANY ($1::uuid[]) AND deleted_at IS NULL;

-- Relies on environment's primary key.
-- name: list_environments
SELECT id, name, description, resource_selector, metadata, created_at FROM environment WHERE id = ANY ($1::uuid[]) AND deleted_at IS NULL;

-- Relies on job_agent_name. A workspace has few of them.
-- name: list_agents
SELECT id, workspace_id, name, type, config, metadata FROM job_agent WHERE workspace_id = $1 AND deleted_at IS NULL ORDER BY id;

-- `limiting` are the rules that put targets into slot groups, of policies that are enforced. Relies on policy_of_workspace.
-- name: list_policies
SELECT p.id, p.selector,
       CASE WHEN v.mode = 'enforce' THEN jsonb_path_query_array(v.rules, '$[*] ? (exists (@.concurrency))') ELSE '[]' END AS limiting
FROM policy p JOIN policy_revision v ON v.id = p.revision_id
WHERE p.workspace_id = $1 AND p.enabled AND p.deleted_at IS NULL ORDER BY p.id;

-- Whether any target of a workspace is in a slot group. Relies on target_slot_of_key.
-- name: has_slot_keys
SELECT EXISTS (SELECT FROM target_slot WHERE workspace_id = $1);

-- The slot groups of some targets. Relies on target_slot's primary key.
-- name: list_slot_keys
SELECT target_id, policy_id, rule_id, key, why FROM target_slot WHERE target_id = ANY ($1::uuid[])
ORDER BY target_id, policy_id, rule_id COLLATE "C";

-- Relies on resource's primary key.
-- name: list_resources_by_id
SELECT id, workspace_id, provider_id, identifier, name, kind, version, config, metadata, created_at, updated_at
FROM resource r WHERE id = ANY ($1::uuid[]) AND deleted_at IS NULL;

-- All live resources of a workspace; a translated selector is appended. Relies on resource_identifier, or resource_metadata with the selector.
-- name: list_resources
SELECT r.id, r.workspace_id, r.provider_id, r.identifier, r.name, r.kind, r.version, r.config, r.metadata, r.created_at, r.updated_at
FROM resource r WHERE r.workspace_id = $1 AND r.deleted_at IS NULL;

-- Stored targets of the touched objects, attached or not: of the deployments $2, environments $3 or resources $4; of all of the workspace when
-- they are NULL. $5 narrows to some deployments. Relies on target's unique key, target_of_environment and target_of_resource.
-- name: list_stored
SELECT t.id, t.deployment_id, t.environment_id, t.resource_id, t.state, t.policy_set_id, t.agent_state, t.agent_id, t.config_digest,
       t.origin_digest
FROM target t
WHERE t.workspace_id = $1
  AND ($2::uuid[] IS NULL OR t.deployment_id = ANY ($2::uuid[]) OR t.environment_id = ANY ($3::uuid[]) OR t.resource_id = ANY ($4::uuid[]))
  AND ($5::uuid[] IS NULL OR t.deployment_id = ANY ($5::uuid[]));

-- Whether a workspace has more targets than a change may reach at once. Reads $2 of them.
-- name: count_targets_up_to
SELECT count(*) FROM (SELECT FROM target WHERE workspace_id = $1 AND state = 'attached' LIMIT $2) AS found;

-- In the order in which everybody locks deployments. Relies on deployment's primary key.
-- name: lock_deployments
SELECT id FROM deployment WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- Relies on deployment's primary key.
-- name: bump_deployments
UPDATE deployment d SET generation = generation + 1, fence = fence + n.takes_away::int
FROM unnest($1::uuid[], $2::boolean[]) AS n(id, takes_away) WHERE d.id = n.id;

-- name: insert_policy_sets
INSERT INTO policy_set (id, policy_ids)
SELECT n.id, n.policy_ids::uuid[]
FROM unnest($1::uuid[], $2::text[]) AS n(id, policy_ids)
ON CONFLICT (id) DO NOTHING;

-- name: insert_resolved_configs
INSERT INTO resolved_config (digest, body) SELECT * FROM unnest($1::text[], $2::jsonb[])
ON CONFLICT (digest) DO NOTHING;

-- name: insert_variable_origins
INSERT INTO variable_origin (digest, body) SELECT * FROM unnest($1::text[], $2::jsonb[])
ON CONFLICT (digest) DO NOTHING;

-- New targets, and old ones that match again. Relies on target's unique key.
-- name: attach_targets
INSERT INTO target (workspace_id, id, deployment_id, environment_id, resource_id, policy_set_id, agent_state, agent_id, config_digest,
                    origin_digest, attached_at)
SELECT $1, n.*, interlock_now()
FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::text[], $8::uuid[], $9::text[], $10::text[]) AS n
ON CONFLICT (deployment_id, environment_id, resource_id) DO UPDATE
SET state = 'attached', attached_at = excluded.attached_at, detached_at = NULL, policy_set_id = excluded.policy_set_id,
    agent_state = excluded.agent_state, agent_id = excluded.agent_id, config_digest = excluded.config_digest,
    origin_digest = excluded.origin_digest
WHERE target.state <> 'attached'
RETURNING id;

-- Relies on target's primary key.
-- name: detach_targets
UPDATE target t SET state = n.state, detached_at = interlock_now()
FROM unnest($1::uuid[], $2::text[]) AS n(id, state) WHERE t.id = n.id AND t.state = 'attached';

-- Relies on target's primary key.
-- name: resolve_targets
UPDATE target t
SET policy_set_id = n.policy_set_id, agent_state = n.agent_state, agent_id = n.agent_id, config_digest = n.config_digest,
    origin_digest = n.origin_digest
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[])
     AS n(id, policy_set_id, agent_state, agent_id, config_digest, origin_digest)
WHERE t.id = n.id;

-- Relies on target_slot's primary key.
-- name: delete_slot_keys
DELETE FROM target_slot WHERE target_id = ANY ($1::uuid[]);

-- Of targets that are there: a concurrent match may have been first with another id. Relies on target's primary key.
-- name: insert_slot_keys
INSERT INTO target_slot (workspace_id, target_id, policy_id, rule_id, key, why)
SELECT $1, n.* FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[]) AS n(target_id, policy_id, rule_id, key, why)
JOIN target t ON t.id = n.target_id
ON CONFLICT (target_id, policy_id, rule_id) DO UPDATE SET key = excluded.key, why = excluded.why;

-- An open move leaves the groups that its target ($1) left. Relies on move_open_of_target and slot_of_move.
-- name: leave_slot_groups
DELETE FROM slot s USING move m
WHERE m.target_id = ANY ($1::uuid[]) AND m.closed_at IS NULL AND s.move_id = m.id
  AND NOT EXISTS (SELECT FROM target_slot o WHERE o.target_id = m.target_id AND o.key = s.key);

-- The groups of the targets $1, in the order in which groups are locked. Relies on target_slot's primary key.
-- name: ensure_slot_groups
INSERT INTO slot_group (workspace_id, key)
SELECT DISTINCT workspace_id, key FROM target_slot WHERE target_id = ANY ($1::uuid[]) AND key IS NOT NULL ORDER BY key
ON CONFLICT DO NOTHING;

-- An open move holds a slot in every group of its target ($1), whenever it started. Relies on target_slot's primary key.
-- name: join_slot_groups
INSERT INTO slot (workspace_id, key, move_id)
SELECT o.workspace_id, o.key, m.id FROM target_slot o JOIN move m ON m.target_id = o.target_id AND m.closed_at IS NULL
WHERE o.target_id = ANY ($1::uuid[]) AND o.key IS NOT NULL ORDER BY o.key
ON CONFLICT DO NOTHING;

-- The names of what targets are made of, and what is gone for good. Relies on primary keys.
-- name: read_names
SELECT id, name, deleted_at IS NOT NULL AS deleted FROM resource WHERE id = ANY ($1::uuid[])
UNION ALL SELECT id, name, deleted_at IS NOT NULL FROM environment WHERE id = ANY ($1::uuid[])
UNION ALL SELECT id, name, deleted_at IS NOT NULL FROM deployment WHERE id = ANY ($1::uuid[]);

-- Relies on workspace's primary key.
-- name: find_policies_fence
SELECT policies_fence FROM workspace WHERE id = $1;

-- No policy is committed between this and the end of the transaction. Relies on workspace's primary key.
-- name: share_policies_fence
SELECT policies_fence FROM workspace WHERE id = $1 FOR SHARE;

-- Relies on workspace's primary key. It never goes back.
-- name: set_policies_matched
UPDATE workspace SET policies_matched = greatest(policies_matched, $2) WHERE id = $1;

-- All of a workspace. Relies on deployment_name.
-- name: list_deployment_ids
SELECT id FROM deployment WHERE workspace_id = $1 AND deleted_at IS NULL ORDER BY id;

-- Those that declare a variable: what a variable set may concern. By deployment_variable_of_workspace.
-- name: list_deployment_ids_with_variables
SELECT DISTINCT deployment_id AS id FROM deployment_variable WHERE workspace_id = $1 ORDER BY 1;

-- Those of which some variable may be a reference. By deployment_variable_of_workspace, then deployment_variable_value_refers,
-- variable_set_of_workspace and resource_variable_refers.
-- name: list_deployment_ids_with_references
WITH declared AS MATERIALIZED (SELECT id, deployment_id, key FROM deployment_variable WHERE workspace_id = $1)
SELECT deployment_id AS id FROM declared d
WHERE EXISTS (SELECT FROM deployment_variable_value n WHERE n.variable_id = d.id AND n.value ? 'reference')
   OR d.key IN (SELECT each ->> 'key' FROM variable_set s, jsonb_array_elements(s.variables) each
                WHERE s.workspace_id = $1 AND each -> 'value' ? 'reference')
   OR d.key IN (SELECT r.key FROM resource_variable r JOIN resource o ON o.id = r.resource_id
                WHERE o.workspace_id = $1 AND r.value ? 'reference')
GROUP BY 1 ORDER BY 1;

-- What deployments declare, one row a value. By deployment_variable_key and deployment_variable_value_of_variable.
-- name: list_declared
SELECT v.id, v.deployment_id, v.key, n.id AS value_id, n.priority, n.resource_selector, n.value
FROM deployment_variable v LEFT JOIN deployment_variable_value n ON n.variable_id = v.id
WHERE v.deployment_id = ANY ($1::uuid[]);

-- By variable_set_of_workspace.
-- name: list_variable_sets
SELECT id, workspace_id, name, description, selector, priority, variables, created_at, updated_at
FROM variable_set WHERE workspace_id = $1;

-- What resources say themselves. By resource_variable's primary key.
-- name: list_own_variables
SELECT resource_id, key, value FROM resource_variable WHERE resource_id = ANY ($1::uuid[]) AND key = ANY ($2::text[]);

-- By relationship_rule_of_workspace; a workspace has few of them.
-- name: list_relationship_rules
SELECT id, workspace_id, name, description, reference, cel, metadata
FROM relationship_rule WHERE workspace_id = $1 AND reference = ANY ($2::text[]);

-- What a reference may lead to: resources of these kinds, of all for NULL. By resource_kind.
-- name: list_resources_of_kinds
SELECT r.id, r.workspace_id, r.provider_id, r.identifier, r.name, r.kind, r.version, r.config, r.metadata, r.created_at, r.updated_at
FROM resource r WHERE r.workspace_id = $1 AND r.deleted_at IS NULL AND ($2::text[] IS NULL OR r.kind = ANY ($2::text[])) LIMIT $3;

-- By deployment_name.
-- name: list_all_deployments
SELECT id, name, description, resource_selector, job_agent_selector, job_agent_config, job_agents, metadata, supersede
FROM deployment WHERE workspace_id = $1 AND deleted_at IS NULL;

-- By environment_name.
-- name: list_all_environments
SELECT id, name, description, resource_selector, metadata, created_at FROM environment WHERE workspace_id = $1 AND deleted_at IS NULL;

-- The deployments that an environment can meet, or all that an agent may be picked by. Relies on system_of_environment.
-- name: list_deployment_ids_of_environment
SELECT DISTINCT sd.deployment_id AS id
FROM system_environment se JOIN system_deployment sd ON sd.system_id = se.system_id
WHERE se.environment_id = $1
UNION SELECT deployment_id FROM target WHERE environment_id = $1 AND state = 'attached'
ORDER BY id;
