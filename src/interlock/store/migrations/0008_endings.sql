-- How jobs of a version ended on a target, beside its successes (landed): environmentProgression may count any ending.
CREATE TABLE ended (
    target_id  uuid NOT NULL REFERENCES target ON DELETE CASCADE,
    version_id uuid NOT NULL REFERENCES version ON DELETE CASCADE,
    status     text NOT NULL,                   -- the wire's word of the job, never 'successful'
    first_at   timestamptz NOT NULL,
    PRIMARY KEY (target_id, version_id, status)
);
CREATE INDEX ended_of_version ON ended (version_id);

-- The newest move to the version that was done there after the first: what maximumAgeHours counts from.
ALTER TABLE landed ADD COLUMN renewed_at timestamptz;
