-- A run that took longer than it may is cancelled, and is a failure.

ALTER TABLE job ADD COLUMN overran boolean NOT NULL DEFAULT false;
