-- Which tenant revoked a link: each has a share of the places. NULL is the admin.
-- Twin of ../postgres/0016_revokers.sql.
ALTER TABLE revocations ADD COLUMN
    tenant TEXT;
