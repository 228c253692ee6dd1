-- Signing in through an identity provider, groups from its claims, sessions that change their value, and sign-ins of a terminal.

CREATE TABLE identity (                           -- who a person is at a provider
    issuer       text NOT NULL,
    subject      text NOT NULL,
    principal_id uuid NOT NULL REFERENCES principal ON DELETE CASCADE,
    made_admin   boolean NOT NULL DEFAULT false,  -- system admin by the setting, and no longer than that says so
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    signed_in_at timestamptz NOT NULL DEFAULT interlock_now(),
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identity_of_principal ON identity (principal_id);

CREATE TABLE sign_in_attempt (                    -- one browser on its way to the provider and back
    browser_hash bytea PRIMARY KEY,               -- sha256 of a cookie's value
    state        text NOT NULL,
    nonce        text NOT NULL,
    verifier     text NOT NULL,
    redirect_uri text NOT NULL,
    goal         text NOT NULL,
    expires_at   timestamptz NOT NULL
);
CREATE INDEX sign_in_attempt_over ON sign_in_attempt (expires_at);

CREATE TABLE login_code (                         -- a terminal's sign-in, approved in the browser: good once, for minutes
    code_hash    bytea PRIMARY KEY,
    principal_id uuid NOT NULL REFERENCES principal ON DELETE CASCADE,
    challenge    text NOT NULL,
    name         text NOT NULL,
    expires_at   timestamptz NOT NULL
);
CREATE INDEX login_code_over ON login_code (expires_at);

ALTER TABLE principal_group ADD COLUMN claim text;    -- who has it among the provider's groups is a member
CREATE INDEX principal_group_of_claim ON principal_group (claim) WHERE claim IS NOT NULL;
ALTER TABLE group_member ADD COLUMN from_claims boolean NOT NULL DEFAULT false;
ALTER TABLE member ADD COLUMN from_claims boolean NOT NULL DEFAULT false;

ALTER TABLE session
    ADD COLUMN renewed_at timestamptz NOT NULL DEFAULT interlock_now(),
    ADD COLUMN seen_at    timestamptz NOT NULL DEFAULT interlock_now(),
    ADD COLUMN old_hash   bytea,                  -- the value before the last change goes on for a minute, for what is under way
    ADD COLUMN old_until  timestamptz;
CREATE UNIQUE INDEX session_of_old_value ON session (old_hash) WHERE old_hash IS NOT NULL;
