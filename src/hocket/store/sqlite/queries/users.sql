-- name: see
INSERT INTO users (name, number, seq) VALUES (?, ?, ?) ON CONFLICT DO NOTHING
-- name: count
UPDATE counters SET users = users + ?
-- name: number
SELECT number, preferences <> x'7b7d' FROM users WHERE name = ?
-- name: join
INSERT INTO memberships (topic, user, since, seq) VALUES (?, ?, ?, ?)
-- name: is_in
SELECT 1 FROM memberships WHERE topic = ? AND user = ? AND until IS NULL
-- name: leave
UPDATE memberships SET until = ? WHERE topic = ? AND user = ? AND until IS NULL
-- name: topics
SELECT topic FROM memberships WHERE user = ? AND until IS NULL ORDER BY topic
-- name: set_preferences
UPDATE users SET preferences = ? WHERE name = ?
-- name: preferences
SELECT preferences FROM users WHERE name = ?
