-- name: begin
UPDATE tallies SET cursor = '' WHERE notification = ?
-- name: unfinished
SELECT notification FROM tallies WHERE cursor IS NOT NULL ORDER BY notification LIMIT 8
-- name: job
SELECT cursor, everybody, released, digest, pause FROM notifications
JOIN tallies ON notification = number WHERE number = ? AND cursor IS NOT NULL
-- name: to_everybody
INSERT INTO deliveries (notification, user, device, provider, state, due, digest)
SELECT :number, user, id, provider, 'queued', coalesce(
  (SELECT min(due) FROM deliveries
    WHERE device = devices.id AND digest = :digest AND due > :at AND due IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM leases WHERE delivery = deliveries.id)),
  :at + :pause), :digest
FROM devices WHERE id > :after AND id < :end AND number <= :number ORDER BY id LIMIT :limit
RETURNING device
-- name: to_user
INSERT INTO deliveries (notification, user, device, provider, state, due, digest)
SELECT :number, user, id, provider, 'queued', coalesce(
  (SELECT min(due) FROM deliveries
    WHERE device = devices.id AND digest = :digest AND due > :at AND due IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM leases WHERE delivery = deliveries.id)),
  :at + :pause), :digest
FROM devices WHERE user = :user AND number <= :number
-- name: advance
UPDATE tallies SET cursor = ?, made = made + ? WHERE notification = ?
