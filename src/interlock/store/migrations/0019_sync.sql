-- Provider sets: their order in one row, what others own, how many may go at once; and what is gone, found by its name.

CREATE TABLE provider_order (
    provider_id  uuid PRIMARY KEY REFERENCES resource_provider ON DELETE CASCADE,
    resource_ids uuid[] NOT NULL                 -- in the order last set; resource.position is no longer written
);
INSERT INTO provider_order (provider_id, resource_ids)
SELECT provider_id, array_agg(id ORDER BY position, created_at, identifier) FROM resource
WHERE provider_id IS NOT NULL AND deleted_at IS NULL GROUP BY provider_id;

ALTER TABLE resource_provider
    ADD order_digest text NOT NULL DEFAULT '',   -- of the identifiers in the order of the last set
    ADD contested    jsonb NOT NULL DEFAULT '{}'; -- identifier -> name of the provider that owns it, as the ledger was last told
ALTER TABLE workspace ADD sync_remove_max integer CHECK (sync_remove_max >= 0);   -- NULL: the setting of the installation

DROP INDEX resource_of_provider;
CREATE INDEX resource_of_provider ON resource (provider_id, id) WHERE deleted_at IS NULL;
CREATE INDEX resource_all_of_provider ON resource (provider_id, id);
CREATE INDEX resource_gone ON resource (workspace_id, identifier, deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX deployment_gone ON deployment (workspace_id, name, deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX environment_gone ON environment (workspace_id, name, deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX system_gone ON system (workspace_id, name, deleted_at) WHERE deleted_at IS NOT NULL;
