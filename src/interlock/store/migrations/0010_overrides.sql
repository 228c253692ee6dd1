-- Overrides by hand: who ended them and why, and when their own end was noted in the ledger.

ALTER TABLE pin ADD removed_by uuid, ADD remove_reason text, ADD expired_at timestamptz;
ALTER TABLE skip ADD removed_by uuid, ADD remove_reason text, ADD expired_at timestamptz;
ALTER TABLE "freeze" ADD expired_at timestamptz;

COMMENT ON COLUMN pin.expired_at IS 'when the ledger was told that it reached its end; it is in force until expires_at, whoever notes that';
COMMENT ON COLUMN skip.rule_id IS 'a rule''s id, kind:<rule kind> for every rule of a kind, or freeze:<freeze id>';
