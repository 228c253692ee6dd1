-- Objectives (SLOs), where their error budgets stand, and what was read of them.

CREATE TABLE slo (
    id             uuid PRIMARY KEY,
    workspace_id   uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name           text NOT NULL,
    description    text,
    spec           jsonb NOT NULL,              -- what the client wrote: target, provider, queries; secrets are marks
    interval_s     integer NOT NULL,
    deployment_ids uuid[] NOT NULL DEFAULT '{}',
    selector       text,
    revision       integer NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at     timestamptz NOT NULL DEFAULT interlock_now(),
    -- Where it stands. Its class has a word that SQL does not reserve.
    budget         text NOT NULL DEFAULT 'unknown'
                   CHECK (budget IN ('healthy', 'low', 'slow_burn', 'fast_burn', 'exhausted', 'unknown')),
    why            text NOT NULL DEFAULT 'It was not read yet.',
    since          timestamptz NOT NULL DEFAULT interlock_now(),
    observed_at    timestamptz,                 -- when its newest sample was seen
    fresh_until    timestamptz,                 -- until when the reading counts; NULL while nothing is known
    remaining      double precision,
    burn           jsonb NOT NULL DEFAULT '{}', -- window ("1h") -> rate
    firing         text[] NOT NULL DEFAULT '{}',
    empty_at       timestamptz,
    held           jsonb,                       -- the last known class, for the hysteresis
    asked          jsonb NOT NULL DEFAULT '{}', -- window in seconds -> {bad, total, at}: what the next reading may keep
    newest_at      timestamptz,
    errors         integer NOT NULL DEFAULT 0,  -- readings in a row that failed
    read_at        timestamptz,
    next_at        timestamptz NOT NULL DEFAULT interlock_now(),
    UNIQUE (workspace_id, name)
);

-- Which deployments it covers, worked out of its ids and its selector.
CREATE TABLE slo_cover (
    slo_id        uuid NOT NULL REFERENCES slo ON DELETE CASCADE,
    deployment_id uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    PRIMARY KEY (slo_id, deployment_id)
);
CREATE INDEX slo_cover_of_deployment ON slo_cover (deployment_id);

-- What was read, for charts: thinned by age, so that a month of it is some two thousand rows.
CREATE TABLE slo_reading (
    slo_id    uuid NOT NULL REFERENCES slo ON DELETE CASCADE,
    at        timestamptz NOT NULL,
    budget    text NOT NULL,
    remaining double precision,
    burn      jsonb NOT NULL DEFAULT '{}',
    why       text,                             -- of a reading that is not known
    PRIMARY KEY (slo_id, at)
);
