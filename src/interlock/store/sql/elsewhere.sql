-- What other deployments run, and whom that concerns.

-- The attached targets of others on the resources of the deployment $1: of the deployments $2 only, or all for NULL. Resources with equal
-- neighbours come together. Relies on target's unique key (deployment first) and target_of_resource.
-- name: load_beside
WITH ours AS MATERIALIZED (
    SELECT DISTINCT resource_id FROM target WHERE deployment_id = $1 AND state = 'attached'
), there AS (
    SELECT t.resource_id,
           string_agg(concat_ws(' ', t.deployment_id, t.environment_id, c.version_id), ',' ORDER BY t.deployment_id, t.environment_id) AS members
    FROM ours JOIN target t USING (resource_id) LEFT JOIN release c ON c.id = t.current_release_id
    WHERE t.deployment_id <> $1 AND t.state = 'attached' AND ($2::uuid[] IS NULL OR t.deployment_id = ANY ($2))
    GROUP BY t.resource_id
)
SELECT members, array_agg(resource_id::text ORDER BY resource_id) AS resource_ids FROM there GROUP BY members;

-- What others than $1 run in the environments $2. Relies on target_of_environment.
-- name: load_around
SELECT DISTINCT t.environment_id::text, t.deployment_id::text, c.version_id::text
FROM target t JOIN release c ON c.id = t.current_release_id
WHERE t.environment_id = ANY ($2::uuid[]) AND t.deployment_id <> $1 AND t.state = 'attached';

-- Relies on version's primary key.
-- name: load_other_versions
SELECT id, deployment_id, name, tag, status, created_at, metadata, message FROM version WHERE id = ANY ($1::uuid[]);

-- Relies on deployment's primary key.
-- name: load_other_deployments
SELECT id, name, description, metadata, resource_selector, job_agent_selector FROM deployment WHERE id = ANY ($1::uuid[]);

-- Relies on workspace's primary key.
-- name: share_rules
SELECT rules_fence FROM workspace WHERE id = $1 FOR SHARE;

-- Those of the deployments $2 on which anybody may depend: a policy of the workspace $1 asks what others run, or a version names them.
-- Relies on policy_revision_depending, policy's primary key and version_dependency_on.
-- name: list_depended_on
SELECT wanted.id
FROM unnest($2::uuid[]) AS wanted (id)
WHERE EXISTS (SELECT FROM version_dependency n WHERE n.deployment_id = wanted.id)
   OR EXISTS (SELECT FROM policy_revision r JOIN policy p ON p.revision_id = r.id
              WHERE r.rules @? '$[*].deploymentDependency.dependsOn' AND p.workspace_id = $1 AND p.enabled AND p.deleted_at IS NULL)
ORDER BY wanted.id;

-- Whom it concerns what the deployment $2 runs: those with a ready version that names it, and those with a target beside one of its own
-- (attached or not: it may just have left) under a policy that asks. Those with jobs waiting to be handed over first. Relies on
-- version_dependency_on, policy_revision_depending, target_of_resource, target_of_environment and job_waiting.
-- name: list_dependents
WITH asking AS MATERIALIZED (
    SELECT s.id FROM policy_set s
    WHERE s.policy_ids && ARRAY(SELECT p.id FROM policy_revision r JOIN policy p ON p.revision_id = r.id
                                WHERE r.rules @? '$[*].deploymentDependency.dependsOn' AND p.workspace_id = $1 AND p.enabled
                                  AND p.deleted_at IS NULL)
), theirs AS MATERIALIZED (
    SELECT resource_id, environment_id FROM target WHERE deployment_id = $2
), concerned AS (
    SELECT v.deployment_id AS id FROM version_dependency n JOIN version v ON v.id = n.version_id WHERE n.deployment_id = $2 AND v.status = 'ready'
    UNION
    SELECT t.deployment_id FROM target t
    WHERE t.state = 'attached' AND t.policy_set_id IN (SELECT id FROM asking)
      AND (t.resource_id IN (SELECT resource_id FROM theirs) OR t.environment_id IN (SELECT environment_id FROM theirs))
)
SELECT d.id, EXISTS (SELECT FROM job j WHERE j.workspace_id = d.workspace_id AND j.deployment_id = d.id
                     AND j.handover = 'waiting' AND j.status = 'pending') AS waits
FROM concerned JOIN deployment d USING (id)
WHERE d.id <> $2 AND d.deleted_at IS NULL AND d.workspace_id = $1
ORDER BY waits DESC, d.id;
