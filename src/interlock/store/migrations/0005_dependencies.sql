-- Which deployments depend on which: by rules of policies, and by their versions.

-- In which environments the other deployment must run it: the same one first, else any; or all.
ALTER TABLE version_dependency ADD COLUMN environments text NOT NULL DEFAULT 'first' CHECK (environments IN ('first', 'all'));

CREATE INDEX version_dependency_on ON version_dependency (deployment_id);

-- The revisions with a deploymentDependency rule: few, so that whoever lands something sees at once whether anybody asks.
CREATE INDEX policy_revision_depending ON policy_revision (policy_id) WHERE rules @? '$[*].deploymentDependency.dependsOn';
