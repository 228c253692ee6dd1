-- Runs that are planned outside and wait for our yes: where that stands, and since when.

ALTER TABLE job
    ADD COLUMN confirm text NOT NULL DEFAULT 'none' CHECK (confirm IN ('none', 'asked', 'granted', 'giving', 'given', 'refused')),
    ADD COLUMN confirm_at timestamptz;
