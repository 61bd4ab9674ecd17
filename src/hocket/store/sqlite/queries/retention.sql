-- name: old
SELECT number, seq FROM notifications JOIN tallies ON notification = number
WHERE state IN ('done', 'cancelled') AND max(accepted, released) < ? AND cursor IS NULL
  AND made = delivered + failed + expired + cancelled + suppressed
ORDER BY max(accepted, released) LIMIT 1
-- name: bury
INSERT INTO gone (number, seq) VALUES (?, ?)
-- name: drop_notification
DELETE FROM notifications WHERE number = ?
-- name: drop_tally
DELETE FROM tallies WHERE notification = ?
-- name: drop_aired
DELETE FROM aired WHERE seq = ? AND topic IN (SELECT topic FROM aimed WHERE notification = ?)
-- name: drop_aimed
DELETE FROM aimed WHERE notification = ?
-- name: gone
SELECT number, seq FROM gone LIMIT 1
-- name: drop_deliveries
DELETE FROM deliveries
WHERE id IN (SELECT id FROM deliveries WHERE notification = ? LIMIT ?)
-- name: addressed
SELECT user FROM addressed WHERE notification = ? LIMIT ?
-- name: drop_item
DELETE FROM inbox WHERE user = ? AND seq = ?
-- name: drop_address
DELETE FROM addressed WHERE user = ? AND notification = ?
-- name: drop_marks
DELETE FROM marks
WHERE seq = ?1 AND user IN (SELECT user FROM marks WHERE seq = ?1 LIMIT ?2)
-- name: forget
DELETE FROM gone WHERE number = ?
-- name: drop_keys
DELETE FROM idempotency WHERE (caller, key) IN (
  SELECT caller, key FROM idempotency WHERE at <= ? LIMIT ?
)
-- name: oldest
SELECT coalesce(min(number), (SELECT number + 1 FROM counters)) FROM notifications
-- name: drop_memberships
DELETE FROM memberships WHERE (topic, user, since) IN (
  SELECT topic, user, since FROM memberships WHERE until IS NOT NULL AND until < ? LIMIT ?
)
