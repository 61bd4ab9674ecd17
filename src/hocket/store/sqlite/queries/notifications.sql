-- name: find
SELECT number, caller, request FROM notifications WHERE id = ?
-- name: find_key
SELECT n.number, n.caller, n.request FROM idempotency AS i
JOIN notifications AS n ON n.number = i.notification
WHERE i.caller = ? AND i.key = ? AND i.at > ?
-- name: keep_key
INSERT OR REPLACE INTO idempotency (caller, key, at, notification) VALUES (?, ?, ?, ?)
-- name: answer
SELECT id, recipients, state FROM notifications WHERE number = ?
-- name: add
INSERT INTO notifications (number, id, caller, request, state, content, accepted, send_at,
  expires_at, closes_at, collapse_key, everybody, digest, pause, recipients)
VALUES (?, ?, ?, ?, 'scheduled', ?, ?, ?, ?8, ?8, ?, ?, ?, ?, 0)
-- name: add_tally
INSERT INTO tallies (notification) VALUES (?)
-- name: set_recipients
UPDATE notifications SET recipients = ? WHERE number = ?
-- name: next_seq
UPDATE counters SET seq = seq + 1 RETURNING seq
-- name: release
UPDATE notifications SET state = 'running', seq = ?, released = ? WHERE number = ?
-- name: due
SELECT number, send_at FROM notifications
WHERE state = 'scheduled' AND send_at <= ? ORDER BY send_at, number LIMIT ?
-- name: over
SELECT number FROM notifications WHERE state = 'running' AND closes_at <= ?
ORDER BY closes_at LIMIT ?
-- name: look_again
UPDATE notifications SET closes_at = ? WHERE number = ? AND state = 'running'
  AND (SELECT cursor FROM tallies WHERE notification = number) IS NULL
-- name: next_release
SELECT min(at) FROM (
  SELECT min(send_at) AS at FROM notifications WHERE state = 'scheduled'
  UNION ALL
  SELECT min(closes_at) FROM notifications WHERE state = 'running'
)
-- name: number
SELECT number, everybody FROM notifications WHERE id = ?
-- name: get
SELECT id, coalesce(seq, 0), state, content, accepted, send_at, recipients, delivered, failed,
  expired, cancelled, suppressed,
  made - delivered - failed - expired - cancelled - suppressed
FROM notifications JOIN tallies ON notification = number WHERE number = ?
-- name: cancel
UPDATE notifications SET state = 'cancelled'
WHERE number = ? AND state IN ('scheduled', 'running')
-- name: stop
UPDATE tallies SET cursor = NULL WHERE notification = ?
-- name: deliveries
SELECT id, user, device, provider, iif(lease.delivery IS NULL, state, 'leased'), attempts, error
FROM deliveries LEFT JOIN leases AS lease ON lease.delivery = id
WHERE notification = ? AND id > ? ORDER BY id LIMIT ?
-- name: deliveries_of
SELECT id, user, device, provider, iif(lease.delivery IS NULL, state, 'leased'), attempts, error
FROM deliveries LEFT JOIN leases AS lease ON lease.delivery = id
WHERE notification = ? AND user = ? ORDER BY id
-- name: preferences
SELECT preferences FROM users WHERE name = ?
-- name: content
SELECT content FROM notifications WHERE number = ?
-- name: released
SELECT number, seq, id, content, released, everybody FROM notifications
WHERE seq > ? ORDER BY seq LIMIT 1
