-- record reads a record that is kept apart.
--
-- KEYS  1 record
-- Returns it, or false if there is none.

return redis.call('GET', KEYS[1])
