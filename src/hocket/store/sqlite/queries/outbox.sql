-- name: leases
CREATE TEMP TABLE leases (
  delivery INTEGER PRIMARY KEY,
  leader INTEGER NOT NULL,
  owner INTEGER NOT NULL,
  until REAL NOT NULL
)
-- name: leases_of_leader
CREATE INDEX temp.leases_of_leader ON leases (leader)
-- name: void
DELETE FROM leases WHERE owner = ?
-- name: end_leases
DELETE FROM leases WHERE until <= ?
-- name: due
SELECT d.id, n.id, n.content, n.expires_at, n.collapse_key, d.attempts, d.user, d.device,
  v.token, v.registered, coalesce(u.preferences, x'7b7d'), d.digest, d.notification
FROM deliveries AS d INDEXED BY outbox
JOIN notifications AS n ON n.number = d.notification
LEFT JOIN devices AS v ON v.id = d.device AND v.user = d.user
LEFT JOIN users AS u ON u.name = d.user
WHERE d.provider = ? AND d.due <= ? AND d.due IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM leases WHERE delivery = d.id)
ORDER BY d.due LIMIT ?
-- name: one
SELECT d.id, n.id, n.content, n.expires_at, n.collapse_key, d.attempts, d.user, d.device,
  v.token, v.registered, coalesce(u.preferences, x'7b7d')
FROM deliveries AS d
JOIN notifications AS n ON n.number = d.notification
JOIN devices AS v ON v.id = d.device AND v.user = d.user
LEFT JOIN users AS u ON u.name = d.user
WHERE d.id = ?
-- name: same_digest
SELECT d.id, n.expires_at FROM deliveries AS d
JOIN notifications AS n ON n.number = d.notification
WHERE d.device = ? AND d.user = ? AND d.digest = ? AND d.due <= ? AND d.due IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM leases WHERE delivery = d.id)
ORDER BY d.id DESC
-- name: lease
INSERT INTO leases (delivery, leader, owner, until) VALUES (?, ?, ?, ?)
-- name: next_provider
SELECT min(provider) FROM deliveries WHERE provider > ? AND due IS NOT NULL
-- name: next_due
SELECT due FROM deliveries
WHERE provider = ? AND due IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM leases WHERE delivery = deliveries.id)
ORDER BY due LIMIT 1
-- name: in_hand
SELECT l.leader, d.id, d.notification, d.device, n.state = 'cancelled',
  EXISTS (SELECT 1 FROM devices WHERE id = d.device AND user = d.user)
FROM json_each(?1) AS j
CROSS JOIN leases AS l ON l.leader = j.value
CROSS JOIN deliveries AS d ON d.id = l.delivery
CROSS JOIN notifications AS n ON n.number = d.notification
WHERE l.owner = ?2
UNION ALL
SELECT d.id, d.id, d.notification, d.device, n.state = 'cancelled',
  EXISTS (SELECT 1 FROM devices WHERE id = d.device AND user = d.user)
FROM json_each(?1) AS j
CROSS JOIN deliveries AS d ON d.id = j.value
CROSS JOIN notifications AS n ON n.number = d.notification
WHERE d.due IS NOT NULL AND NOT EXISTS (SELECT 1 FROM leases WHERE delivery = d.id)
-- name: give_back
DELETE FROM leases WHERE delivery = ?
-- name: settle
UPDATE deliveries SET state = ?, due = ?, error = coalesce(?, error), attempts = attempts + ? WHERE id = ?
