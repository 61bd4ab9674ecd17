-- name: by_token
SELECT id, user, number FROM devices WHERE provider = ? AND hash = ?
-- name: add
INSERT INTO devices (id, user, provider, token, hash, registered, number)
VALUES (?, ?, ?, ?, ?, ?, ?)
-- name: replace
UPDATE devices SET user = ?, token = ?, registered = ?, number = ? WHERE id = ?
-- name: get
SELECT user, registered FROM devices WHERE id = ?
-- name: remove
DELETE FROM devices WHERE id = ?
-- name: page
SELECT id, user, provider, token, registered FROM devices WHERE id > ? ORDER BY id LIMIT ?
-- name: page_of_user
SELECT id, user, provider, token, registered FROM devices
WHERE user = ? AND id > ? ORDER BY id LIMIT ?
-- name: count_of_user
SELECT count(*) FROM (SELECT 1 FROM devices WHERE user = ? LIMIT ?)
-- name: next_provider
SELECT min(provider) FROM devices WHERE provider > ?
