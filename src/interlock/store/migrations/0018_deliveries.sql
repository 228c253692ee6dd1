-- Webhooks that came in and were acted on, remembered for as long as they could be sent again.

CREATE TABLE delivery (
    key         bytea PRIMARY KEY,             -- a digest of what was signed
    source      text NOT NULL,
    until       timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT interlock_now()
);
CREATE INDEX delivery_until ON delivery (until);
