-- Verifications of a rollout as a whole: of its waves, and of all of it while it is open. Its sequential tests share its α.

-- `rollout_id` is NULL for a job's verification. `wave` (from 0) and `lane` (the rule whose waves they are) are those of a wave; NULL where the
-- verification runs while the rollout is open. `forgiven_at`: a person let the rollout go on after it had ended badly.
-- `move_id` is a move of the rollout, whose release says which version is measured where.
ALTER TABLE verification
    ADD COLUMN rollout_id uuid REFERENCES rollout ON DELETE CASCADE,
    ADD COLUMN wave integer,
    ADD COLUMN lane text,
    ADD COLUMN forgiven_at timestamptz,
    ADD CONSTRAINT verification_of_what CHECK ((rollout_id IS NOT NULL) = (subject_kind IN ('wave', 'rollout')));
CREATE INDEX verification_of_rollout ON verification (rollout_id) WHERE rollout_id IS NOT NULL;

-- The part of its rollout's α that a metric may spend, fixed when it began; NULL where α is split over the verification alone.
ALTER TABLE verification_metric ADD COLUMN alpha_share double precision;

ALTER TABLE rollout
    ADD COLUMN tests_planned integer NOT NULL DEFAULT 0,
    ADD COLUMN tests_begun integer NOT NULL DEFAULT 0;
