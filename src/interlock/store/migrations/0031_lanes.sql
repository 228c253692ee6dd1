-- Whose looks these are: work of one lane takes only so many slots of a worker, so that a slow agent keeps no other waiting.

ALTER TABLE work ADD COLUMN lane text;            -- of `dispatch` and `observe` the job's agent
