-- Answers to requests that carried an Idempotency-Key, kept so that the same request can be sent again.

CREATE TABLE kept_answer (
    principal_id   uuid NOT NULL REFERENCES principal (id) ON DELETE CASCADE,
    key_digest     bytea NOT NULL,            -- the key itself is stored nowhere: it opens `answer`
    request_digest bytea NOT NULL,
    status         smallint,                  -- null while the request is being handled, by the transaction that does
    location       text,
    answer         bytea,                     -- sealed under the key
    until          timestamptz NOT NULL,
    PRIMARY KEY (principal_id, key_digest)
);
CREATE INDEX kept_answer_until ON kept_answer (until);
