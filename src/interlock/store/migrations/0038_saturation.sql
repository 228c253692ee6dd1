-- How full things are that a deployment runs on, as they were last read; and an index for how often it went back.

CREATE TABLE saturation (
    workspace_id    uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    deployment_id   uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    environment_id  uuid REFERENCES environment ON DELETE CASCADE,   -- NULL: it counts everywhere
    name            text NOT NULL,
    value           double precision NOT NULL,
    high_above      double precision NOT NULL,
    saturated_above double precision NOT NULL,
    level           text NOT NULL CHECK (level IN ('normal', 'high', 'saturated')),
    since           timestamptz NOT NULL,
    observed_at     timestamptz NOT NULL,
    fresh_until     timestamptz NOT NULL,
    source          text NOT NULL,
    reported_by     uuid,
    CHECK (high_above <= saturated_above)
);
CREATE UNIQUE INDEX saturation_of_deployment ON saturation (deployment_id, name, environment_id) NULLS NOT DISTINCT;

CREATE INDEX move_rolled_back ON move (deployment_id, admitted_at) WHERE kind = 'rollback';
