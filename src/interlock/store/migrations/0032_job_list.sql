-- The jobs of all agents together: those that are open, and those of a deployment, newest first.

CREATE INDEX job_open ON job (workspace_id, created_at DESC, id DESC) WHERE status IN ('pending', 'queued', 'inProgress', 'actionRequired');
CREATE INDEX job_of_deployment ON job (deployment_id, created_at DESC, id DESC);
