-- name: fail_open
UPDATE deliveries SET state = 'failed', due = NULL, error = ?
WHERE device = ? AND due IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM leases WHERE delivery = deliveries.id)
RETURNING notification
-- name: close_open
UPDATE deliveries SET state = ?, due = NULL
WHERE notification = ? AND due IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM leases WHERE delivery = deliveries.id)
-- name: finish
UPDATE notifications SET state = 'done'
WHERE number = ? AND state = 'running' AND EXISTS (
  SELECT 1 FROM tallies
  WHERE notification = number AND cursor IS NULL
    AND made = delivered + failed + expired + cancelled + suppressed
)
-- name: count_delivered
UPDATE tallies SET delivered = delivered + ? WHERE notification = ?
-- name: count_failed
UPDATE tallies SET failed = failed + ? WHERE notification = ?
-- name: count_expired
UPDATE tallies SET expired = expired + ? WHERE notification = ?
-- name: count_cancelled
UPDATE tallies SET cancelled = cancelled + ? WHERE notification = ?
-- name: count_suppressed
UPDATE tallies SET suppressed = suppressed + ? WHERE notification = ?
