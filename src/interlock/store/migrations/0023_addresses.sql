-- Where a member is written to, in this workspace; NULL: at the address that the principal has.
ALTER TABLE member ADD COLUMN email text;
