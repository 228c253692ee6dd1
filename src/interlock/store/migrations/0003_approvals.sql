-- What an approval is asked for beyond a number: of which group, whether its author counts, how long a yes lasts, and for which change of config.

ALTER TABLE approval_request
    ADD COLUMN approver_group   text,                            -- the name that the rule used; NULL: anybody who may approve
    ADD COLUMN authors_excluded boolean NOT NULL DEFAULT false,
    ADD COLUMN lasts_s          double precision,                -- NULL: for ever
    ADD COLUMN config_digests   text[];                          -- sorted; NULL: the version itself is asked about

CREATE INDEX group_member_of_principal ON group_member (principal_id);
