-- Incidents: what burns outside, told by alert managers, incident tools and people. Each has an end.

CREATE TABLE incident (
    id              uuid PRIMARY KEY,
    workspace_id    uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    source          text NOT NULL,
    external_id     text NOT NULL,
    title           text NOT NULL,
    severity        text NOT NULL CHECK (severity IN ('critical', 'warning', 'info')),
    gates           boolean NOT NULL,
    links           jsonb NOT NULL DEFAULT '{}',
    labels          jsonb NOT NULL DEFAULT '{}',
    unmatched       text[] NOT NULL DEFAULT '{}',   -- names of deployments and environments that are not there
    environment_ids uuid[],                         -- where it bites; NULL: everywhere
    started_at      timestamptz NOT NULL,           -- the source's clock, as far as it said so
    opened_at       timestamptz NOT NULL DEFAULT interlock_now(),
    renewed_at      timestamptz NOT NULL DEFAULT interlock_now(),
    expires_at      timestamptz NOT NULL,
    expired_at      timestamptz,
    resolved_at     timestamptz,
    ended_at        timestamptz,                    -- when it was over by the source's clock; what began before is old news
    resolved_by     uuid,                           -- a person, or the key of the source
    resolve_reason  text,
    reported_by     uuid
);
CREATE UNIQUE INDEX incident_unresolved ON incident (workspace_id, source, external_id) WHERE resolved_at IS NULL;
CREATE INDEX incident_told ON incident (workspace_id, source, external_id, opened_at DESC);
CREATE INDEX incident_gating ON incident (workspace_id) WHERE gates AND resolved_at IS NULL;
CREATE INDEX incident_newest ON incident (workspace_id, opened_at DESC);
CREATE INDEX incident_old ON incident (expires_at);

CREATE TABLE incident_deployment (
    deployment_id uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    incident_id   uuid NOT NULL REFERENCES incident ON DELETE CASCADE,
    PRIMARY KEY (incident_id, deployment_id)
);
CREATE INDEX incident_of_deployment ON incident_deployment (deployment_id);

CREATE CONSTRAINT TRIGGER incident_new_recorded AFTER INSERT ON incident
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_ledger_row();
CREATE CONSTRAINT TRIGGER incident_recorded AFTER UPDATE OF resolved_at, expired_at ON incident
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.resolved_at IS DISTINCT FROM NEW.resolved_at OR OLD.expired_at IS DISTINCT FROM NEW.expired_at)
    EXECUTE FUNCTION require_ledger_row();
