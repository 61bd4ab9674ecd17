-- name: user
SELECT number, seq, read_upto, read_at, archived_upto, archived_at, preferences
FROM users WHERE name = ?
-- name: memberships
SELECT topic, since, coalesce(until, 9223372036854775807), seq FROM memberships WHERE user = ?
-- name: broadcasts_up
SELECT seq FROM notifications INDEXED BY broadcasts
WHERE everybody = 1 AND seq > ? AND seq < ? AND number >= ? ORDER BY seq
-- name: broadcasts_down
SELECT seq FROM notifications INDEXED BY broadcasts
WHERE everybody = 1 AND seq > ? AND seq < ? AND number >= ? ORDER BY seq DESC
-- name: named_up
SELECT seq FROM inbox WHERE user = ? AND seq > ? AND seq < ?
  AND EXISTS (SELECT 1 FROM notifications WHERE seq = inbox.seq) ORDER BY seq
-- name: named_down
SELECT seq FROM inbox WHERE user = ? AND seq > ? AND seq < ?
  AND EXISTS (SELECT 1 FROM notifications WHERE seq = inbox.seq) ORDER BY seq DESC
-- name: aired_up
SELECT seq FROM aired
WHERE topic = ? AND seq > ? AND seq < ? AND number BETWEEN ? AND ? ORDER BY seq
-- name: aired_down
SELECT seq FROM aired
WHERE topic = ? AND seq > ? AND seq < ? AND number BETWEEN ? AND ? ORDER BY seq DESC
-- name: mark
SELECT read, archived FROM marks WHERE user = ? AND seq = ?
-- name: marks_upto
SELECT seq FROM marks WHERE user = ?1 AND seq <= ?2
  AND coalesce(read, iif(seq <= ?3, 1, 0)) = 0
  AND coalesce(archived, iif(seq <= ?4, 1, 0)) = 0
  AND EXISTS (SELECT 1 FROM notifications WHERE seq = marks.seq)
-- name: item
SELECT id, content, released FROM notifications WHERE seq = ?
-- name: content
SELECT content FROM notifications WHERE seq = ?
-- name: find
SELECT number, seq FROM notifications WHERE id = ? AND seq IS NOT NULL
-- name: mark_read
INSERT INTO marks (user, seq, read) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET read = excluded.read
-- name: mark_archived
INSERT INTO marks (user, seq, archived) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET archived = excluded.archived
-- name: all_read
UPDATE users SET read_upto = ?, read_at = ? WHERE name = ?
-- name: all_archived
UPDATE users SET archived_upto = ?, archived_at = ? WHERE name = ?
-- name: clear_read
UPDATE marks SET read = NULL WHERE user = ?
-- name: clear_archived
UPDATE marks SET archived = NULL WHERE user = ?
-- name: drop_marks
DELETE FROM marks WHERE user = ? AND read IS NULL AND archived IS NULL
