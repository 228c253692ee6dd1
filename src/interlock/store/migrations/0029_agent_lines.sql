-- How it stands between us and each agent: its circuit breaker, its rate, and the line in which its jobs wait (model/line.py).

CREATE TABLE agent_line (
    agent_id      uuid PRIMARY KEY REFERENCES job_agent ON DELETE CASCADE,
    failures      integer NOT NULL DEFAULT 0,     -- calls in a row without an answer
    failing_since timestamptz,
    down_since    timestamptz,                    -- the breaker is open
    next_try_at   timestamptz,
    pause_s       double precision NOT NULL DEFAULT 0,
    trying_until  timestamptz,                    -- one call tries whether it is back
    next_turn_at  timestamptz,                    -- of its rate
    stands        boolean NOT NULL DEFAULT false, -- jobs may stand in it: a work item `line` moves it
    moves_at      timestamptz,
    reason        text
);

-- What a hand-over under way changed: put back where nothing was started after all.
ALTER TABLE job
    ADD COLUMN turn_at             timestamptz,   -- its turn in its agent's line
    ADD COLUMN move_began          boolean NOT NULL DEFAULT false,
    ADD COLUMN mark_before         uuid,
    ADD COLUMN last_started_before timestamptz;

CREATE INDEX job_in_line ON job (agent_id, turn_at NULLS FIRST, created_at, id) WHERE status = 'pending' AND handover = 'waiting';
