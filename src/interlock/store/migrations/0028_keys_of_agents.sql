-- The token of a job agent sends an Idempotency-Key too, and an agent is no principal.

ALTER TABLE kept_answer DROP CONSTRAINT kept_answer_principal_id_fkey;
COMMENT ON COLUMN kept_answer.principal_id IS 'the principal, or the job agent, that sent the key';
