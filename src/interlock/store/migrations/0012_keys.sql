-- What a key may be used for, and who made it.

ALTER TABLE api_key
    ADD COLUMN scopes     text[],                 -- words of permissions; NULL: everything that its principal may
    ADD COLUMN created_by uuid REFERENCES principal;
