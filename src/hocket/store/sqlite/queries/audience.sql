-- name: address
INSERT INTO addressed (notification, user) VALUES (?, ?)
-- name: aim
INSERT INTO aimed (notification, topic) VALUES (?, ?)
-- name: is_known
SELECT 1 FROM users WHERE name = ?
-- name: count_everybody
SELECT (SELECT users FROM counters)
  + (SELECT count(*) FROM addressed WHERE notification = ?)
-- name: count
SELECT count(*) FROM (
  SELECT user FROM addressed WHERE notification = ?1
  UNION
  SELECT user FROM memberships
  WHERE topic IN (SELECT topic FROM aimed WHERE notification = ?1) AND until IS NULL
)
-- name: topics
SELECT topic FROM aimed WHERE notification = ?
-- name: users
SELECT name FROM users WHERE name > ? AND number <= ? ORDER BY name
-- name: named
SELECT user FROM addressed WHERE notification = ? AND user > ? ORDER BY user
-- name: members
SELECT user FROM memberships
WHERE topic = ? AND user > ? AND since <= ?3 AND (until IS NULL OR until >= ?3) ORDER BY user
-- name: includes
SELECT EXISTS (SELECT 1 FROM addressed WHERE notification = ?1 AND user = ?2)
  OR EXISTS (
    SELECT 1 FROM aimed JOIN memberships USING (topic)
    WHERE notification = ?1 AND user = ?2 AND since <= ?1 AND (until IS NULL OR until >= ?1)
  )
  OR EXISTS (
    SELECT 1 FROM notifications AS n JOIN users AS u ON u.number <= n.number
    WHERE n.number = ?1 AND n.everybody = 1 AND u.name = ?2
  )
-- name: publish_named
INSERT INTO inbox (user, seq) SELECT user, ? FROM addressed WHERE notification = ?
-- name: publish_aimed
INSERT INTO aired (topic, seq, number)
SELECT topic, ?, notification FROM aimed WHERE notification = ?
-- name: foresee_everybody
SELECT (SELECT users FROM counters) + (
  SELECT count(DISTINCT value) FROM json_each(?)
  WHERE NOT EXISTS (SELECT 1 FROM users WHERE name = value)
)
-- name: devices_of_everybody
SELECT provider, count(*) FROM devices GROUP BY provider ORDER BY provider
-- name: foresee
SELECT count(*) FROM (
  SELECT value FROM json_each(?)
  UNION
  SELECT user FROM memberships
  WHERE topic IN (SELECT value FROM json_each(?)) AND until IS NULL
)
-- name: devices_of
SELECT provider, count(*) FROM devices WHERE user IN (
  SELECT value FROM json_each(?)
  UNION
  SELECT user FROM memberships
  WHERE topic IN (SELECT value FROM json_each(?)) AND until IS NULL
) GROUP BY provider ORDER BY provider
