-- Leases of claimed jobs, and what a report says that a run brought.

ALTER TABLE job
    ADD COLUMN held_by      text,                            -- who claimed it, in its own words
    ADD COLUMN heard_at     timestamptz,                     -- when that one last said anything
    ADD COLUMN lease_s      double precision,                -- how long its lease lasts; NULL: it has the job until it says how it ended
    ADD COLUMN leased_until timestamptz,
    ADD COLUMN leases_ended integer NOT NULL DEFAULT 0,      -- attempts whose lease ended before the job did
    ADD COLUMN applied      jsonb NOT NULL DEFAULT '[]',     -- the objects that the run wrote
    ADD COLUMN artifacts    jsonb NOT NULL DEFAULT '[]';     -- the digests that it brought
