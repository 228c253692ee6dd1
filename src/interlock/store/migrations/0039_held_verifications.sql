-- What could not tell holds until it is measured again, somebody says, or its time is over.

ALTER TABLE verification
    ADD COLUMN gates         boolean NOT NULL DEFAULT true,       -- its job's move waits for it
    ADD COLUMN again_s       double precision,                    -- while it holds it is measured again after so long
    ADD COLUMN hold_s        double precision,                    -- a hold ends after so long
    ADD COLUMN comes_to      text NOT NULL DEFAULT 'fail' CHECK (comes_to IN ('fail', 'pass')),
    ADD COLUMN revokes       boolean NOT NULL DEFAULT false,      -- measured again, a failure takes back that it had passed
    ADD COLUMN run           integer NOT NULL DEFAULT 1,          -- how often measuring began
    ADD COLUMN measured_from timestamptz,                         -- when this run began; NULL: started_at
    ADD COLUMN held_since    timestamptz,                         -- when it first could not tell
    ADD COLUMN held_until    timestamptz,
    ADD COLUMN again_at      timestamptz,
    ADD COLUMN passed_at     timestamptz;                         -- that it had passed stands while it is measured again

ALTER TABLE verification_metric ADD COLUMN counted_from integer NOT NULL DEFAULT 0;   -- measurements up to here are of runs before

CREATE INDEX verification_held ON verification (workspace_id) WHERE state = 'inconclusive' AND ended_at IS NULL;

-- What people said of verifications. The reasons are free text, and stand here alone.
CREATE TABLE verification_word (
    id              uuid PRIMARY KEY,
    workspace_id    uuid NOT NULL,
    verification_id uuid NOT NULL REFERENCES verification ON DELETE CASCADE,
    word            text NOT NULL CHECK (word IN ('accepted', 'failed', 'again')),
    reason          text,
    principal_id    uuid NOT NULL REFERENCES principal,
    at              timestamptz NOT NULL DEFAULT interlock_now()
);
CREATE INDEX verification_word_of_verification ON verification_word (verification_id, at);
CREATE INDEX verification_of_workspace ON verification (workspace_id, started_at DESC, id DESC);
