-- name: add
INSERT OR REPLACE INTO keys (id, hash, name, scopes, created) VALUES (?, ?, ?, ?, ?)
-- name: get
SELECT id, hash, name, scopes, created FROM keys WHERE id = ?
-- name: all
SELECT id, hash, name, scopes, created FROM keys ORDER BY created, id
-- name: revoke
DELETE FROM keys WHERE id = ?
