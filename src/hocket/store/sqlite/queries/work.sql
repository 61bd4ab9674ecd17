-- name: next_number
UPDATE counters SET number = number + 1 RETURNING number
-- name: last_number
SELECT number FROM counters
-- name: last_seq
SELECT seq FROM counters
